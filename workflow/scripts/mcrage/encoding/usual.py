# SPDX-License-Identifier: MIT
"""What is usual in training rows, put in place of missing values where a card says ``impute``."""

from collections.abc import Sequence

import numpy as np

from mcrage.datasets.roles import Feature


def usual_values(rows: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Return the median of each number and the most frequent level of each category.

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
    return np.array([_usual(column, each) for column, each in zip(rows.T, features, strict=True)])


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


def _usual(column: np.ndarray, feature: Feature) -> float:
    known = column[~np.isnan(column)]
    if not len(known):
        return 0.0
    if feature.levels:
        return float(np.argmax(np.bincount(known.astype(np.int64))))
    return float(np.median(known))
