# SPDX-License-Identifier: MIT
"""Tests of two classifiers on the same test rows, within a replicate."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


def placements(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the share of rows of the other level that each row stands on the right side of.

    A positive row above all negative ones has 1, and so has a negative row below all positive ones;
    equal scores count half. AUROC is the mean over rows of either level.

    Parameters
    ----------
    positive : ndarray of bool, shape (n,)
    score : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]; NaN without rows of both levels.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    out = np.full(len(score), np.nan)
    if m and n:
        up, down = score[positive], score[~positive]
        together = stats.rankdata(np.concatenate([up, down]))
        out[positive] = (together[:m] - stats.rankdata(up)) / n
        out[~positive] = 1 - (together[m:] - stats.rankdata(down)) / m
    return out


def delong(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Compare two AUROC on the same rows (DeLong et al. 1988, by ranks as in Sun & Xu 2014).

    Parameters
    ----------
    positive : ndarray of bool, shape (n,)
    first, second : ndarray of float64, shape (n,)
        `placements` of either score.

    Returns
    -------
    error : float
        Standard error of the difference.
    p_value : float
        Two-sided, normal. NaN like the error unless both levels have two rows; 1 if nothing
        differs.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return np.nan, np.nan
    away = first - second
    difference = float(away[positive].mean())
    error = float(np.sqrt(away[positive].var(ddof=1) / m + away[~positive].var(ddof=1) / n))
    if error == 0:
        return error, float(difference == 0)
    return error, float(2 * stats.norm.sf(abs(difference) / error))


@dataclass(frozen=True)
class Discordant:
    """The rows that just one of two classifiers has right, and McNemar's exact test of them.

    Attributes
    ----------
    won, lost : ndarray of int64
        Rows that only the first, or only the second, has right.
    p_value : ndarray of float64
        Two-sided binomial; 1 if there are none.
    """

    won: np.ndarray
    lost: np.ndarray
    p_value: np.ndarray


def mcnemar(won: np.ndarray, lost: np.ndarray) -> Discordant:
    """Compare two accuracies on the same rows by McNemar's exact test.

    Parameters
    ----------
    won, lost : ndarray of int64, or int
        Rows that only the first, or only the second, has right.
    """
    won, lost = np.asarray(won), np.asarray(lost)
    p_value = np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(won, lost), won + lost, 0.5))
    return Discordant(won, lost, p_value)
