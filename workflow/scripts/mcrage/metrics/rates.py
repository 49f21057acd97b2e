# SPDX-License-Identifier: MIT
"""Metrics of decisions: arithmetic on counts of true and predicted levels.

Each takes counts of shape (..., K, K), see `mcrage.metrics.confusion.confusion`, and returns
float64 of shape (...); NaN where the denominator is 0.
"""

import numpy as np

from mcrage.metrics.confusion import ratio


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of rows predicted correctly."""
    return ratio(_hits(counts).sum(axis=-1), counts.sum(axis=(-1, -2)))


def recalls(counts: np.ndarray) -> np.ndarray:
    """Share of each level's rows predicted to have it, shape (..., K)."""
    return ratio(_hits(counts), counts.sum(axis=-1))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean of all levels' recall. The paper's "AUROC", from hard labels, is this number."""
    return recalls(counts).mean(axis=-1)


def selection_rates(counts: np.ndarray) -> np.ndarray:
    """Share of rows predicted to have each level, shape (..., K)."""
    return ratio(counts.sum(axis=-2), counts.sum(axis=(-1, -2))[..., None])


def prediction_rates(counts: np.ndarray) -> np.ndarray:
    """Share of each true level's rows predicted to have each level, shape (..., K, K)."""
    return ratio(counts, counts.sum(axis=-1)[..., None])


def selection_rate(counts: np.ndarray) -> np.ndarray:
    """Share of rows predicted positive; two levels."""
    return selection_rates(counts)[..., 1]


def true_positive_rate(counts: np.ndarray) -> np.ndarray:
    """Share of positive rows predicted positive; two levels."""
    return prediction_rates(counts)[..., 1, 1]


def false_positive_rate(counts: np.ndarray) -> np.ndarray:
    """Share of negative rows predicted positive; two levels."""
    return prediction_rates(counts)[..., 0, 1]


def theil_index(counts: np.ndarray) -> np.ndarray:
    """Theil index of the benefits ŷ − y + 1 (Speicher et al. 2018); two levels, 0 is ideal.

    With hard labels benefits are 0 (missed), 1 (right) and 2 (false alarm), so that the index is a
    function of both shares of errors: it carries **no information about groups**, and is the same
    for every attribute. See `mcrage.metrics.fairness.between_group_theil_index`. NaN where every
    row is a missed positive.
    """
    n = counts.sum(axis=(-1, -2))
    double, none = ratio(counts[..., 0, 1], n), ratio(counts[..., 1, 0], n)
    mean = 1 + double - none
    with np.errstate(divide="ignore", invalid="ignore"):
        total = (1 - double - none) * np.log(1 / mean) + 2 * double * np.log(2 / mean)
        return np.where(mean > 0, total / mean, np.nan)


def _hits(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)
