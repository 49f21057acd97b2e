# SPDX-License-Identifier: MIT
"""Features in units of each subgroup: what lies behind them is shared, their margins are not."""

from dataclasses import dataclass

import numpy as np

_PRIOR_ROWS = 5.0
"""A subgroup's moments weigh as its rows, those of all rows as this many."""


@dataclass(frozen=True)
class SubgroupScaling:
    """Mean and deviation of each feature in each subgroup, learnt from training rows.

    A subgroup of few rows borrows from the whole: its moments are the means of its own and of all
    rows', weighted with n_s and 5 rows.

    Attributes
    ----------
    means, deviations : ndarray of float64, shape (n_subgroups, d)

    Examples
    --------
    >>> rows = np.array([[1.0], [3.0], [11.0], [13.0]])
    >>> scaling = SubgroupScaling.fit(rows, np.array([0, 0, 1, 1]), 2)
    >>> standard = scaling.transform(rows, np.array([0, 0, 1, 1]))
    >>> bool(np.allclose(scaling.inverse(standard, np.array([0, 0, 1, 1])), rows))
    True
    """

    means: np.ndarray
    deviations: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, subgroups: np.ndarray, n_subgroups: int) -> "SubgroupScaling":
        """Learn from training rows.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, d)
        subgroups : ndarray of int64, shape (n,)
            In [0, n_subgroups).
        n_subgroups : int
            Subgroups without a row get the moments of all rows.
        """
        counts = np.bincount(subgroups, minlength=n_subgroups)[:, None].astype(np.float64)
        overall, spread = rows.mean(axis=0), rows.var(axis=0)
        sums = np.zeros((n_subgroups, rows.shape[1]))
        np.add.at(sums, subgroups, rows)
        own = sums / np.maximum(counts, 1.0)
        squares = np.zeros_like(sums)
        np.add.at(squares, subgroups, np.square(rows - own[subgroups]))
        share = counts / (counts + _PRIOR_ROWS)
        variances = share * squares / np.maximum(counts, 1.0) + (1.0 - share) * spread
        # A constant feature stays 0 instead of becoming NaN.
        variances[variances == 0.0] = 1.0
        return cls(share * own + (1.0 - share) * overall, np.sqrt(variances))

    def transform(self, rows: np.ndarray, subgroups: np.ndarray) -> np.ndarray:
        """Return rows in deviations from their subgroup's mean, shape (n, d)."""
        return (rows - self.means[subgroups]) / self.deviations[subgroups]

    def inverse(self, rows: np.ndarray, subgroups: np.ndarray) -> np.ndarray:
        """Return what `transform` was given, shape (n, d)."""
        return rows * self.deviations[subgroups] + self.means[subgroups]
