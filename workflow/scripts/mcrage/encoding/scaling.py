# SPDX-License-Identifier: MIT
"""Column-wise scalings of a numeric matrix: standard scores and normal quantiles."""

from dataclasses import dataclass

import numpy as np

# A uniform number of 0 or 1 has an infinite normal quantile; this bound keeps |z| below 5.2.
_EDGE = 1e-7
_MAX_QUANTILES = 1000
_MIN_QUANTILES = 10
_ROWS_PER_QUANTILE = 30
_MAX_ROWS_FITTED = 100_000


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
    def fit(cls, values: np.ndarray, seed: int) -> "StandardScaling":
        """Learn from training rows, float64 of shape (n, d); `seed` is not used."""
        scale = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return the scores of values in raw units, both (n, d)."""
        return (values - self.mean) / self.scale

    def inverse(self, scores: np.ndarray) -> np.ndarray:
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
    def fit(cls, values: np.ndarray, seed: int) -> "QuantileScaling":
        """Learn from training rows, float64 of shape (n, d); `seed` draws rows beyond 100,000."""
        from sklearn.preprocessing import QuantileTransformer

        wanted = max(min(len(values) // _ROWS_PER_QUANTILE, _MAX_QUANTILES), _MIN_QUANTILES)
        transformer = QuantileTransformer(
            n_quantiles=min(wanted, len(values)),
            output_distribution="normal",
            subsample=_MAX_ROWS_FITTED,
            random_state=seed,
        )
        return cls(transformer.fit(values).quantiles_)

    def transform(self, values: np.ndarray) -> np.ndarray:
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

    def inverse(self, scores: np.ndarray) -> np.ndarray:
        """Return the values in raw units of scores, both (n, d)."""
        from scipy.special import ndtr

        # The probabilities are equally spaced, so that places need no search.
        last = len(self.quantiles) - 1
        places = ndtr(scores) * last
        before = np.minimum(places.astype(np.int64), last - 1)
        low = np.take_along_axis(self.quantiles, before, axis=0)
        high = np.take_along_axis(self.quantiles, before + 1, axis=0)
        return low + (places - before) * (high - low)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that is needed to rebuild it."""
        return {"quantiles": self.quantiles}


SCALINGS = {scaling.name: scaling for scaling in (StandardScaling, QuantileScaling)}
