# SPDX-License-Identifier: MIT
"""The matrix of features, taken a column or some rows at a time.

What learns from a long table never needs all of it in double precision. A matrix in memory and
columns in small types are read alike here, so that nothing that is fitted or encoded depends on how
the rows are held.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np

_ROWS_AT_ONCE = 65_536


@runtime_checkable
class Rows(Protocol):
    """Rows of features, see `mcrage.encoding.columns.feature_matrix`.

    Attributes
    ----------
    shape : (int, int)
        Rows and features.
    """

    shape: tuple[int, int]

    def column(self, place: int) -> np.ndarray:
        """Return one feature of all rows, float64 of shape (n,); not to be written to."""
        ...

    def part(self, part: slice) -> np.ndarray:
        """Return some rows, float64 of shape (m, n_features); not to be written to."""
        ...


class Matrix:
    """Rows that lie in a matrix.

    Parameters
    ----------
    matrix : ndarray of float64, shape (n, n_features)
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix, self.shape = matrix, matrix.shape

    def column(self, place: int) -> np.ndarray:
        """Return one feature of all rows; see `Rows`."""
        return self._matrix[:, place]

    def part(self, part: slice) -> np.ndarray:
        """Return some rows; see `Rows`."""
        return self._matrix[part]


class CompactRows:
    """Rows held by column, each in the smallest type that holds all its values exactly.

    ``numpy.asarray`` makes the whole matrix of them.

    Parameters
    ----------
    columns : sequence of ndarray, shape (n,)
        From `compact`.
    n_rows : int

    Examples
    --------
    >>> rows = CompactRows.of([np.array([1.0, np.nan]), np.array([0.25, 0.1])], 2)
    >>> [str(column.dtype) for column in rows.columns], np.asarray(rows).tolist()
    (['int8', 'float64'], [[1.0, 0.25], [nan, 0.1]])
    """

    def __init__(self, columns: Sequence[np.ndarray], n_rows: int) -> None:
        self.columns = list(columns)
        self.shape = (n_rows, len(self.columns))

    @classmethod
    def of(cls, columns: "Sequence[np.ndarray] | Iterator[np.ndarray]", n_rows: int) -> Self:
        """Take float64 columns up, one at a time."""
        return cls([compact(column) for column in columns], n_rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def column(self, place: int) -> np.ndarray:
        """Return one feature of all rows; see `Rows`."""
        return _as_numbers(self.columns[place])

    def part(self, part: slice) -> np.ndarray:
        """Return some rows; see `Rows`."""
        return self.take(part)

    def take(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return some rows by their places or marks, float64 of shape (m, n_features)."""
        parts = [_as_numbers(column[rows]) for column in self.columns]
        n_rows = len(np.empty(self.shape[0], dtype=np.int8)[rows]) if not parts else len(parts[0])
        out = np.empty((n_rows, self.shape[1]), order="F")
        for place, column in enumerate(parts):
            out[:, place] = column
        return out

    def followed_by(self, rows: np.ndarray) -> "CompactRows":
        """Return these rows and others, float64 of shape (m, n_features), behind them."""
        columns = (
            np.concatenate([self.column(place), rows[:, place]]) for place in range(self.shape[1])
        )
        return CompactRows.of(columns, self.shape[0] + len(rows))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Return the whole matrix, float64."""
        whole = self.take(slice(None))
        return whole if dtype is None else whole.astype(dtype, copy=False)


def as_rows(rows: "np.ndarray | Rows") -> Rows:
    """Return rows to be read by column and part, of a matrix too."""
    if isinstance(rows, Rows):
        return rows
    return Matrix(np.asarray(rows, dtype=np.float64))


def compact(values: np.ndarray) -> np.ndarray:
    """Return numbers, float64 of shape (n,), in the smallest type that holds them all exactly.

    The smallest whole number of a type of whole numbers stands for NaN.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.full(len(values), np.iinfo(np.int8).min, dtype=np.int8)
    low, high = float(known.min()), float(known.max())
    whole = np.isfinite([low, high]).all() and (known == np.rint(known)).all()
    # A zero with a sign is a number of its own to the bit.
    if whole and not np.signbit(known[known == 0.0]).any():
        for kind in (np.int8, np.int16, np.int32):
            limits = np.iinfo(kind)
            if limits.min < low and high <= limits.max:
                missing = np.isnan(values)
                return np.where(missing, limits.min, values).astype(kind)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    # The pattern of a NaN means nothing.
    return single if np.array_equal(single, values, equal_nan=True) else values.copy()


def parts_of(n_rows: int) -> Iterator[slice]:
    """Cut rows, so that what is computed on the way takes little memory beside the result."""
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)


def _as_numbers(column: np.ndarray) -> np.ndarray:
    numbers = column.astype(np.float64)
    if column.dtype.kind == "i":
        numbers[column == np.iinfo(column.dtype).min] = np.nan
    return numbers
