# SPDX-License-Identifier: MIT
"""How large a worst-case gap is where there is none: subgroups permuted among rows.

The largest of several noisy rates less the smallest is above 0 for a perfectly fair classifier, and
the more so the smaller the subgroups. So each gap comes with its mean over random permutations, and
with how often chance alone gives one as large.

Of gaps given the truth (true positive rates, odds, AUROC) there is none where subgroups of one
truth are treated alike: they are permuted among rows of the same level. Selection rates and
accuracies also differ where outcomes are more frequent in one subgroup (`OF_ALL_ROWS`), which such
a permutation keeps: of them there is none where subgroups do not matter at all, so they are
permuted among all rows.
"""

import numpy as np

from mcrage.metrics.confusion import ratio
from mcrage.metrics.fairness import OF_ALL_ROWS, WORST_OF_COUNTS, spread
from mcrage.metrics.scores import area, ranks

N_TABLES = 2000
"""Permutations for gaps of decisions, drawn as tables of counts."""
N_RANKINGS = 200
"""Permutations for the gap in AUROC, for which rows are ranked anew."""
_SEED = 231018430  # of a yardstick: the same for every run, so that it adds no noise between them


def permuted_counts(
    counts: np.ndarray, n_draws: int, rng: np.random.Generator, *, within_truth: bool = True
) -> np.ndarray:
    """Draw counts as they are when subgroups are permuted among rows.

    With both margins fixed the tables of subgroups by predicted level (or by true and predicted
    level) follow the (multivariate) hypergeometric distribution, so no row need be moved.

    Parameters
    ----------
    counts : ndarray of int64, shape (L, K, K)
    n_draws : int
    rng : Generator
    within_truth : bool
        Among rows of the same true level, else among all.

    Returns
    -------
    ndarray of int64, shape (n_draws, L, K, K)
    """
    from scipy.stats import random_table

    out = np.zeros((n_draws, *counts.shape), dtype=np.int64)
    if not within_truth:
        table = counts.reshape(len(counts), -1)
        if table.sum():
            drawn = random_table(table.sum(axis=1), table.sum(axis=0))
            out[:] = drawn.rvs(n_draws, random_state=rng).reshape(out.shape)
        return out
    for level in range(counts.shape[-1]):
        table = counts[:, level, :]
        if table.sum():
            drawn = random_table(table.sum(axis=1), table.sum(axis=0))
            out[:, :, level, :] = drawn.rvs(n_draws, random_state=rng)
    return out


def null_of_counts(counts: np.ndarray, n_draws: int = N_TABLES) -> dict[str, tuple[float, float]]:
    """Return for each gap of decisions its mean without a difference, and the p-value.

    Parameters
    ----------
    counts : ndarray of int64, shape (L, K, K)
    n_draws : int

    Returns
    -------
    dict of str to (float, float)
        By the name of the gap; NaN where it is undefined.
    """
    drawn = {
        within: permuted_counts(counts, n_draws, np.random.default_rng(_SEED), within_truth=within)
        for within in (True, False)
    }
    return {
        name: _compared(float(gap(counts)), gap(drawn[name not in OF_ALL_ROWS]))
        for name, gap in WORST_OF_COUNTS.items()
    }


def null_of_auroc(
    y: np.ndarray,
    score: np.ndarray,
    part: np.ndarray,
    n_parts: int,
    observed: float,
    n_draws: int = N_RANKINGS,
) -> tuple[float, float]:
    """Return the mean largest gap in AUROC without a difference, and the p-value.

    Parameters
    ----------
    y, part : ndarray of int64, shape (n,)
    score : ndarray of float64, shape (n,) or (n, K)
    n_parts : int
    observed : float
        The gap itself; NaN gives NaN.
    n_draws : int
    """
    if not np.isfinite(observed):
        return np.nan, np.nan
    rng = np.random.default_rng(_SEED)
    columns = {1: score} if score.ndim == 1 else dict(enumerate(score.T))
    of_level = [np.flatnonzero(y == level) for level in range(max(2, len(columns)))]
    ranked = []
    for level, column in columns.items():
        order = np.argsort(column, kind="stable")
        ranked.append((order, ranks(column[order]), y[order] == level))
    moved, gaps = part.copy(), np.empty(n_draws)
    for draw in range(n_draws):
        for rows in of_level:
            moved[rows] = part[rng.permutation(rows)]
        each = [area(rank, positive, moved[order], n_parts) for order, rank, positive in ranked]
        gaps[draw] = spread(np.mean(each, axis=0))
    return _compared(observed, gaps)


def _compared(observed: float, drawn: np.ndarray) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(observed) or not len(known):
        return np.nan, np.nan
    as_large = np.sum(known >= observed - 1e-12)
    return float(known.mean()), float(ratio(1 + as_large, 1 + len(known)))
