# SPDX-License-Identifier: MIT
"""Apply a treatment: add synthetic rows, repeat real ones, or weight them.

Inputs: train, synthetic (if the treatment has a generator), roles. Outputs: rebalanced (the
user's columns, is_synthetic and, with labels from a teacher, weight), weights (row_id, weight).
"""

import logging
from importlib import import_module

from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.rebalanced_file import rebalance_files
from mcrage.stage import run_stage
from mcrage.tables import read_table, table_writer, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    settings, labels = params["settings"], None
    if "teacher" in settings:
        # By name: treatments without do not depend on classifiers.
        labels = import_module("mcrage.classifiers.teacher").soft_labels(
            settings["teacher"],
            read_table(input.train),
            roles,
            seed=params["seeds"]["teacher"],
            threads=threads,
        )
    rebalanced, weights, groups = rebalance_files(
        input.train,
        schema,
        synthetic=input.get("synthetic"),
        labels=labels,
        seed=params["seeds"]["rebalance"],
        treatment=settings["treatment"],
    )
    counts = schema.counts_by_label(groups)
    logging.info("rows by group: %s", counts)
    with table_writer(output.rebalanced, rebalanced.schema, origin, counts) as write:
        for portion in rebalanced.portions():
            write(portion)
    write_table(weights, output.weights, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
