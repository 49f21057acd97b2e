# SPDX-License-Identifier: MIT
"""Rows that a card leaves out, each time with their number in the log."""

import logging
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.assembly_model import RowFilter
from mcrage.datasets.decimals import with_point
from mcrage.datasets.reading import RawTable
from mcrage.encoding.columns import as_text
from mcrage.errors import UserError

logger = logging.getLogger(__name__)
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def filtered(raw: RawTable, filters: Sequence[RowFilter], decimal: str = ".") -> RawTable:
    """Return the rows that pass all filters, applied one after the other.

    Parameters
    ----------
    raw : RawTable
    filters : sequence of RowFilter
    decimal : {".", ","}
        What begins the fraction of numbers that are text.

    Returns
    -------
    RawTable

    Raises
    ------
    UserError
        If a filter removes another number of rows than expected, or all of them, or a value that
        is to lie within bounds is no number.
    """
    for number, each in enumerate(filters):
        stays = _stays(raw, each, decimal)
        removed = len(stays) - int(stays.sum())
        logger.info("filter: %s: %d row(s) left out", each.words, removed)
        told = f"filters[{number}], {each.words}: leaves out {removed} of {len(stays)} rows"
        if each.removes is not None and removed != each.removes:
            raise UserError(
                f"{raw.names}: {told}, the card expects {each.removes}; use the right file, or "
                f"correct filters[{number}].removes in the card"
            )
        if not stays.any():
            raise UserError(f"{raw.names}: {told}; correct the filter in the card")
        raw = raw.keeping(stays)
    return raw


def _stays(raw: RawTable, each: RowFilter, decimal: str) -> np.ndarray:
    column = raw.table.column(each.column)
    values = as_text(column)
    if each.keep is not None:
        return _mask(pc.is_in(values, value_set=pa.array(each.keep, pa.string())))
    if each.drop is not None:
        return ~_mask(pc.is_in(values, value_set=pa.array(each.drop, pa.string())))
    # Text of a file may have a comma; what a Parquet file holds as numbers has none.
    texts = with_point(values, decimal if _is_text(column.type) else ".")
    wrong = _mask(pc.invert(pc.match_substring_regex(texts, _NUMBER)))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"{raw.place(first)}, column {each.column}: found {values[first].as_py()!r}, which is "
            f"not a number ({wrong.sum()} such value(s)), but a filter has bounds for it; list the "
            f"entry in columns.{each.column}.na_values if it means missing"
        )
    numbers = pc.ascii_ltrim(texts, "+").cast(pa.float64())
    stays = _mask(pc.is_valid(numbers))
    if each.minimum is not None:
        stays &= _mask(pc.greater_equal(numbers, each.minimum))
    if each.maximum is not None:
        stays &= _mask(pc.less_equal(numbers, each.maximum))
    return stays


def _mask(condition: pa.Array) -> np.ndarray:
    return pc.fill_null(condition, False).to_numpy(zero_copy_only=False)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
