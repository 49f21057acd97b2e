# SPDX-License-Identifier: MIT
"""Put a dataset's roles into the reader's words, for figures and the report.

Inputs: roles. Output: words (the same roles with the card's labels and units).
"""

from mcrage.datasets.roles import read_roles, with_words
from mcrage.stage import run_stage
from mcrage.tables import write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    words = with_words(read_roles(input.roles), params["settings"])
    write_json(words.to_dict(), output.words, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
