# SPDX-License-Identifier: MIT
"""Set the test rows aside, stratified by group; rows of one cluster stay together.

Inputs: table, roles. Outputs: training_pool, test.
"""

import logging

from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.scenario import split
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    table = read_table(input.table)
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    groups = schema.index(table)
    clusters = table.column(roles.cluster).to_numpy() if roles.cluster else None
    parts = split(
        groups,
        params["settings"]["test_fraction"],
        params["seeds"]["split"],
        schema.n_groups,
        clusters,
    )
    for rows, path in zip(parts, (output.training_pool, output.test), strict=True):
        counts = schema.counts_by_label(groups[rows])
        logging.info("%s: rows by group %s", path, counts)
        write_table(table.take(rows), path, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
