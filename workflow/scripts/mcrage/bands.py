# SPDX-License-Identifier: MIT
"""Numbers in bands, such as an age: they lie in the band that a row's group fixes.

A generator knows the band only as a condition, and may draw a value beside it. Diffusion models
leave such a row out (`inside_bands`, `mcrage.generators.blocks`); what is left is moved into its
band (`within_bands`).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mcrage.datasets.recorded import as_recorded, grain_of
from mcrage.datasets.roles import Feature, Roles
from mcrage.groups import GroupSchema


def within_bands(
    features: np.ndarray, groups: np.ndarray, schema: GroupSchema, roles: Roles
) -> np.ndarray:
    """Return rows with every feature that makes bands inside the band of its row's group.

    Of a value beside it the nearest one that can have been recorded is taken.

    Parameters
    ----------
    features : ndarray of float64, shape (m, d)
        Like `mcrage.generators.base.TrainingData.features`; left as it is.
    groups : ndarray of int64, shape (m,)
    schema : GroupSchema
    roles : Roles
    """
    for place, low, high in _ends(groups, schema, roles.features):
        features = features.copy()
        features[:, place] = np.clip(features[:, place], low, high)
    return features


def inside_bands(
    rows: np.ndarray, groups: np.ndarray, schema: GroupSchema, features: Sequence[Feature]
) -> np.ndarray:
    """Return which rows `within_bands` leaves as they are, bool of shape (m,).

    Parameters
    ----------
    rows : ndarray of float64, shape (m, d)
    groups : ndarray of int64, shape (m,)
    schema : GroupSchema
    features : sequence of Feature
        Of the columns of `rows`.
    """
    inside = np.ones(len(rows), dtype=bool)
    for place, low, high in _ends(groups, schema, features):
        inside &= (rows[:, place] >= low) & (rows[:, place] <= high)
    return inside


def _ends(
    groups: np.ndarray, schema: GroupSchema, features: Sequence[Feature]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the place of each number in bands, and the ends of each row's band."""
    columns = [feature.column for feature in features]
    if not schema.edges:
        return
    digits = schema.indices_of(groups)
    for name, edges, codes in zip(schema.columns, schema.edges, digits, strict=False):
        if edges:
            place = columns.index(name)
            low, high = recorded_ends(edges, features[place])
            yield place, low[codes], high[codes]


def recorded_ends(edges: Sequence[float], feature: Feature) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each band that can have been recorded.

    Parameters
    ----------
    edges : sequence of float, length n_bands + 1
        See `mcrage.datasets.roles.Attribute`; an upper edge belongs to the next band.
    feature : Feature

    Returns
    -------
    low, high : ndarray of float64, shape (n_bands,)
        Infinite where the band is.

    Examples
    --------
    >>> low, high = recorded_ends((0.0, 0.14, 0.3), Feature("x", "x", resolution=0.01))
    >>> low.tolist(), high.tolist()
    ([0.0, 0.14], [0.13, 0.29])
    """
    low, above = np.asarray(edges[:-1]), np.asarray(edges[1:])
    grain = grain_of(feature)
    if not grain:
        return low, np.nextafter(above, -np.inf)

    def steps(values: np.ndarray) -> np.ndarray:
        # 0.14 / 0.01 is a little more than 14.
        exact = values / grain
        near = np.round(exact)
        return np.where(np.isclose(exact, near, rtol=1e-12, atol=1e-9), near, np.ceil(exact))

    return as_recorded(steps(low) * grain, feature), as_recorded(
        (steps(above) - 1) * grain, feature
    )
