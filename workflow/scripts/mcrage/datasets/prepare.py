# SPDX-License-Identifier: MIT
"""From raw files to a typed table and its roles, refusing whatever the card doesn't promise."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.carried import DATE_FORMAT, Metadata
from mcrage.config.base import closest
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.column_model import Column
from mcrage.datasets.completing import completed
from mcrage.datasets.features import above_threshold, attribute_of, feature_of, target_of
from mcrage.datasets.filters import filtered
from mcrage.datasets.formula_check import check_formulas, columns_used
from mcrage.datasets.limits import MAXIMUM_GROUPS
from mcrage.datasets.reading import RawTable, read_files
from mcrage.datasets.roles import Attribute, Feature, Roles
from mcrage.datasets.suspicions import (
    refuse_told_by_attribute,
    suspect_identifier,
    suspect_leakage,
)
from mcrage.datasets.values import read_column
from mcrage.encoding.columns import level_codes
from mcrage.errors import UserError, told_of
from mcrage.groups import GroupSchema
from mcrage.spool import ColumnSpool
from mcrage.tables import IS_OFFICIAL_TEST, ROW_ID

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A dataset ready for the stages that follow.

    Attributes
    ----------
    roles : Roles
    group_counts : dict of str to int
        Rows per group by label.
    """

    roles: Roles
    group_counts: dict[str, int]
    spool: ColumnSpool = field(repr=False)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the table: see `table`."""
        return self.spool.schema

    def portions(self) -> Iterator[pa.Table]:
        """Yield the table, some rows at a time."""
        return self.spool.portions()

    @property
    def table(self) -> pa.Table:
        """The table as a whole.

        `row_id` (int64, the row's number in the files, from 0 on), `is_official_test` where the
        dataset comes with a test set, then the user's columns in the file's order: those of CSV
        files as float64, int64, date32, timestamp or text, those of Parquet files in their own
        types.
        """
        return pa.concat_tables(list(self.portions())).unify_dictionaries().combine_chunks()


def prepare(settings: PrepareSettings, paths: Sequence[str | os.PathLike]) -> Prepared:
    """Read, check and type a dataset's raw files, a column at a time.

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
    raw = filtered(raw, settings.filters, settings.format.decimal)
    if settings.other_columns == "infer":
        with told_of(raw.names):
            settings = completed(settings, raw.table)
    raw = _without_gaps(raw, settings.drop_rows_without)
    kept = settings.expected.rows_kept
    if kept is not None and raw.table.num_rows != kept:
        raise UserError(
            f"dataset {settings.name}: {raw.table.num_rows} rows are left, the card expects "
            f"{kept}; use the right files, or correct filters or expected.rows_kept in the card"
        )
    listed = dict(settings.columns)
    columns = {
        name: listed[name] for name in raw.table.column_names if listed[name].type != "ignored"
    }
    name = settings.target.column
    values = read_column(raw, name, columns[name], settings.format)
    if settings.target.threshold is not None:
        values = above_threshold(settings, values)
    target = target_of(raw, settings, columns[name], values)
    outcome = level_codes(values, target.levels).to_numpy()

    spool = ColumnSpool()
    spool.put(ROW_ID, pa.array(raw.kept))
    for mark, flags in _official_test(raw, settings).items():
        spool.put(mark, flags)
    cards = dict(settings.sensitive)
    at_hand = {name: values}
    derived = columns_used(columns)
    attributes: dict[str, Attribute] = {}
    features: list[Feature] = []
    for name, column in columns.items():
        if name != target.column:
            values = read_column(raw, name, column, settings.format)
        else:
            values = at_hand[name]
        spool.put(name, values, _carried(raw, name, column, values))
        if name in derived or name in cards:
            at_hand[name] = values
        if name in cards:
            attributes[name] = attribute_of(raw, name, column, cards[name], values)
        plain = name in cards and cards[name].bands is None
        if not plain and name not in (target.column, *settings.cluster):
            feature = feature_of(raw, name, column, values)
            features.append(feature)
            suspect_identifier(feature, values)
            suspect_leakage(feature, values, outcome)
    check_formulas(settings.name, features, {name: at_hand[name] for name in derived})
    roles = Roles(
        dataset=settings.name,
        title=settings.name,
        features=tuple(features),
        sensitive=tuple(attributes[name] for name in cards),
        target=target,
        columns=tuple(columns),
        cluster=tuple(settings.cluster),
    )
    with told_of(raw.names):
        return Prepared(roles, _group_counts(settings, roles, at_hand), spool)


def _carried(raw: RawTable, name: str, column: Column, values: pa.Array) -> Metadata:
    """Return what tables made of this one are to know of a column; see `mcrage.carried`."""
    carried = raw.table.told_by_pandas(name, values.type)
    if not carried and column.type == "date" and column.date_format is not None:
        carried = {DATE_FORMAT: column.date_format.encode()}
    return carried


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
    return raw.keeping(kept) if needed else raw


def _check_size(dataset: str, what: str, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise UserError(
            f"dataset {dataset}: the raw table has {found} {what}, the card expects {expected}; "
            f"use the right file, or correct expected.{what} in the card"
        )


def _group_counts(
    settings: PrepareSettings, roles: Roles, typed: Mapping[str, pa.Array]
) -> dict[str, int]:
    schema = GroupSchema.of(roles)
    if schema.n_groups > MAXIMUM_GROUPS:
        told = " x ".join(map(str, schema.shape))
        raise UserError(
            f"dataset {settings.name}: the levels of {', '.join(schema.columns)} make {told} = "
            f"{schema.n_groups} groups, at most {MAXIMUM_GROUPS} are allowed; choose fewer "
            "sensitive attributes or wider bands, or join levels with columns.NAME.replace in the "
            "card"
        )
    digits = schema.digits(pa.table({name: typed[name] for name in schema.columns}))
    for attribute, codes in zip(roles.sensitive, digits, strict=False):
        refuse_told_by_attribute(attribute.column, codes, digits[-1])
        for level, count in zip(
            attribute.levels, np.bincount(codes, minlength=len(attribute.levels)), strict=True
        ):
            if attribute.edges and not count:
                logger.warning("column %s: no row lies in the band %r", attribute.column, level)
    counts = schema.counts_by_label(schema.index_of(digits))
    for label, count in counts.items():
        logger.log(logging.INFO if count else logging.WARNING, "group %s: %d rows", label, count)
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
