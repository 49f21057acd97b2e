# SPDX-License-Identifier: MIT
"""Differences between treatments, paired over replicates, with intervals fit for resplitting."""

from collections.abc import Mapping

import numpy as np
from scipy import stats


def ratio_of(test_to_train: Mapping[str, float], dataset: str, scenario: str) -> float:
    """Return the rows in the test set over those in the training pool.

    Parameters
    ----------
    test_to_train : mapping of str to float
        By scenario, or where datasets come with test sets of their own by ``dataset/scenario``.
    dataset, scenario : str
    """
    return test_to_train.get(f"{dataset}/{scenario}") or test_to_train[scenario]


def corrected_interval(
    differences: np.ndarray, test_to_train: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the Nadeau-Bengio interval and p-value of a mean paired difference.

    Replicates resample the same patients, so their differences are not independent; the variance
    of the mean is (1/k + n_test/n_train) s² instead of s²/k (Nadeau & Bengio 2003, section 4;
    t with k-1 degrees of freedom).

    Parameters
    ----------
    differences : ndarray of float64, shape (k,)
        One per replicate; NaN are left out.
    test_to_train : float
        Rows in the test set over rows in the training pool.
    level : float in (0, 1)

    Returns
    -------
    low, high, p_value : float
        NaN with fewer than two differences. Differences that are all equal have an interval of
        width zero and p = 1 if they are zero, else 0.
    """
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[~np.isnan(differences)]
    k = len(differences)
    if k < 2:
        return np.nan, np.nan, np.nan
    mean = float(differences.mean())
    error = float(np.sqrt((1 / k + test_to_train) * differences.var(ddof=1)))
    if error <= 1e-12 * max(abs(mean), 1e-300):
        return mean, mean, float(mean == 0)
    half = float(stats.t.ppf((1 + level) / 2, k - 1)) * error
    return mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, k - 1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values of one family; NaN stay NaN and do not count.

    Parameters
    ----------
    p_values : ndarray of float64, shape (m,)

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    running = 0.0
    for rank, position in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[position]))
        adjusted[position] = running
    return adjusted
