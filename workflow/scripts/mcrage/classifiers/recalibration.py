# SPDX-License-Identifier: MIT
"""Recalibration: a rising map from scores to probabilities, fitted on held-out training rows.

- Platt (1999): logistic regression of the outcome on the score's log odds, with his targets, which
  are a little short of 0 and 1, so that separated outcomes give no endless slope.
- Isotonic (Zadrozny and Elkan 2002): the rising step function with the least squared error, kept
  within 1/(n + 2) of 0 and 1: n rows can't show more.

A subgroup has a map of its own only where it has enough rows of either outcome (`FEWEST`), since a
map of a few rows is noise; a smaller one has everyone's. Of more than two levels each has a map
against all others, and the results are scaled to sum to 1, as scikit-learn does.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.fitted import Fitted
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)

FEWEST = {"platt": 20, "isotonic": 100}
"""Rows of either outcome that a subgroup's own map needs: ten for each of Platt's two numbers."""
_SMALLEST = 1e-6
"""Scores are kept this far from 0 and 1 in log odds."""

Map = Callable[[np.ndarray], np.ndarray]
"""Scores of shape (n,) to probabilities of shape (n,)."""


def platt(y: np.ndarray, score: np.ndarray) -> Map:
    """Fit Platt's map.

    Parameters
    ----------
    y : ndarray of bool, shape (n,)
        With both outcomes.
    score : ndarray of float64, shape (n,)
    """
    from sklearn.linear_model import LogisticRegression

    up, down = int(y.sum()), int((~y).sum())
    targets = np.where(y, (up + 1) / (up + 2), 1 / (down + 2))
    # A target between 0 and 1 is a row of either outcome, weighted.
    odds = np.tile(log_odds(score), 2)[:, None]
    outcomes = np.repeat([1, 0], len(y))
    weights = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8)
    model.fit(odds, outcomes, sample_weight=weights)
    return lambda scores: model.predict_proba(log_odds(scores)[:, None])[:, 1]


def isotonic(y: np.ndarray, score: np.ndarray) -> Map:
    """Fit the isotonic map; see `platt`."""
    from sklearn.isotonic import IsotonicRegression

    most = 1 / (len(y) + 2)
    model = IsotonicRegression(y_min=most, y_max=1 - most, out_of_bounds="clip")
    return model.fit(score, y).predict


def log_odds(score: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 − p)) of scores in [0, 1]."""
    kept = np.clip(score, _SMALLEST, 1 - _SMALLEST)
    return np.log(kept) - np.log1p(-kept)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Map]] = {"platt": platt, "isotonic": isotonic}


def maps(
    method: str, y: np.ndarray, score: np.ndarray, subgroup: np.ndarray, n_subgroups: int
) -> list[Map | None]:
    """Fit a map for each subgroup.

    Parameters
    ----------
    method : {"platt", "isotonic"}
    y : ndarray of bool, shape (n,)
    score : ndarray of float64, shape (n,)
    subgroup : ndarray of int64, shape (n,)
    n_subgroups : int

    Returns
    -------
    list of callable or None
        None: it has everyone's.
    """
    found: list[Map | None] = []
    for number in range(n_subgroups):
        mine = subgroup == number
        fewest = min(int(np.sum(y[mine])), int(np.sum(~y[mine])))
        own = fewest >= FEWEST[method]
        found.append(METHODS[method](y[mine], score[mine]) if own else None)
    return found


def recalibrated(plain: Fitted, settings: dict[str, Any], schema: GroupSchema) -> Fitted:
    """Return a classifier whose scores are recalibrated.

    Parameters
    ----------
    plain : Fitted
    settings : dict
        ``recalibration``, ``platt`` or ``isotonic``, and ``recalibrate_by``, ``all`` or
        ``subgroup``.
    schema : GroupSchema

    Returns
    -------
    Fitted
        Its held-out scores went through maps that were fitted on all of them.
    """
    held = plain.held_out
    n_levels = schema.shape[-1]
    y = schema.target_of(held.groups)
    subgroup = schema.subgroup_of(held.groups)
    by_subgroup = settings["recalibrate_by"] == "subgroup"
    levels = [1] if n_levels == 2 else range(n_levels)
    fitted: list[tuple[Map | None, list[Map | None]]] = []
    for level in levels:
        score = held.scores if n_levels == 2 else held.scores[:, level]
        outcome = y == level
        method = settings["recalibration"]
        everyone = METHODS[method](outcome, score) if len(np.unique(outcome)) == 2 else None
        own: list[Map | None] = [None] * schema.n_subgroups
        if by_subgroup:
            own = maps(method, outcome, score, subgroup, schema.n_subgroups)
        fitted.append((everyone, own))
        _tell(schema, level, method, everyone, own, by_subgroup)

    def applied(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
        columns = scores[:, None] if scores.ndim == 1 else scores
        mapped = [
            _apply(column, schema.subgroup_of(groups), *pair)
            for column, pair in zip(columns.T, fitted, strict=True)
        ]
        if scores.ndim == 1:
            return mapped[0]
        together = np.column_stack(mapped)
        return together / together.sum(axis=1, keepdims=True)

    def score(rows: pa.Table) -> np.ndarray:
        return applied(plain(rows), schema.index(rows))

    return Fitted(score, lambda: replace(held, scores=applied(held.scores, held.groups)))


def _apply(
    scores: np.ndarray, subgroup: np.ndarray, everyone: Map | None, own: list[Map | None]
) -> np.ndarray:
    out = scores.copy()
    for number in np.unique(subgroup):
        chosen = own[number] or everyone
        if chosen is not None:
            mine = subgroup == number
            out[mine] = chosen(scores[mine])
    return out


def _tell(
    schema: GroupSchema,
    level: int,
    method: str,
    everyone: Map | None,
    own: list[Map | None],
    by_subgroup: bool,
) -> None:
    outcome = f"outcome {schema.levels[-1][level]}"
    if everyone is None:
        logger.warning(
            "recalibration: held-out training rows all have %s or none has; scores stay as they "
            "are",
            outcome,
        )
    elif by_subgroup:
        small = [schema.subgroup_label(k) for k, found in enumerate(own) if found is None]
        if small:
            logger.info(
                "recalibration of %s: fewer than %d held-out rows with it, or without it, so "
                "everyone's map for %s",
                outcome,
                FEWEST[method],
                "; ".join(small),
            )
