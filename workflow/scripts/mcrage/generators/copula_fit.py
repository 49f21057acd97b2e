# SPDX-License-Identifier: MIT
"""Margins and correlation of a Gaussian copula for numbers and levels, by moments.

The score of a value is the mean of its latent variable given the value: of a number its normal
score (that of the middle of its ranks), of a level the mean of a normal variable between the
level's thresholds, (φ(a) − φ(b)) / p. The latent correlation of two columns is the correlation of
their scores over √(v₁ v₂), where v is the variance that scores have of ties alone: exact for two
numbers and, as the polyserial correlation, for a number and a level (Olsson, Drasgow and Dorans
1982); for two columns of levels it is of the first order. Levels have the order of their rows' mean
on the first principal component of all columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.encoding.rows import parts_of
from mcrage.groups import GroupSchema

# Where quantile functions are known: at these normal scores, equally spaced.
REACH, N_POINTS = 4.0, 129
# A main effect of a level that no row has is 0 by this many rows' weight.
_RIDGE = 1.0
# Columns of more levels have no part in the order of others' levels.
_MOST_LEVELS = 50
_LARGEST = 0.99
_SMALLEST_EIGENVALUE = 1e-4


def fit(
    numbers: np.ndarray,
    codes: np.ndarray,
    groups: np.ndarray,
    schema: GroupSchema,
    *,
    states: Sequence[tuple[int, int] | None],
    cardinalities: Sequence[int],
    prior_rows: float,
) -> dict[str, np.ndarray]:
    """Estimate a copula.

    Parameters
    ----------
    numbers : ndarray of float, shape (n, d)
        Normal scores of all rows; what stands where there is no amount is not looked at.
    codes : ndarray of int, shape (n, c)
    groups : ndarray of int64, shape (n,)
    schema : GroupSchema
    states, cardinalities
        See `mcrage.encoding.mixed.MixedEncoding`.
    prior_rows : float
        What the main effects weigh beside a group's own rows.

    Returns
    -------
    dict of str to ndarray
        ``points`` (N_POINTS,), normal scores; ``quantiles`` (n_groups, d, N_POINTS), of each
        group at these;
        ``order`` (all levels,), the codes of each column in the latent variable's order;
        ``shares`` (n_groups, all levels), in this order; ``factor`` (d + c, d + c), L of the latent
        correlation L Lᵀ.
    """
    rows = _Rows(numbers, codes, groups, states)
    effects = _design(np.arange(schema.n_groups), schema)
    orders = _orders(rows, effects, cardinalities)
    quantiles, ties = np.empty((schema.n_groups, numbers.shape[1], N_POINTS)), []
    for column in range(numbers.shape[1]):
        there = rows.known(column)
        values = numbers[there, column].astype(np.float64)
        quantiles[:, column] = _quantiles(values, groups[there], effects, prior_rows)
        _, counts = np.unique(values, return_counts=True)
        ties.append(_variance(counts / counts.sum()))
    shares, places = [], []
    for column, order in enumerate(orders):
        places.append(np.argsort(order))
        counts = np.zeros((schema.n_groups, len(order)))
        np.add.at(counts, (groups, places[-1][codes[:, column]]), 1.0)
        shares.append(_shares(counts, effects, prior_rows))
        ties.append(_variance(counts.sum(axis=0) / len(groups)))
    means = [_means(own) for own in shares]
    correlation = latent_correlation(
        (_latent(rows.part(part), quantiles, places, means) for part in parts_of(len(groups))),
        np.array(ties),
    )
    return {
        "points": np.linspace(-REACH, REACH, N_POINTS),
        "quantiles": quantiles,
        "order": np.concatenate([np.empty(0, dtype=np.int64), *orders]),
        "shares": np.concatenate([np.empty((schema.n_groups, 0)), *shares], axis=1),
        "factor": np.linalg.cholesky(correlation),
    }


@dataclass(frozen=True)
class _Rows:
    """Encoded rows, and which of their numbers are amounts."""

    numbers: np.ndarray
    codes: np.ndarray
    groups: np.ndarray
    states: Sequence[tuple[int, int] | None]

    def known(self, column: int) -> np.ndarray:
        """Return where a number is an amount, bool of shape (n,)."""
        state = self.states[column]
        if state is None:
            return np.ones(len(self.groups), dtype=bool)
        return self.codes[:, state[0]] == state[1]

    def part(self, part: slice) -> "_Rows":
        return _Rows(self.numbers[part], self.codes[part], self.groups[part], self.states)


def _latent(
    rows: _Rows,
    quantiles: np.ndarray,
    places: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of rows and where there are any, both (n, d + c)."""
    d = rows.numbers.shape[1]
    scores = np.zeros((len(rows.groups), d + rows.codes.shape[1]))
    seen = np.ones(scores.shape, dtype=bool)
    for column in range(d):
        there = seen[:, column] = rows.known(column)
        values = rows.numbers[there, column].astype(np.float64)
        scores[there, column] = _scores(values, rows.groups[there], quantiles[:, column])
    for column, (place, own) in enumerate(zip(places, means, strict=True)):
        scores[:, d + column] = own[rows.groups, place[rows.codes[:, column]]]
    return scores, seen


