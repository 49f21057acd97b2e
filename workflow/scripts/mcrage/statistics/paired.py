# SPDX-License-Identifier: MIT
"""Differences between treatments, paired over replicates, with intervals fit for resplitting.

Replicates resample the same patients, so their differences are not independent; the variance of the
mean is (1/k + n_test/n_train) s² instead of s²/k (Nadeau & Bengio 2003, section 4; t with k−1
degrees of freedom). All that is here goes by this error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

ALPHA, POWER = 0.05, 0.8
_GRID = 4000


@dataclass(frozen=True)
class Paired:
    """Mean differences and their errors, each an array of one shape.

    Attributes
    ----------
    k : ndarray of int64
        Replicates with a defined difference.
    mean : ndarray of float64
        NaN without any.
    error : ndarray of float64
        Of the mean, corrected; NaN with fewer than two replicates, 0 where all differences are
        equal.
    """

    k: np.ndarray
    mean: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, differences: np.ndarray, test_to_train: float | np.ndarray) -> "Paired":
        """Summarise differences of shape (..., k), one per replicate; NaN are left out.

        Parameters
        ----------
        differences : ndarray of float64, shape (..., k)
        test_to_train : float or ndarray of shape (...)
            Rows in the test set over rows in the training pool.
        """
        differences = np.asarray(differences, dtype=np.float64)
        known = ~np.isnan(differences)
        k = known.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(known, differences, 0.0).sum(axis=-1) / k
            away = np.where(known, differences - mean[..., None], 0.0)
            variance = np.where(k > 1, (away**2).sum(axis=-1) / (k - 1), np.nan)
            error = np.sqrt((1 / k + test_to_train) * variance)
        # Equal differences, but for rounding.
        certain = error <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
        return cls(k, mean, np.where(certain, 0.0, error))

    def _t(self, point: float | np.ndarray) -> np.ndarray:
        """Return (mean − point)/error; infinite, or 0 for 0, where the error is 0."""
        away = self.mean - point
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(
                self.error == 0, np.where(away == 0, 0.0, np.sign(away) * np.inf), away / self.error
            )

    @property
    def _df(self) -> np.ndarray:
        return np.maximum(self.k - 1, 1)

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the interval of the mean; of width 0 where all are equal."""
        half = stats.t.ppf((1 + level) / 2, self._df) * self.error
        return self.mean - half, self.mean + half

    def p_value(self) -> np.ndarray:
        """Return the two-sided p-value of no difference; 1 where all differences are 0."""
        p = 2 * stats.t.sf(np.abs(self._t(0.0)), self._df)
        return np.where(np.isnan(self.error), np.nan, p)

    def detectable(self, family: int | np.ndarray = 1) -> np.ndarray:
        """Return the smallest true difference found 80 times in 100 at a level of 5 %.

        The one whose test, two-sided and with this error, has that power: what "no difference
        could be shown" leaves open.

        Parameters
        ----------
        family : int or ndarray of int
            Comparisons that Holm's correction is for: the level is 5 % by their number, which the
            smallest p-value of them has to beat. So it is found with at least that power.
        """
        family = np.broadcast_to(family, self.k.shape)
        out = np.full(self.k.shape, np.nan)
        for k, m in set(zip(self.k.ravel().tolist(), family.ravel().tolist(), strict=True)):
            if k > 1:
                of = (self.k == k) & (family == m)
                out[of] = detectable_in_errors(k - 1, m) * self.error[of]
        return out

    def rope(self, margin: float | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how likely the true difference lies below, within and above ±margin.

        The posterior of the correlated Bayesian t-test (Corani & Benavoli 2015): Student's t with
        k−1 degrees of freedom around the mean, with the corrected error as scale.
        """
        below = stats.t.sf(self._t(-margin), self._df)
        above = stats.t.cdf(self._t(margin), self._df)
        # On the border of the margin a certain difference is within it.
        below = np.where((self.error == 0) & (self.mean >= -margin), 0.0, below)
        above = np.where((self.error == 0) & (self.mean <= margin), 0.0, above)
        below, above = (np.where(np.isnan(self.error), np.nan, p) for p in (below, above))
        return below, np.maximum(0.0, 1 - below - above), above

    def equivalence(self, margin: float | np.ndarray) -> np.ndarray:
        """Return the p-value of two one-sided tests that the difference lies within ±margin.

        Below .05 the two are equivalent (Schuirmann 1987): what must be shown before "no
        difference" or "fair" is written.
        """
        low = stats.t.sf(self._t(-margin), self._df)
        high = stats.t.cdf(self._t(margin), self._df)
        return np.where(np.isnan(self.error), np.nan, np.maximum(low, high))


@cache
def detectable_in_errors(df: int, family: int = 1) -> float:
    """Return the smallest detectable difference in standard errors; see `Paired.detectable`.

    The shift of a noncentral t that lies beyond its critical values with probability `POWER`. It is
    the mean over the error's own distribution (chi-squared) of a normal probability, which scipy's
    noncentral t does not give for few degrees of freedom.
    """
    from scipy.optimize import brentq

    critical = stats.t.ppf(1 - ALPHA / family / 2, df)
    share = (np.arange(_GRID) + 0.5) / _GRID
    beyond = critical * np.sqrt(stats.chi2.ppf(share, df) / df)

    def lacking(shift: float) -> float:
        found = stats.norm.cdf(shift - beyond) + stats.norm.cdf(-shift - beyond)
        return float(found.mean()) - POWER

    return float(brentq(lacking, 0.5, 5 * critical))


def detectable_by(low: float, high: float, k: int, family: int = 1) -> float:
    """Return the smallest detectable difference of a mean over `k` replicates by its interval."""
    error = (high - low) / 2 / stats.t.ppf(1 - ALPHA / 2, k - 1)
    return float(detectable_in_errors(k - 1, family) * error)


def ratio_of(test_to_train: Mapping[str, float], dataset: str, scenario: str) -> float:
    """Return the rows in the test set over those in the training pool.

    Parameters
    ----------
    test_to_train : mapping of str to float
        By scenario, or where datasets come with test sets of their own by ``dataset/scenario``.
    dataset, scenario : str
    """
    return test_to_train.get(f"{dataset}/{scenario}") or test_to_train[scenario]


def corrected_interval(
    differences: np.ndarray, test_to_train: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the Nadeau-Bengio interval and p-value of a mean paired difference.

    Parameters
    ----------
    differences : ndarray of float64, shape (k,)
        One per replicate; NaN are left out.
    test_to_train : float
        Rows in the test set over rows in the training pool.
    level : float in (0, 1)

    Returns
    -------
    low, high, p_value : float
        NaN with fewer than two differences. Differences that are all equal have an interval of
        width zero and p = 1 if they are zero, else 0.
    """
    paired = Paired.of(differences, test_to_train)
    low, high = paired.interval(level)
    return float(low), float(high), float(paired.p_value())


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values; NaN stay NaN and do not count.

    Parameters
    ----------
    p_values : ndarray of float64, shape (..., m)
        Families are along the last axis.

    Returns
    -------
    ndarray of float64, shape (..., m)
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, axis=-1, kind="stable")  # NaN last
    rising = np.take_along_axis(p_values, order, axis=-1)
    left = np.sum(~np.isnan(p_values), axis=-1, keepdims=True) - np.arange(p_values.shape[-1])
    steps = np.maximum.accumulate(np.minimum(1.0, left * rising), axis=-1)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted
