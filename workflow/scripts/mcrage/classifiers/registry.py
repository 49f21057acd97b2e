# SPDX-License-Identifier: MIT
"""Classifiers by kind: a function and a line in the registry each."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.design_matrix import DesignMatrix
from mcrage.classifiers.out_of_fold import choose
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)

_FARTHEST = 3.0
"""Where standardised features end for smooth classifiers, which would follow an outlier far."""


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


def gradient_boosting(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return scikit-learn's histogram gradient boosting of a fixed number of trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=settings["learning_rate"],
        max_iter=settings["n_trees"],
        max_depth=settings["max_depth"],
        max_leaf_nodes=None,
        min_samples_leaf=settings["min_samples_leaf"],
        l2_regularization=settings["l2"],
        early_stopping=False,
        random_state=seed,
    )


def kernel_logistic(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return logistic regression on Nystroem's approximation of a Gaussian kernel."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression

    return _of_standard_features(
        Nystroem(gamma=settings["gamma"], n_components=settings["n_components"], random_state=seed),
        LogisticRegression(C=settings["c"], max_iter=1000),
    )


def perceptrons(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return the mean of perceptrons with one hidden layer, each of four fifths of the rows."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.neural_network import MLPClassifier

    class Perceptron(MLPClassifier):
        def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
            # Bagging leaves rows out by a weight of 0. A small last batch may hold nothing else,
            # and scikit-learn divides by its sum.
            if sample_weight is not None:
                sample_weight = np.maximum(sample_weight, 1e-12 * np.max(sample_weight))
            return super().fit(x, y, sample_weight)

    perceptron = Perceptron(
        (settings["width"],),
        alpha=settings["l2"],
        learning_rate_init=settings["learning_rate"],
        max_iter=settings["epochs"],
        # The number of passes is a setting; to converge is not what they are for.
        tol=0.0,
        n_iter_no_change=settings["epochs"],
    )
    return _of_standard_features(
        BaggingClassifier(perceptron, settings["n_models"], max_samples=0.8, random_state=seed)
    )


def logistic_regression(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return logistic regression of standardised features with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    return _of_standard_features(LogisticRegression(C=settings["c"], max_iter=1000))


def decision_tree(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return one of CART's trees."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=settings["max_depth"],
        min_samples_leaf=settings["min_samples_leaf"],
        random_state=seed,
    )


def naive_bayes(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return Gaussian naive Bayes."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(var_smoothing=settings["smoothing"])


def nearest_neighbours(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return k nearest neighbours of standardised features."""
    from sklearn.neighbors import KNeighborsClassifier

    return _of_standard_features(
        KNeighborsClassifier(
            settings["n_neighbours"],
            weights="distance" if settings["nearer_count_more"] else "uniform",
            n_jobs=threads,
        )
    )


