# SPDX-License-Identifier: MIT
"""From scores to decisions, and the counts that every metric of decisions is arithmetic on."""

import numpy as np


def decide(score: np.ndarray, threshold: float) -> np.ndarray:
    """Return the level that each row is predicted to have.

    Parameters
    ----------
    score : ndarray of float64, shape (n,) or (n, K)
        Probability of the positive level of two, or of each of K levels.
    threshold : float
        Scores at or above it are predicted positive. Of several levels the likeliest is taken,
        the first of them on a tie, and the threshold has no meaning.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    return (score >= threshold).astype(np.int64) if score.ndim == 1 else score.argmax(axis=1)


def confusion(
    y: np.ndarray,
    predicted: np.ndarray,
    n_levels: int,
    part: np.ndarray | None = None,
    n_parts: int = 1,
) -> np.ndarray:
    """Count rows by true and predicted level in each part.

    Parameters
    ----------
    y, predicted : ndarray of int64, shape (n,)
        Level numbers.
    n_levels : int
        K.
    part : ndarray of int64, shape (n,), optional
        The part, e.g. subgroup, of each row; all are of one if left out.
    n_parts : int

    Returns
    -------
    ndarray of int64, shape (n_parts, K, K)
        ``[s, y, ŷ]``; with two levels TN, FP, FN, TP in this order.
    """
    place = np.zeros(len(y), dtype=np.int64) if part is None else part
    cells = (place * n_levels + y) * n_levels + predicted
    shape = (n_parts, n_levels, n_levels)
    return np.bincount(cells, minlength=n_parts * n_levels**2).reshape(shape)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is 0: undefined is not 0."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out
