# SPDX-License-Identifier: MIT
"""Whether a probability means what it says, in each part of the rows; two levels.

Each takes truth, score and part, all of shape (n,), and the number of parts, and returns float64 of
shape (n_parts,); NaN where undefined.
"""

import numpy as np

from mcrage.metrics.confusion import ratio
from mcrage.metrics.scores import mean_by_part

N_BINS = 10
"""Of equal width: [0, .1), [.1, .2), ..., [.9, 1]."""
_MOST_STEPS = 50
_NEAREST = 1e-6  # scores of 0 and 1 have no logit
_STEEPEST = 100.0


def calibration_in_the_large(
    y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int
) -> np.ndarray:
    """Mean predicted probability less the share of positive rows; 0 is ideal."""
    return mean_by_part(score - y, part, n_parts)


def calibration_error(
    y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int
) -> np.ndarray:
    """Mean distance of score and outcome in `N_BINS` bins, the expected calibration error.

    Biased upwards where bins hold few rows; see `debiased_calibration_error`.
    """
    n, gaps, _ = _bins(y, score, part, n_parts)
    return ratio(np.nansum(n * np.abs(gaps), axis=1), n.sum(axis=1))


def debiased_calibration_error(
    y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int
) -> np.ndarray:
    """Root mean squared calibration error in `N_BINS` bins, less what chance alone would give.

    Kumar, Liang & Ma (2019), definition 4.1: from each bin's squared distance its variance
    ȳ(1−ȳ)/(n−1) is taken. 0 where that leaves nothing. Bins of one row tell nothing and are left
    out.
    """
    n, gaps, rates = _bins(y, score, part, n_parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.where(n > 1, gaps**2 - rates * (1 - rates) / (n - 1), np.nan)
    used = np.where(n > 1, n, 0)
    return np.sqrt(np.maximum(0.0, ratio(np.nansum(used * square, axis=1), used.sum(axis=1))))


def calibration_slope(
    y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int
) -> np.ndarray:
    """Slope of a logistic regression of the outcome on the score's logit; 1 is ideal.

    Below 1: scores are too extreme. NaN without both levels, with equal scores, or where they tell
    the levels apart completely.
    """
    near = np.clip(score, _NEAREST, 1 - _NEAREST)
    logit = np.log(near / (1 - near))
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part, minlength=n_parts))[:-1]
    pairs = zip(np.split(logit[order], ends), np.split(y[order], ends), strict=True)
    return np.array([_slope(x, outcome.astype(np.float64)) for x, outcome in pairs])


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Newton's method for two parameters."""
    if len(y) < 3 or y.min() == y.max() or np.ptp(x) < 1e-9:
        return np.nan
    lowest, highest = (np.array([x[y == k].min(), x[y == k].max()]) for k in (0, 1))
    if highest[0] >= lowest[1] or lowest[0] >= highest[1]:
        return np.nan  # complete separation: the likelihood has no maximum
    centre, scale = x.mean(), x.std()
    z = (x - centre) / scale
    intercept, slope = np.log(y.mean() / (1 - y.mean())), 0.0
    loss = np.inf
    for _ in range(_MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(intercept + slope * z, -500, 500)))
        error, weight = y - p, p * (1 - p)
        gradient = np.array([error.sum(), (error * z).sum()])
        cross = (weight * z).sum()
        hessian = np.array([[weight.sum(), cross], [cross, (weight * z * z).sum()]])
        if np.linalg.det(hessian) <= 1e-12 * len(y):
            return np.nan
        step = np.linalg.solve(hessian, gradient)
        intercept, slope = intercept + step[0], slope + step[1]
        if abs(slope) > _STEEPEST:
            return np.nan
        previous, loss = loss, float(np.abs(step).max())
        if loss < 1e-10 or (loss < 1e-7 and loss >= previous):
            return float(slope / scale)
    return np.nan


def _bins(
    y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, mean score less share of positives, and that share: each (n_parts, N_BINS)."""
    bins = np.clip((score * N_BINS).astype(np.int64), 0, N_BINS - 1)
    cells, size = part * N_BINS + bins, n_parts * N_BINS
    n = np.bincount(cells, minlength=size).reshape(n_parts, N_BINS)
    positive = np.bincount(cells, y, minlength=size).reshape(n_parts, N_BINS)
    total = np.bincount(cells, score, minlength=size).reshape(n_parts, N_BINS)
    return n, ratio(total - positive, n), ratio(positive, n)
