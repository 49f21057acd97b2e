# SPDX-License-Identifier: MIT
"""What holds of every row by definition: identities, bounds, the recorded resolution and levels.

A missing value breaks none of it.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from mcrage.datasets.formula import evaluate, names
from mcrage.datasets.roles import Feature

# Of a value, for the rounding of floating point numbers.
_SLACK = 1e-9
# With more inputs than this the corners of the interval of rounding are too many.
_MAX_CORNERS = 10


def violated_identities(rows: np.ndarray, features: Sequence[Feature]) -> dict[str, np.ndarray]:
    """Say which rows break the formula of each derived column by more than rounding allows.

    The recorded inputs x̃ stand for any x within half a resolution, and so does the recorded
    value ỹ for y = f(x). A row is in order if |ỹ - f(x̃)| ≤ r_y / 2 + max |f(x) - f(x̃)|, the
    maximum over the corners of the inputs' box, where it lies for formulas that are monotone in
    each input, as quotients and sums are.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Raw units.
    features : sequence of Feature
        In the order of the columns.

    Returns
    -------
    dict of str to ndarray of bool, shape (n,)
        By derived column; empty if no feature has a formula. A formula that gives no finite number
        is broken, unless one of the values is missing: then there is nothing to break.
    """
    columns = {feature.column: rows[:, i] for i, feature in enumerate(features)}
    resolution = {feature.column: feature.resolution for feature in features}
    out = {}
    for feature in features:
        if feature.formula is None:
            continue
        inputs = names(feature.formula)
        middle = evaluate(feature.formula, columns)
        slack = np.zeros(len(rows))
        corners = product((-0.5, 0.5), repeat=len(inputs)) if len(inputs) <= _MAX_CORNERS else ()
        for signs in corners:
            moved = {
                name: columns[name] + sign * resolution[name]
                for name, sign in zip(inputs, signs, strict=True)
            }
            slack = np.fmax(slack, np.abs(evaluate(feature.formula, moved) - middle))
        allowed = 0.5 * feature.resolution + slack + _SLACK * (1 + np.abs(middle))
        with np.errstate(invalid="ignore"):
            kept = np.abs(columns[feature.column] - middle) <= allowed
        gap = np.isnan([columns[name] for name in (feature.column, *inputs)]).any(axis=0)
        out[feature.column] = ~(kept & np.isfinite(middle)) & ~gap
    return out


def out_of_bounds(rows: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Say which rows hold a value outside the bounds that the card declares, bool of shape (n,)."""
    lower = np.array([-np.inf if f.lower is None else f.lower for f in features])
    upper = np.array([np.inf if f.upper is None else f.upper for f in features])
    return ((rows < lower) | (rows > upper)).any(axis=1)


def off_resolution(rows: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Say which rows hold a value that can't have been recorded, bool of shape (n,).

    A column with a resolution holds whole multiples of it, and a column of integers or dates holds
    whole numbers.
    """
    out = np.zeros(len(rows), dtype=bool)
    for column, feature in enumerate(features):
        if feature.levels:
            continue
        grain = max(feature.resolution, 0.0 if feature.kind == "continuous" else 1.0)
        if grain > 0:
            steps = rows[:, column] / grain
            out |= np.abs(steps - np.rint(steps)) > 1e-6 * np.maximum(1, np.abs(steps))
    return out


def unseen_levels(
    rows: np.ndarray, train: np.ndarray, features: Sequence[Feature]
) -> dict[str, np.ndarray]:
    """Say which rows hold a level that no training row has.

    Parameters
    ----------
    rows, train : ndarray of float64, shapes (m, d) and (n, d)
    features : sequence of Feature

    Returns
    -------
    dict of str to ndarray of bool, shape (m,)
        By column of levels.
    """
    out = {}
    for place, feature in enumerate(features):
        if feature.levels:
            values = rows[:, place]
            out[feature.column] = ~np.isin(values, train[:, place]) & ~np.isnan(values)
    return out
