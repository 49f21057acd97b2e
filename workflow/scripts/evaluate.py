# SPDX-License-Identifier: MIT
"""Fit a classifier on a treated training set and judge it on the test set by every rule.

Inputs: rebalanced, weights, test, roles; real (the training rows, where a rule or a recalibration
needs those that the treatment left out). Outputs: metrics (long), predictions; held_out (scores of
real training rows by classifiers that did not see them, where a rule is fitted on them).
"""

import pyarrow as pa

from mcrage.classifiers.judged import fit_and_judge, held_out_table
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema
from mcrage.metrics.predictions import predictions_table
from mcrage.stage import run_stage
from mcrage.tables import ROW_ID, read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    test = read_table(input.test)
    judged = fit_and_judge(
        params["settings"],
        read_table(input.rebalanced),
        read_table(input.weights),
        test,
        roles,
        real=read_table(input.real) if input.get("real") else None,
        seeds=params["seeds"],
        threads=threads,
    )
    n = len(judged.metrics["metric"])
    context = {
        "dataset": pa.array([wildcards.dataset] * n),
        "scenario": pa.array([wildcards.scenario] * n),
        "replicate": pa.array([int(wildcards.replicate)] * n),
        "treatment": pa.array([wildcards.treatment] * n),
        "classifier": pa.array([wildcards.classifier] * n),
    }
    write_table(pa.table({**context, **judged.metrics}), output.metrics, origin)
    groups = schema.index(test)
    predictions = predictions_table(
        test.column(ROW_ID), schema, groups, judged.score, judged.decisions.by_rule
    )
    write_table(predictions, output.predictions, origin, schema.counts_by_label(groups))
    if judged.held_out is not None:
        held_out = held_out_table(judged.held_out, schema)
        write_table(held_out, output.held_out, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
