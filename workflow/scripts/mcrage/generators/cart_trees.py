# SPDX-License-Identifier: MIT
"""Decision trees as arrays: what a row sees of the columns before, and the leaf that it reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.encoding.mixed import MixedEncoding
from mcrage.groups import GroupSchema


@dataclass(frozen=True)
class Columns:
    """Which features have a tree, in which order, and what is put in for their missing values.

    Attributes
    ----------
    modelled : tuple of int
        Features with a tree, in the table's order.
    derived : tuple of int
        Features that are recomputed.
    usual : ndarray of float64, shape (n_features,)
        What stands for a missing value that is to be imputed; NaN for other features.
    lower, upper : ndarray of float64, shape (n_features,)
        Bounds of numbers: those declared, else the range of training rows.
    """

    modelled: tuple[int, ...]
    derived: tuple[int, ...]
    usual: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, features: Sequence[Feature], derive: bool) -> "Columns":
        """Learn from training rows, float64 of shape (n, n_features)."""
        encoding = MixedEncoding.fit(rows, features, derive=derive, spikes="none")
        lower, upper = np.full((2, len(features)), np.nan)
        derived: tuple[int, ...] = ()
        if encoding.numeric is not None:
            own = [encoding.numbers[place] for place in encoding.numeric.modelled]
            lower[own], upper[own] = encoding.numeric.lower, encoding.numeric.upper
            derived = tuple(place for place in encoding.numbers if place not in own)
        modelled = tuple(i for i in range(len(features)) if i not in derived)
        return cls(modelled, derived, encoding.usual, lower, upper)

    def complete(self, rows: np.ndarray) -> np.ndarray:
        """Return rows with what is usual in place of values to be imputed."""
        return np.where(np.isnan(rows) & ~np.isnan(self.usual), self.usual, rows)


def seen(
    rows: np.ndarray, groups: np.ndarray, before: Sequence[int], schema: GroupSchema
) -> np.ndarray:
    """Return what a tree goes by: the group's factors, and the columns before.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, n_features)
    groups : ndarray of int64, shape (n,)
    before : sequence of int
        Features.
    schema : GroupSchema

    Returns
    -------
    ndarray of float64, shape (n, n_factors + len(before))
        Levels as their places.
    """
    return np.concatenate([schema.indices_of(groups).T, rows[:, list(before)]], axis=1)


def ordered(values: np.ndarray, ranks: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return values with levels by their ranks, so that a threshold parts any best two sets.

    Parameters
    ----------
    values : ndarray of float64, shape (n, p)
    ranks : ndarray of float, shape (sum of sizes,)
        Of the levels of each column with levels; the last of each is of what is missing.
    sizes : sequence of int, length p
        Levels of each column and one more; 0 of numbers.

    Returns
    -------
    ndarray of float32, shape (n, p)
        As scikit-learn's trees compare them.
    """
    out = values.astype(np.float32)
    start = 0
    for column, size in enumerate(sizes):
        if size:
            codes = np.where(np.isnan(values[:, column]), size - 1, values[:, column])
            out[:, column] = ranks[start : start + size][codes.astype(np.int64)]
            start += size
    return out


def sizes_of(features: Sequence[Feature], before: Sequence[int], schema: GroupSchema) -> list[int]:
    """Return `sizes` of `ordered` for what `seen` returns."""
    levels = [len(features[place].levels) for place in before]
    return [size + 1 for size in schema.shape] + [n + 1 if n else 0 for n in levels]


def leaves(tree: Mapping[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return the leaf that each row reaches.

    Parameters
    ----------
    tree : mapping of str to ndarray
        ``feature`` (-2 in leaves), ``threshold``, ``left``, ``right``, ``missing_left``, by node.
    values : ndarray of float32, shape (n, p)
        See `ordered`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbers of nodes.
    """
    node = np.zeros(len(values), dtype=np.int64)
    going = np.arange(len(values)) if tree["feature"][0] >= 0 else np.empty(0, dtype=np.int64)
    while len(going):
        at = node[going]
        value = values[going, tree["feature"][at]]
        left = np.where(
            np.isnan(value), tree["missing_left"][at] > 0, value <= tree["threshold"][at]
        )
        node[going] = np.where(left, tree["left"][at], tree["right"][at])
        going = going[tree["feature"][node[going]] >= 0]
    return node
