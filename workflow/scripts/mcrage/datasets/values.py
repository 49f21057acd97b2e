# SPDX-License-Identifier: MIT
"""The values of one raw column: read as what the card says they are, or refused."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.column_model import ISO_DATE, Column
from mcrage.datasets.decimals import with_point
from mcrage.datasets.file_model import CsvFormat
from mcrage.datasets.reading import RawTable
from mcrage.encoding.columns import as_text
from mcrage.errors import UserError

_CONTINUOUS = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?[0-9]+$"
_LONG = r"^[+-]?[0-9]{16,}$"
_TIME = r"%[HIMSfpcX]"
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}([,.' \u00a0\u202f_][0-9]{3})+([.,][0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_NOT_FINITE = re.compile(r"[+-]?(inf|infinity|nan|1\.#inf|1\.#ind)", re.IGNORECASE)


def read_column(raw: RawTable, name: str, column: Column, layout: CsvFormat) -> pa.Array:
    """Return a column after every check on single values.

    Parameters
    ----------
    raw : RawTable
    name : str
    column : Column
        Not ignored.
    layout : CsvFormat

    Returns
    -------
    pyarrow.Array
        What was text in the file becomes float64, int64, date32 or a timestamp if the card says
        so, or stays text; other types stay as they are.

    Raises
    ------
    UserError
        If a value is missing that must not be, or is not of the column's type or bounds.
    """
    values = raw.table.column(name).combine_chunks()
    _check_missing(raw, name, column, values)
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if column.has_levels:
        return values
    if column.type == "date":
        return _dates(raw, name, column, values, is_text)
    numbers = _parsed(raw, name, column, values, layout) if is_text else values
    if not is_text:
        _check_numbers(raw, name, column, numbers)
    bounds = (("minimum", column.minimum, pc.less), ("maximum", column.maximum, pc.greater))
    for key, bound, outside in bounds:
        if bound is not None:
            why = (
                f"beyond the {key} {bound:g}; mend the file, or correct columns.{name}.{key} in "
                f"the card"
            )
            refuse(raw, name, outside(numbers.cast(pa.float64(), safe=False), bound), values, why)
    return numbers


def refuse(raw: RawTable, name: str, wrong: pa.Array, values: pa.Array, why: str) -> None:
    """Raise for the first row that is wrong; a missing value is not.

    Parameters
    ----------
    raw : RawTable
    name : str
        The column's.
    wrong : pyarrow.Array of bool, shape (n,)
        Null counts as right.
    values : pyarrow.Array, shape (n,)
    why : str
        What is allowed and what to do.

    Raises
    ------
    UserError
    """
    wrong = pc.fill_null(wrong, False)
    count = pc.sum(wrong).as_py()
    if count:
        first = first_of(wrong)
        raise UserError(
            f"{raw.place(first)}, column {name}: found {values[first].as_py()!r}, {why} "
            f"({count} such value(s))"
        )


def first_of(mask: pa.Array) -> int:
    """Return the number of the first row for which a mask holds."""
    return pc.index(mask, True).as_py()


def _check_missing(raw: RawTable, name: str, column: Column, values: pa.Array) -> None:
    if values.null_count == len(values):
        raise UserError(
            f"{raw.names}: every value of column {name} is missing; write type: ignored in the "
            f"card, or correct format.na_values"
        )
    if values.null_count and column.missing == "refuse":
        first = first_of(pc.is_null(values))
        raise UserError(
            f"column {name}: {values.null_count} of {len(values)} values are missing, the first "
            f"at {raw.place(first)}; write columns.{name}.missing: keep (or impute) in the card, "
            f"or list {name} under drop_rows_without"
        )


def _parsed(
    raw: RawTable, name: str, column: Column, values: pa.Array, layout: CsvFormat
) -> pa.Array:
    """Return texts as numbers."""
    whole = column.type == "integer"
    texts = with_point(values, layout.decimal)
    matches = pc.match_substring_regex(texts, _INTEGER if whole else _CONTINUOUS)
    wrong = pc.fill_null(pc.invert(matches), False)
    if pc.any(wrong).as_py():
        first = values[first_of(wrong)].as_py()
        refuse(raw, name, wrong, values, _no_number(name, first, whole, layout))
    lost = _digits_lost(texts, whole)
    if lost is not None:
        told = "a whole number of 64 bits" if whole else f"a number of type {column.type}"
        why = (
            f"which has more digits than {told} holds exactly; write columns.{name}.type: "
            f"{'' if whole else 'integer, or '}category or ignored if it is a code"
        )
        refuse(raw, name, lost, values, why)
    # int64 does not take a leading plus sign, float64 does.
    numbers = pc.ascii_ltrim(texts, "+").cast(pa.int64() if whole else pa.float64())
    refuse(raw, name, pc.invert(pc.is_finite(numbers)), values, "which is too large; mend the file")
    return numbers


def _digits_lost(texts: pa.Array, whole: bool) -> pa.Array | None:
    """Return which texts are whole numbers beyond what the column's type holds exactly."""
    if not pc.any(pc.match_substring_regex(texts, _LONG)).as_py():
        return None

    def is_lost(text: str | None) -> bool:
        if text is None or not re.match(_LONG, text):
            return False
        number = int(text)
        return not -(2**63) <= number < 2**63 if whole else int(float(number)) != number

    return pa.array([is_lost(text) for text in texts.to_pylist()])


