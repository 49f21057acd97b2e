# SPDX-License-Identifier: MIT
"""A row's content as a number, so that tables of any length are compared in little memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.spool import PORTION

if TYPE_CHECKING:
    from mcrage.leakage.table_file import TableFile

_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0xD1B54A32D192ED03)
_LARGEST_WHOLE = 2.0**63


@dataclass(frozen=True)
class Keys:
    """What tells rows apart, in 16 bytes a row.

    Attributes
    ----------
    digests : ndarray of uint64, shape (n,)
        Of each row's values.
    groups : ndarray of uint64, shape (n,)
        Of those that name its group.
    """

    digests: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.digests)

    def take(self, rows: np.ndarray) -> "Keys":
        """Return some of them, by number or by mask."""
        return Keys(self.digests[rows], self.groups[rows])

    def unique(self) -> "Keys":
        """Return each once, by digest."""
        return self.take(np.unique(self.digests, return_index=True)[1])

    @classmethod
    def together(cls, several: Sequence["Keys"]) -> "Keys":
        """Return those of several tables."""
        return cls(*(np.concatenate([getattr(k, n) for k in several]) for n in _PARTS))


_PARTS = ("digests", "groups")


def row_keys(table: "pa.Table | TableFile", columns: Sequence[str], group: Sequence[str]) -> Keys:
    """Return each row's digest of its values in `columns`, and that of its group.

    Parameters
    ----------
    table : pyarrow.Table or TableFile
        Of a file a column is in memory at a time.
    columns, group : sequence of str
    """
    return Keys(row_digests(table, columns), row_digests(table, group))


def row_digests(table: "pa.Table | TableFile", columns: Sequence[str]) -> np.ndarray:
    """Return a number for each row: a digest of its values in `columns`.

    Rows of equal values have equal ones, in whatever types and chunks they lie: 3 is 3.0, and a
    text is itself in a dictionary. The digest has 64 bits: of a million rows that differ, two are
    alike once in 37 million tables.

    Parameters
    ----------
    table : pyarrow.Table or TableFile
    columns : sequence of str

    Returns
    -------
    ndarray of uint64, shape (n,)

    Examples
    --------
    >>> rows = pa.table({"age": [61, 62], "sex": ["f", "f"]})
    >>> one, other = row_digests(rows, ["age", "sex"])
    >>> bool(one == other), bool(row_digests(rows.slice(1), ["age", "sex"])[0] == other)
    (False, True)
    """
    digests = np.zeros(table.num_rows, dtype=np.uint64)
    for name in columns:
        values = table.column(name)
        for start in range(0, len(digests), PORTION):
            part = slice(start, start + PORTION)
            digests[part] = _mixed(digests[part] * _STEP + _digests(values[part]))
    return digests


def _one(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _digests(column: pa.ChunkedArray) -> np.ndarray:
    """Return a number for each value, uint64."""
    array = _one(column)
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        found = _mixed(pc.fill_null(array.cast(pa.int64(), safe=False), 0).to_numpy().view("u8"))
    elif pa.types.is_floating(kind):
        found = _of_floats(pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy())
    else:
        # By level and not by row; type and text tell all else apart.
        encoded = array.dictionary_encode()
        texts = [f"{kind}\x1f{value}" for value in encoded.dictionary.to_pylist()]
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts = encoded.dictionary.to_pylist()
        levels = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
        numbers = np.frombuffer(b"".join(levels), dtype=np.uint64)
        numbers = np.append(numbers, _MISSING)
        places = encoded.indices.cast(pa.int64()).fill_null(len(texts))
        return numbers[places.to_numpy(zero_copy_only=False)]
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, _MISSING, found)


def _of_floats(values: np.ndarray) -> np.ndarray:
    whole = (values == np.rint(values)) & (np.abs(values) < _LARGEST_WHOLE)
    as_whole = np.where(whole, values, 0.0).astype(np.int64).view("u8")
    return _mixed(np.where(whole, as_whole, values.view("u8") ^ _MISSING))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return numbers whose every bit depends on every bit (Steele, Lea and Flood 2014)."""
    first, second = _MIXERS
    numbers = numbers + _STEP
    numbers = (numbers ^ (numbers >> np.uint64(30))) * first
    numbers = (numbers ^ (numbers >> np.uint64(27))) * second
    return numbers ^ (numbers >> np.uint64(31))
