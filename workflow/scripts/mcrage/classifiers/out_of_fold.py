# SPDX-License-Identifier: MIT
"""Scores of training rows by classifiers that did not see them: what settings are chosen by.

Only real rows are scored, each once. A row that stands in the table several times, as oversampling
leaves it, and rows of one cluster share a fold. Synthetic rows belong to no fold and are in every
fit; they were drawn from all training rows, so a score is a little too good where they are.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import Roles
from mcrage.folds import stratified_folds
from mcrage.groups import GroupSchema

Fit = Callable[..., Callable[[pa.Table], np.ndarray]]
"""`mcrage.classifiers.registry.fit`."""


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
        kept = np.flatnonzero(of_row != fold)
        score = fit(
            settings,
            train.take(kept),
            None if weights is None else weights[kept],
            roles,
            seed=seed,
            threads=threads,
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
