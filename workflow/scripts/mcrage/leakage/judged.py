# SPDX-License-Identifier: MIT
"""How runs were judged: on all test rows as they are, by the rules declared before the run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import decide
from mcrage.metrics.judge import judge_rules
from mcrage.metrics.names import CUT
from mcrage.metrics.predictions import decisions_of, scores_of
from mcrage.metrics.rules import HALF, TUNED, UNDECIDED, decision_column, rule_name
from mcrage.tables import ROW_ID

_PLACE = ("threshold", "attribute", "subgroup", "metric")


def check_run(
    run: str,
    metrics: pa.Table,
    predictions: pa.Table,
    test: pa.Table,
    schema: GroupSchema,
    rules: Sequence[str] = (HALF,),
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
    rules : sequence of str
        As declared before the run. Where a rule has one cut for all rows, decisions must be those
        of the cut that the metrics name.
    references : mapping of str to str, optional
        See `mcrage.metrics.judge.judge`.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    used = list(dict.fromkeys(metrics.column("threshold").to_pylist()))
    declared = [rule_name(rule, schema.shape[-1]) for rule in rules]
    if used != declared:
        told = ", ".join(map(str, used))
        return [f"{run}: judged by threshold {told}, not {', '.join(declared)}"]
    if predictions.column(ROW_ID).to_pylist() != test.column(ROW_ID).to_pylist():
        return [f"{run}: the rows that were judged are not those of test.parquet"]
    problems = []
    groups = schema.index(test)
    truth = {"y": schema.target_of(groups), "subgroup": schema.subgroup_of(groups)}
    for name, expected in truth.items():
        changed = int(np.sum(_numbers(predictions, name) != expected))
        if changed:
            problems.append(f"{run}: {name} of {changed} row(s) is not that of test.parquet")
    score = scores_of(predictions)
    if not np.isfinite(score).all():
        return [*problems, f"{run}: {int(np.sum(~np.isfinite(score)))} score(s) are no numbers"]
    absent = [
        rule
        for rule in rules
        if rule != HALF and decision_column(rule) not in predictions.column_names
    ]
    if absent:
        return [*problems, f"{run}: predictions.parquet has no decisions by {', '.join(absent)}"]
    decisions, cuts = decisions_of(predictions, schema, rules), {}
    for rule in (rule for rule in rules if rule in TUNED):
        found = _check_cut(run, rule, metrics, score, decisions[rule])
        if isinstance(found, str):
            return [*problems, found]
        cuts[rule] = found
    anew = judge_rules(schema, groups, score, decisions, cuts, references)
    return problems + _check_values(run, metrics, anew)


def _check_cut(
    run: str, rule: str, metrics: pa.Table, score: np.ndarray, decisions: np.ndarray
) -> tuple[float, int] | str:
    """Return the one cut of a rule and its support, or what is wrong with its decisions."""
    named = np.array(metrics.column("metric").to_pylist()) == CUT
    named &= np.array(metrics.column("threshold").to_pylist()) == rule
    cuts = _numbers(metrics, "value")[named]
    if len(cuts) != 1:
        return f"{run}: {len(cuts)} cuts in metrics.parquet belong to {rule}, not one"
    cut = float(cuts[0])
    expected = np.full(len(score), UNDECIDED) if np.isnan(cut) else decide(score, cut)
    wrong = int(np.sum(decisions != expected))
    if wrong:
        return (
            f"{run}: {wrong} decision(s) by {rule} are not those of the cut {cut:.6g} in "
            "metrics.parquet"
        )
    return cut, int(_numbers(metrics, "support")[named][0])


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
                "predictions.parquet gives with the declared rule"
            )
    return problems


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Return a column as float64; null is NaN."""
    column = table.column(name).combine_chunks().cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)
