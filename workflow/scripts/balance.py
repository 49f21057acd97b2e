# SPDX-License-Identifier: MIT
"""Undersample until every subgroup is equally large (MCRAGE, section 4.1).

An official test set stays as it is: training rows alone are undersampled.

Inputs: table, roles. Output: table.
"""

import logging

import numpy as np

from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.scenario import official_split, undersample
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    table = read_table(input.table)
    schema = GroupSchema.of(read_roles(input.roles))
    groups = schema.index(table)
    settings = params["settings"]
    if settings["balance"]:
        pool, test = np.arange(table.num_rows), np.array([], dtype=np.int64)
        if settings["split"] == "official":
            pool, test = official_split(table)
        drawn = pool[undersample(schema.subgroup_of(groups[pool]), params["seeds"]["balance"])]
        kept = np.sort(np.concatenate([drawn, test]))
        table, groups = table.take(kept), groups[kept]
    counts = schema.counts_by_label(groups)
    logging.info("rows by group: %s", counts)
    write_table(table, output.table, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
