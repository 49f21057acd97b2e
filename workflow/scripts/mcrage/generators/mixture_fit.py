# SPDX-License-Identifier: MIT
"""Fitting a mixture by expectation and maximisation, and choosing its number of components."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mcrage.generators.base import TrainingData
from mcrage.generators.mixture_numbers import (
    DiagonalGaussians,
    FullGaussians,
    Pattern,
    Spread,
    patterns_of,
)
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)

# A component's levels weigh as its rows do, those of all rows as this many.
LEVEL_ROWS = 1.0
# Share of rows that tell how many components there are.
_HELD_OUT = 0.2
# Numbers of components that may do worse than the best before no larger one is tried.
_PATIENCE = 2
# Starts of few components and of many, and iterations of each before the best one goes on.
_STARTS, _STARTS_OF_MANY, _MANY, _SHORT = 5, 2, 8, 10


@dataclass(frozen=True)
class Rows:
    """Encoded rows.

    Attributes
    ----------
    numbers : ndarray of float64, shape (n, d)
        What stands where there is no amount is not looked at.
    known : ndarray of bool, shape (n, d)
        Where there is an amount.
    codes : ndarray of int64, shape (n, c)
    groups : ndarray of int64, shape (n,)
    """

    numbers: np.ndarray
    known: np.ndarray
    codes: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> "Rows":
        """Return some of the rows."""
        return Rows(self.numbers[rows], self.known[rows], self.codes[rows], self.groups[rows])

    def one_hot(self, cardinalities: Sequence[int]) -> Any:
        """Return all codes as a sparse matrix of zeros and ones, shape (n, all levels)."""
        from scipy.sparse import csr_array

        n, c = self.codes.shape
        starts = np.concatenate([[0], np.cumsum(cardinalities)]).astype(np.int64)
        columns = (self.codes + starts[:-1]).ravel()
        pointers = np.arange(n + 1) * c
        shape = (n, int(starts[-1]))
        return csr_array((np.ones(n * c), columns, pointers), shape=shape)


@dataclass(frozen=True)
class Found:
    """A fitted mixture.

    Attributes
    ----------
    arrays : dict of str to ndarray
        ``weights`` (n_groups, k); ``sizes`` (k,), rows of each; ``means`` (k, d); ``factors``
        (k, d, d), L of the covariances L Lᵀ, or (k, d), standard deviations; ``levels`` (k, all
        levels), column by column.
    facts : dict
        ``n_components``, ``n_iterations``, and what was ``tried``: score by number of components.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def fit(
    numbers: np.ndarray,
    codes: np.ndarray,
    train: TrainingData,
    settings: dict[str, Any],
    *,
    states: Sequence[tuple[int, int] | None],
    cardinalities: Sequence[int],
    seed: int,
) -> Found:
    """Fit a mixture with the number of components that rows left out of it like best.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n, d)
    codes : ndarray of int64, shape (n, c)
    train : TrainingData
        Of the same rows: for groups and clusters.
    settings : dict
        ``MixtureSettings.resolved()``.
    states, cardinalities
        See `mcrage.encoding.mixed.MixedEncoding`.
    seed : int
    """
    known = np.ones(numbers.shape, dtype=bool)
    for column, state in enumerate(states):
        if state is not None:
            known[:, column] = codes[:, state[0]] == state[1]
    rows = Rows(numbers, known, codes, np.asarray(train.groups, dtype=np.int64))

    def fitted(part: Rows, k: int) -> Mixture:
        mixture = Mixture(
            k, numbers.shape[1], cardinalities, train.schema, settings["covariance"],
            settings["prior_rows"],
        )  # fmt: skip
        mixture.fit(part, seed, settings["max_iterations"], settings["tolerance"])
        return mixture

    tried: dict[str, float] = {}
    candidates = [k for k in sorted(set(settings["components"])) if k < len(rows.groups)] or [1]
    best = candidates[0]
    if len(candidates) > 1:
        best = _choose(rows, candidates, fitted, settings["choose_by"], train, seed, tried)
        if best == 1:
            logger.warning(
                "one component did best of %s, so rows of all groups are drawn alike; columns of "
                "many rare levels may be why: leave them out (type: ignored), or write one number "
                "under the generator's components, e.g. [8]",
                ", ".join(tried),
            )
    mixture = fitted(rows, best)
    facts = {"n_components": best, "n_iterations": mixture.n_iterations, "tried": tried}
    return Found(mixture.arrays(), facts)


