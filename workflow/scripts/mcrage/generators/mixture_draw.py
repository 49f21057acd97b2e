# SPDX-License-Identifier: MIT
"""Rows drawn from a mixture: a component by the group's weights, then each column given it.

A number in bands, such as an age, is drawn given the band of the row's group, and the others given
what it became: components are shared by groups, and know no band.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mcrage.bands import recorded_ends
from mcrage.datasets.recorded import grain_of
from mcrage.encoding.mixed import MixedEncoding
from mcrage.generators.base import standardised_within
from mcrage.generators.uniform_draws import places, uniform_chunks
from mcrage.groups import GroupSchema

# Numbers of matrices that are held at a time.
_AT_ONCE = 2_000_000
# A number that the ones before it fix, but for rounding, can't be moved without them.
_FIXED = 1e-6

Limits = Mapping[int, tuple[np.ndarray, np.ndarray]]
"""By column of numbers: where it begins and ends in each group, ndarray of shape (n_groups,)."""


def draw(
    components: Mapping[str, np.ndarray],
    cardinalities: Sequence[int],
    plan: np.ndarray,
    seed: int,
    limits: Limits | None = None,
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
    limits : mapping, optional
        Of numbers in bands; see `limits_of`.

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
        own = {
            column: (low[groups], high[groups]) for column, (low, high) in (limits or {}).items()
        }
        numbers = np.empty_like(noise)
        step = max(1, _AT_ONCE // max(1, factors[0].size))
        for start in range(0, len(noise), step):
            part = slice(start, start + step)
            numbers[part] = _numbers(
                noise[part],
                means[chosen[part]],
                factors[chosen[part]],
                {column: (low[part], high[part]) for column, (low, high) in own.items()},
            )
        yield numbers, codes, groups


def limits_of(encoding: MixedEncoding, schema: GroupSchema, scaling: str) -> Limits:
    """Return where numbers in bands begin and end in each group, as they are encoded.

    Parameters
    ----------
    encoding : MixedEncoding
    schema : GroupSchema
    scaling : str
        That of the encoding.
    """
    if not any(schema.edges) or encoding.numeric is None:
        return {}
    groups = np.arange(schema.n_groups)
    digits = schema.indices_of(groups)
    numbers = [encoding.numbers[column] for column in encoding.numeric.modelled]
    columns = [encoding.features[place].column for place in numbers]
    within = standardised_within(scaling, groups, schema)
    limits = {}
    for name, edges, codes in zip(schema.columns, schema.edges, digits, strict=False):
        if not edges or name not in columns:
            continue
        column = columns.index(name)
        feature = encoding.features[numbers[column]]
        half = 0.5 * grain_of(feature)
        found = []
        # To the middle between what can be recorded on both sides of an edge.
        for ends, beyond in zip(recorded_ends(edges, feature), (-half, half), strict=True):
            wanted = ends[codes] + beyond
            rows = np.zeros((len(groups), len(encoding.numeric.features)))
            rows[:, encoding.numeric.modelled[column]] = np.where(np.isinf(wanted), 0.0, wanted)
            encoded = encoding.numeric.transform(rows, within=within)[:, column]
            found.append(np.where(np.isinf(wanted), wanted, encoded))
        limits[column] = (found[0], found[1])
    return limits


def _numbers(
    noise: np.ndarray,
    means: np.ndarray,
    factors: np.ndarray,
    limits: Mapping[int, tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Return numbers of each row's component, some of them within limits.

    Parameters
    ----------
    noise : ndarray of float64, shape (m, d)
        Standard normal.
    means : ndarray of float64, shape (m, d)
    factors : ndarray of float64, shape (m, d) or (m, d, d)
        Standard deviations, or L of the covariances L Lᵀ.
    limits : mapping
        By column: its least and its largest value, each of shape (m,).
    """
    if limits:
        noise = _limited(noise, means, factors, limits)
    if factors.ndim == 2:
        return means + noise * factors
    # Row by row: a product of whole matrices rounds as their number of rows has it.
    return means + np.einsum("nij,nj->ni", factors, noise)


def _limited(
    noise: np.ndarray,
    means: np.ndarray,
    factors: np.ndarray,
    limits: Mapping[int, tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Return noise that is normal but for the limits: column by column, given those before.

    A column is a normal number along one direction of the noise. Along that it becomes a truncated
    one, by inversion; across it nothing is changed.
    """
    from scipy.special import ndtr, ndtri

    noise = noise.copy()
    fixed: list[np.ndarray] = []
    for column, (low, high) in limits.items():
        if factors.ndim == 2:
            row = np.zeros_like(noise)
            row[:, column] = factors[:, column]
        else:
            row = factors[:, column].copy()
        at = means[:, column].copy()
        scale = np.linalg.norm(row, axis=1)
        for unit in fixed:
            along = np.einsum("nj,nj->n", row, unit)
            at += along * np.einsum("nj,nj->n", noise, unit)
            row -= along[:, None] * unit
        length = np.linalg.norm(row, axis=1)
        free = length > _FIXED * scale
        unit = np.where(free[:, None], row / np.where(free, length, 1.0)[:, None], 0.0)
        length = np.where(free, length, 1.0)
        now = np.einsum("nj,nj->n", noise, unit)
        first, last = (low - at) / length, (high - at) / length
        # In the upper tail probabilities are near 1, and told apart at the other end.
        mirrored = first > 0
        first, last = np.where(mirrored, -last, first), np.where(mirrored, -first, last)
        below, above = ndtr(first), ndtr(last)
        wanted = ndtri(below + ndtr(np.where(mirrored, -now, now)) * (above - below))
        wanted = np.clip(wanted, first, last)
        wanted = np.where(mirrored, -wanted, wanted)
        noise += np.where(free, wanted - now, 0.0)[:, None] * unit
        fixed.append(unit)
    return noise
