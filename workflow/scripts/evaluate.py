# SPDX-License-Identifier: MIT
"""Fit a classifier on a treated training set and judge it on the test set.

Inputs: rebalanced, weights, test, roles. Outputs: metrics (long), predictions.
"""

import pyarrow as pa
import pyarrow.compute as pc

from mcrage.classifiers.registry import fit_and_score
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge
from mcrage.metrics.predictions import predictions_table, threshold_rule
from mcrage.stage import run_stage
from mcrage.tables import ROW_ID, read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    test = read_table(input.test)
    settings = params["settings"]
    weights = read_table(input.weights)
    score = fit_and_score(
        settings["classifier"],
        read_table(input.rebalanced),
        weights.column("weight").to_numpy(),
        test,
        roles,
        seed=params["seeds"]["classifier"],
        threads=threads,
        row_ids=pc.fill_null(weights.column(ROW_ID), -1).to_numpy(),
    )
    groups = schema.index(test)
    judged = judge(schema, groups, score, settings["threshold"], settings["references"])
    n = len(judged["metric"])
    context = {
        "dataset": pa.array([wildcards.dataset] * n),
        "scenario": pa.array([wildcards.scenario] * n),
        "replicate": pa.array([int(wildcards.replicate)] * n),
        "treatment": pa.array([wildcards.treatment] * n),
        "classifier": pa.array([wildcards.classifier] * n),
        "threshold": pa.array([threshold_rule(schema, settings["threshold"])] * n),
    }
    write_table(pa.table({**context, **judged}), output.metrics, origin)
    predictions = predictions_table(test.column(ROW_ID), schema, groups, score)
    write_table(predictions, output.predictions, origin, schema.counts_by_label(groups))


if __name__ == "__main__":
    run_stage(snakemake, main)
