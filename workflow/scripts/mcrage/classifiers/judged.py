# SPDX-License-Identifier: MIT
"""One run: a classifier fitted on a treated training set, judged on the test rows by every rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.classifiers.registry import fit
from mcrage.classifiers.thresholds import Decisions, decide_by_rules
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge_rules
from mcrage.tables import ROW_ID


@dataclass(frozen=True)
class Judged:
    """What a run found.

    Attributes
    ----------
    metrics : dict of str to list
        See `mcrage.metrics.judge.judge_rules`.
    score : ndarray of float64, shape (n_test,) or (n_test, n_levels)
    decisions : Decisions
    """

    metrics: dict[str, list]
    score: np.ndarray
    decisions: Decisions


def fit_and_judge(
    settings: Mapping[str, Any],
    train: pa.Table,
    weights: pa.Table,
    test: pa.Table,
    roles: Roles,
    *,
    real: pa.Table | None = None,
    seeds: Mapping[str, int],
    threads: int = 1,
) -> Judged:
    """Fit once, decide by each rule, and compute all metrics.

    Parameters
    ----------
    settings : mapping
        ``classifier``, resolved; ``thresholds``, the rules; ``references``.
    train, weights : pyarrow.Table
        A rebalanced table, and row_id and weight of its rows.
    test : pyarrow.Table
    roles : Roles
    real : pyarrow.Table, optional
        All real training rows with row_id, where the table may lack some.
    seeds : mapping of str to int
        ``classifier``, and ``decisions`` where a rule draws.
    threads : int
    """
    schema, left_out = GroupSchema.of(roles), None
    if real is not None:
        taken = pc.is_in(real.column(ROW_ID), weights.column(ROW_ID).combine_chunks())
        left_out = real.filter(pc.invert(taken))
    fitted = fit(
        settings["classifier"],
        train,
        weights.column("weight").to_numpy(),
        roles,
        seed=seeds["classifier"],
        threads=threads,
        row_ids=pc.fill_null(weights.column(ROW_ID), -1).to_numpy(),
        left_out=left_out,
    )
    score, groups = fitted(test), schema.index(test)
    decisions = decide_by_rules(
        settings["thresholds"],
        score,
        groups,
        schema,
        lambda: fitted.held_out,
        seeds.get("decisions", 0),
    )
    metrics = judge_rules(
        schema, groups, score, decisions.by_rule, decisions.cuts, settings["references"]
    )
    return Judged(metrics, score, decisions)
