# SPDX-License-Identifier: MIT
"""How near rows lie to the training rows of their group."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.neighbors import NearestNeighbors


@dataclass(frozen=True)
class Nearest:
    """Training rows, ready to be asked how near others lie to those of the same group.

    Distances are Euclidean over all features, each divided by its standard deviation over all
    training rows (1 for a constant feature): the space in which generators learn.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (d,)
    groups : ndarray of int64, shape (n,)
    trees : dict of int to NearestNeighbors
        By group, of the standardised training rows; groups without rows have none.

    Examples
    --------
    >>> rows = np.array([[0.0], [2.0], [10.0]])
    >>> nearest = Nearest.of(rows, np.array([0, 0, 1]))
    >>> (nearest.distances(np.array([[1.5]]), np.array([0])) * rows.std()).round(6).tolist()
    [[0.5]]
    """

    mean: np.ndarray
    scale: np.ndarray
    groups: np.ndarray
    trees: dict[int, "NearestNeighbors"]

    @classmethod
    def of(cls, features: np.ndarray, groups: np.ndarray) -> "Nearest":
        """Take training rows.

        Parameters
        ----------
        features : ndarray of float64, shape (n, d)
            Raw units.
        groups : ndarray of int64, shape (n,)
        """
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        scores = (features - mean) / scale
        trees = {int(group): fit_tree(scores[groups == group]) for group in np.unique(groups)}
        return cls(mean, scale, groups, trees)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return features in raw units, shape (m, d), standardised."""
        return (features - self.mean) / self.scale

    def distances(self, features: np.ndarray, groups: np.ndarray, k: int = 1) -> np.ndarray:
        """Return the distances of rows to the k nearest training rows of their group.

        Parameters
        ----------
        features : ndarray of float64, shape (m, d)
            Raw units; not the training rows themselves (see `own`).
        groups : ndarray of int64, shape (m,)
        k : int

        Returns
        -------
        ndarray of float64, shape (m, k)
            Ascending; infinite where a group has fewer than k training rows.
        """
        out = np.full((len(groups), k), np.inf)
        scores = self.scores(features)
        for group, tree in self.trees.items():
            mine = np.flatnonzero(groups == group)
            known = min(k, tree.n_samples_fit_)
            if len(mine):
                out[mine, :known] = tree.kneighbors(scores[mine], known)[0]
        return out

    def own(self) -> np.ndarray:
        """Return each training row's distance to the nearest other one of its group.

        Returns
        -------
        ndarray of float64, shape (n,)
            Infinite for the only row of a group.
        """
        out = np.full(len(self.groups), np.inf)
        for group, tree in self.trees.items():
            if tree.n_samples_fit_ > 1:
                # Without rows to ask about, scikit-learn leaves each out of its own neighbours.
                out[self.groups == group] = tree.kneighbors(n_neighbors=1)[0][:, 0]
        return out


def fit_tree(scores: np.ndarray) -> "NearestNeighbors":
    """Return a search structure over standardised rows, shape (n, d)."""
    from sklearn.neighbors import NearestNeighbors

    # A tree is exact to the last bit, so that copies have distance 0; the brute force that
    # scikit-learn would choose for many columns is not.
    return NearestNeighbors(algorithm="kd_tree").fit(scores)


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
    found = {int(group): float(np.median(own[groups == group])) for group in np.unique(groups)}
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
        if len(mine) >= 1 / level:
            value = float(np.quantile(mine, level))
            out[group] = (value, float(np.mean(mine < value)), len(mine))
        elif len(relative):
            value = float(np.quantile(relative, level))
            out[group] = (value * unit, float(np.mean(relative < value)), len(relative))
    return out
