# SPDX-License-Identifier: MIT
"""Rows drawn from a Gaussian copula: correlated normal numbers through each group's margins."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from mcrage.generators.uniform_draws import places, uniform_chunks


def draw(
    margins: Mapping[str, np.ndarray], cardinalities: Sequence[int], plan: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw encoded rows.

    Parameters
    ----------
    margins : mapping of str to ndarray
        See `mcrage.generators.copula_fit.fit`.
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
    from scipy.special import ndtr, ndtri

    factor, quantiles = margins["factor"], margins["quantiles"]
    ends = np.cumsum((0, *cardinalities)).tolist()
    for uniforms, groups in uniform_chunks(plan, len(factor), seed):
        # Row by row: a product of whole matrices rounds as their number of rows has it.
        latent = np.einsum("ij,nj->ni", factor, ndtri(uniforms))
        numbers = np.empty((len(groups), quantiles.shape[1]))
        for column in range(numbers.shape[1]):
            numbers[:, column] = between(
                quantiles[:, column], groups, latent[:, column], margins["points"]
            )
        codes = np.empty((len(groups), len(cardinalities)), dtype=np.int64)
        for column, (low, high) in enumerate(pairwise(ends)):
            shares = np.cumsum(margins["shares"][:, low:high], axis=1)
            place = places(ndtr(latent[:, numbers.shape[1] + column]), shares, groups)
            codes[:, column] = margins["order"][low:high][place]
        yield numbers, codes, groups


def between(
    tables: np.ndarray, rows: np.ndarray, scores: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Look normal scores up in quantile functions.

    Parameters
    ----------
    tables : ndarray of float64, shape (k, n_points)
    rows : ndarray of int64, shape (m,)
        The table of each score.
    scores : ndarray of float64, shape (m,)
    points : ndarray of float64, shape (n_points,)
        The normal scores at which quantiles are known, equally spaced.

    Returns
    -------
    ndarray of float64, shape (m,)
        On the line between the two nearest points; beyond the last, its value.
    """
    step = (points[-1] - points[0]) / (len(points) - 1)
    places = (np.clip(scores, points[0], points[-1]) - points[0]) / step
    before = np.minimum(places.astype(np.int64), len(points) - 2)
    low, high = tables[rows, before], tables[rows, before + 1]
    return low + (places - before) * (high - low)
