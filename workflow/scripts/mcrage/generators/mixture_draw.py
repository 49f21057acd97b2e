# SPDX-License-Identifier: MIT
"""Rows drawn from a mixture: a component by the group's weights, then each column given it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mcrage.generators.uniform_draws import places, uniform_chunks

# Numbers of matrices that are held at a time.
_AT_ONCE = 2_000_000


def draw(
    components: Mapping[str, np.ndarray], cardinalities: Sequence[int], plan: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw encoded rows.

    Parameters
    ----------
    components : mapping of str to ndarray
        See `mcrage.generators.mixture_fit.Found`.
    cardinalities : sequence of int
        Of the columns of codes.
    plan : ndarray of int64, shape (n_groups,)
    seed : int

    Yields
    ------
    numbers : ndarray of float64, shape (m, n_numbers)
    codes : ndarray of int64, shape (m, n_codes)
    groups : ndarray of int64, shape (m,)
    """
    from scipy.special import ndtri

    means, factors = components["means"], components["factors"]
    weights = np.cumsum(components["weights"], axis=1)
    ends = np.cumsum(cardinalities, dtype=np.int64)[:-1] if len(cardinalities) else []
    tables = np.split(components["levels"], ends, axis=1) if len(cardinalities) else []
    tables = [np.cumsum(table, axis=1) for table in tables]
    width = 1 + len(tables) + means.shape[1]
    for uniforms, groups in uniform_chunks(plan, width, seed):
        chosen = places(uniforms[:, 0], weights, groups)
        codes = np.empty((len(groups), len(tables)), dtype=np.int64)
        for column, table in enumerate(tables):
            codes[:, column] = places(uniforms[:, 1 + column], table, chosen)
        noise = ndtri(uniforms[:, 1 + len(tables) :])
        yield means[chosen] + _scaled(noise, factors, chosen), codes, groups


def _scaled(noise: np.ndarray, factors: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return noise of the covariance of each row's component."""
    if factors.ndim == 2:
        return noise * factors[chosen]
    out = np.empty_like(noise)
    step = max(1, _AT_ONCE // max(1, factors[0].size))
    for start in range(0, len(noise), step):
        part = slice(start, start + step)
        # Row by row: a product of whole matrices rounds as their number of rows has it.
        out[part] = np.einsum("nij,nj->ni", factors[chosen[part]], noise[part])
    return out
