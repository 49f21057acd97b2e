# SPDX-License-Identifier: MIT
"""Gaussian components of a mixture, with values missing: expectation and maximisation.

A number that is not there is left out of the density, and enters moments by what its component
expects of it given the numbers that are (Ghahramani and Jordan 1994), so nothing is filled in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_AT_ONCE = 2_000_000


class Pattern(NamedTuple):
    """Rows that have the same numbers.

    Attributes
    ----------
    observed : ndarray of int64
        Columns that are there.
    rows : ndarray of int64
    """

    observed: np.ndarray
    rows: np.ndarray


def patterns_of(known: np.ndarray) -> list[Pattern]:
    """Return rows by which numbers are there, from a bool matrix of shape (n, d)."""
    if not known.shape[1]:
        return []
    kinds, member = np.unique(known, axis=0, return_inverse=True)
    member = member.ravel()
    order = np.argsort(member, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(member))[:-1])
    return [Pattern(np.flatnonzero(k), part) for k, part in zip(kinds, parts, strict=True)]


# How many rows the mean of all rows weighs in that of a component.
MEAN_ROWS = 0.01


@dataclass(frozen=True)
class Spread:
    """What a component's moments are drawn towards, after Fraley and Raftery (2007).

    Attributes
    ----------
    mean, variances : ndarray of float64, shape (d,)
        Of all rows, the latter divided by K to the power 2/d: what a K-th of their volume has.
    mean_rows, rows : float
        How many rows they weigh.
    """

    mean: np.ndarray
    variances: np.ndarray
    mean_rows: float
    rows: float

    @classmethod
    def of(cls, numbers: np.ndarray, known: np.ndarray, k: int, scale: float = 1.0) -> "Spread":
        """Return what suits k components of these rows; `scale` 0 gives maximum likelihood."""
        d = numbers.shape[1]
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers, 0.0).sum(axis=0) / n
        variances = np.where(known, np.square(numbers - mean), 0.0).sum(axis=0) / n
        variances = np.where(variances > 0, variances, 1.0) / k ** (2 / max(d, 1))
        return cls(mean, variances, MEAN_ROWS * scale, (d + 2) * scale)


class FullGaussians:
    """Components with covariances of their own.

    Attributes
    ----------
    means : ndarray of float64, shape (k, d)
    covariances : ndarray of float64, shape (k, d, d)
    """

    def __init__(self, k: int, d: int) -> None:
        self.means = np.zeros((k, d))
        self.covariances = np.tile(np.eye(d), (k, 1, 1))

    def log_density(self, numbers: np.ndarray, patterns: list[Pattern]) -> np.ndarray:
        """Return the log density of each row under each component, shape (n, k)."""
        out = np.zeros((len(numbers), len(self.means)))
        for observed, rows in patterns:
            if not len(observed):
                continue
            inverse, log_det = _whitening(self.covariances[:, observed[:, None], observed])
            constant = log_det - 0.5 * len(observed) * np.log(2 * np.pi)
            centres = self.means[:, observed]
            for part in _parts(rows, inverse.size):
                gaps = numbers[np.ix_(part, observed)][None] - centres[:, None]
                white = gaps @ inverse.transpose(0, 2, 1)
                out[part] = (constant[:, None] - 0.5 * np.square(white).sum(axis=2)).T
        return out

    def learn(
        self, numbers: np.ndarray, patterns: list[Pattern], shares: np.ndarray, prior: Spread
    ) -> None:
        """Fit to rows that belong to components by these shares, shape (n, k)."""
        k, d = self.means.shape
        weight = shares.sum(axis=0)
        sums, squares = np.zeros((k, d)), np.zeros((k, d, d))
        for observed, rows in patterns:
            missing = np.setdiff1d(np.arange(d), observed)
            slopes = rest = None
            if len(missing):
                slopes, rest = self._regression(observed, missing)
                squares[:, missing[:, None], missing] += (
                    shares[rows].sum(axis=0)[:, None, None] * rest
                )
            for part in _parts(rows, k * d):
                full = self._expected(numbers[part], observed, missing, slopes)
                weighted = full * shares[part].T[:, :, None]
                sums += weighted.sum(axis=1)
                squares += weighted.transpose(0, 2, 1) @ full
        total = weight + prior.mean_rows
        self.means = (sums + prior.mean_rows * prior.mean) / np.maximum(total, 1e-300)[:, None]
        outer = self.means[:, :, None] * self.means[:, None]
        crossed = self.means[:, :, None] * sums[:, None]
        scatter = (
            squares - crossed - crossed.transpose(0, 2, 1) + weight[:, None, None] * outer
        ) + prior.rows * np.diag(prior.variances)
        covariances = scatter / np.maximum(weight + prior.rows, 1e-300)[:, None, None]
        # A hair, so that rounding leaves none without an inverse.
        self.covariances = covariances + 1e-9 * np.diag(prior.variances)

    def _regression(
        self, observed: np.ndarray, missing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return slopes of the missing numbers on those observed, and what is left of them."""
        across = self.covariances[:, missing[:, None], observed]
        own = self.covariances[:, missing[:, None], missing]
        if not len(observed):
            return across, own
        among = self.covariances[:, observed[:, None], observed]
        slopes = np.linalg.solve(among, across.transpose(0, 2, 1)).transpose(0, 2, 1)
        return slopes, own - slopes @ across.transpose(0, 2, 1)

    def _expected(
        self,
        numbers: np.ndarray,
        observed: np.ndarray,
        missing: np.ndarray,
        slopes: np.ndarray | None,
    ) -> np.ndarray:
        """Return rows with missing numbers as each component expects them, shape (k, m, d)."""
        k = len(self.means)
        full = np.empty((k, *numbers.shape))
        full[:, :, observed] = numbers[:, observed]
        if slopes is not None:
            gaps = numbers[:, observed][None] - self.means[:, None, observed]
            full[:, :, missing] = self.means[:, None, missing] + gaps @ slopes.transpose(0, 2, 1)
        return full

    def arrays(self) -> dict[str, np.ndarray]:
        """Return means, and factors L of the covariances L Lᵀ."""
        return {"means": self.means, "factors": np.linalg.cholesky(self.covariances)}

    def n_free(self) -> int:
        """Return the number of free parameters."""
        k, d = self.means.shape
        return k * (d + d * (d + 1) // 2)


class DiagonalGaussians:
    """Components within which numbers are independent.

    Attributes
    ----------
    means, variances : ndarray of float64, shape (k, d)
    """

    def __init__(self, k: int, d: int) -> None:
        self.means, self.variances = np.zeros((k, d)), np.ones((k, d))

    def log_density(self, numbers: np.ndarray, patterns: list[Pattern]) -> np.ndarray:
        """Return the log density of each row under each component, shape (n, k)."""
        known = _known(numbers.shape, patterns)
        values = np.where(known, numbers, 0.0)
        constant = np.square(self.means) / self.variances + np.log(2 * np.pi * self.variances)
        return (
            values @ (self.means / self.variances).T
            - 0.5 * (np.square(values) @ (1 / self.variances).T)
            - 0.5 * (known @ constant.T)
        )

    def learn(
        self, numbers: np.ndarray, patterns: list[Pattern], shares: np.ndarray, prior: Spread
    ) -> None:
        """Fit to rows that belong to components by these shares, shape (n, k)."""
        known = _known(numbers.shape, patterns)
        values = np.where(known, numbers, 0.0)
        weight, sums = shares.T @ known, shares.T @ values
        squares = shares.T @ np.square(values)
        self.means = (sums + prior.mean_rows * prior.mean) / np.maximum(
            weight + prior.mean_rows, 1e-300
        )
        scatter = squares - 2 * self.means * sums + weight * np.square(self.means)
        variances = (np.maximum(scatter, 0.0) + prior.rows * prior.variances) / np.maximum(
            weight + prior.rows, 1e-300
        )
        self.variances = variances + 1e-9 * prior.variances

    def arrays(self) -> dict[str, np.ndarray]:
        """Return means, and standard deviations as factors."""
        return {"means": self.means, "factors": np.sqrt(self.variances)}

    def n_free(self) -> int:
        """Return the number of free parameters."""
        return 2 * self.means.size


def _known(shape: tuple[int, ...], patterns: list[Pattern]) -> np.ndarray:
    known = np.zeros(shape)
    for observed, rows in patterns:
        known[np.ix_(rows, observed)] = 1.0
    return known


def _whitening(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverses of Cholesky factors, and the logs of their determinants."""
    factors = np.linalg.cholesky(covariances)
    inverse = np.linalg.inv(factors)
    return inverse, -np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)


def _parts(rows: np.ndarray, width: int) -> Iterator[np.ndarray]:
    step = max(64, _AT_ONCE // max(1, width))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
