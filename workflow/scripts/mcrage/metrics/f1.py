# SPDX-License-Identifier: MIT
"""F1 in a module of its own: the paper chooses checkpoints by it, so its code is training code."""

import numpy as np

from mcrage.metrics.confusion import confusion, decide, ratio


def f1_of(counts: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of the positive level, 2TP / (2TP + FP + FN).

    Of more than two levels the mean over all of them (macro F1). NaN where it is undefined: no row
    has a level, and none is predicted to.

    Parameters
    ----------
    counts : ndarray of int64, shape (..., K, K)
        See `mcrage.metrics.confusion.confusion`.

    Returns
    -------
    ndarray of float64, shape (...)
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    each = ratio(2 * hits, counts.sum(axis=-1) + counts.sum(axis=-2))
    return each[..., 1] if counts.shape[-1] == 2 else each.mean(axis=-1)


def f1(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Return F1 of scores; see `f1_of` and `mcrage.metrics.confusion.decide`."""
    n_levels = 2 if score.ndim == 1 else score.shape[1]
    return float(f1_of(confusion(y, decide(score, threshold), n_levels)[0]))
