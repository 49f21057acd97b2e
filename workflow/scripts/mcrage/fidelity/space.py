# SPDX-License-Identifier: MIT
"""The space in which rows of any columns lie near to each other or far: numbers and levels.

A number counts by its difference, in standard deviations of the training rows. Two different levels
are at distance 1, as their one-hot codes divided by √2 are, and a missing value is one more level.
Of a number that may be missing, the state (there or missing) is such a level beside it, and a
missing value lies at the mean: so it is at distance 1 from the mean, and at 0 from another missing
one. Squares of the distances of single columns add up. On complete numbers this is the Euclidean
distance of standardised features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Feature

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors

# Pairs of rows held in memory at a time.
_PAIRS = 4_000_000
# Candidates beyond the k nearest whose distances are taken anew to the last bit.
_SPARE = 4


@dataclass(frozen=True)
class Points:
    """Rows in a space.

    Attributes
    ----------
    numbers : ndarray of float64, shape (n, p)
        Scaled, 0 where missing.
    codes : ndarray of int32, shape (n, q)
        Of levels, and of the states of numbers that may be missing; -1 is a missing level.
    mismatch : float
        Squared distance of two different codes.
    """

    numbers: np.ndarray
    codes: np.ndarray
    mismatch: float = 1.0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> "Points":
        """Return the given rows, by number or by mask."""
        return Points(self.numbers[rows], self.codes[rows], self.mismatch)

    def radii(self, centre: "Points") -> np.ndarray:
        """Return the distances to the mean of other points, whose levels count by their shares.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        squares = ((self.numbers - centre.numbers.mean(axis=0)) ** 2).sum(axis=1)
        for column in range(self.codes.shape[1]):
            levels, counts = np.unique(centre.codes[:, column], return_counts=True)
            shares = counts / counts.sum()
            place = np.searchsorted(levels, self.codes[:, column]).clip(0, len(levels) - 1)
            mine = np.where(levels[place] == self.codes[:, column], shares[place], 0.0)
            squares += self.mismatch / 2 * (1 - 2 * mine + (shares**2).sum())
        return np.sqrt(squares)


@dataclass(frozen=True)
class Space:
    """How rows become points; learnt from training rows.

    Attributes
    ----------
    features : tuple of Feature
    centre, scale : ndarray of float64, shape (p,)
        Of the columns that are numbers.
    mismatch : float
        Squared distance of two different levels.

    Examples
    --------
    >>> features = (Feature("a", "A"), Feature("b", "B", kind="category", levels=("x", "y")))
    >>> space = Space.of(np.array([[0.0, 0], [2.0, 1]]), features)
    >>> search = Search.of(space.points(np.array([[0.0, 0]])))
    >>> search.nearest(space.points(np.array([[1.0, 0], [0.0, 1], [1.0, np.nan]])))[0].tolist()
    [[1.0], [1.0], [1.4142135623730951]]
    """

    features: tuple[Feature, ...]
    centre: np.ndarray
    scale: np.ndarray
    mismatch: float = 1.0

    @classmethod
    def of(cls, rows: np.ndarray, features: Sequence[Feature]) -> "Space":
        """Take means and standard deviations (1 for a constant column) of present values.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, d)
            See `mcrage.encoding.columns.feature_matrix`.
        features : sequence of Feature
        """
        numbers = rows[:, _numeric(features)]
        if np.isnan(numbers).any():
            # A column without any value has no mean; nothing lies far from anything in it.
            known = ~np.isnan(numbers)
            n = np.maximum(known.sum(axis=0), 1)
            mean = np.where(known, numbers, 0).sum(axis=0) / n
            spread = np.sqrt((np.where(known, numbers - mean, 0) ** 2).sum(axis=0) / n)
        else:
            mean, spread = numbers.mean(axis=0), numbers.std(axis=0)
        return cls(tuple(features), mean, np.where(spread > 0, spread, 1.0))

    @classmethod
    def in_range(cls, rows: np.ndarray, features: Sequence[Feature]) -> "Space":
        """Take the least and the largest value for 0 and 1, and levels one-hot: √2 apart.

        The space in which published tables of α-precision and β-recall are measured.
        """
        numbers = rows[:, _numeric(features)]
        known = ~np.isnan(numbers)
        low = np.where(known, numbers, np.inf).min(axis=0, initial=np.inf)
        high = np.where(known, numbers, -np.inf).max(axis=0, initial=-np.inf)
        low = np.where(np.isfinite(low), low, 0.0)
        width = np.where(high > low, high - low, 1.0)
        return cls(tuple(features), low, width, mismatch=2.0)

    def points(self, rows: np.ndarray) -> Points:
        """Return rows, float64 of shape (n, d), as points."""
        numeric = _numeric(self.features)
        missing = np.isnan(rows)
        numbers = (rows[:, numeric] - self.centre) / self.scale
        if missing.any():
            numbers[missing[:, numeric]] = 0.0
        codes = [
            np.where(missing[:, place], -1, rows[:, place]) if feature.levels else missing[:, place]
            for place, feature in enumerate(self.features)
            if feature.levels or feature.missing == "keep"
        ]
        stacked = np.stack(codes, axis=1) if codes else np.empty((len(rows), 0))
        return Points(numbers, stacked.astype(np.int32), self.mismatch)


