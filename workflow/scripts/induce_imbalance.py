# SPDX-License-Identifier: MIT
"""Thin out given subgroups of the training pool, then set validation rows aside.

Inputs: training_pool, roles. Outputs: train (imbalanced), validation, original (the pool
without the validation rows: the control of perfect rebalancing).
"""

import logging

import numpy as np

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.scenario import split, thin_out
from mcrage.stage import run_stage
from mcrage.tables import read_table, take_rows


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    pool = read_table(input.training_pool, [*schema.columns, *roles.cluster])
    digits = schema.digits(pool)
    groups = schema.index_of(digits)
    settings, seeds = params["settings"], params["seeds"]
    induced = thin_out(digits, schema, settings["keep"], seeds["induce"])
    clusters = clusters_of(pool, roles.cluster)
    train, validation = split(
        groups[induced],
        settings["validation_fraction"],
        seeds["validation"],
        schema.n_groups,
        None if clusters is None else clusters[induced],
    )
    held = induced[validation]
    original = np.setdiff1d(np.arange(pool.num_rows), held)
    if clusters is not None:
        # The other rows of a validation patient may not be learnt from either.
        original = original[~np.isin(clusters[original], clusters[held])]
    for rows, path in (
        (induced[train], output.train),
        (held, output.validation),
        (original, output.original),
    ):
        counts = schema.counts_by_label(groups[rows])
        logging.info("%s: rows by group %s", path, counts)
        take_rows(input.training_pool, rows, path, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
