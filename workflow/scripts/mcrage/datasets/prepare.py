# SPDX-License-Identifier: MIT
"""From raw files to a typed table and its roles, refusing whatever the card doesn't promise."""

import datetime
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.config.base import closest
from mcrage.datasets import formula as formulas
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.column_model import ISO_DATE, Column, SensitiveCard
from mcrage.datasets.filters import filtered
from mcrage.datasets.limits import MAXIMUM_FEATURE_LEVELS, MAXIMUM_LEVELS, MISSING_LEVEL
from mcrage.datasets.reading import RawTable, read_files
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.tables import IS_OFFICIAL_TEST, ROW_ID

logger = logging.getLogger(__name__)

MAXIMUM_SHARE_OFF = 0.05
_CONTINUOUS = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?[0-9]{1,15}$"  # float64 holds these exactly
_GRIDS = (1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Prepared:
    """A dataset ready for the stages that follow.

    Attributes
    ----------
    table : pyarrow.Table
        `row_id` (int64, the row's number in the files, from 0 on), `is_official_test` where the
        dataset comes with a test set, then the user's columns in the file's order: float64, int64,
        date32 or text.
    roles : Roles
    group_counts : dict of str to int
        Rows per group by label.
    """

    table: pa.Table
    roles: Roles
    group_counts: dict[str, int]


def prepare(settings: PrepareSettings, paths: Sequence[str | os.PathLike]) -> Prepared:
    """Read, check and type a dataset's raw files.

    Parameters
    ----------
    settings : PrepareSettings
        The card's part for this stage.
    paths : sequence of path-like
        The raw files, in any order; told apart by their names.

    Returns
    -------
    Prepared

    Raises
    ------
    UserError
        For anything that the card doesn't promise: see the functions below.
    """
    raw = read_files(settings, [Path(path) for path in paths])
    _check_size(settings.name, "rows", raw.table.num_rows, settings.expected.rows)
    _check_size(settings.name, "columns", raw.table.num_columns, settings.expected.columns)
    raw = _without_gaps(filtered(raw, settings.filters), settings.drop_rows_without)
    kept = settings.expected.rows_kept
    if kept is not None and raw.table.num_rows != kept:
        raise UserError(
            f"dataset {settings.name}: {raw.table.num_rows} rows are left, the card expects "
            f"{kept}; use the right files, or correct filters or expected.rows_kept in the card"
        )
    table = raw.table
    columns = {name: dict(settings.columns)[name] for name in table.column_names}
    typed = {
        name: _typed(raw, name, column)
        for name, column in columns.items()
        if column.type != "ignored"
    }
    if settings.target.threshold is not None:
        typed[settings.target.column] = _above_threshold(settings, typed[settings.target.column])
    sensitive = tuple(
        _attribute(raw, name, columns[name], attribute, typed[name])
        for name, attribute in settings.sensitive
    )
    others = {settings.target.column, *settings.cluster}
    others |= {attribute.column for attribute in sensitive if not attribute.edges}
    features = tuple(
        _feature(raw, name, columns[name], typed[name]) for name in typed if name not in others
    )
    _check_formulas(settings.name, features, typed)
    roles = Roles(
        dataset=settings.name,
        title=settings.name,
        features=features,
        sensitive=sensitive,
        target=_target(raw, settings, columns, typed),
        columns=tuple(typed),
        cluster=tuple(settings.cluster),
    )
    official = _official_test(raw, settings)
    prepared = pa.table({ROW_ID: pa.array(raw.kept), **official, **typed})
    counts = _group_counts(settings, roles, prepared)
    return Prepared(prepared, roles, counts)


def _official_test(raw: RawTable, settings: PrepareSettings) -> dict[str, pa.Array]:
    """Return the column that marks the rows of the official test set, if there is one."""
    if settings.official_test is None:
        return {}
    marks = raw.of_files(settings.official_test.files)
    if (found := int(marks.sum())) != settings.official_test.rows:
        raise UserError(
            f"dataset {settings.name}: the official test set has {found} rows, the card expects "
            f"{settings.official_test.rows}; use the right files, or correct official_test.rows in "
            "the card"
        )
    return {IS_OFFICIAL_TEST: pa.array(marks)}


def _without_gaps(raw: RawTable, needed: Sequence[str]) -> RawTable:
    """Leave out the rows in which one of the needed columns is missing."""
    kept = np.ones(raw.table.num_rows, dtype=bool)
    for name in needed:
        gaps = pc.is_null(raw.table.column(name)).to_numpy()
        logger.info("column %s: %d row(s) without it are left out", name, np.sum(gaps & kept))
        kept &= ~gaps
    if not kept.any():
        raise UserError(
            f"{raw.names}: no row is left without those that drop_rows_without names "
            f"({', '.join(needed)}); correct the key in the card"
        )
    return replace(raw, table=raw.table.filter(pa.array(kept)), kept=raw.kept[kept])


def _check_size(dataset: str, what: str, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise UserError(
            f"dataset {dataset}: the raw table has {found} {what}, the card expects {expected}; "
            f"use the right file, or correct expected.{what} in the card"
        )


def _typed(raw: RawTable, name: str, column: Column) -> pa.Array:
    """Return a column as float64, int64 or text after every check on single values."""
    values = raw.table.column(name).combine_chunks()
    if values.null_count == len(values):
        raise UserError(
            f"{raw.names}: every value of column {name} is missing; write type: ignored in the "
            f"card, or correct format.na_values"
        )
    if values.null_count and column.missing == "refuse":
        first = _first(pc.is_null(values))
        raise UserError(
            f"column {name}: {values.null_count} of {len(values)} values are missing, the first "
            f"at {raw.place(first)}; write columns.{name}.missing: keep (or impute) in the card, "
            f"or list {name} under drop_rows_without"
        )
    if column.type == "date":
        return _dates(raw, name, column, values)
    if not column.is_numeric:
        return values
    whole = column.type == "integer"
    matches = pc.match_substring_regex(values, _INTEGER if whole else _CONTINUOUS)
    wanted = "a whole number of at most 15 digits (type: integer)" if whole else "a number"
    why = (
        f"which is not {wanted}; mend the file, correct columns.{name}.type in the card, or list "
        f"the entry in format.na_values if it means missing"
    )
    _refuse(raw, name, pc.invert(matches), values, why)
    # int64 does not take a leading plus sign, float64 does.
    numbers = pc.ascii_ltrim(values, "+").cast(pa.int64() if whole else pa.float64())
    why = "which is too large; mend the file"
    _refuse(raw, name, pc.invert(pc.is_finite(numbers)), values, why)
    bounds = (("minimum", column.minimum, pc.less), ("maximum", column.maximum, pc.greater))
    for key, bound, outside in bounds:
        if bound is not None:
            why = (
                f"beyond the {key} {bound:g}; mend the file, or correct columns.{name}.{key} in "
                f"the card"
            )
            _refuse(raw, name, outside(numbers.cast(pa.float64()), bound), values, why)
    return numbers


def _dates(raw: RawTable, name: str, column: Column, values: pa.Array) -> pa.Array:
    """Return texts as days; each is read once, however often it stands in the table."""
    layout = column.date_format or ISO_DATE
    texts = values.dictionary_encode()
    days = [_day(text, layout) for text in texts.dictionary.to_pylist()]
    dates = pa.array(days, pa.date32()).take(texts.indices)
    why = (
        f"which is no date like {layout}; correct columns.{name}.date_format in the card, or mend "
        "the file"
    )
    _refuse(raw, name, pc.and_(pc.is_null(dates), pc.is_valid(values)), values, why)
    return dates


def _day(text: str, layout: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text, layout).date()
    except ValueError:
        return None


def _refuse(raw: RawTable, name: str, wrong: pa.Array, values: pa.Array, why: str) -> None:
    """Raise for the first row that is wrong; a missing value is not."""
    wrong = pc.fill_null(wrong, False)
    count = pc.sum(wrong).as_py()
    if count:
        first = _first(wrong)
        raise UserError(
            f"{raw.place(first)}, column {name}: found {values[first].as_py()!r}, {why} "
            f"({count} such value(s))"
        )


def _first(mask: pa.Array) -> int:
    return pc.index(mask, True).as_py()


def _above_threshold(settings: PrepareSettings, values: pa.Array) -> pa.Array:
    """Turn a numeric target into its two levels."""
    threshold = settings.target.threshold
    cut = float(np.median(values.to_numpy())) if threshold == "median" else threshold
    low, high = settings.target.levels
    logger.info("target %s: %r above %g, else %r", settings.target.column, high, cut, low)
    return pc.if_else(pc.greater(values.cast(pa.float64()), cut), high, low)


def _target(
    raw: RawTable, settings: PrepareSettings, columns: dict[str, Column], typed: dict[str, pa.Array]
) -> Target:
    """Return the target; of two levels, the positive one is the second."""
    card = settings.target
    listed = None if card.threshold is not None else columns[card.column].levels
    levels = _levels(raw, card.column, card.levels or listed, typed[card.column], MAXIMUM_LEVELS)
    if card.positive is not None:
        if card.positive not in levels or len(levels) != 2:
            raise UserError(
                f"{raw.names}: target.positive is {card.positive!r}, but column {card.column} has "
                f"the levels {', '.join(map(repr, levels))}; name one of two levels, or remove "
                "the key from the card"
            )
        levels = (*(level for level in levels if level != card.positive), card.positive)
    return Target(card.column, card.column, levels, levels)


def _attribute(
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


def _levels(
    raw: RawTable, name: str, listed: Sequence[str] | None, values: pa.Array, most: int
) -> tuple[str, ...]:
    """Return the levels of a column: those of the card, or else those that are found."""
    found = sorted(pc.unique(values.drop_null()).to_pylist())
    if len(found) < 2:
        raise UserError(
            f"{raw.names}: column {name} is constant ({found[0]!r} in every row), and of one level "
            f"nothing is learnt; write type: ignored in the card, or choose another column"
        )
    levels = listed or found
    if len(levels) > most:
        raise UserError(
            f"{raw.names}: column {name} has {len(levels)} levels, at most {most} are allowed; "
            f"join levels in the file, choose another column, or write type: ignored"
        )
    unknown = pc.invert(pc.is_in(values, value_set=pa.array([*levels, None], pa.string())))
    why = (
        f"but the card allows the levels {', '.join(map(repr, levels[:20]))}; mend the file, or "
        f"add the level to the card"
    )
    _refuse(raw, name, unknown, values, why)
    if MISSING_LEVEL in found:
        raise UserError(
            f"{raw.names}: column {name} has the level {MISSING_LEVEL!r}, which is what the "
            "workflow calls missing values; list it in format.na_values, or rename it in the file"
        )
    for level in levels:
        if level not in found:
            logger.warning("column %s: no row has level %r", name, level)
    return tuple(levels)


def _feature(raw: RawTable, name: str, column: Column, values: pa.Array) -> Feature:
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


def _resolution(raw: RawTable, name: str, column: Column, values: pa.Array) -> float:
    """Return the resolution that the card states or the values show."""
    numbers = values.cast(pa.float64())
    if column.resolution is None:
        resolution = 1.0 if column.type == "integer" else _found_resolution(numbers)
        logger.info("column %s: recorded to %g, found from the data", name, resolution)
        return resolution
    why = (
        f"finer than the resolution {column.resolution:g}; correct columns.{name}.resolution in "
        f"the card, or leave it out to have it found"
    )
    _refuse(raw, name, pc.invert(_on_grid(numbers, column.resolution)), values, why)
    return column.resolution


def _found_resolution(numbers: pa.Array) -> float:
    """Return the coarsest usual grid that holds every value, or 0."""
    return next((grid for grid in _GRIDS if pc.all(_on_grid(numbers, grid)).as_py()), 0.0)


def _on_grid(numbers: pa.Array, resolution: float) -> pa.Array:
    steps = pc.divide(numbers, resolution)
    # Decimal fractions are not exact in binary: 0.3 / 0.1 is not 3.
    slack = pc.add(1e-6, pc.multiply(1e-12, pc.abs(steps)))
    return pc.less_equal(pc.abs(pc.subtract(steps, pc.round(steps))), slack)


def _check_formulas(
    dataset: str, features: tuple[Feature, ...], typed: dict[str, pa.Array]
) -> None:
    """Check that derived columns follow from the others as far as rounding lets them.

    A recorded value may differ from the formula of the recorded others by half its own resolution
    and by what half a resolution of each of the others amounts to.
    """
    resolutions = {
        feature.column: feature.resolution
        for feature in features
        if feature.kind in ("continuous", "integer")
    }
    numbers = {
        name: typed[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in resolutions
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


def _group_counts(settings: PrepareSettings, roles: Roles, table: pa.Table) -> dict[str, int]:
    schema = GroupSchema.of(roles)
    counts = schema.counts_by_label(schema.index(table))
    for label, count in counts.items():
        logger.info("group %s: %d rows", label, count)
    for label, expected in settings.expected.groups.items():
        if label not in counts:
            raise UserError(
                f"dataset {settings.name}: expected.groups names {label!r}"
                f"{closest(label, list(counts))}; the groups are: {'; '.join(counts)}"
            )
        if counts[label] != expected:
            raise UserError(
                f"dataset {settings.name}: group {label} has {counts[label]} rows, the card "
                f"expects {expected}; use the right file, or correct expected.groups in the card"
            )
    return counts
