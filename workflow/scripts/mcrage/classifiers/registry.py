# SPDX-License-Identifier: MIT
"""Classifiers by kind: a function and a line in the registry each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.design_matrix import design_matrix
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema


def random_forest(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return scikit-learn's random forest; defaults are the published notebook's settings."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=settings["n_trees"],
        max_depth=settings["max_depth"],
        min_samples_split=settings["min_samples_split"],
        min_samples_leaf=settings["min_samples_leaf"],
        random_state=seed,
        n_jobs=threads,
    )


CLASSIFIERS: dict[str, Callable[[dict[str, Any], int, int], Any]] = {
    "random_forest": random_forest,
}


def fit_and_score(
    settings: dict[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    test: pa.Table,
    roles: Roles,
    *,
    seed: int,
    threads: int = 1,
) -> np.ndarray:
    """Fit a classifier on a treated training set and score other rows.

    Parameters
    ----------
    settings : dict
        Of the classifier in the config, with its ``kind``.
    train : pyarrow.Table
        A rebalanced table.
    weights : ndarray of float64, shape (n_train,), or None
    test : pyarrow.Table
        Rows to score.
    roles : Roles
    seed, threads : int

    Returns
    -------
    ndarray of float64, shape (n_test,)
        Predicted probability of the positive level of the target, in [0, 1].
    """
    schema = GroupSchema.of(roles)
    x, _ = design_matrix(train, roles)
    y = schema.target_of(schema.index(train))
    classifier = CLASSIFIERS[settings["kind"]](settings, seed, threads)
    if weights is not None and np.ptp(weights) == 0:
        # Equal weights are no weights; the forest then takes its faster path.
        weights = None
    classifier.fit(x, y, sample_weight=weights)
    scores = classifier.predict_proba(design_matrix(test, roles)[0])
    if len(classifier.classes_) == 1:
        return np.full(len(scores), float(classifier.classes_[0]))
    return scores[:, 1]
