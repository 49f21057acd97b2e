# SPDX-License-Identifier: MIT
"""Undersample until every subgroup is equally large (MCRAGE, section 4.1).

Inputs: table, roles. Output: table.
"""

import logging

from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.scenario import undersample
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    table = read_table(input.table)
    schema = GroupSchema.of(read_roles(input.roles))
    groups = schema.index(table)
    if params["settings"]["balance"]:
        kept = undersample(schema.subgroup_of(groups), params["seeds"]["balance"])
        table, groups = table.take(kept), groups[kept]
    counts = schema.counts_by_label(groups)
    logging.info("rows by group: %s", counts)
    write_table(table, output.table, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
