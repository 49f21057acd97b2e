# SPDX-License-Identifier: MIT
"""What is usual in training rows, put in place of missing values where a card says ``impute``."""

from collections.abc import Sequence

import numpy as np

from mcrage.datasets.roles import Feature


def usual_values(rows: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Return the usual value of each column; see `usual_value`.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Training rows; see `mcrage.encoding.columns.feature_matrix`.
    features : sequence of Feature

    Returns
    -------
    ndarray of float64, shape (d,)
        0 for a column without any value.
    """
    usual = [usual_value(column, each) for column, each in zip(rows.T, features, strict=True)]
    return np.nan_to_num(np.array(usual, dtype=np.float64))


def usual_value(column: np.ndarray, feature: Feature) -> float:
    """Return the median of numbers or the most frequent level of a category, the first on a tie.

    Parameters
    ----------
    column : ndarray of float64, shape (n,)
        NaN is passed over.
    feature : Feature

    Returns
    -------
    float
        A value that was recorded, which the mean of the two in the middle may not be: the lower of
        them. NaN if the column has no value.

    Examples
    --------
    >>> usual_value(np.array([1.0, 4.0, np.nan, 2.0, 9.0]), Feature("x", "x"))
    2.0
    """
    known = column[~np.isnan(column)]
    if not len(known):
        return np.nan
    if feature.levels:
        return float(np.argmax(np.bincount(known.astype(np.int64))))
    return float(np.quantile(known, 0.5, method="inverted_cdf"))


def completed(rows: np.ndarray, features: Sequence[Feature], usual: np.ndarray) -> np.ndarray:
    """Return rows with the usual value where one is missing that is to be imputed.

    What is missing and kept as information stays NaN.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
    features : sequence of Feature
    usual : ndarray of float64, shape (d,)
        See `usual_values`.

    Returns
    -------
    ndarray of float64, shape (n, d)
    """
    imputed = np.array([feature.missing == "impute" for feature in features], dtype=bool)
    return np.where(np.isnan(rows) & imputed, usual, rows)
