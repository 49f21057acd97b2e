# SPDX-License-Identifier: MIT
"""Hold a dataset's raw files against its card, and type them.

Inputs: files. Outputs: table (row_id and the user's columns), roles (what each column is for).
"""

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.prepare import prepare
from mcrage.stage import provenance, run_stage
from mcrage.tables import write_json, write_table


def main(input, output, params, wildcards, threads) -> None:
    """Run the stage."""
    settings = PrepareSettings.model_validate(params["settings"])
    prepared = prepare(settings, list(input.files))
    origin = provenance("prepare", params, list(input.files))
    write_table(prepared.table, output.table, origin)
    write_json(prepared.roles.to_dict(), output.roles)


if __name__ == "__main__":
    run_stage(snakemake, main)
