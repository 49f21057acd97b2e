# SPDX-License-Identifier: MIT
"""How far synthetic rows are distributed as real ones: columns, pairs of them, and all at once."""

import numpy as np

# Fewer tell too little; and five folds need some of either kind.
FEWEST_ROWS = 20
_FOLDS = 5
# A tree of more rows finds nothing that these do not show, and cost stays bounded.
_MAX_ROWS = 5_000


def shape(synthetic: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return 1 - KS of each column: 1 is the same distribution, 0 is no overlap.

    KS is the largest difference between the two empirical distribution functions (Kolmogorov and
    Smirnov).

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)

    Returns
    -------
    ndarray of float64, shape (d,)
        In [0, 1]; NaN where either has no rows.
    """
    if not len(synthetic) or not len(real):
        return np.full(synthetic.shape[1], np.nan)
    out = np.empty(synthetic.shape[1])
    for column in range(synthetic.shape[1]):
        mine, other = np.sort(synthetic[:, column]), np.sort(real[:, column])
        at = np.concatenate([mine, other])
        below = np.searchsorted(mine, at, "right") / len(mine)
        out[column] = 1 - np.abs(below - np.searchsorted(other, at, "right") / len(other)).max()
    return out


def trend(synthetic: np.ndarray, real: np.ndarray) -> float:
    """Return the mean of 1 - |ρ' - ρ| / 2 over all pairs of columns: 1 is the same correlations.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)

    Returns
    -------
    float
        In [0, 1]; pairs with a column that is constant in either are left out, and NaN if all are.
    """
    if len(synthetic) < 2 or len(real) < 2 or synthetic.shape[1] < 2:
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.corrcoef(synthetic.T) - np.corrcoef(real.T)
    pairs = difference[np.triu_indices(synthetic.shape[1], k=1)]
    pairs = pairs[np.isfinite(pairs)]
    return float(np.mean(1 - np.abs(pairs) / 2)) if len(pairs) else float("nan")


def told_apart(synthetic: np.ndarray, real: np.ndarray, seed: int) -> tuple[float, float]:
    """Return how well a classifier tells synthetic from real rows (C2ST).

    Gradient-boosted trees, five stratified folds, mean AUROC of the folds. Of each kind at most
    5,000 rows are taken.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)
    seed : int

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
    synthetic, real = (_thinned(rows, rng) for rows in (synthetic, real))
    m, n = len(synthetic), len(real)
    if min(m, n) < FEWEST_ROWS:
        return float("nan"), float("nan")
    classifier = HistGradientBoostingClassifier(
        max_iter=50,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        class_weight="balanced",
        early_stopping=False,
        random_state=seed,
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_score(
        classifier,
        np.concatenate([synthetic, real]),
        np.repeat([1, 0], [m, n]),
        cv=folds,
        scoring="roc_auc",
    )
    return float(scores.mean()), float(np.sqrt((m + n + 1) / (12 * m * n)))


def _thinned(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) <= _MAX_ROWS:
        return rows
    return rows[np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))]
