# SPDX-License-Identifier: MIT
"""Apply a treatment: add synthetic rows, repeat real ones, or weight them.

Inputs: train, synthetic (if the treatment has a generator), roles. Outputs: rebalanced (the
user's columns and is_synthetic), weights (row_id, weight).
"""

import logging

from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.rebalancing import rebalance
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    schema = GroupSchema.of(read_roles(input.roles))
    synthetic = input.get("synthetic")
    rebalanced, weights = rebalance(
        read_table(input.train),
        schema,
        synthetic=read_table(synthetic) if synthetic else None,
        seed=params["seeds"]["rebalance"],
        **params["settings"]["treatment"],
    )
    counts = schema.counts_by_label(schema.index(rebalanced))
    logging.info("rows by group: %s", counts)
    write_table(rebalanced, output.rebalanced, origin, counts)
    write_table(weights, output.weights, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
