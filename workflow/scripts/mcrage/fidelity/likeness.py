# SPDX-License-Identifier: MIT
"""How far synthetic rows are distributed as real ones: columns, pairs of them, and all at once.

Rows are those of `mcrage.encoding.columns.feature_matrix`: numbers, codes of levels, NaN.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mcrage.datasets.roles import Feature

# Fewer tell too little; and five folds need some of either kind.
FEWEST_ROWS = 20
_FOLDS = 5
# A tree of more rows finds nothing that these do not show, and cost stays bounded.
_MAX_ROWS = 5_000
_BINS = 10
# Trees tell so many levels apart at most, beside missing ones.
_MAX_LEVELS = 254
# Tables of counts larger than this many times the rows are made of what occurs alone.
_SPARSE = 4


def shape(synthetic: np.ndarray, real: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Return how alike each column is distributed: 1 is the same, 0 is no overlap.

    Levels: 1 - TV, half the sum of the differences of shares (total variation), with missing as a
    level. Numbers: 1 - KS, the largest difference of the two distribution functions (Kolmogorov
    and Smirnov). Numbers with missing values: the missing share that both have, plus the present
    share that both have times 1 - KS of the present values; so 1 - TV of the states if present
    values are distributed alike, and 1 - KS if nothing is missing.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)
    features : sequence of Feature

    Returns
    -------
    ndarray of float64, shape (d,)
        In [0, 1]; NaN where either has no rows.
    """
    if not len(synthetic) or not len(real):
        return np.full(len(features), np.nan)
    return np.array(
        [
            1 - _total_variation(*_codes(synthetic[:, place], real[:, place]))
            if feature.levels
            else _shape_of_numbers(synthetic[:, place], real[:, place])
            for place, feature in enumerate(features)
        ]
    )


def _shape_of_numbers(mine: np.ndarray, other: np.ndarray) -> float:
    gaps = np.isnan(mine).mean(), np.isnan(other).mean()
    mine, other = (np.sort(values[~np.isnan(values)]) for values in (mine, other))
    if not len(mine) or not len(other):
        return float(min(gaps))
    at = np.concatenate([mine, other])
    below = np.searchsorted(mine, at, "right") / len(mine)
    alike = 1 - np.abs(below - np.searchsorted(other, at, "right") / len(other)).max()
    return float(min(gaps) + (1 - max(gaps)) * alike)


def trend(synthetic: np.ndarray, real: np.ndarray, features: Sequence[Feature]) -> float:
    """Return how alike columns depend on each other: the mean of `trends` over all pairs.

    Returns
    -------
    float
        In [0, 1]; undefined pairs are left out, and NaN if all are.
    """
    pairs = trends(synthetic, real, features)[np.triu_indices(len(features), k=1)]
    pairs = pairs[np.isfinite(pairs)]
    return float(np.mean(pairs)) if len(pairs) else float("nan")


def trends(synthetic: np.ndarray, real: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Return for each pair of columns how alike they depend on each other: 1 is the same.

    Two numbers: 1 - |ρ' - ρ| / 2, of Pearson's correlations over rows that have both values. Two
    columns of levels: 1 - TV of the shares of pairs of levels, with missing as a level (contingency
    similarity). A number and levels: the same, the number in ten bins of equal width over the range
    of the real rows, one for what lies below, one above and one for missing ones. The definitions
    of the column-pair trends that papers report, without their leaving out of weak pairs.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)
    features : sequence of Feature

    Returns
    -------
    ndarray of float64, shape (d, d)
        Symmetric, in [0, 1]; NaN on the diagonal, and for two numbers of which one is constant.
    """
    d = len(features)
    out = np.full((d, d), np.nan)
    if len(synthetic) < 2 or len(real) < 2:
        return out
    numeric = np.array([feature.is_numeric for feature in features], dtype=bool)
    if numeric.sum() > 1:
        places = np.flatnonzero(numeric)
        difference = _correlations(synthetic[:, numeric]) - _correlations(real[:, numeric])
        out[np.ix_(places, places)] = 1 - np.abs(difference) / 2
    if not numeric.all():
        codes = [
            _binned(synthetic[:, place], real[:, place])
            if numeric[place]
            else _codes(synthetic[:, place], real[:, place])
            for place in range(d)
        ]
        for one, other in combinations(range(d), 2):
            if numeric[one] and numeric[other]:
                continue
            (mine, real_mine), (theirs, real_theirs) = codes[one], codes[other]
            n = 1 + max(theirs.max(), real_theirs.max())
            alike = 1 - _total_variation(mine * n + theirs, real_mine * n + real_theirs)
            out[one, other] = out[other, one] = alike
    np.fill_diagonal(out, np.nan)
    return out


def _correlations(values: np.ndarray) -> np.ndarray:
    """Return Pearson's correlations, of each pair over the rows that have both values."""
    known = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        if known.all():
            return np.atleast_2d(np.corrcoef(values.T))
        flags = known.astype(np.float64)
        # About the mean of all present values, lest squares cancel.
        middle = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        values = np.where(known, values - middle, 0.0)
        n = flags.T @ flags
        means = values.T @ flags / n  # [i, j]: of column i, where j is known too
        products = values.T @ values / n - means * means.T
        squares = (values**2).T @ flags / n - means**2
        # Rounding leaves a little of a constant column.
        squares[squares < 1e-12 * (values**2).max(axis=0, initial=0)[:, None]] = np.nan
        return products / np.sqrt(squares * squares.T)


