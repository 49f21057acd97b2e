# SPDX-License-Identifier: MIT
"""Scores of training rows by classifiers that did not see them.

Settings, cuts and recalibration are chosen by them.

Only real rows are scored, each once. A row that stands in the table several times, as oversampling
leaves it, and rows of one cluster share a fold. Synthetic rows belong to no fold and are in every
fit; they were drawn from all training rows, so a score is a little too good where they are. Real
rows that a treatment leaves out (undersampling) are in no fit, and are scored all the same: a cut
is to suit the rows that there are, not those that were kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import Roles
from mcrage.folds import stratified_folds
from mcrage.groups import GroupSchema
from mcrage.tables import ROW_ID

Fit = Callable[..., Callable[[pa.Table], np.ndarray]]
"""`mcrage.classifiers.registry.fit`."""

FOLDS = 5
"""For cuts and recalibration, which share the fits."""


@dataclass(frozen=True)
class HeldOut:
    """Scores of all real training rows, each by a classifier that did not see it.

    Attributes
    ----------
    groups : ndarray of int64, shape (m,)
    scores : ndarray of float64, shape (m,) or (m, n_levels)
    row_ids : ndarray of int64, shape (m,), optional
        Which rows they are.
    """

    groups: np.ndarray
    scores: np.ndarray
    row_ids: np.ndarray | None = None


def held_out(
    fit: Fit,
    settings: Mapping[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    row_ids: np.ndarray,
    roles: Roles,
    *,
    left_out: pa.Table | None = None,
    seed: int,
    threads: int = 1,
) -> HeldOut:
    """Score every real training row, those that the treatment left out among them.

    Parameters
    ----------
    fit, settings, train, weights, row_ids, roles, seed, threads
        See `out_of_fold`.
    left_out : pyarrow.Table, optional
        Real training rows that are not in the rebalanced table, with row_id.
    """
    table, fitted, named = train, np.ones(train.num_rows, dtype=bool), row_ids
    if left_out is not None and left_out.num_rows:
        names = [name for name in train.column_names if name in left_out.column_names]
        both = [part.select(names).replace_schema_metadata() for part in (train, left_out)]
        table = pa.concat_tables(both, promote_options="permissive")
        n = left_out.num_rows
        named = np.append(row_ids, left_out.column(ROW_ID).to_numpy())
        fitted = np.append(fitted, np.zeros(n, dtype=bool))
        row_ids = np.append(row_ids, row_ids.max(initial=0) + 1 + np.arange(n))
        weights = None if weights is None else np.append(weights, np.zeros(n))
    rows, scores = out_of_fold(
        fit,
        settings,
        table,
        weights,
        row_ids,
        roles,
        folds=FOLDS,
        seed=seed,
        threads=threads,
        fitted=fitted,
    )
    return HeldOut(GroupSchema.of(roles).index(table.take(rows)), scores, named[rows])


def out_of_fold(
    fit: Fit,
    settings: Mapping[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    row_ids: np.ndarray,
    roles: Roles,
    *,
    folds: int,
    seed: int,
    threads: int = 1,
    fitted: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score every real training row by a classifier fitted on the other folds.

    Parameters
    ----------
    fit : callable
    settings, train, weights, roles, seed, threads
        See `mcrage.classifiers.registry.fit`.
    row_ids : ndarray of int64, shape (n,)
        See `real_folds`.
    folds : int
        At least 2.
    fitted : ndarray of bool, shape (n,), optional
        Rows that classifiers are fitted on where their fold is another; all if left out.

    Returns
    -------
    rows : ndarray of int64, shape (m,)
        Numbers of the real rows, of repetitions the first; rising.
    scores : ndarray of float64, shape (m,) or (m, n_levels)
    """
    rows, of_row = real_folds(train, row_ids, roles, folds, seed)
    scores: list[np.ndarray] = []
    order: list[np.ndarray] = []
    for fold in range(folds):
        held = rows[of_row[rows] == fold]
        if not len(held):
            continue
        kept = of_row != fold
        kept = np.flatnonzero(kept if fitted is None else kept & fitted)
        score = fit(
            settings,
            train.take(kept),
            None if weights is None else weights[kept],
            roles,
            seed=seed,
            threads=threads,
            row_ids=row_ids[kept],
        )
        order.append(held)
        scores.append(score(train.take(held)))
    numbers = np.concatenate(order)
    rising = np.argsort(numbers)
    return numbers[rising], np.concatenate(scores)[rising]


def real_folds(
    train: pa.Table, row_ids: np.ndarray, roles: Roles, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Deal the real rows of a rebalanced table into folds.

    Parameters
    ----------
    train : pyarrow.Table
    row_ids : ndarray of int64, shape (n,)
        Of each row; equal ones are repetitions of one, -1 is a synthetic row.
    roles : Roles
    folds, seed : int

    Returns
    -------
    rows : ndarray of int64, shape (m,)
        Numbers of the real rows, of repetitions the first; rising.
    of_row : ndarray of int64, shape (n,)
        Fold of each row of the table; -1 of synthetic ones.
    """
    ids, first, place = np.unique(row_ids, return_index=True, return_inverse=True)
    rows = first[ids >= 0]
    table = train.take(rows)
    clusters = clusters_of(table, roles.cluster)
    dealt = stratified_folds(GroupSchema.of(roles).index(table), folds, seed, clusters)
    of_id = np.full(len(ids), -1)
    of_id[ids >= 0] = dealt
    return np.sort(rows), of_id[place]


def log_loss(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean negative log-likelihood of outcomes.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Levels of the target.
    scores : ndarray of float64, shape (n,) or (n, n_levels)
        Kept within 1e-6 of 0 and 1: a forest is sure of some rows, and once wrong.
    """
    if scores.ndim == 1:
        scores = np.stack([1.0 - scores, scores], axis=1)
    chosen = np.clip(scores[np.arange(len(y)), y], 1e-6, 1.0 - 1e-6)
    return float(-np.mean(np.log(chosen)))


def candidates(settings: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Yield the settings of every point of the grid, without it."""
    fixed = {name: value for name, value in settings.items() if name not in ("grid", "grid_folds")}
    grid = settings["grid"]
    for values in product(*grid.values()):
        yield fixed | dict(zip(grid, values, strict=True))


def choose(
    fit: Fit,
    settings: Mapping[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    row_ids: np.ndarray,
    roles: Roles,
    *,
    seed: int,
    threads: int = 1,
) -> dict[str, Any]:
    """Return the settings of the grid with the smallest log loss of held-out real rows.

    Parameters
    ----------
    settings : mapping
        With ``grid``, a mapping of names to values, and ``grid_folds``.
    fit, train, weights, row_ids, roles, seed, threads
        See `out_of_fold`.

    Returns
    -------
    dict
        Of ties the first.
    """
    schema = GroupSchema.of(roles)
    y = schema.target_of(schema.index(train))
    losses = []
    tried = list(candidates(settings))
    for candidate in tried:
        rows, scores = out_of_fold(
            fit,
            candidate,
            train,
            weights,
            row_ids,
            roles,
            folds=settings["grid_folds"],
            seed=seed,
            threads=threads,
        )
        losses.append(log_loss(y[rows], scores))
    return tried[int(np.argmin(losses))]
