# SPDX-License-Identifier: MIT
"""How runs were judged: on all test rows as they are, by the rules declared before the run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mcrage.classifiers.out_of_fold import HeldOut
from mcrage.classifiers.thresholds import decide_by_rules
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge_rules
from mcrage.metrics.predictions import decisions_of, scores_of
from mcrage.metrics.rules import HALF, decision_column, needs_held_out, rule_name
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
    *,
    held_out: pa.Table | None = None,
    train: pa.Table | None = None,
    seed: int = 0,
) -> list[str]:
    """Compute a run's decisions and metrics anew from its scores, and compare.

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
        As declared before the run.
    references : mapping of str to str, optional
        See `mcrage.metrics.judge.judge`.
    held_out : pyarrow.Table, optional
        Scores of training rows by classifiers that did not see them, as the run wrote them; where
        a rule is fitted on them.
    train : pyarrow.Table, optional
        The rows that these should be, with row_id.
    seed : int
        Of decisions that are drawn.

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
    problems = _check_scored(
        run, "rows that were judged", predictions, test, "test.parquet", schema
    )
    fitted = any(map(needs_held_out, rules))
    if fitted and (held_out is None or train is None):
        return [*problems, f"{run}: no scores of held-out training rows, to decide by"]
    if fitted:
        rows = train.sort_by(ROW_ID)
        told = "rows that decisions were fitted on"
        problems += _check_scored(run, told, held_out, rows, "its training set", schema)
    absent = [
        rule
        for rule in rules
        if rule != HALF and decision_column(rule) not in predictions.column_names
    ]
    if absent:
        problems.append(f"{run}: predictions.parquet has no decisions by {', '.join(absent)}")
    if problems:
        return problems
    groups, score = schema.index(test), scores_of(predictions)
    held = HeldOut(schema.index(rows), scores_of(held_out)) if fitted else None
    anew = decide_by_rules(rules, score, groups, schema, lambda: held, seed)
    stored = decisions_of(predictions, schema, rules)
    for rule in rules:
        wrong = int(np.sum(stored[rule_name(rule, schema.shape[-1])] != anew.by_rule[rule]))
        if wrong:
            given = "scores of held-out training rows" if needs_held_out(rule) else "scores"
            problems.append(f"{run}: {wrong} decision(s) by {rule} are not what {given} give")
    expected = judge_rules(schema, groups, score, anew.by_rule, anew.cuts, references)
    return problems or _check_values(run, metrics, expected)


def _check_scored(
    run: str, told: str, scored: pa.Table, rows: pa.Table, name: str, schema: GroupSchema
) -> list[str]:
    """Check that a table of scores is of these rows, in their order, and tells them truly."""
    if scored.column(ROW_ID).to_pylist() != rows.column(ROW_ID).to_pylist():
        return [f"{run}: the {told} are not those of {name}"]
    groups, problems = schema.index(rows), []
    truth = {"y": schema.target_of(groups), "subgroup": schema.subgroup_of(groups)}
    for column, expected in truth.items():
        changed = int(np.sum(_numbers(scored, column) != expected))
        if changed:
            problems.append(f"{run}: {column} of {changed} row(s) is not that of {name}")
    score = scores_of(scored)
    if not np.isfinite(score).all():
        n = int(np.sum(~np.isfinite(score)))
        problems.append(f"{run}: {n} score(s) are no numbers, of the {told}")
    return problems


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
