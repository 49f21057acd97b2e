# SPDX-License-Identifier: MIT
"""In which steps the values of a feature are recorded."""

from decimal import Decimal
from typing import Any

import numpy as np

from mcrage.datasets.roles import Feature


def grain_of(feature: Feature) -> float:
    """Return the smallest recorded difference of a feature; integers and days have at least 1."""
    whole = feature.kind in ("integer", "date")
    return max(feature.resolution, 1.0) if whole else feature.resolution


def as_recorded(values: np.ndarray, feature: Feature) -> np.ndarray:
    """Return numbers, float64 of any shape, rounded to what the feature is recorded in."""
    grain = grain_of(feature)
    if grain == 0:
        return values
    decimals = max(0, -int(Decimal(repr(float(grain))).normalize().as_tuple().exponent))
    if grain == 10.0**-decimals:
        return np.round(values, decimals)
    # Rounding a second time turns 0.7500000000000001 into the recorded 0.75.
    return np.round(np.round(values / grain) * grain, decimals)


def whole_ends(kind: Any) -> tuple[float, float]:
    """Return the least and the largest float64 that a type of whole numbers holds.

    Examples
    --------
    >>> whole_ends(np.int8)
    (-128.0, 127.0)
    >>> whole_ends(np.int64)[1] < 2**63 - 1
    True
    """
    held = np.iinfo(kind)
    highest = float(held.max)
    if int(highest) > held.max:
        highest = float(np.nextafter(highest, 0.0))
    return float(held.min), highest