def _no_number(name: str, text: str, whole: bool, layout: CsvFormat) -> str:
    wanted = "a whole number (type: integer)" if whole else "a number"
    fix = (
        f"mend the file, correct columns.{name}.type in the card, or list the entry in "
        f"format.na_values if it means missing, or columns.{name}.replace says what it stands for"
    )
    told = text.strip()
    if _GROUPED.fullmatch(told):
        fix = f"take separators of thousands out of the file; or {fix}"
    if _DECIMAL_COMMA.fullmatch(told) and layout.decimal == ".":
        fix = f"write format.decimal: ',' in the card if the comma begins the fraction; or {fix}"
    if _NOT_FINITE.fullmatch(told):
        fix = (
            "numbers are finite: list the entry in format.na_values if it means missing, or mend "
            "the file"
        )
    return f"which is not {wanted}; {fix}"


def _check_numbers(raw: RawTable, name: str, column: Column, values: pa.Array) -> None:
    """Refuse a column of a Parquet file that does not hold the numbers that the card says."""
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        fits = "date" if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else "category"
        raise UserError(
            f"{raw.names}: column {name} is {_told(kind)}, but columns.{name}.type is "
            f"{column.type}; write type: {fits} in the card, or convert the column in the file"
        )
    numbers = pc.cast(values, pa.float64(), safe=False)
    infinite = pc.invert(pc.is_finite(numbers))
    refuse(raw, name, infinite, values, "but numbers are finite; mend the file")
    if column.type == "integer":
        why = (
            f"which is not a whole number (type: integer); mend the file, or correct "
            f"columns.{name}.type in the card"
        )
        refuse(raw, name, pc.not_equal(numbers, pc.round(numbers)), values, why)


def _dates(raw: RawTable, name: str, column: Column, values: pa.Array, is_text: bool) -> pa.Array:
    """Return texts as days; each is read once, however often it stands in the table."""
    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return values
    if not is_text:
        raise UserError(
            f"{raw.names}: column {name} is {_told(kind)}, but columns.{name}.type is date; "
            "correct the type in the card, or convert the column in the file"
        )
    layout = column.date_format or ISO_DATE
    texts = values.dictionary_encode()
    read = [_moment(text, layout) for text in texts.dictionary.to_pylist()]
    # A table keeps the time of the day, though only the day is a feature.
    dates = pa.array(read, pa.timestamp("us"))
    if not re.search(_TIME, layout):
        dates = dates.cast(pa.date32())
    dates = dates.take(texts.indices)
    why = (
        f"which is no date like {layout}; correct columns.{name}.date_format in the card, mend "
        "the file, or list the entry in format.na_values if it means missing"
    )
    refuse(raw, name, pc.and_(pc.is_null(dates), pc.is_valid(values)), values, why)
    return dates


def _moment(text: str, layout: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, layout).replace(tzinfo=None)
    except ValueError:
        return None


def _told(kind: pa.DataType) -> str:
    return "a category" if pa.types.is_dictionary(kind) else str(kind)


def levels_in(values: pa.Array) -> list[str]:
    """Return the levels that occur, as text: a dictionary's in its order, others sorted."""
    if pa.types.is_dictionary(values.type):
        used = np.unique(values.indices.drop_null().to_numpy(zero_copy_only=False))
        return as_text(values.dictionary.take(pa.array(used))).to_pylist()
    found = pc.unique(values.drop_null())
    if pa.types.is_boolean(found.type):
        found = found.cast(pa.int8()).sort().cast(pa.bool_())
    else:
        found = found.sort()
    return as_text(found).to_pylist()
