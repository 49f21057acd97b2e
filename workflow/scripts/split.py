# SPDX-License-Identifier: MIT
"""Set the test rows aside, stratified by group; rows of one cluster stay together.

With ``split: official`` they are those that the dataset names.

Inputs: table, roles. Outputs: training_pool, test.
"""

import logging

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.scenario import official_split, split
from mcrage.stage import run_stage
from mcrage.tables import IS_OFFICIAL_TEST, read_table, take_rows


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    table = read_table(input.table, [*schema.columns, *roles.cluster])
    groups = schema.index(table)
    settings = params["settings"]
    if settings["split"] == "official":
        parts = official_split(read_table(input.table, [IS_OFFICIAL_TEST]))
    else:
        parts = split(
            groups,
            settings["test_fraction"],
            params["seeds"]["split"],
            schema.n_groups,
            clusters_of(table, roles.cluster),
        )
    for rows, path in zip(parts, (output.training_pool, output.test), strict=True):
        counts = schema.counts_by_label(groups[rows])
        logging.info("%s: rows by group %s", path, counts)
        take_rows(input.table, rows, path, origin, counts, without=[IS_OFFICIAL_TEST])


if __name__ == "__main__":
    run_stage(snakemake, main)
