# SPDX-License-Identifier: MIT
"""Column-wise scalings of a numeric matrix: standard scores, also by subgroup, and quantiles."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# A uniform number of 0 or 1 has an infinite normal quantile; this bound keeps |z| below 5.2. What
# is so near an end decodes to the end, with room for scores that were rounded to float32.
_EDGE = 1e-7
_NEAR_END = 1.01 * _EDGE
_MAX_QUANTILES = 1000
_MIN_QUANTILES = 10
_ROWS_PER_QUANTILE = 30
MAX_ROWS_FITTED = 100_000
"""Quantiles are those of all rows, or of so many drawn among them, and the extremes of all."""
# A subgroup's moments weigh as its rows do, those of all rows as this many.
_PRIOR_ROWS = 5.0


@dataclass(frozen=True)
class StandardScaling:
    """Subtract the mean, divide by the standard deviation (1 for a constant column).

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (d,)
    """

    mean: np.ndarray
    scale: np.ndarray

    name = "standard"

    @classmethod
    def fit(
        cls, columns: Iterable[np.ndarray], n_rows: int, within: np.ndarray | None = None
    ) -> "StandardScaling":
        """Learn from d columns of training rows, float64 of shape (n,) each, taken up in turn."""
        moments = [(x.mean(), 1.0 if _constant(x) else x.std()) for x in columns]
        mean, scale = np.array(moments).reshape(-1, 2).T.copy()
        return cls(mean, scale)

    def transform(self, values: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Return the scores of values in raw units, both (n, d)."""
        return (values - self.mean) / self.scale

    def inverse(self, scores: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Return the values in raw units of scores, both (n, d)."""
        return scores * self.scale + self.mean

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that is needed to rebuild it."""
        return {"mean": self.mean, "scale": self.scale}


@dataclass(frozen=True)
class QuantileScaling:
    """Map each column to a standard normal through its empirical quantiles.

    Fitted with scikit-learn's ``QuantileTransformer``; applied with numpy and scipy alone, and
    equal to it. The number of quantiles is max(min(n // 30, 1000), 10), after TabDDPM (MIT).

    Attributes
    ----------
    quantiles : ndarray of float64, shape (n_quantiles, d)
        Values at equally spaced probabilities from 0 to 1.
    """

    quantiles: np.ndarray

    name = "quantile"

    @classmethod
    def fit(
        cls, columns: Iterable[np.ndarray], n_rows: int, within: np.ndarray | None = None
    ) -> "QuantileScaling":
        """Learn from d columns of training rows, float64 of shape (m,) each, taken up in turn.

        They are of all `n_rows` rows, or of those that `fitted_rows` names.
        """
        from sklearn.preprocessing import QuantileTransformer

        wanted = max(min(n_rows // _ROWS_PER_QUANTILE, _MAX_QUANTILES), _MIN_QUANTILES)
        transformer = QuantileTransformer(
            n_quantiles=min(wanted, n_rows), output_distribution="normal", subsample=None
        )
        found = [transformer.fit(x[:, None]).quantiles_[:, 0] for x in columns]
        return cls(np.stack(found, axis=1))

    def transform(self, values: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Return the scores of values in raw units, both (n, d)."""
        from scipy.special import ndtri

        probabilities = np.linspace(0.0, 1.0, len(self.quantiles))
        uniform = np.empty_like(values)
        for column, quantiles in enumerate(self.quantiles.T):
            # Ties make the map many-valued; the mean of its lowest and highest value is taken.
            ascending = np.interp(values[:, column], quantiles, probabilities)
            descending = np.interp(-values[:, column], -quantiles[::-1], -probabilities[::-1])
            uniform[:, column] = 0.5 * (ascending - descending)
        return ndtri(np.clip(uniform, _EDGE, 1 - _EDGE))

    def inverse(self, scores: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Return the values in raw units of scores, both (n, d)."""
        from scipy.special import ndtr

        # The probabilities are equally spaced, so that places need no search.
        last = len(self.quantiles) - 1
        uniform = ndtr(scores)
        uniform = np.where(uniform < _NEAR_END, 0.0, uniform)
        places = np.where(uniform > 1 - _NEAR_END, 1.0, uniform) * last
        before = np.minimum(places.astype(np.int64), last - 1)
        low = np.take_along_axis(self.quantiles, before, axis=0)
        high = np.take_along_axis(self.quantiles, before + 1, axis=0)
        return low + (places - before) * (high - low)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that is needed to rebuild it."""
        return {"quantiles": self.quantiles}


@dataclass(frozen=True)
class SubgroupScaling:
    """Subtract the mean of the row's subgroup, divide by its standard deviation.

    What lies behind the columns is then shared by subgroups, and their margins are not.

    A subgroup of few rows borrows from the whole: its moments are the means of its own and of all
    rows', weighted with n_s and 5 rows.

    Attributes
    ----------
    means, deviations : ndarray of float64, shape (n_subgroups + 1, d)
        The last is of all rows, for subgroups above those seen in training

    Examples
    --------
    >>> rows = np.array([[1.0], [3.0], [11.0], [13.0]])
    >>> scaling = SubgroupScaling.fit(rows.T, 4, np.array([0, 0, 1, 1]))
    >>> standard = scaling.transform(rows, np.array([0, 0, 1, 1]))
    >>> bool(np.allclose(scaling.inverse(standard, np.array([0, 0, 1, 1])), rows))
    True
    """

    means: np.ndarray
    deviations: np.ndarray

    name = "within_subgroup"

    @classmethod
    def fit(
        cls, columns: Iterable[np.ndarray], n_rows: int, within: np.ndarray
    ) -> "SubgroupScaling":
        """Learn from d columns of training rows, float64 of shape (n,) each, taken up in turn.

        Parameters
        ----------
        columns : iterable of ndarray
        n_rows : int
        within : ndarray of int64, shape (n,)
            Numbers from 0; one that no row has, below another that some have, gets the moments of
            all rows, and so do those above in `transform`.
        """
        # One more, for subgroups above the highest seen.
        n_parts = int(within.max()) + 2
        counts = np.bincount(within, minlength=n_parts).astype(np.float64)
        rows, share = np.maximum(counts, 1.0), counts / (counts + _PRIOR_ROWS)
        means, deviations = [], []
        for values in columns:
            own = np.bincount(within, weights=values, minlength=n_parts) / rows
            gaps = np.square(values - own[within])
            squares = np.bincount(within, weights=gaps, minlength=n_parts)
            variances = share * squares / rows + (1.0 - share) * values.var()
            # A constant feature stays 0.
            deviations.append(np.ones(n_parts) if _constant(values) else np.sqrt(variances))
            means.append(share * own + (1.0 - share) * values.mean())
        return cls(np.stack(means, axis=1), np.stack(deviations, axis=1))

    def transform(self, values: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Return the scores of values in raw units, both (n, d), row by row `within` its own."""
        place = self._place(within)
        return (values - self.means[place]) / self.deviations[place]

    def inverse(self, scores: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Return the values in raw units of scores, both (n, d), row by row `within` its own."""
        place = self._place(within)
        return scores * self.deviations[place] + self.means[place]

    def _place(self, within: np.ndarray) -> np.ndarray:
        return np.minimum(within, len(self.means) - 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that is needed to rebuild it."""
        return {"means": self.means, "deviations": self.deviations}


class GroupScaling(SubgroupScaling):
    """The same with groups for subgroups: no margin is shared by the outcomes either."""

    name = "within_group"


def _constant(values: np.ndarray) -> bool:
    # Not by the deviation, which rounding leaves above 0 where the mean is not exact.
    return bool(np.ptp(values) == 0.0)


def fitted_rows(n_rows: int, seed: int) -> np.ndarray | None:
    """Return the rows that quantiles are taken from, rising; None for all of them."""
    if n_rows <= MAX_ROWS_FITTED:
        return None
    rng = np.random.default_rng([seed, 3])
    return np.sort(rng.choice(n_rows, MAX_ROWS_FITTED, replace=False))


Scaling = StandardScaling | QuantileScaling | SubgroupScaling

SCALINGS: dict[str, type[Scaling]] = {
    scaling.name: scaling
    for scaling in (StandardScaling, QuantileScaling, SubgroupScaling, GroupScaling)
}
