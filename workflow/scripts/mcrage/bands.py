# SPDX-License-Identifier: MIT
"""Numbers in bands, such as an age: moved into the band that a row's group fixes."""

from collections.abc import Sequence

import numpy as np

from mcrage.datasets.recorded import as_recorded, grain_of
from mcrage.datasets.roles import Feature, Roles
from mcrage.groups import GroupSchema


def within_bands(
    features: np.ndarray, groups: np.ndarray, schema: GroupSchema, roles: Roles
) -> np.ndarray:
    """Return rows with every feature that makes bands inside the band of its row's group.

    A generator knows the band only as a condition, and may draw a value beside it; the nearest one
    that can have been recorded is taken.

    Parameters
    ----------
    features : ndarray of float64, shape (m, d)
        Like `mcrage.generators.base.TrainingData.features`; left as it is.
    groups : ndarray of int64, shape (m,)
    schema : GroupSchema
    roles : Roles
    """
    digits = schema.indices_of(groups)
    for attribute, codes in zip(roles.sensitive, digits, strict=False):
        if not attribute.edges:
            continue
        place = roles.feature_columns.index(attribute.column)
        low, high = recorded_ends(attribute.edges, roles.features[place])
        features = features.copy()
        features[:, place] = np.clip(features[:, place], low[codes], high[codes])
    return features


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
