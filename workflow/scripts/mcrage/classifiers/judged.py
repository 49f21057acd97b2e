# SPDX-License-Identifier: MIT
"""One run: a classifier fitted on a treated training set, judged on the test rows by every rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.classifiers.fitted import Fitted
from mcrage.classifiers.out_of_fold import HeldOut
from mcrage.classifiers.registry import fit
from mcrage.classifiers.thresholds import Decisions, decide_by_rules
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge_rules
from mcrage.metrics.predictions import predictions_table
from mcrage.metrics.rules import needs_held_out
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
    held_out : HeldOut or None
        What rules were fitted on; None where none is.
    """

    metrics: dict[str, list]
    score: np.ndarray
    decisions: Decisions
    held_out: HeldOut | None


def fit_treated(
    classifier: dict[str, Any],
    train: pa.Table,
    weights: pa.Table,
    roles: Roles,
    *,
    real: pa.Table | None = None,
    seed: int,
    threads: int = 1,
) -> Fitted:
    """Fit a classifier on what a treatment made.

    Parameters
    ----------
    classifier : dict
        Its settings, resolved.
    train, weights : pyarrow.Table
        A rebalanced table, and row_id and weight of its rows.
    roles : Roles
    real : pyarrow.Table, optional
        All real training rows with row_id, where the table may lack some.
    seed, threads : int
    """
    left_out = None
    if real is not None:
        taken = pc.is_in(real.column(ROW_ID), weights.column(ROW_ID).combine_chunks())
        left_out = real.filter(pc.invert(taken))
    return fit(
        classifier,
        train,
        weights.column("weight").to_numpy(),
        roles,
        seed=seed,
        threads=threads,
        row_ids=pc.fill_null(weights.column(ROW_ID), -1).to_numpy(),
        left_out=left_out,
    )


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
    train, weights, roles, real, threads
        See `fit_treated`.
    test : pyarrow.Table
    seeds : mapping of str to int
        ``classifier``, and ``decisions`` where a rule draws.
    """
    schema, rules = GroupSchema.of(roles), settings["thresholds"]
    fitted = fit_treated(
        settings["classifier"],
        train,
        weights,
        roles,
        real=real,
        seed=seeds["classifier"],
        threads=threads,
    )
    score, groups = fitted(test), schema.index(test)
    decisions = decide_by_rules(
        rules, score, groups, schema, lambda: fitted.held_out, seeds.get("decisions", 0)
    )
    metrics = judge_rules(
        schema, groups, score, decisions.by_rule, decisions.cuts, settings["references"]
    )
    held_out = fitted.held_out if any(map(needs_held_out, rules)) else None
    return Judged(metrics, score, decisions, held_out)


def held_out_table(held: HeldOut, schema: GroupSchema) -> pa.Table:
    """Return row_id, subgroup, y and score of training rows that were held out, by row_id."""
    order = np.argsort(held.row_ids)
    ids = pa.array(held.row_ids[order])
    return predictions_table(ids, schema, held.groups[order], held.scores[order])
