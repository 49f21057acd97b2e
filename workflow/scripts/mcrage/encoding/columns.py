# SPDX-License-Identifier: MIT
"""Between the feature columns of a table, of any type, and one matrix of numbers.

All that learns or judges rows takes this matrix: float64, a column per feature. A number is itself,
a level of a category or an ordinal its place in `Feature.levels`, a date the days since 1970-01-01,
and a missing value NaN. Nothing is learnt here.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.limits import MISSING_LEVEL
from mcrage.datasets.recorded import whole_ends
from mcrage.datasets.roles import Feature
from mcrage.errors import UserError


def feature_matrix(table: pa.Table, features: Sequence[Feature]) -> np.ndarray:
    """Return the features of a table as numbers.

    Parameters
    ----------
    table : pyarrow.Table
        With the features' columns.
    features : sequence of Feature

    Returns
    -------
    ndarray of float64, shape (n, n_features)
        In column-major order; NaN where a value is missing.

    Raises
    ------
    UserError
        If a column holds a level that the roles don't name.
    """
    matrix = np.empty((table.num_rows, len(features)), order="F")
    for place, feature in enumerate(features):
        matrix[:, place] = feature_numbers(table.column(feature.column), feature)
    return matrix


def feature_arrays(
    matrix: np.ndarray, features: Sequence[Feature], schema: pa.Schema
) -> dict[str, pa.Array]:
    """Return the columns that a matrix stands for: the inverse of `feature_matrix`.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, n_features)
    features : sequence of Feature
    schema : pyarrow.Schema
        With the type of every feature's column.

    Returns
    -------
    dict of str to pyarrow.Array
        By column; null where the matrix has NaN.
    """
    return {
        feature.column: _array(matrix[:, place], feature, schema.field(feature.column).type)
        for place, feature in enumerate(features)
    }


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return values as the text that levels are written in: ``true``, ``3``, ``F``."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string())


def level_codes(values: pa.Array | pa.ChunkedArray, levels: Sequence[str]) -> pa.Array:
    """Return the place of each value among `levels`, int32; null for others and missing ones."""
    named = pa.array(levels, pa.string())
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        # By level and not by row: a column of a million rows has few levels.
        places = pc.index_in(as_text(array.dictionary), value_set=named)
        return places.take(array.indices)
    return pc.index_in(as_text(array), value_set=named)


def of_levels(codes: np.ndarray, levels: Sequence[str], kind: pa.DataType) -> pa.Array:
    """Return the levels of codes as a column of type `kind`.

    Null where a code is negative, and where it stands for missing values.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
    levels : sequence of str
    kind : pyarrow.DataType
        Text, a dictionary of text, boolean or a number.
    """
    missing = codes < 0
    if levels[-1] == MISSING_LEVEL:
        missing |= codes == len(levels) - 1
        levels = levels[:-1]
    places = pa.array(codes, pa.int32(), mask=missing)
    named = pa.array(levels, pa.string())
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(places, named.cast(kind.value_type)).cast(kind)
    return named.cast(kind).take(places)


def feature_numbers(column: pa.ChunkedArray, feature: Feature) -> np.ndarray:
    """Return one column of `feature_matrix`, float64 of shape (n,)."""
    array = column.combine_chunks()
    if feature.levels:
        codes = level_codes(array, feature.levels)
        if codes.null_count > array.null_count:
            unknown = pc.unique(array.filter(pc.and_(pc.is_null(codes), pc.is_valid(array))))
            raise UserError(
                f"column {feature.column}: {len(unknown)} level(s) that the roles of the dataset "
                "don't name. Run snakemake again, which prepares the table anew."
            )
        array = codes
    elif pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        array = array.cast(pa.date32()).cast(pa.int32())
    numbers = array.cast(pa.float64(), safe=False)
    return pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)


def _array(numbers: np.ndarray, feature: Feature, kind: pa.DataType) -> pa.Array:
    missing = np.isnan(numbers)
    if feature.levels:
        codes = np.where(missing, -1, numbers).astype(np.int64)
        return of_levels(codes, feature.levels, kind)
    if feature.kind == "date":
        days = np.rint(np.where(missing, 0, numbers)).astype(np.int32)
        dates = pa.array(days, pa.int32(), mask=missing).cast(pa.date32())
        zone = pa.types.is_timestamp(kind) and kind.tz
        if not zone:
            return dates.cast(kind)
        # Where the day begins; at the first of two midnights, after the gap that swallows one.
        midnights = dates.cast(pa.timestamp(kind.unit))
        return pc.assume_timezone(midnights, zone, ambiguous="earliest", nonexistent="latest")
    if pa.types.is_integer(kind):
        whole = np.clip(np.rint(np.where(missing, 0, numbers)), *whole_ends(kind.to_pandas_dtype()))
        return pa.array(whole, mask=missing).cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array(np.round(numbers, kind.scale), mask=missing).cast(kind)
    # Single precision holds what was recorded in it, and no more.
    return pa.array(numbers, mask=missing).cast(kind, safe=False)
