# SPDX-License-Identifier: MIT
"""Numbers in bands, such as an age: moved into the band that a row's group fixes."""

import numpy as np

from mcrage.datasets.roles import Roles
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
        feature = roles.features[place]
        # Integers and dates go by ones; the upper edge belongs to the next band.
        grain = max(feature.resolution, 0.0 if feature.kind == "continuous" else 1.0)
        edges = np.asarray(attribute.edges)
        low, high = edges[codes], edges[codes + 1]
        if grain:
            low, high = np.ceil(low / grain) * grain, (np.ceil(high / grain) - 1) * grain
        else:
            high = np.nextafter(high, -np.inf)
        features = features.copy()
        features[:, place] = np.clip(features[:, place], low, high)
    return features
