# SPDX-License-Identifier: MIT
"""The paired bootstrap over test rows, within a replicate: what other patients would have given.

Rows are drawn with replacement within each stratum (group), so that no subgroup vanishes, and both
treatments are judged on the same draw. A draw is how often each row occurs: metrics are sums with
these numbers as weights, and no row is copied. Where rows belong to patients or hospitals, those
are drawn instead.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    ndarray of float64, shape (m, n)
        float64, since sums follow.
    """
    rng = np.random.default_rng(seed)
    if clusters is not None:
        _, units = np.unique(clusters, return_inverse=True)
        pools = [np.arange(units.max() + 1 if len(units) else 0)]
    else:
        units = np.arange(len(strata))
        pools = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    n_units = sum(map(len, pools))
    left = n_draws
    while left:
        size = min(left, max(1, _CHUNK // max(n_units, len(strata), 1)))
        counts = np.zeros((size, n_units))
        for pool in pools:
            taken = rng.integers(0, len(pool), (size, len(pool)))
            taken += np.arange(size)[:, None] * len(pool)
            counts[:, pool] = np.bincount(taken.ravel(), minlength=taken.size).reshape(size, -1)
        yield counts[:, units]
        left -= size


def mean_of(values: np.ndarray, rows: np.ndarray | None = None) -> Statistic:
    """Return the mean of values, e.g. squared errors, over rows (bool, shape (n,))."""
    chosen = np.ones(len(values)) if rows is None else rows.astype(np.float64)
    return lambda weights: ratio(weights @ (chosen * values), weights @ chosen)


def auroc_of(y: np.ndarray, score: np.ndarray, rows: np.ndarray | None = None) -> Statistic:
    """Return AUROC of rows (bool, shape (n,)); NaN in draws without both levels."""
    chosen = np.arange(len(y)) if rows is None else np.flatnonzero(rows)
    order = chosen[np.argsort(score[chosen], kind="stable")]
    rising, positive = score[order], y[order] == 1
    first = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(order)])

    def statistic(weights: np.ndarray) -> np.ndarray:
        if not len(order):
            return np.full(len(weights), np.nan)
        sorted_ = weights[:, order]
        up = np.add.reduceat(sorted_ * positive, first, axis=1)
        down = np.add.reduceat(sorted_ * ~positive, first, axis=1)
        below = np.cumsum(down, axis=1) - 0.5 * down
        return ratio(np.einsum("bv,bv->b", up, below), up.sum(axis=1) * down.sum(axis=1))

    return statistic


@dataclass(frozen=True)
class Bootstrapped:
    """A difference with what draws of rows make of it.

    Attributes
    ----------
    difference : float
        On the rows as they are.
    low, high : float
        Percentile interval.
    error : float
        Standard deviation over draws.
    probability : float
        Share of draws above 0, with half of those at 0.
    n_draws : int
        Draws in which it was defined.
    """

    difference: float
    low: float
    high: float
    error: float
    probability: float
    n_draws: int


def paired_bootstrap(
    pairs: Sequence[tuple[Statistic, Statistic]],
    strata: np.ndarray,
    *,
    n_draws: int = N_DRAWS,
    seed: int,
    clusters: np.ndarray | None = None,
    level: float = 0.95,
) -> list[Bootstrapped]:
    """Bootstrap differences of statistics, all on the same draws.

    Parameters
    ----------
    pairs : sequence of (callable, callable)
        Statistics of the treatment and of its baseline, see `mean_of` and `auroc_of`.
    strata, n_draws, seed, clusters
        See `draws`.
    level : float in (0, 1)

    Returns
    -------
    list of Bootstrapped
    """
    whole = np.ones((1, len(strata)))
    made: list[list[np.ndarray]] = [[] for _ in pairs]
    for weights in draws(strata, n_draws=n_draws, seed=seed, clusters=clusters):
        for found, (treatment, baseline) in zip(made, pairs, strict=True):
            found.append(treatment(weights) - baseline(weights))
    return [
        _told(float((treatment(whole) - baseline(whole))[0]), np.concatenate(found), level)
        for found, (treatment, baseline) in zip(made, pairs, strict=True)
    ]


def _told(difference: float, drawn: np.ndarray, level: float) -> Bootstrapped:
    known = drawn[~np.isnan(drawn)]
    if not len(known) or np.isnan(difference):
        return Bootstrapped(difference, np.nan, np.nan, np.nan, np.nan, len(known))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    above = float(np.mean(known > 0) + 0.5 * np.mean(known == 0))
    return Bootstrapped(
        difference, float(low), float(high), float(known.std(ddof=1)), above, len(known)
    )