def _of_standard_features(*steps: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    near = FunctionTransformer(np.clip, kw_args={"a_min": -_FARTHEST, "a_max": _FARTHEST})
    return make_pipeline(StandardScaler(), near, *steps)


CLASSIFIERS: dict[str, Callable[[dict[str, Any], int, int], Any]] = {
    "random_forest": random_forest,
    "gradient_boosting": gradient_boosting,
    "kernel_logistic": kernel_logistic,
    "perceptrons": perceptrons,
    "logistic_regression": logistic_regression,
    "decision_tree": decision_tree,
    "naive_bayes": naive_bayes,
    "nearest_neighbours": nearest_neighbours,
}
_NATIVE = {"gradient_boosting"}
"""Those that take categories as codes and missing values as they are."""
_WITHOUT_WEIGHTS = {"nearest_neighbours"}
"""Those that take no weights: they get rows drawn in proportion to theirs."""


Score = Callable[[pa.Table], np.ndarray]
"""A fitted classifier: rows to probabilities in [0, 1], float64; of the positive level, shape (n,),
or where the target has more than two levels of each level, shape (n, n_levels)."""


def fit(
    settings: dict[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    roles: Roles,
    *,
    seed: int,
    threads: int = 1,
    row_ids: np.ndarray | None = None,
) -> Score:
    """Fit a classifier on a treated training set.

    Parameters
    ----------
    settings : dict
        Of the classifier, resolved, with its ``kind``. An ``ensemble`` has those of its members,
        which are all fitted with the same seed.
    train : pyarrow.Table
        A rebalanced table.
    weights : ndarray of float64, shape (n_train,), or None
    roles : Roles
    seed, threads : int
    row_ids : ndarray of int64, shape (n_train,), optional
        Which rows are repetitions or synthetic, for settings that are chosen by held-out rows; see
        `mcrage.classifiers.out_of_fold.real_folds`. None: neither.

    Returns
    -------
    callable
        See `Score`.
    """
    options = {"seed": seed, "threads": threads}
    if settings["kind"] == "ensemble":
        members = [
            fit(member, train, weights, roles, **options, row_ids=row_ids)
            for member in settings["members"]
        ]
        return lambda rows: np.mean([member(rows) for member in members], axis=0)
    if settings.get("grid"):
        ids = np.arange(train.num_rows) if row_ids is None else row_ids
        settings = choose(fit, settings, train, weights, ids, roles, **options)
        logger.info("chosen by held-out training rows: %s", settings)
    schema = GroupSchema.of(roles)
    if weights is not None and np.ptp(weights) == 0:
        # Equal weights are no weights; the forest then takes its faster path.
        weights = None
    y = schema.target_of(schema.index(train))
    present = np.unique(y if weights is None else y[weights > 0])
    n_levels = schema.shape[-1]
    if len(present) == 1:
        sure = np.eye(n_levels)[present]
        return lambda rows: _told(np.repeat(sure, rows.num_rows, axis=0))
    kind = settings["kind"]
    native = kind in _NATIVE
    design = DesignMatrix.fit(
        train, roles, settings["features"], native=native, attributes=settings["attributes"]
    )
    classifier = CLASSIFIERS[kind](settings, seed, threads)
    if native and any(design.categorical):
        classifier.set_params(categorical_features=design.categorical)
    x, weighted = design.of(train), {}
    if weights is not None and kind in _WITHOUT_WEIGHTS:
        drawn = np.random.default_rng(seed).choice(len(y), len(y), p=weights / weights.sum())
        x, y = x[drawn], y[drawn]
    elif weights is not None:
        weighted = _weighted(classifier, weights)
    with warnings.catch_warnings():
        # Perceptrons take as many passes as they are told to.
        warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
        classifier.fit(x, y, **weighted)

    def score(rows: pa.Table) -> np.ndarray:
        # A level without a training row is not among the classes.
        probabilities = np.zeros((rows.num_rows, n_levels))
        probabilities[:, classifier.classes_] = classifier.predict_proba(design.of(rows))
        return _told(probabilities)

    return score


def _told(probabilities: np.ndarray) -> np.ndarray:
    """Return the positive level's probability alone where there are two levels."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def fit_and_score(
    settings: dict[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    test: pa.Table,
    roles: Roles,
    *,
    seed: int,
    threads: int = 1,
    row_ids: np.ndarray | None = None,
) -> np.ndarray:
    """Fit a classifier on a treated training set and score other rows.

    Parameters
    ----------
    settings, train, weights, roles, seed, threads, row_ids
        See `fit`.
    test : pyarrow.Table
        Rows to score.

    Returns
    -------
    ndarray of float64, shape (n_test,) or (n_test, n_levels)
        See `Score`.
    """
    options = {"seed": seed, "threads": threads, "row_ids": row_ids}
    return fit(settings, train, weights, roles, **options)(test)


def _weighted(classifier: Any, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return how a classifier, or the last step of a pipeline, is told the rows' weights."""
    last = f"{classifier.steps[-1][0]}__" if hasattr(classifier, "steps") else ""
    return {f"{last}sample_weight": weights}
