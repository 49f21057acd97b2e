# SPDX-License-Identifier: MIT
"""F1 in a module of its own: the paper chooses checkpoints by it, so its code is training code."""

import numpy as np


def f1(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Harmonic mean of precision and recall of the positive level, 2TP / (2TP + FP + FN).

    NaN when no row is positive or predicted positive.
    """
    predicted = score >= threshold
    denominator = predicted.sum() + y.sum()
    return float(2 * np.sum(predicted & (y == 1)) / denominator) if denominator else np.nan
