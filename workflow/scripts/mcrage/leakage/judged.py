# SPDX-License-Identifier: MIT
"""How runs were judged: on all test rows as they are, by the threshold declared before the run."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge
from mcrage.metrics.predictions import scores_of, threshold_rule
from mcrage.tables import ROW_ID

_PLACE = ("attribute", "subgroup", "metric")


def check_run(
    run: str,
    metrics: pa.Table,
    predictions: pa.Table,
    test: pa.Table,
    schema: GroupSchema,
    threshold: float,
    references: Mapping[str, str] | None = None,
) -> list[str]:
    """Compute a run's metrics anew from its predictions, and compare.

    Parameters
    ----------
    run : str
        Treatment and classifier.
    metrics, predictions : pyarrow.Table
        As the run wrote them.
    test : pyarrow.Table
        The rows that it should have been judged on, with row_id.
    schema : GroupSchema
    threshold : float
        As declared before the run: a constant knows nothing of the test rows.
    references : mapping of str to str, optional
        See `mcrage.metrics.judge.judge`.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    problems = []
    used = set(metrics.column("threshold").to_pylist())
    rule = threshold_rule(schema, threshold)
    if used != {rule}:
        told = ", ".join(sorted(map(str, used)))
        problems.append(f"{run}: judged by threshold {told}, not {rule}")
    if predictions.column(ROW_ID).to_pylist() != test.column(ROW_ID).to_pylist():
        return [*problems, f"{run}: the rows that were judged are not those of test.parquet"]
    groups = schema.index(test)
    truth = {"y": schema.target_of(groups), "subgroup": schema.subgroup_of(groups)}
    for name, expected in truth.items():
        changed = int(np.sum(_numbers(predictions, name) != expected))
        if changed:
            problems.append(f"{run}: {name} of {changed} row(s) is not that of test.parquet")
    score = scores_of(predictions)
    if not np.isfinite(score).all():
        return [*problems, f"{run}: {int(np.sum(~np.isfinite(score)))} score(s) are no numbers"]
    return problems + _check_values(
        run, metrics, judge(schema, groups, score, threshold, references)
    )


def _check_values(run: str, metrics: pa.Table, anew: dict[str, list]) -> list[str]:
    """Compare a long table of metrics with what `judge` gives; NaN equals NaN."""
    if any(metrics.column(name).to_pylist() != anew[name] for name in _PLACE):
        return [f"{run}: metrics.parquet lists other metrics or subgroups than are judged"]
    problems = []
    for name in ("value", "support"):
        stored, expected = _numbers(metrics, name), np.array(anew[name], dtype=np.float64)
        same = np.isclose(stored, expected, rtol=1e-9, atol=1e-12, equal_nan=True)
        if not same.all():
            problems.append(
                f"{run}: {int(np.sum(~same))} {name}(s) in metrics.parquet are not what "
                "predictions.parquet gives with the declared threshold"
            )
    return problems


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Return a column as float64; null is NaN."""
    column = table.column(name).combine_chunks().cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)
