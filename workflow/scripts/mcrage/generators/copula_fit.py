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

from collections.abc import Sequence

import numpy as np

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
    numbers : ndarray of float64, shape (n, d)
        Normal scores of all rows; what stands where there is no amount is not looked at.
    codes : ndarray of int64, shape (n, c)
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
    effects = _design(np.arange(schema.n_groups), schema)
    design = effects[groups]
    known = np.ones(numbers.shape, dtype=bool)
    for column, state in enumerate(states):
        if state is not None:
            known[:, column] = codes[:, state[0]] == state[1]
    orders = _orders(np.where(known, numbers, 0.0), codes, design, cardinalities)
    quantiles = np.empty((schema.n_groups, numbers.shape[1], N_POINTS))
    scores, ties = np.zeros((len(groups), numbers.shape[1] + codes.shape[1])), []
    for column in range(numbers.shape[1]):
        there = known[:, column]
        quantiles[:, column] = _quantiles(
            numbers[there, column], groups[there], design[there], effects, prior_rows
        )
        scores[there, column] = _scores(numbers[there, column], groups[there], quantiles[:, column])
        _, counts = np.unique(numbers[there, column], return_counts=True)
        ties.append(_variance(counts / counts.sum()))
    shares = []
    for column, order in enumerate(orders):
        place = np.argsort(order)[codes[:, column]]
        own = _shares(place, len(order), groups, design, effects, prior_rows)
        means = _means(own)
        scores[:, numbers.shape[1] + column] = means[groups, place]
        ties.append(_variance(np.bincount(place, minlength=len(order)) / len(place)))
        shares.append(own)
    seen = np.concatenate([known, np.ones(codes.shape, dtype=bool)], axis=1)
    return {
        "points": np.linspace(-REACH, REACH, N_POINTS),
        "quantiles": quantiles,
        "order": np.concatenate([np.empty(0, dtype=np.int64), *orders]),
        "shares": np.concatenate([np.empty((schema.n_groups, 0)), *shares], axis=1),
        "factor": np.linalg.cholesky(latent_correlation(scores, seen, np.array(ties))),
    }


def latent_correlation(scores: np.ndarray, seen: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Return the correlation of latent variables.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, d)
    seen : ndarray of bool, shape (n, d)
        Where there is a score; a pair of columns has the rows in which both have.
    ties : ndarray of float64, shape (d,)
        Variance of a standard normal variable's scores that ties leave.

    Returns
    -------
    ndarray of float64, shape (d, d)
        Positive definite, drawn towards independence by as many rows as there are columns.
    """
    d = scores.shape[1]
    both = seen.astype(np.float64)
    values = np.where(seen, scores, 0.0)
    counts = both.T @ both
    rows = np.maximum(counts, 1.0)
    mean = (values.T @ both) / rows
    covariance = (values.T @ values) / rows - mean * mean.T
    square = (np.square(values).T @ both) / rows - np.square(mean)
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


def _main_effects(values: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Return least squares coefficients, of each column of `values` (n, k)."""
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-9
    return np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ values)


def _quantiles(
    values: np.ndarray,
    groups: np.ndarray,
    design: np.ndarray,
    effects: np.ndarray,
    prior_rows: float,
) -> np.ndarray:
    """Return the quantile function of each group, (n_groups, N_POINTS)."""
    from scipy.special import ndtr

    points = np.linspace(-REACH, REACH, N_POINTS)
    beta = _main_effects(values[:, None], design)[:, 0]
    spread = (values - design @ beta).std()
    tables = (effects @ beta)[:, None] + spread * points
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


def _shares(
    place: np.ndarray,
    n_levels: int,
    groups: np.ndarray,
    design: np.ndarray,
    effects: np.ndarray,
    prior_rows: float,
) -> np.ndarray:
    """Return the share of each level in each group, (n_groups, n_levels)."""
    counts = np.zeros((len(effects), n_levels))
    np.add.at(counts, (groups, place), 1.0)
    rows = counts.sum(axis=1, keepdims=True)
    # Least squares over groups that weigh as their rows: the same as over rows.
    weighted = effects.T @ (effects * rows)
    penalty = np.full(effects.shape[1], _RIDGE)
    penalty[0] = 1e-9
    beta = np.linalg.solve(weighted + np.diag(penalty), effects.T @ counts)
    parent = np.maximum(effects @ beta, 0.0)
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


def _orders(
    numbers: np.ndarray, codes: np.ndarray, design: np.ndarray, cardinalities: Sequence[int]
) -> list[np.ndarray]:
    """Return the codes of each column in the order of their latent variable."""
    parts = [numbers, design[:, 1:]]
    for column, size in enumerate(cardinalities):
        if size <= _MOST_LEVELS:
            parts.append((codes[:, column, None] == np.arange(size)).astype(np.float64))
    matrix = np.concatenate(parts, axis=1)
    matrix = matrix - matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    matrix /= np.where(spread > 1e-12, spread, 1.0)
    component = matrix @ np.linalg.eigh(matrix.T @ matrix)[1][:, -1]
    orders = []
    for column, size in enumerate(cardinalities):
        counts = np.bincount(codes[:, column], minlength=size)
        sums = np.bincount(codes[:, column], weights=component, minlength=size)
        orders.append(np.argsort(sums / np.maximum(counts, 1), kind="stable").astype(np.int64))
    return orders
