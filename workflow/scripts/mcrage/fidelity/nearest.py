# SPDX-License-Identifier: MIT
"""How near rows lie to the training rows of their group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.fidelity.space import Search, Space

# So many rows of a group tell how near its rows lie to each other.
_MAX_ASKED = 10_000


@dataclass(frozen=True)
class Nearest:
    """Training rows, ready to be asked how near others lie to those of the same group.

    Distances are those of `mcrage.fidelity.space`, scaled by all training rows: in standard
    deviations for numbers, 1 for two different levels.

    Attributes
    ----------
    space : Space
    groups : ndarray of int64, shape (n,)
    searches : dict of int to Search
        By group; groups without rows have none.

    Examples
    --------
    >>> rows = np.array([[0.0], [2.0], [10.0]])
    >>> nearest = Nearest.of(rows, np.array([0, 0, 1]), [Feature("a", "A")])
    >>> (nearest.distances(np.array([[1.5]]), np.array([0])) * rows.std()).round(6).tolist()
    [[0.5]]
    """

    space: Space
    groups: np.ndarray
    searches: dict[int, Search]

    @classmethod
    def of(cls, rows: np.ndarray, groups: np.ndarray, features: Sequence[Feature]) -> "Nearest":
        """Take training rows.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, d)
            Raw units; see `mcrage.encoding.columns.feature_matrix`.
        groups : ndarray of int64, shape (n,)
        features : sequence of Feature
        """
        space = Space.of(rows, features)
        points = space.points(rows)
        searches = {int(k): Search.of(points.take(groups == k)) for k in np.unique(groups)}
        return cls(space, groups, searches)

    def distances(self, rows: np.ndarray, groups: np.ndarray, k: int = 1) -> np.ndarray:
        """Return the distances of rows to the k nearest training rows of their group.

        Parameters
        ----------
        rows : ndarray of float64, shape (m, d)
            Raw units; not the training rows themselves (see `own`).
        groups : ndarray of int64, shape (m,)
        k : int

        Returns
        -------
        ndarray of float64, shape (m, k)
            Ascending; infinite where a group has fewer than k training rows.
        """
        out = np.full((len(groups), k), np.inf)
        points = self.space.points(rows)
        for group, search in self.searches.items():
            mine = np.flatnonzero(groups == group)
            known = min(k, len(search.points))
            if len(mine):
                out[mine, :known] = search.nearest(points.take(mine), known)[0]
        return out

    def own(self) -> np.ndarray:
        """Return each training row's distance to the nearest other one of its group.

        Returns
        -------
        ndarray of float64, shape (n,)
            Infinite for the only row of a group; NaN where it was not looked for (see
            `mcrage.fidelity.space.Search.among`).
        """
        out = np.full(len(self.groups), np.inf)
        for group, search in self.searches.items():
            out[self.groups == group] = search.among(_MAX_ASKED)
        return out


def typical(own: np.ndarray, groups: np.ndarray) -> dict[int, float]:
    """Return the median distance of a group's training rows to each other, by group.

    Parameters
    ----------
    own : ndarray of float64, shape (n,)
        The result of `Nearest.own`.
    groups : ndarray of int64, shape (n,)

    Returns
    -------
    dict of int to float
        Without groups of one row, and those most of whose rows are equal to another.
    """
    found = {int(group): float(np.nanmedian(own[groups == group])) for group in np.unique(groups)}
    return {group: value for group, value in found.items() if 0 < value < np.inf}


def quantiles(
    distances: np.ndarray, groups: np.ndarray, level: float, typical: dict[int, float]
) -> dict[int, tuple[float, float, int]]:
    """Return a low quantile of each group's distances.

    A quantile at level p needs 1/p rows to be more than their smallest. A group with fewer borrows
    from the others: its distances and theirs are divided by what is typical of each group (a dense
    group and a sparse one then look alike, as far as their dimension is the same), and the quantile
    of all together is multiplied by what is typical of this one.

    Parameters
    ----------
    distances : ndarray of float64, shape (m,)
    groups : ndarray of int64, shape (m,)
    level : float in (0, 1)
    typical : dict of int to float
        See `typical`; groups that are not in it get no quantile and lend none.

    Returns
    -------
    dict of int to (float, float, int)
        By group: the quantile, the share of distances below it (ties make it smaller than
        `level`) and the number of distances that it rests on.
    """
    scale = np.array([typical.get(int(group), np.nan) for group in groups])
    relative = distances / scale
    relative = relative[np.isfinite(relative)]
    out = {}
    for group, unit in typical.items():
        mine = distances[groups == group]
        mine = mine[~np.isnan(mine)]
        if len(mine) >= 1 / level:
            value = float(np.quantile(mine, level))
            out[group] = (value, float(np.mean(mine < value)), len(mine))
        elif len(relative):
            value = float(np.quantile(relative, level))
            out[group] = (value * unit, float(np.mean(relative < value)), len(relative))
    return out