def latent_correlation(
    portions: Iterable[tuple[np.ndarray, np.ndarray]], ties: np.ndarray
) -> np.ndarray:
    """Return the correlation of latent variables.

    Parameters
    ----------
    portions : iterable of (ndarray of float64, ndarray of bool), both of shape (m, d)
        Scores of some rows, and where there is one; a pair of columns has the rows in which both
        have.
    ties : ndarray of float64, shape (d,)
        Variance of a standard normal variable's scores that ties leave.

    Returns
    -------
    ndarray of float64, shape (d, d)
        Positive definite, drawn towards independence by as many rows as there are columns.
    """
    d = len(ties)
    counts, sums, products, squares = np.zeros((4, d, d))
    for scores, seen in portions:
        both, values = seen.astype(np.float64), np.where(seen, scores, 0.0)
        counts += both.T @ both
        sums += values.T @ both
        products += values.T @ values
        squares += np.square(values).T @ both
    rows = np.maximum(counts, 1.0)
    mean = sums / rows
    covariance = products / rows - mean * mean.T
    square = squares / rows - np.square(mean)
    scale = np.sqrt(np.maximum(square * square.T, 0.0) * np.outer(ties, ties))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(scale > 1e-12, covariance / scale, 0.0)
    found = np.clip(found, -_LARGEST, _LARGEST) * counts / (counts + d)
    np.fill_diagonal(found, 1.0)
    values, vectors = np.linalg.eigh(found)
    if values[:1].sum() < _SMALLEST_EIGENVALUE and d:
        found = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
        unit = np.sqrt(np.diag(found))
        found /= np.outer(unit, unit)
    return found


def _design(groups: np.ndarray, schema: GroupSchema) -> np.ndarray:
    """Return a column of ones, and one for each level but the first of each factor."""
    digits = schema.indices_of(groups)
    columns = [
        (digits[factor] == level).astype(np.float64)
        for factor, size in enumerate(schema.shape)
        for level in range(1, size)
    ]
    return np.stack([np.ones(len(groups)), *columns], axis=1)


