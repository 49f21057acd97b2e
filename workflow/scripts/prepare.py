# SPDX-License-Identifier: MIT
"""Hold a dataset's raw files against its card, and type them.

Inputs: files. Outputs: table (row_id and the user's columns), roles (what each column is for).
"""

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.prepare import prepare
from mcrage.stage import run_stage
from mcrage.tables import table_writer, write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = PrepareSettings.model_validate(params["settings"])
    prepared = prepare(settings, list(input.files))
    with table_writer(output.table, prepared.schema, origin, prepared.group_counts) as write:
        for portion in prepared.portions():
            write(portion)
    write_json(prepared.roles.to_dict(), output.roles, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
