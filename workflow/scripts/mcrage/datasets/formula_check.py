# SPDX-License-Identifier: MIT
"""Whether derived columns follow from the others, as a card's formulas say."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mcrage.datasets import formula as formulas
from mcrage.datasets.column_model import Column
from mcrage.datasets.roles import Feature
from mcrage.errors import UserError

logger = logging.getLogger(__name__)
MAXIMUM_SHARE_OFF = 0.05


def columns_used(columns: Mapping[str, Column]) -> set[str]:
    """Return the derived columns and those that they follow from."""
    derived = {name: column.formula for name, column in columns.items() if column.formula}
    return set(derived).union(*(formulas.names(formula) for formula in derived.values()))


def check_formulas(
    dataset: str, features: Sequence[Feature], typed: Mapping[str, pa.Array]
) -> None:
    """Check that derived columns follow from the others as far as rounding lets them.

    A recorded value may differ from the formula of the recorded others by half its own resolution
    and by what half a resolution of each of the others amounts to.

    Parameters
    ----------
    dataset : str
    features : sequence of Feature
    typed : mapping of str to pyarrow.Array
        Those that formulas name, at least (see `columns_used`).

    Raises
    ------
    UserError
        If more than `MAXIMUM_SHARE_OFF` of the rows are off.
    """
    resolutions = {feature.column: feature.resolution for feature in features}
    numbers = {
        name: values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name, values in typed.items()
    }
    for feature in features:
        if feature.formula is None:
            continue
        computed = formulas.evaluate(feature.formula, numbers)
        tolerance = feature.resolution / 2
        for used in formulas.names(feature.formula):
            step = resolutions[used] / 2
            moved = [
                formulas.evaluate(feature.formula, {**numbers, used: numbers[used] + sign * step})
                for sign in (-1, 1)
            ]
            tolerance = tolerance + np.max(np.abs(np.stack(moved) - computed), axis=0)
        known = np.isfinite(computed) & np.isfinite(numbers[feature.column])
        error = np.abs(computed - numbers[feature.column])[known]
        # A millionth more, for numbers that were stored in single precision once.
        slack = tolerance + 1e-9 + 1e-6 * np.abs(computed)
        off = int(np.sum(error > slack[known]))
        share = off / max(1, error.size)
        told = f"{off} of {error.size} rows ({share:.2%}) off by more than rounding explains"
        logger.info("column %s = %s: %s", feature.column, feature.formula, told)
        if share > MAXIMUM_SHARE_OFF:
            raise UserError(
                f"dataset {dataset}, column {feature.column}, formula '{feature.formula}': {told} "
                f"(allowed: {MAXIMUM_SHARE_OFF:.0%}); correct or remove "
                f"columns.{feature.column}.formula in the card"
            )
