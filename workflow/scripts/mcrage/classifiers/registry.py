# SPDX-License-Identifier: MIT
"""Classifiers by kind: a function and a line in the registry each."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers import by_name
from mcrage.classifiers.design_matrix import DesignMatrix
from mcrage.classifiers.fitted import Fitted, Score, TrainingRows, resample, weight_name
from mcrage.classifiers.member_shares import shares_of
from mcrage.classifiers.out_of_fold import FOLDS, HeldOut, choose, held_out, real_folds
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)

_FINITE = 1e3
"""Where standardised features end before powers of them are taken."""
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
    """Return scikit-learn's histogram gradient boosting, or the mean of several by bagging."""
    from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier

    boosting = HistGradientBoostingClassifier(
        learning_rate=settings["learning_rate"],
        max_iter=settings["n_trees"],
        max_depth=settings["max_depth"],
        max_leaf_nodes=None,
        min_samples_leaf=settings["min_samples_leaf"],
        l2_regularization=settings["l2"],
        max_features=settings["max_features"],
        early_stopping=False,
        random_state=seed,
    )
    if settings["n_models"] == 1:
        return boosting
    return BaggingClassifier(boosting, settings["n_models"], random_state=seed)


def kernel_logistic(settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return logistic regression on Nystroem's approximation of a Gaussian kernel."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression

    class AtMostAllRows(Nystroem):
        def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> Any:
            with warnings.catch_warnings():
                # That all rows are taken where there are fewer is what the setting says.
                warnings.filterwarnings("ignore", "n_components > n_samples")
                return super().fit(x, y)

    components, gamma = settings["n_components"], settings["gamma"]
    return _of_standard_features(
        AtMostAllRows(gamma=gamma, n_components=components, random_state=seed),
        LogisticRegression(C=settings["c"], max_iter=1000),
        transform=settings["transform"],
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
        BaggingClassifier(perceptron, settings["n_models"], max_samples=0.8, random_state=seed),
        transform=settings["transform"],
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


def _of_standard_features(*steps: Any, transform: str = "none") -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

    near = FunctionTransformer(np.clip, kw_args={"a_min": -_FARTHEST, "a_max": _FARTHEST})
    # Powers are of standard scores: of raw values they depend on the unit and may overflow.
    # Even of these, where a column is nearly constant: the power is large, and what lies a million
    # of its deviations away beyond all numbers.
    bounded = FunctionTransformer(np.clip, kw_args={"a_min": -_FINITE, "a_max": _FINITE})
    powers = [bounded, PowerTransformer("yeo-johnson")] if transform == "yeo_johnson" else []
    return make_pipeline(StandardScaler(), *powers, near, *steps)


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


def fit(
    settings: dict[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    roles: Roles,
    *,
    seed: int,
    threads: int = 1,
    row_ids: np.ndarray | None = None,
    left_out: pa.Table | None = None,
) -> Fitted:
    """Fit a classifier on a treated training set.

    Parameters
    ----------
    settings : dict
        Of the classifier, resolved, with its ``kind``. An ``ensemble`` has those of its members,
        which are all fitted with the same seed; an ``exponentiated_gradient`` those of its base.
    train : pyarrow.Table
        A rebalanced table.
    weights : ndarray of float64, shape (n_train,), or None
    roles : Roles
    seed, threads : int
    row_ids : ndarray of int64, shape (n_train,), optional
        Which rows are repetitions or synthetic, for settings that are chosen by held-out rows; see
        `mcrage.classifiers.out_of_fold.real_folds`. None: neither.
    left_out : pyarrow.Table, optional
        Real training rows that the treatment left out of `train`: never fitted on, but among those
        that are held out.

    Returns
    -------
    Fitted
    """
    options = {"seed": seed, "threads": threads}
    ids = np.arange(train.num_rows) if row_ids is None else row_ids
    if by_name.is_recalibrated(settings):
        plain = fit(
            {**settings, "recalibration": "none"},
            *(train, weights, roles),
            **options,
            row_ids=row_ids,
            left_out=left_out,
        )
        module = import_module(by_name.RECALIBRATION)
        return module.recalibrated(plain, settings, GroupSchema.of(roles))
    if settings["kind"] == "ensemble":
        members = [
            fit(member, train, weights, roles, **options, row_ids=row_ids, left_out=left_out)
            for member in settings["members"]
        ]
        shares = _shares(settings, members, GroupSchema.of(roles))
        return Fitted(
            lambda rows: np.average([member(rows) for member in members], axis=0, weights=shares),
            lambda: _mean_held_out([member.held_out for member in members], shares),
        )
    if settings.get("grid"):
        settings = choose(fit, settings, train, weights, ids, roles, **options)
        logger.info("chosen by held-out training rows: %s", settings)
    return Fitted(
        _learn(settings, train, weights, roles, ids, **options),
        lambda: held_out(fit, settings, train, weights, ids, roles, left_out=left_out, **options),
    )


def _shares(
    settings: dict[str, Any], members: list[Fitted], schema: GroupSchema
) -> np.ndarray | None:
    """Return how much each member of an ensemble counts; None: all the same."""
    if settings["shares"] == "equal":
        return None
    held = [member.held_out for member in members]
    shares = shares_of([one.scores for one in held], schema.target_of(held[0].groups))
    kinds = [member["kind"] for member in settings["members"]]
    told = ", ".join(f"{kind} {share:.2f}" for kind, share in zip(kinds, shares, strict=True))
    logger.info("shares of the members by held-out training rows: %s", told)
    return shares


def _mean_held_out(members: list[HeldOut], shares: np.ndarray | None) -> HeldOut:
    # One seed deals all of them the same folds, so their rows are the same.
    scores = np.average([held.scores for held in members], axis=0, weights=shares)
    return replace(members[0], scores=scores)


def _learn(
    settings: dict[str, Any],
    train: pa.Table,
    weights: np.ndarray | None,
    roles: Roles,
    row_ids: np.ndarray,
    *,
    seed: int,
    threads: int,
) -> Score:
    """Fit a classifier that is no ensemble, has no grid and is not recalibrated; see `fit`."""
    schema = GroupSchema.of(roles)
    if weights is not None and np.ptp(weights) == 0:
        # Equal weights are no weights; the forest then takes its faster path.
        weights = None
    groups = schema.index(train)
    y = schema.target_of(groups)
    present = np.unique(y if weights is None else y[weights > 0])
    n_levels = schema.shape[-1]
    if len(present) == 1:
        sure = np.eye(n_levels)[present]
        return lambda rows: _told(np.repeat(sure, rows.num_rows, axis=0))
    # What it sees, and how it learns, is its base's where it has one.
    inner = settings.get("base", settings)
    kind = inner["kind"]
    native = kind in _NATIVE
    design = DesignMatrix.fit(
        train, roles, inner["features"], native=native, attributes=inner["attributes"]
    )
    classifier = CLASSIFIERS[kind](inner, seed, threads) if kind in CLASSIFIERS else None
    if native and any(design.categorical):
        inside = "estimator__" if hasattr(classifier, "estimator") else ""
        classifier.set_params(**{f"{inside}categorical_features": design.categorical})
    x, weighted = design.of(train), {}
    if settings["kind"] in by_name.KINDS:
        fold = real_folds(train, row_ids, roles, FOLDS, seed)[1]
        rows = TrainingRows(x, y, schema.subgroup_of(groups), weights, fold, n_levels)
        learn = by_name.learner(settings["kind"])
        predict = learn(settings, rows, classifier, seed, threads)
        return lambda rows: _told(predict(design.of(rows)))
    if weights is not None and kind in _WITHOUT_WEIGHTS:
        drawn = resample(weights, seed)
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
    return {weight_name(classifier): weights}
