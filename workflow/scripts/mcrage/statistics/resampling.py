# SPDX-License-Identifier: MIT
"""The bootstrap of test rows, within a replicate: what other patients would have given.

Rows are drawn with replacement within each stratum (group), so that no subgroup vanishes. A draw is
how often each row occurs: metrics are sums with these numbers as weights, and no row is copied.
Where rows belong to patients or hospitals, those are drawn instead.
"""

from collections.abc import Callable, Iterator

import numpy as np

from mcrage.metrics.confusion import ratio

N_DRAWS = 2000
_CHUNK = 4_000_000  # weights at once

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights of shape (n_draws, n) to values of shape (n_draws,)."""


def draws(
    strata: np.ndarray,
    *,
    n_draws: int = N_DRAWS,
    seed: int,
    clusters: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yield how often each row occurs in each draw, in chunks of draws.

    Parameters
    ----------
    strata : ndarray of int64, shape (n,)
        Not negative. Each keeps its number of rows.
    n_draws : int
    seed : int
    clusters : ndarray, shape (n,), optional
        The patient or hospital of each row. Clusters are drawn as a whole, and strata are not kept.

    Yields
    ------
    ndarray of float32, shape (m, n)
        Whole numbers; float32, since products of matrices follow.
    """
    rng = np.random.default_rng(seed)
    if clusters is None:
        units, of_unit = np.arange(len(strata)), np.asarray(strata)
    else:
        _, units = np.unique(clusters, return_inverse=True)
        of_unit = np.zeros(units.max(initial=-1) + 1, dtype=np.int64)
    # One after the other, so that a place in a stratum is a place among all.
    order = np.argsort(of_unit, kind="stable")
    _, first, size = np.unique(of_unit[order], return_index=True, return_counts=True)
    start, room = np.repeat(first, size), np.repeat(size.astype(np.float64), size)
    left = n_draws
    while left:
        chunk = np.empty((min(left, max(1, _CHUNK // max(len(strata), 1))), len(strata)), "f4")
        for weights in chunk:
            taken = start + (rng.random(len(order)) * room).astype(np.int64)
            counts = np.empty(len(order), dtype=np.float32)
            counts[order] = np.bincount(taken, minlength=len(order))
            weights[:] = counts[units]
        yield chunk
        left -= len(chunk)


def auroc_of(y: np.ndarray, score: np.ndarray) -> Statistic:
    """Return AUROC of rows as a function of their weights; NaN in draws without both levels.

    Parameters
    ----------
    y : ndarray of int64 or bool, shape (n,)
        1 is positive.
    score : ndarray of float64, shape (n,)
    """
    order = np.argsort(score, kind="stable")
    rising, positive = score[order], np.asarray(y)[order] == 1
    first = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(order)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        if not len(order):
            return np.full(len(weights), np.nan)
        sorted_ = weights[:, order].astype(np.float64)
        up = np.add.reduceat(sorted_ * positive, first, axis=1)
        down = np.add.reduceat(sorted_ * ~positive, first, axis=1)
        below = np.cumsum(down, axis=1) - 0.5 * down
        return ratio(np.einsum("bv,bv->b", up, below), up.sum(axis=1) * down.sum(axis=1))

    return statistic


def percentiles(drawn: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, ...]:
    """Return what draws of a statistic say, along the last axis; undefined draws are left out.

    Parameters
    ----------
    drawn : ndarray of float, shape (..., n_draws)
    level : float in (0, 1)

    Returns
    -------
    low, high : ndarray of float64, shape (...)
        Percentile interval; NaN without a defined draw.
    error : ndarray of float64, shape (...)
        Standard deviation over draws.
    n : ndarray of int64, shape (...)
        Draws in which it was defined.
    """
    rising = np.sort(np.asarray(drawn, dtype=np.float64), axis=-1)  # NaN last
    known = ~np.isnan(rising)
    n = known.sum(axis=-1)
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        place = share * np.maximum(n - 1, 0)
        below = place.astype(np.int64)
        pair = np.stack([below, np.minimum(below + 1, np.maximum(n - 1, 0))], axis=-1)
        low, high = np.moveaxis(np.take_along_axis(rising, pair, axis=-1), -1, 0)
        ends.append(low + (place - below) * (high - low))
    filled = np.where(known, rising, 0.0)
    mean = ratio(filled.sum(axis=-1), n)
    away = np.where(known, rising - mean[..., None], 0.0)
    error = np.sqrt(ratio((away**2).sum(axis=-1), np.maximum(n - 1, 0)))
    return ends[0], ends[1], error, n