def _codes(mine: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return levels as whole numbers from 0 on, missing ones as 0."""
    return tuple(np.where(np.isnan(v), 0, v + 1).astype(np.int64) for v in (mine, other))


def _binned(mine: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins of numbers, by the range of the real ones; missing ones have bin 0."""
    known = real[~np.isnan(real)]
    if not len(known):
        known = np.zeros(1)
    edges = np.histogram_bin_edges(known, _BINS)
    # The largest real value belongs to the last bin.
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return tuple(
        np.where(np.isnan(values), 0, 1 + np.digitize(values, edges)) for values in (mine, real)
    )


def _total_variation(mine: np.ndarray, other: np.ndarray) -> float:
    """Return half the sum of differences of shares, of whole numbers from 0 on."""
    size = 1 + max(mine.max(), other.max())
    if size > _SPARSE * (len(mine) + len(other)):
        both = np.unique(np.concatenate([mine, other]), return_inverse=True)[1]
        mine, other = both[: len(mine)], both[len(mine) :]
        size = 1 + both.max()
    shares = [np.bincount(codes, minlength=size) / len(codes) for codes in (mine, other)]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def told_apart(
    synthetic: np.ndarray,
    real: np.ndarray,
    features: Sequence[Feature],
    seed: int,
    *,
    max_rows: int = _MAX_ROWS,
) -> tuple[float, float]:
    """Return how well a classifier tells synthetic from real rows (C2ST).

    Gradient-boosted trees that take levels as levels and missing values as they are, five
    stratified folds, mean AUROC of the folds. Of a column with more than 254 levels the rarest are
    taken for one.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)
    features : sequence of Feature
    seed : int
    max_rows : int
        Taken of each kind at most.

    Returns
    -------
    auroc : float
        0.5: it can't; 1: always.
    error : float
        Its standard error if nothing tells them apart, √((m + n + 1) / 12 m n), that of the
        Mann-Whitney statistic; folds share training rows, so the true one is half as large again.
        Both are NaN with fewer than `FEWEST_ROWS` of either.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    rng = np.random.default_rng(seed)
    synthetic, real = (thinned(rows, max_rows, rng) for rows in (synthetic, real))
    m, n = len(synthetic), len(real)
    if min(m, n) < FEWEST_ROWS:
        return float("nan"), float("nan")
    rows = np.concatenate([synthetic, real])
    levels = np.array([bool(feature.levels) for feature in features], dtype=bool)
    for place in np.flatnonzero(levels):
        rows[:, place] = _frequent(rows[:, place])
    classifier = HistGradientBoostingClassifier(
        max_iter=50,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        class_weight="balanced",
        early_stopping=False,
        categorical_features=levels if levels.any() else None,
        random_state=seed,
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    outcome = np.repeat([1, 0], [m, n])
    scores = cross_val_score(classifier, rows, outcome, cv=folds, scoring="roc_auc")
    return float(scores.mean()), float(np.sqrt((m + n + 1) / (12 * m * n)))


def _frequent(codes: np.ndarray) -> np.ndarray:
    """Return codes numbered by frequency, the rarest beyond what trees can tell apart as one."""
    known = ~np.isnan(codes)
    levels, place, counts = np.unique(codes[known], return_inverse=True, return_counts=True)
    if len(levels) <= _MAX_LEVELS:
        ranks = np.arange(len(levels))
    else:
        ranks = np.empty(len(levels), dtype=np.int64)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(levels)).clip(0, _MAX_LEVELS - 1)
    out = np.full(len(codes), np.nan)
    out[known] = ranks[place]
    return out


def thinned(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most so many rows, drawn without replacement, in their order."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]
