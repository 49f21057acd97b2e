# SPDX-License-Identifier: MIT
"""Metrics of scores, in each part of the rows at once; no threshold is involved.

Each takes truth ``y`` (level numbers, shape (n,)), ``score`` (shape (n,) or (n, K)), ``part``
(shape (n,)) and the number of parts, and returns float64 of shape (n_parts,); NaN if undefined.
"""

import numpy as np

from mcrage.metrics.confusion import ratio

SMALLEST = 1e-15
"""Probabilities are kept this far from 0 and 1 in logarithms."""


def mean_by_part(values: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Return the mean of values in each part."""
    sums = np.bincount(part, values, minlength=n_parts)
    return ratio(sums, np.bincount(part, minlength=n_parts))


def auroc(y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Area under the ROC curve; NaN unless every level is present.

    Of more than two levels the mean of each level's against all others (macro, one-vs-rest).
    """
    if score.ndim == 2:
        each = [auroc(y == k, score[:, k], part, n_parts) for k in range(score.shape[1])]
        return np.mean(each, axis=0)
    order = np.argsort(score, kind="stable")
    positive = np.asarray(y == 1)[order]
    return area(ranks(score[order]), positive, part[order], n_parts)


def ranks(rising: np.ndarray) -> np.ndarray:
    """Return the numbers of a rising array's different values, from 0; equal ones have one."""
    return np.cumsum(np.append(False, rising[1:] != rising[:-1]))


def area(rank: np.ndarray, positive: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Return AUROC of each part, of rows in the order of their scores.

    Parameters
    ----------
    rank : ndarray of int64, shape (n,)
        Rising; equal for equal scores.
    positive : ndarray of bool, shape (n,)
    part : ndarray of int64, shape (n,)
    n_parts : int

    Returns
    -------
    ndarray of float64, shape (n_parts,)
    """
    # Parts one after another, each with its scores rising. Small numbers sort in linear time.
    order = np.argsort(part.astype(np.min_scalar_type(n_parts)), kind="stable")
    rank, positive, part = rank[order], positive[order], part[order]
    first = np.flatnonzero(
        np.append(True, (rank[1:] != rank[:-1]) | (part[1:] != part[:-1]))[: len(rank)]
    )
    if not len(first):
        return np.full(n_parts, np.nan)
    up = np.add.reduceat(positive.astype(np.int64), first)
    down = np.diff(np.append(first, len(rank))) - up
    # A positive row wins against every negative one below it, and half against an equal one.
    below = np.cumsum(down) - 0.5 * down
    wins = np.bincount(part[first], up * below, minlength=n_parts)
    n_up = np.bincount(part[first], up, minlength=n_parts)
    n_down = np.bincount(part[first], down, minlength=n_parts)
    in_parts_before = np.cumsum(n_down) - n_down
    return ratio(wins - n_up * in_parts_before, n_up * n_down)


def auprc(y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Average precision of the positive level of two; NaN without any positive row."""
    values, place = np.unique(-score, return_inverse=True)
    size = len(values) * n_parts
    rows = np.bincount(place * n_parts + part, minlength=size).reshape(-1, n_parts)
    hits = np.bincount(place * n_parts + part, y == 1, minlength=size).reshape(-1, n_parts)
    precision = np.cumsum(hits, axis=0) / np.maximum(np.cumsum(rows, axis=0), 1)
    return ratio(np.einsum("vs,vs->s", hits, precision), hits.sum(axis=0))


def brier(y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Mean squared difference of probability and outcome, lower is better.

    Of more than two levels summed over all of them, so from 0 to 2 (Brier 1950).
    """
    if score.ndim == 1:
        return mean_by_part((score - y) ** 2, part, n_parts)
    outcome = np.eye(score.shape[1])[y]
    return mean_by_part(np.sum((score - outcome) ** 2, axis=1), part, n_parts)


def log_loss(y: np.ndarray, score: np.ndarray, part: np.ndarray, n_parts: int) -> np.ndarray:
    """Mean of −ln of the probability that the true level was given, lower is better."""
    if score.ndim == 1:
        given = np.where(y == 1, score, 1 - score)
    else:
        given = score[np.arange(len(y)), y] / score.sum(axis=1)
    return mean_by_part(-np.log(np.maximum(given, SMALLEST)), part, n_parts)