@dataclass(frozen=True)
class Search:
    """Points that are asked for those nearest to others.

    Attributes
    ----------
    points : Points
    tree : NearestNeighbors or None
        Of numbers alone; with levels every pair of rows is compared.
    """

    points: Points
    tree: "NearestNeighbors | None"

    @classmethod
    def of(cls, points: Points) -> "Search":
        """Build the search structure."""
        if points.codes.shape[1]:
            return cls(points, None)
        from sklearn.neighbors import NearestNeighbors

        # A tree is exact to the last bit, so that copies have distance 0; the brute force that
        # scikit-learn would choose for many columns is not.
        return cls(points, NearestNeighbors(algorithm="kd_tree").fit(points.numbers))

    def nearest(self, asked: Points, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest points of each other point, the nearest first.

        Parameters
        ----------
        asked : Points
            m of them; not the points themselves (see `among`).
        k : int
            At most as many as there are points.

        Returns
        -------
        distances : ndarray of float64, shape (m, k)
            Exact: 0 for a copy.
        rows : ndarray of int64, shape (m, k)
        """
        if self.tree is not None:
            return self.tree.kneighbors(asked.numbers, k)
        return self._compared(asked, k)

    def among(self, most: int | None = None) -> np.ndarray:
        """Return each point's distance to the nearest other one.

        Parameters
        ----------
        most : int, optional
            Where every pair has to be compared, ask for so many points at most, evenly spread over
            their order.

        Returns
        -------
        ndarray of float64, shape (n,)
            Infinite for a lone point, NaN for those not asked for.
        """
        n = len(self.points)
        if n < 2:
            return np.full(n, np.inf)
        if self.tree is not None:
            # Without rows to ask about, scikit-learn leaves each out of its own neighbours.
            return self.tree.kneighbors(n_neighbors=1)[0][:, 0]
        out = np.full(n, np.nan)
        asked = np.unique(np.linspace(0, n - 1, min(n, most or n)).astype(np.int64))
        out[asked] = self._compared(self.points.take(asked), 1, own=asked)[0][:, 0]
        return out

    def _compared(
        self, asked: Points, k: int, own: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare all pairs; `own` has the row that each asked point is, which is passed over."""
        known, n = self.points, len(self.points)
        taken = min(k + _SPARE, n)
        distances, rows = np.empty((len(asked), k)), np.empty((len(asked), k), dtype=np.int64)
        squares = (known.numbers**2).sum(axis=1)
        columns = [np.ascontiguousarray(known.codes[:, c]) for c in range(known.codes.shape[1])]
        step = max(1, _PAIRS // n)
        for start in range(0, len(asked), step):
            part = asked.take(np.arange(start, min(start + step, len(asked))))
            # Fast, and exact but for the last digits.
            rough = squares - 2 * (part.numbers @ known.numbers.T)
            differing = np.zeros(rough.shape, dtype=np.uint16)
            for column, values in enumerate(columns):
                differing += part.codes[:, column, None] != values
            rough += known.mismatch * differing
            if own is not None:
                rough[np.arange(len(part)), own[start : start + step]] = np.inf
            near = np.argpartition(rough, taken - 1, axis=1)[:, :taken]
            near.sort(axis=1)
            exact = ((part.numbers[:, None] - known.numbers[near]) ** 2).sum(axis=2)
            exact += known.mismatch * (part.codes[:, None] != known.codes[near]).sum(axis=2)
            exact[np.isinf(np.take_along_axis(rough, near, axis=1))] = np.inf
            order = np.argsort(exact, axis=1, kind="stable")[:, :k]
            distances[start : start + step] = np.sqrt(np.take_along_axis(exact, order, axis=1))
            rows[start : start + step] = np.take_along_axis(near, order, axis=1)
        return distances, rows


def _numeric(features: Sequence[Feature]) -> np.ndarray:
    return np.array([feature.is_numeric for feature in features], dtype=bool)
