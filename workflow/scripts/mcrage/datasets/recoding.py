# SPDX-License-Identifier: MIT
"""Texts of a raw file as the card reads them: trimmed, replaced, and null where missing."""

import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.card_model import CsvFormat
from mcrage.datasets.column_model import Column


def recoded(
    values: pa.ChunkedArray, layout: CsvFormat, column: Column | None = None
) -> pa.ChunkedArray:
    """Return a text column as its card reads it.

    Parameters
    ----------
    values : pyarrow.ChunkedArray of string
    layout : CsvFormat
        `trim` and `na_values` of all columns.
    column : Column, optional
        `replace` and `na_values` of this one.

    Returns
    -------
    pyarrow.ChunkedArray of string
        Replaced first, so that a text may come to mean missing, or no longer.
    """
    if layout.trim:
        values = pc.utf8_trim_whitespace(values)
    if column is not None and column.replace:
        found = pa.array(list(column.replace), pa.string())
        put = pa.array(list(column.replace.values()), pa.string())
        place = pc.index_in(values, value_set=found)
        values = pc.if_else(pc.is_valid(place), pc.take(put, place), values)
    missing = pa.array([*layout.na_values, *(column.na_values if column else [])], pa.string())
    return pc.if_else(pc.is_in(values, value_set=missing), pa.scalar(None, pa.string()), values)
