# SPDX-License-Identifier: MIT
"""From typed columns to what they are for: features, sensitive attributes and the target."""

import logging
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.column_model import Column, SensitiveCard
from mcrage.datasets.grain import found_resolution, on_grid
from mcrage.datasets.limits import MAXIMUM_FEATURE_LEVELS, MAXIMUM_LEVELS, MISSING_LEVEL
from mcrage.datasets.reading import RawTable
from mcrage.datasets.roles import Attribute, Feature, Target
from mcrage.datasets.values import levels_in, refuse
from mcrage.encoding.columns import level_codes
from mcrage.errors import UserError

logger = logging.getLogger(__name__)
_SINGLE = 1e-7
_DOUBLE = 1e-12


def above_threshold(settings: PrepareSettings, values: pa.Array) -> pa.Array:
    """Turn a numeric target into its two levels."""
    threshold = settings.target.threshold
    cut = float(np.median(values.to_numpy())) if threshold == "median" else threshold
    low, high = settings.target.levels
    logger.info("target %s: %r above %g, else %r", settings.target.column, high, cut, low)
    return pc.if_else(pc.greater(values.cast(pa.float64(), safe=False), cut), high, low)


def target_of(raw: RawTable, settings: PrepareSettings, column: Column, values: pa.Array) -> Target:
    """Return the target; of two levels, the positive one is the second."""
    card = settings.target
    listed = None if card.threshold is not None else column.levels
    levels = _levels(raw, card.column, card.levels or listed, values, MAXIMUM_LEVELS)
    if card.positive is not None:
        if card.positive not in levels or len(levels) != 2:
            raise UserError(
                f"{raw.names}: target.positive is {card.positive!r}, but column {card.column} has "
                f"the levels {', '.join(map(repr, levels))}; name one of two levels, or remove "
                "the key from the card"
            )
        levels = (*(level for level in levels if level != card.positive), card.positive)
    return Target(card.column, card.column, levels, levels)


def attribute_of(
    raw: RawTable, name: str, column: Column, card: SensitiveCard, values: pa.Array
) -> Attribute:
    """Return a sensitive attribute, whose levels are as the card says."""
    if card.bands is not None:
        names, edges = tuple(card.band_names(column)), card.edges()
        return Attribute(name, name, names, names, edges)
    levels = _levels(raw, name, card.levels or column.levels, values, MAXIMUM_LEVELS)
    if values.null_count:
        levels = (*levels, MISSING_LEVEL)
    return Attribute(name, name, levels, levels)


def feature_of(raw: RawTable, name: str, column: Column, values: pa.Array) -> Feature:
    """Return a feature with the levels or the resolution that the card or the values tell."""
    missing = column.missing if values.null_count else "none"
    if column.has_levels:
        levels = _levels(raw, name, column.levels, values, MAXIMUM_FEATURE_LEVELS)
        return Feature(name, name, kind=column.type, levels=levels, missing=missing)
    if column.type == "date":
        return Feature(name, name, kind="date", resolution=1.0, missing=missing)
    return Feature(
        column=name,
        label=name,
        kind=column.type,
        resolution=_resolution(raw, name, column, values),
        lower=column.minimum,
        upper=column.maximum,
        formula=column.formula,
        missing=missing,
    )


def _levels(
    raw: RawTable, name: str, listed: Sequence[str] | None, values: pa.Array, most: int
) -> tuple[str, ...]:
    """Return the levels of a column: those of the card, or else those that are found."""
    found = levels_in(values)
    if len(found) < 2:
        raise UserError(
            f"{raw.names}: column {name} is constant ({found[0]!r} in every row), and of one level "
            f"nothing is learnt; write type: ignored in the card, or choose another column"
        )
    if listed is None and len(found) > most:
        raise UserError(
            f"{raw.names}: column {name} has {len(found)} levels in {len(values)} rows, at most "
            f"{most} are allowed; if it is an identifier or free text, write type: ignored in the "
            f"card, else join levels in the file or with columns.{name}.replace, or choose another "
            "column"
        )
    levels = listed or found
    codes = level_codes(values, levels)
    unknown = pc.and_(pc.is_null(codes), pc.is_valid(values))
    shown = ", ".join(map(repr, levels[:20])) + (", ..." if len(levels) > 20 else "")
    why = f"but the card allows the levels {shown}; mend the file, or add the level to the card"
    refuse(raw, name, unknown, values, why)
    if MISSING_LEVEL in found:
        raise UserError(
            f"{raw.names}: column {name} has the level {MISSING_LEVEL!r}, which is what the "
            "workflow calls missing values; list it in format.na_values, or rename it in the file"
        )
    absent = set(levels) - set(found)
    for level in levels:
        if level in absent:
            logger.warning("column %s: no row has level %r", name, level)
    return tuple(levels)


def _resolution(raw: RawTable, name: str, column: Column, values: pa.Array) -> float:
    """Return the resolution that the card states or the values show."""
    if column.resolution is None and column.type == "integer":
        return 1.0
    numbers = pc.fill_null(values.cast(pa.float64(), safe=False), np.nan)
    numbers = numbers.to_numpy(zero_copy_only=False)
    precision = _SINGLE if values.type == pa.float32() else _DOUBLE
    if column.resolution is None:
        resolution = found_resolution(numbers, precision)
        if not resolution and pa.types.is_decimal(values.type):
            resolution = 10.0**-values.type.scale
        logger.info("column %s: recorded to %g, found from the data", name, resolution)
        return resolution
    why = (
        f"finer than the resolution {column.resolution:g}; correct columns.{name}.resolution in "
        f"the card, or leave it out to have it found"
    )
    off = ~on_grid(numbers, column.resolution, precision) & ~np.isnan(numbers)
    refuse(raw, name, pa.array(off), values, why)
    return column.resolution