def _main_effects(counts: np.ndarray, sums: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Return least squares coefficients, from rows and sums (n_groups, k) of values by group.

    Least squares over groups that weigh as their rows: the same as over rows.
    """
    penalty = np.full(effects.shape[1], _RIDGE)
    penalty[0] = 1e-9
    weighted = effects.T @ (effects * counts[:, None])
    return np.linalg.solve(weighted + np.diag(penalty), effects.T @ sums)


def _quantiles(
    values: np.ndarray, groups: np.ndarray, effects: np.ndarray, prior_rows: float
) -> np.ndarray:
    """Return the quantile function of each group, (n_groups, N_POINTS)."""
    from scipy.special import ndtr

    points = np.linspace(-REACH, REACH, N_POINTS)
    counts, sums = (
        np.bincount(groups, weights=weights, minlength=len(effects)).astype(np.float64)
        for weights in (None, values)
    )
    centres = effects @ _main_effects(counts, sums[:, None], effects)[:, 0]
    spread = (values - centres[groups]).std()
    tables = centres[:, None] + spread * points
    for group in np.unique(groups):
        own = values[groups == group]
        share = len(own) / (len(own) + prior_rows)
        # Hazen's: the i-th of n values lies at (i - 1/2)/n, the middle of its rank.
        mine = np.quantile(own, ndtr(points), method="hazen")
        tables[group] = share * mine + (1 - share) * tables[group]
    return tables


def _scores(values: np.ndarray, groups: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Return the normal score of each value in its group's quantile function."""
    points = np.linspace(-REACH, REACH, N_POINTS)
    out = np.empty(len(values))
    for group in np.unique(groups):
        mine, table = groups == group, tables[group]
        # Ties make the map many-valued; the mean of its lowest and highest value is taken.
        low = np.interp(values[mine], table, points)
        high = -np.interp(-values[mine], -table[::-1], -points[::-1])
        out[mine] = 0.5 * (low + high)
    return out


def _shares(counts: np.ndarray, effects: np.ndarray, prior_rows: float) -> np.ndarray:
    """Return the share of each level in each group from its rows, both (n_groups, n_levels)."""
    rows = counts.sum(axis=1, keepdims=True)
    parent = np.maximum(effects @ _main_effects(rows[:, 0], counts, effects), 0.0)
    parent /= parent.sum(axis=1, keepdims=True)
    return (counts + prior_rows * parent) / (rows + prior_rows)


def _means(shares: np.ndarray) -> np.ndarray:
    """Return the mean of a standard normal variable within each level's thresholds."""
    from scipy.special import ndtri

    ends = np.clip(np.cumsum(shares, axis=1), 0.0, 1.0)
    ends[:, -1] = 1.0
    density = np.exp(-0.5 * np.square(ndtri(ends))) / np.sqrt(2 * np.pi)
    below = np.concatenate([np.zeros((len(shares), 1)), density[:, :-1]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shares > 0, (below - density) / shares, 0.0)


def _variance(shares: np.ndarray) -> float:
    """Return the variance of the scores of levels with these shares; 1 without ties."""
    means = _means(shares[None])[0]
    return float(min(1.0, (shares * np.square(means)).sum()))


def _orders(rows: _Rows, effects: np.ndarray, cardinalities: Sequence[int]) -> list[np.ndarray]:
    """Return the codes of each column in the order of their latent variable."""

    def columns(part: slice) -> np.ndarray:
        some = rows.part(part)
        known = [some.known(column) for column in range(some.numbers.shape[1])]
        numbers = [np.where(k, x, 0.0)[:, None] for k, x in zip(known, some.numbers.T, strict=True)]
        indicators = [
            some.codes[:, column, None] == np.arange(size)
            for column, size in enumerate(cardinalities)
            if size <= _MOST_LEVELS
        ]
        return np.concatenate([*numbers, effects[some.groups, 1:], *indicators], axis=1)

    n_rows = len(rows.groups)
    mean = sum(columns(part).sum(axis=0) for part in parts_of(n_rows)) / n_rows
    products = np.zeros((len(mean), len(mean)))
    for part in parts_of(n_rows):
        centred = columns(part) - mean
        products += centred.T @ centred
    spread = np.sqrt(np.diag(products) / n_rows)
    scale = np.where(spread > 1e-12, spread, 1.0)
    weights = np.linalg.eigh(products / np.outer(scale, scale))[1][:, -1] / scale
    sums = [np.zeros(size) for size in cardinalities]
    for part in parts_of(n_rows):
        component = (columns(part) - mean) @ weights
        for column, own in enumerate(sums):
            own += np.bincount(rows.codes[part, column], weights=component, minlength=len(own))
    orders = []
    for column, own in enumerate(sums):
        counts = np.bincount(rows.codes[:, column], minlength=len(own))
        orders.append(np.argsort(own / np.maximum(counts, 1), kind="stable").astype(np.int64))
    return orders
