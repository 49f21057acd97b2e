# SPDX-License-Identifier: MIT
"""How finely numbers were recorded, and where to cut them into bands, as the values show it."""

import numpy as np

GRIDS = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 1e-4, 1e-5, 1e-6)
_SPARE = 1e-6


def found_resolution(values: np.ndarray, precision: float = 1e-12) -> float:
    """Return the coarsest usual grid that holds every value, or 0.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN is passed over.
    precision : float
        Relative error of a stored value; 1e-7 for single precision.
    """
    values = values[np.isfinite(values)]
    return next((grid for grid in GRIDS if on_grid(values, grid, precision).all()), 0.0)


def on_grid(values: np.ndarray, resolution: float, precision: float = 1e-12) -> np.ndarray:
    """Return of each value whether it is a multiple of the resolution, but for rounding; bool."""
    steps = values / resolution
    # Decimal fractions are not exact in binary: 0.3 / 0.1 is not 3.
    return np.abs(steps - np.round(steps)) <= _SPARE + precision * np.abs(steps)


def usual_bands(values: np.ndarray, n_bands: int = 3) -> tuple[float, ...]:
    """Return the inner edges of bands that hold about equally many values, at round numbers.

    Thirds, since every band divides the groups once more: two edges at the quantiles 1/3 and 2/3,
    each rounded to the coarsest of 1, 2 and 5 times a power of ten that moves it by no more than a
    tenth of the distance of the quantiles 1/4 and 3/4 (ages: 45 and 65 rather than 46 and 64).

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN is passed over; at least two different ones.
    n_bands : int

    Returns
    -------
    tuple of float
        Rising, n_bands - 1 or fewer where values are alike; at least one. A value at an edge
        belongs to the band above it.
    """
    values = values[np.isfinite(values)]
    lowest, first, third, highest = np.quantile(values, [0, 0.25, 0.75, 1])
    allowed = 0.1 * (third - first if third > first else highest - lowest)
    edges = [
        _round_number(cut, allowed) for cut in np.quantile(values, np.arange(1, n_bands) / n_bands)
    ]
    # An edge at or below the smallest value, or above the largest, would leave a band empty.
    edges = sorted({edge for edge in edges if lowest < edge <= highest})
    return tuple(edges) or (float(values[values > lowest].min()),)


def _round_number(value: float, allowed: float) -> float:
    """Return the roundest number within `allowed` of a value."""
    power = np.floor(np.log10(max(abs(value), allowed)))
    for exponent in np.arange(power, power - 12, -1):
        for factor in (5.0, 2.0, 1.0):
            step = factor * 10.0**exponent
            near = np.round(value / step) * step
            if abs(near - value) <= allowed:
                # Through text, so that 0.30000000000000004 is 0.3.
                return float(f"{near:.12g}")
    return float(value)
