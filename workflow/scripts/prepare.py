# SPDX-License-Identifier: MIT
"""Hold a dataset's raw files against its card, and type them.

Inputs: files. Outputs: table (row_id and the user's columns), roles (what each column is for).
Local: ``own``, the paths of the user's own tables, of which the inputs are copies, by name.
"""

from pathlib import Path

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.prepare import prepare
from mcrage.errors import UserError
from mcrage.stage import run_stage
from mcrage.tables import table_writer, write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = PrepareSettings.model_validate(params["settings"])
    try:
        prepared = prepare(settings, list(input.files))
    except UserError as error:
        raise UserError(_of_own(str(error), input.files, params["local"]["own"])) from None
    with table_writer(output.table, prepared.schema, origin, prepared.group_counts) as write:
        for portion in prepared.portions():
            write(portion)
    write_json(prepared.roles.to_dict(), output.roles, origin)


def _of_own(message: str, copies, own: dict[str, str]) -> str:
    """Return a message with a table's own path in the place of its copy's, which is not to edit."""
    for copy in sorted(map(str, copies), key=len, reverse=True):
        message = message.replace(copy, own.get(Path(copy).name, copy))
    return message


if __name__ == "__main__":
    run_stage(snakemake, main)
