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
from mcrage.tables import IS_OFFICIAL_TEST, read_table, take_rows


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    schema = GroupSchema.of(read_roles(input.roles))
    groups = schema.index(read_table(input.table, schema.columns))
    settings = params["settings"]
    kept = np.arange(len(groups))
    if settings["balance"]:
        pool, test = kept, np.array([], dtype=np.int64)
        if settings["split"] == "official":
            pool, test = official_split(read_table(input.table, [IS_OFFICIAL_TEST]))
        drawn = pool[undersample(schema.subgroup_of(groups[pool]), params["seeds"]["balance"])]
        kept = np.sort(np.concatenate([drawn, test]))
    counts = schema.counts_by_label(groups[kept])
    logging.info("rows by group: %s", counts)
    take_rows(input.table, kept, output.table, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
