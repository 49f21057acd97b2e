# SPDX-License-Identifier: MIT
"""Count rows by group in every table, and refuse what the treatments can't learn from.

Inputs: train, validation, original, test, roles. Output: groups (counts by table and group).
Local: ``needs``, what the present treatments ask for.
"""

from mcrage.datasets.roles import read_roles
from mcrage.group_check import check_groups
from mcrage.groups import GroupSchema
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    schema = GroupSchema.of(read_roles(input.roles))
    groups = {
        name: schema.index(read_table(input[name], schema.columns))
        for name in ("train", "validation", "original", "test")
    }
    counts = {name: schema.counts_by_label(rows) for name, rows in groups.items()}
    needs = params["local"]["needs"]
    check_groups(
        schema,
        schema.counts(groups["train"]),
        schema.counts(groups["validation"]),
        needs["rare_groups"],
        needs["smallest"],
        needs["judged_on_validation"],
        needs["for_two_levels"],
    )
    write_json(counts, output.groups, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
