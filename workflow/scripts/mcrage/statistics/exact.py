# SPDX-License-Identifier: MIT
"""Tests of two classifiers on the same test rows, within a replicate."""

import numpy as np
from scipy import stats


def delong(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Compare two AUROC on the same rows (DeLong et al. 1988, by ranks as in Sun & Xu 2014).

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        1 is positive.
    first, second : ndarray of float64, shape (n,)
        Scores.

    Returns
    -------
    difference : float
        AUROC of the first less that of the second.
    error : float
        Its standard error.
    p_value : float
        Two-sided, normal. NaN like the others unless both levels have two rows; 1 if nothing
        differs.
    """
    positive = np.asarray(y) == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return np.nan, np.nan, np.nan
    of_positive, of_negative = np.empty((2, m)), np.empty((2, n))
    for row, score in enumerate((first, second)):
        up, down = score[positive], score[~positive]
        together = stats.rankdata(np.concatenate([up, down]))
        of_positive[row] = (together[:m] - stats.rankdata(up)) / n
        of_negative[row] = 1 - (together[m:] - stats.rankdata(down)) / m
    difference = float(np.subtract(*of_positive.mean(axis=1)))
    variance = np.cov(of_positive) / m + np.cov(of_negative) / n
    error = float(np.sqrt(max(0.0, variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])))
    if error == 0:
        return difference, error, float(difference == 0)
    return difference, error, float(2 * stats.norm.sf(abs(difference) / error))


def mcnemar(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Compare two accuracies on the same rows by McNemar's exact test.

    Parameters
    ----------
    y, first, second : ndarray of int64, shape (n,)
        True levels, and those that either predicts.

    Returns
    -------
    difference : float
        Accuracy of the first less that of the second; NaN without rows.
    p_value : float
        Two-sided binomial of the rows that just one has right; 1 if there are none.
    """
    if not len(y):
        return np.nan, np.nan
    right, other = first == y, second == y
    won, lost = int(np.sum(right & ~other)), int(np.sum(other & ~right))
    p = min(1.0, 2 * float(stats.binom.cdf(min(won, lost), won + lost, 0.5)))
    return (won - lost) / len(y), p if won + lost else 1.0
