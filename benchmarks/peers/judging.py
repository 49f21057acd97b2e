# SPDX-License-Identifier: MIT
"""How drawn rows are judged: the same code for all, and nothing of it sees which is whose."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mcrage.datasets.formula import evaluate, names
from mcrage.datasets.roles import Feature

GROUP = "group"
_DRAWS = 20


def grain(feature: Feature) -> float:
    """Return the smallest recorded difference of a feature; integers have at least 1."""
    return max(feature.resolution, 1.0) if feature.kind == "integer" else feature.resolution


def as_recorded(rows: pd.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """Round features as recorded: a peer's rows must not be told from real ones by their decimals.

    Raises
    ------
    ValueError
        If a value is missing or infinite.
    """
    out = rows.copy()
    for feature in features:
        values = rows[feature.column].to_numpy(np.float64)
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{bad} values of {feature.column} are no numbers")
        if step := grain(feature):
            values = np.round(np.round(values / step) * step, 10)
        out[feature.column] = values
    return out


def shape(real: pd.DataFrame, drawn: pd.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return 1 - KS of each column: 1 if both have the same distribution, 0 if disjoint."""
    return {name: 1 - float(stats.ks_2samp(real[name], drawn[name]).statistic) for name in columns}


def correlation_error(real: pd.DataFrame, drawn: pd.DataFrame, columns: Sequence[str]) -> float:
    """Return the mean absolute difference of Spearman's correlations over all pairs, in [0, 2].

    A constant column, whose correlations are undefined, counts as uncorrelated.
    """
    pair = np.triu_indices(len(columns), k=1)
    matrices = [
        frame[[*columns]].corr(method="spearman").fillna(0).to_numpy() for frame in (real, drawn)
    ]
    return float(np.abs(matrices[0] - matrices[1])[pair].mean())


def c2st_auc(
    real: pd.DataFrame, drawn: pd.DataFrame, columns: Sequence[str], seed: int = 0
) -> float:
    """Return how well gradient boosting tells drawn from real rows: AUROC, 5-fold, .5 is best.

    Parameters
    ----------
    real, drawn : DataFrame
        Rows with `columns` and ``group``, equally many of each group, so that the classifier
        learns how groups look and not how many they are.
    columns : sequence of str
    seed : int
        Of folds and classifier.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits

    both = pd.concat([real, drawn], ignore_index=True)
    x = both[[*columns]].assign(**{GROUP: pd.factorize(both[GROUP])[0]}).to_numpy(np.float64)
    y = np.repeat([0, 1], [len(real), len(drawn)])
    classifier = HistGradientBoostingClassifier(
        categorical_features=[len(columns)], early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    # So small a table is slower with more threads, by far where cores are busy.
    with threadpool_limits(1):
        return float(cross_val_score(classifier, x, y, cv=folds, scoring="roc_auc").mean())


def identity_violations(rows: pd.DataFrame, features: Sequence[Feature]) -> float:
    """Return the share of rows in which a derived column is off by more than rounding explains.

    A recorded value stands for an interval of rounding around it. A row keeps an identity if the
    recorded result's interval meets the range of the formula over the intervals of its columns,
    taken at their corners (exact for products and quotients of positive columns). A row whose
    formula divides by zero breaks it.

    Returns
    -------
    float
        NaN if no feature has a formula.
    """
    derived = [feature for feature in features if feature.formula]
    if not derived:
        return float("nan")
    half = {feature.column: grain(feature) / 2 for feature in features}
    off = np.zeros(len(rows), dtype=bool)
    for feature in derived:
        used = names(feature.formula)
        corners = [
            evaluate(
                feature.formula,
                {
                    name: rows[name].to_numpy(np.float64) + sign * half[name]
                    for name, sign in zip(used, signs, strict=True)
                },
            )
            for signs in itertools.product((-1, 1), repeat=len(used))
        ]
        recorded = evaluate(
            feature.formula, {name: rows[name].to_numpy(np.float64) for name in used}
        )
        value = rows[feature.column].to_numpy(np.float64)
        slack = half[feature.column] + 1e-9
        lowest, highest = np.min(corners, axis=0) - slack, np.max(corners, axis=0) + slack
        # Where the formula has no value there is nothing to keep.
        kept = np.isfinite(recorded) & (value >= lowest) & (value <= highest)
        off |= ~kept
    return float(off.mean())


def nearest_training_share(
    train: np.ndarray, held_out: np.ndarray, drawn: np.ndarray, seed: int = 0
) -> float:
    """Return the share of drawn rows nearer to a training row than to a held-out one.

    Training and held-out rows are first made equally many (a random subset of the more numerous,
    the mean over 20 of them), so that .5 is what rows drawn from the true distribution have; more
    means that training rows were memorised. Ties count half.

    Parameters
    ----------
    train, held_out, drawn : ndarray of float64, shape (n, d)
        Rows of one group, in the space where distance is Euclidean.
    seed : int
        Of the subsets.

    Returns
    -------
    float
        In [0, 1]; NaN if any is empty.
    """
    from scipy.spatial import cKDTree

    n = min(len(train), len(held_out))
    if n == 0 or len(drawn) == 0:
        return float("nan")
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(_DRAWS):
        to_train, to_held_out = (
            cKDTree(rows[rng.choice(len(rows), n, replace=False)]).query(drawn)[0]
            for rows in (train, held_out)
        )
        shares.append(np.mean((to_train < to_held_out) + 0.5 * (to_train == to_held_out)))
    return float(np.mean(shares))


@dataclass(frozen=True)
class Quality:
    """What drawn rows are like; see the functions of this module.

    Attributes
    ----------
    shape : dict of str to float
        By column.
    correlation_error, c2st_auc, identity_violations : float
    nearest_training_share : dict of str to float
        By group.
    """

    shape: dict[str, float]
    correlation_error: float
    c2st_auc: float
    identity_violations: float
    nearest_training_share: dict[str, float]


def judge_rows(
    train: pd.DataFrame, held_out: pd.DataFrame, drawn: pd.DataFrame, features: Sequence[Feature]
) -> Quality:
    """Judge drawn rows against real ones that no generator has seen.

    Parameters
    ----------
    train : DataFrame
        What the generator learnt from: features and ``group``.
    held_out : DataFrame
    drawn : DataFrame
        At least as many rows of each group as `held_out` has; of the first ones, as many.
    features : sequence of Feature
    """
    columns = [feature.column for feature in features]
    compared = pd.concat(
        [drawn[drawn[GROUP] == label].head(len(part)) for label, part in held_out.groupby(GROUP)]
    )
    scale = train[columns].std().replace(0, 1)

    def scaled(rows: pd.DataFrame, label: str) -> np.ndarray:
        return (rows.loc[rows[GROUP] == label, columns] / scale).to_numpy(np.float64)

    return Quality(
        shape=shape(held_out, compared, columns),
        correlation_error=correlation_error(held_out, compared, columns),
        c2st_auc=c2st_auc(held_out, compared, columns),
        identity_violations=identity_violations(compared, features),
        nearest_training_share={
            label: nearest_training_share(
                *(scaled(rows, label) for rows in (train, held_out, drawn))
            )
            for label in sorted(train[GROUP].unique())
        },
    )