def _choose(
    rows: Rows,
    candidates: Sequence[int],
    fitted: Any,
    choose_by: str,
    train: TrainingData,
    seed: int,
    tried: dict[str, float],
) -> int:
    """Return the number of components with the best score; larger is better."""
    learnt, held = np.arange(len(rows.groups)), None
    if choose_by == "held_out":
        learnt, held = _held_out(train, seed)
    part = rows.take(learnt)
    best, worse = candidates[0], 0
    for k in candidates:
        if k >= len(learnt):
            break
        mixture = fitted(part, k)
        if held is None:
            score = mixture.log_likelihood - 0.5 * mixture.n_free() * np.log(len(learnt)) / len(
                learnt
            )
        else:
            score = float(mixture.log_joint(rows.take(held))[1].mean())
        tried[str(k)] = score
        logger.info("%d components: %.4f a row", k, score)
        if score > tried[str(best)] or k == candidates[0]:
            best, worse = k, 0
        else:
            worse += 1
            if worse >= _PATIENCE:
                break
    return best


def _held_out(train: TrainingData, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to learn from and rows to judge by, with clusters whole and groups even."""
    rng = np.random.default_rng([seed, 1])
    n = len(train.groups)
    clusters = np.arange(n) if train.clusters is None else train.clusters
    names, first = np.unique(clusters, return_index=True)
    order = rng.permutation(len(names))
    # In turn by the group of a cluster's first row, so that each group has its share.
    order = order[np.argsort(train.groups[first[order]], kind="stable")]
    every = round(1 / _HELD_OUT)
    chosen = names[order[int(rng.integers(every)) :: every]]
    held = np.isin(clusters, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)


class Mixture:
    """A mixture of k components.

    Parameters
    ----------
    k, d : int
        Components, and columns of numbers.
    cardinalities : sequence of int
    schema : GroupSchema
    covariance : {"full", "diagonal"}
    prior_rows : float
        How many rows the weights of a group's level of the target weigh, beside its own rows.
    shrink : float
        Scale of what moments and levels are drawn towards; 0 gives maximum likelihood.
    """

    def __init__(
        self,
        k: int,
        d: int,
        cardinalities: Sequence[int],
        schema: GroupSchema,
        covariance: str,
        prior_rows: float,
        shrink: float = 1.0,
    ) -> None:
        self.k, self.cardinalities, self.schema = k, tuple(cardinalities), schema
        self.prior_rows, self.shrink = prior_rows, shrink
        self.gaussians = (FullGaussians if covariance == "full" else DiagonalGaussians)(k, d)
        self.weights = np.full((schema.n_groups, k), 1 / k)
        self.sizes = np.zeros(k)
        self.levels = np.zeros((k, sum(self.cardinalities)))
        self.log_likelihood, self.n_iterations = -np.inf, 0

    def fit(self, rows: Rows, seed: int, max_iterations: int, tolerance: float) -> None:
        """Learn by expectation and maximisation: of several short runs the best goes on.

        A run ends where its start lets it (Biernacki, Celeux and Govaert 2003).
        """
        patterns = patterns_of(rows.known)
        prior = Spread.of(rows.numbers, rows.known, self.k, self.shrink)
        one_hot = rows.one_hot(self.cardinalities)

        def run(shares: np.ndarray, n_iterations: int) -> np.ndarray:
            for _ in range(n_iterations):
                self._learn(rows, patterns, one_hot, shares, prior)
                shares, likelihood = self._expect(rows, patterns, one_hot)
                gain = likelihood.mean() - self.log_likelihood
                self.log_likelihood = float(likelihood.mean())
                self.n_iterations += 1
                if abs(gain) < tolerance:
                    break
            return shares

        best, shares = -np.inf, None
        n_short = min(_SHORT, max_iterations)
        n_starts = 1 if self.k == 1 else _STARTS if self.k <= _MANY else _STARTS_OF_MANY
        for start in range(n_starts):
            self.log_likelihood = -np.inf
            rng = np.random.default_rng([seed, 2, self.k, start])
            found = run(_first_shares(rows, self.k, rng), n_short)
            if self.log_likelihood > best:
                best, shares = self.log_likelihood, found
        self.log_likelihood = -np.inf
        run(shares, max(1, max_iterations - n_short))

    def log_joint(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's share in each component (n, k), and its log-likelihood (n,)."""
        return self._expect(rows, patterns_of(rows.known), rows.one_hot(self.cardinalities))

    def _expect(
        self, rows: Rows, patterns: list[Pattern], one_hot: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        logs = self.gaussians.log_density(rows.numbers, patterns)
        with np.errstate(divide="ignore"):
            logs += np.log(self.weights)[rows.groups]
            # A level that a component has not stays out by a number that is no infinity: 0 times
            # it is 0. One that no row learnt from has, of rows held out, tells nothing.
            seen = self.levels.any(axis=0)
            levels = np.where(seen, np.maximum(np.log(self.levels), -1e300), 0.0)
        logs += one_hot @ levels.T
        top = logs.max(axis=1, keepdims=True)
        logs = np.exp(logs - top)
        total = logs.sum(axis=1, keepdims=True)
        return logs / total, (top + np.log(total)).ravel()

    def _learn(
        self,
        rows: Rows,
        patterns: list[Pattern],
        one_hot: Any,
        shares: np.ndarray,
        prior: Spread,
    ) -> None:
        self.sizes = shares.sum(axis=0)
        self.gaussians.learn(rows.numbers, patterns, shares, prior)
        counts = (one_hot.T @ shares).T
        for column in self._columns():
            own = counts[:, column]
            overall = own.sum(axis=0) / max(own.sum(), 1e-300)
            drawn = own + LEVEL_ROWS * self.shrink * overall
            self.levels[:, column] = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-300)
        self.weights = self._group_weights(rows.groups, shares)

    def _group_weights(self, groups: np.ndarray, shares: np.ndarray) -> np.ndarray:
        n_groups, prior = self.schema.n_groups, self.prior_rows
        own = np.zeros((n_groups, self.k))
        np.add.at(own, groups, shares)
        overall = own.sum(axis=0) / own.sum()
        target = self.schema.target_of(np.arange(n_groups))
        of_target = np.zeros((int(target.max()) + 1, self.k))
        np.add.at(of_target, target, own)
        of_target = _drawn_towards(of_target, overall, prior)
        return _drawn_towards(own, of_target[target], prior)

    def _columns(self) -> list[slice]:
        ends = np.cumsum((0, *self.cardinalities)).tolist()
        return [slice(low, high) for low, high in pairwise(ends)]

    def n_free(self) -> int:
        """Return the number of free parameters, weights of all groups among them."""
        levels = self.k * sum(cardinality - 1 for cardinality in self.cardinalities)
        return self.gaussians.n_free() + levels + self.weights.shape[0] * (self.k - 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what rows are drawn from; see `Found`."""
        return {
            **self.gaussians.arrays(),
            "weights": self.weights,
            "sizes": self.sizes,
            "levels": self.levels,
        }


def _drawn_towards(counts: np.ndarray, shares: np.ndarray, rows: float) -> np.ndarray:
    return (counts + rows * shares) / np.maximum(counts.sum(axis=1, keepdims=True) + rows, 1e-300)


def _first_shares(rows: Rows, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows shared out among k of them, chosen far apart (greedy k-means++)."""
    n = len(rows.groups)
    nearest, member = np.full(n, np.inf), np.zeros(n, dtype=np.int64)
    values = np.where(rows.known, rows.numbers, 0.0)

    def distances(row: int) -> np.ndarray:
        numbers = np.square(values - values[row]).sum(axis=1)
        return numbers + (rows.codes != rows.codes[row]).sum(axis=1)

    candidates = rng.integers(n, size=1)
    for number in range(k):
        tried = [distances(int(row)) for row in candidates]
        best = min(tried, key=lambda distance: np.minimum(distance, nearest).sum())
        closer = best < nearest
        nearest[closer], member[closer] = best[closer], number
        # Rows that are all alike: any will do.
        total = nearest.sum()
        likely = nearest / total if total > 0 else None
        candidates = rng.choice(n, size=2 + int(np.log(k)), p=likely)
    shares = np.zeros((n, k))
    shares[np.arange(n), member] = 1.0
    return shares
