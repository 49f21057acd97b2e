# SPDX-License-Identifier: MIT
"""Metrics of a binary classifier, overall and in every subgroup; undefined is NaN with support."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np

from mcrage.groups import GroupSchema
from mcrage.metrics.f1 import f1


def accuracy(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Share of rows predicted correctly."""
    return float(np.mean((score >= threshold) == y))


def true_positive_rate(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Share of positive rows predicted positive; NaN without any."""
    return float(np.mean(score[y == 1] >= threshold)) if np.any(y == 1) else np.nan


def false_positive_rate(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Share of negative rows predicted positive; NaN without any."""
    return float(np.mean(score[y == 0] >= threshold)) if np.any(y == 0) else np.nan


def balanced_accuracy(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Mean of both levels' recall. The paper's "AUROC", from hard labels, is this number."""
    return (
        true_positive_rate(y, score, threshold) + 1 - false_positive_rate(y, score, threshold)
    ) / 2


def selection_rate(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Share of rows predicted positive."""
    return float(np.mean(score >= threshold))


def brier(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Mean squared difference of predicted probability and outcome; lower is better."""
    return float(np.mean((score - y) ** 2))


def auroc(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Area under the ROC curve from scores; NaN unless both levels are present."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, score)) if len(np.unique(y)) == 2 else np.nan


def auprc(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Average precision from scores; NaN without any positive row."""
    from sklearn.metrics import average_precision_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return float(average_precision_score(y, score)) if np.any(y == 1) else np.nan


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, float], float]] = {
    function.__name__: function
    for function in (
        accuracy,
        f1,
        balanced_accuracy,
        auroc,
        auprc,
        brier,
        true_positive_rate,
        false_positive_rate,
        selection_rate,
    )
}


def parts(schema: GroupSchema, groups: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the sets of rows that are judged.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)

    Yields
    ------
    attribute : str
        ``"overall"``, a sensitive attribute, or all of them joined by ``*``.
    subgroup : str
        ``"all"``, or the level(s), e.g. ``"SEX=F"``.
    rows : ndarray of bool, shape (n,)
    """
    yield "overall", "all", np.ones(len(groups), dtype=bool)
    digits = schema.indices_of(groups)
    attributes = schema.columns[:-1]
    for column, levels, codes in zip(attributes, schema.levels, digits, strict=False):
        for number, level in enumerate(levels):
            yield column, f"{column}={level}", codes == number
    if len(attributes) > 1:
        subgroups = schema.subgroup_of(groups)
        for subgroup in range(schema.n_subgroups):
            yield "*".join(attributes), schema.subgroup_label(subgroup), subgroups == subgroup


def judge(
    schema: GroupSchema, groups: np.ndarray, score: np.ndarray, threshold: float = 0.5
) -> dict[str, list]:
    """Compute every metric overall and in every subgroup.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
        Groups of the test rows; they hold target and subgroup.
    score : ndarray of float64, shape (n,)
        Predicted probability of the positive level.
    threshold : float
        Scores at or above it are predicted positive.

    Returns
    -------
    dict of str to list
        Columns attribute, subgroup, metric, value, support of the long table. An empty subgroup
        is kept, with NaN and support 0.
    """
    y = schema.target_of(groups)
    out: dict[str, list] = {k: [] for k in ("attribute", "subgroup", "metric", "value", "support")}
    for attribute, subgroup, rows in parts(schema, groups):
        support = int(rows.sum())
        for name, function in METRICS.items():
            value = function(y[rows], score[rows], threshold) if support else np.nan
            for key, item in zip(out, (attribute, subgroup, name, value, support), strict=True):
                out[key].append(item)
    return out
