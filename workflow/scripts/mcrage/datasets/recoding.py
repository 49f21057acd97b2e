# SPDX-License-Identifier: MIT
"""Values of a raw file as the card reads them: trimmed, replaced, and null where missing."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.column_model import Column
from mcrage.datasets.file_model import CsvFormat
from mcrage.errors import UserError


def recoded(
    values: pa.ChunkedArray, layout: CsvFormat, column: Column | None = None, name: str = ""
) -> pa.ChunkedArray:
    """Return a column as its card reads it.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        Text, or what else a Parquet file holds.
    layout : CsvFormat
        `trim` and `na_values` of all columns.
    column : Column, optional
        `replace` and `na_values` of this one.
    name : str
        The column's, for messages.

    Returns
    -------
    pyarrow.ChunkedArray
        Of the same type. Replaced first, so that a text may come to mean missing, or no longer.

    Raises
    ------
    UserError
        If a value to put in another's place is none of the column's type.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        # By level and not by row; the order of the levels stays.
        array = values.combine_chunks()
        levels = recoded(pa.chunked_array([array.dictionary]), layout, column, name)
        if levels.equals(pa.chunked_array([array.dictionary])):
            return values
        known = pc.unique(levels.drop_null())
        codes = pc.index_in(levels, value_set=known).combine_chunks().take(array.indices)
        encoded = pa.DictionaryArray.from_arrays(codes, known, ordered=kind.ordered)
        return pa.chunked_array([encoded])
    if pa.types.is_float16(kind):
        # Arrow looks for no value among those of half precision.
        return recoded(values.cast(pa.float32()), layout, column, name).cast(kind)
    if layout.trim and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        values = pc.utf8_trim_whitespace(values)
    if column is not None and column.replace:
        values = _replaced(values, column.replace, name)
    missing = _of_type([*layout.na_values, *(column.na_values if column else [])], kind)
    if not any(missing):
        return values
    marks = pa.array([scalar.as_py() for scalar in missing if scalar], kind)
    return pc.if_else(pc.is_in(values, value_set=marks), pa.scalar(None, kind), values)


def _replaced(values: pa.ChunkedArray, replace: dict[str, str], name: str) -> pa.ChunkedArray:
    kind = values.type
    pairs = zip(_of_type(list(replace), kind), _of_type(list(replace.values()), kind), strict=True)
    pairs = [(old, new) for old, new in pairs if old is not None]
    if any(new is None for _, new in pairs):
        raise UserError(
            f"column {name}: replace puts {', '.join(map(repr, replace.values()))} in the place of "
            f"others, but the column is {kind}; write values of this type in the card, or convert "
            "the column in the file"
        )
    if not pairs:
        return values
    found, put = (
        pa.array([scalar.as_py() for scalar in part], kind) for part in zip(*pairs, strict=True)
    )
    place = pc.index_in(values, value_set=found)
    return pc.if_else(pc.is_valid(place), pc.take(put, place), values)


def _of_type(texts: Sequence[str], kind: pa.DataType) -> list[pa.Scalar | None]:
    """Return texts as values of a type, None for those that are none."""
    found: list[pa.Scalar | None] = []
    for text in texts:
        try:
            found.append(pa.scalar(text, pa.string()).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            found.append(None)
    return found
