# SPDX-License-Identifier: MIT
"""What a fitted classifier gives, and what a kind with a module of its own learns from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.out_of_fold import HeldOut

Score = Callable[[pa.Table], np.ndarray]
"""Rows to probabilities in [0, 1], float64; of the positive level, shape (n,), or where the target
has more than two levels of each level, shape (n, n_levels)."""


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier; called with rows it gives their scores.

    Attributes
    ----------
    score : callable
        See `Score`.
    hold_out : callable
        Gives `held_out`.
    """

    score: Score
    hold_out: Callable[[], HeldOut]

    def __call__(self, rows: pa.Table) -> np.ndarray:
        """Return the scores of rows."""
        return self.score(rows)

    @cached_property
    def held_out(self) -> HeldOut:
        """Scores of real training rows by such classifiers that did not see them.

        Cost: `mcrage.classifiers.out_of_fold.FOLDS` fits, once, and only if asked for.
        """
        return self.hold_out()


@dataclass(frozen=True)
class TrainingRows:
    """What a kind with a module of its own learns from.

    Attributes
    ----------
    x : ndarray of float64, shape (n, n_columns)
    y : ndarray of int64, shape (n,)
        Levels of the target.
    subgroup : ndarray of int64, shape (n,)
    weights : ndarray of float64, shape (n,), or None
        None: all equal.
    fold : ndarray of int64, shape (n,)
        See `mcrage.classifiers.out_of_fold.real_folds`.
    n_levels : int
        Of the target.
    """

    x: np.ndarray
    y: np.ndarray
    subgroup: np.ndarray
    weights: np.ndarray | None
    fold: np.ndarray
    n_levels: int

    def resampled(self, seed: int) -> "TrainingRows":
        """Return as many rows drawn with replacement, each as likely as it weighs."""
        if self.weights is None:
            return self
        drawn = resample(self.weights, seed)
        kept = (array[drawn] for array in (self.x, self.y, self.subgroup))
        return TrainingRows(*kept, None, self.fold[drawn], self.n_levels)


def resample(weights: np.ndarray, seed: int) -> np.ndarray:
    """Return as many row numbers, each as likely as its row weighs."""
    return np.random.default_rng(seed).choice(len(weights), len(weights), p=weights / weights.sum())


def weight_name(classifier: Any) -> str:
    """Return by what name a classifier, or the last step of a pipeline, is told rows' weights."""
    last = f"{classifier.steps[-1][0]}__" if hasattr(classifier, "steps") else ""
    return f"{last}sample_weight"
