# SPDX-License-Identifier: MIT
"""The matrix of features, taken a column or some rows at a time.

What learns from a long table never needs all of it in double precision. A matrix in memory and
columns in small types are read alike here, so that nothing that is fitted or encoded depends on how
the rows are held.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

_ROWS_AT_ONCE = 65_536
# Numbers are recorded in whole units, tenths, hundredths, ...
_DIVISORS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


@runtime_checkable
class ByColumn(Protocol):
    """Rows of features, see `mcrage.encoding.columns.feature_matrix`, read by column.

    Attributes
    ----------
    shape : (int, int)
        Rows and features.
    """

    shape: tuple[int, int]

    def column(self, place: int) -> np.ndarray:
        """Return one feature of all rows, float64 of shape (n,); not to be written to."""
        ...


class Rows(ByColumn, Protocol):
    """The same, read some rows at a time, too."""

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


class Compact(NamedTuple):
    """One column in a small type: what `expanded` gives back is what `compact` was given.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Whole numbers, of which the smallest of the type stands for NaN, or floats.
    divisor : float
        Of whole numbers: 100 where they are hundredths.
    """

    values: np.ndarray
    divisor: float

    def expanded(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the numbers of some rows, float64."""
        chosen = self.values[rows]
        numbers = chosen.astype(np.float64)
        if chosen.dtype.kind == "i":
            if self.divisor != 1.0:
                numbers /= self.divisor
            numbers[chosen == np.iinfo(chosen.dtype).min] = np.nan
        return numbers


class CompactRows:
    """Rows held by column, each in a small type that holds all its values, but for a zero's sign.

    ``numpy.asarray`` makes the whole matrix of them.

    Parameters
    ----------
    columns : sequence of Compact
    n_rows : int

    Examples
    --------
    >>> rows = CompactRows.of([np.array([1.0, np.nan]), np.array([0.25, 0.1])], 2)
    >>> [str(column.values.dtype) for column in rows.columns], np.asarray(rows).tolist()
    (['int8', 'int8'], [[1.0, 0.25], [nan, 0.1]])
    """

    def __init__(self, columns: Sequence[Compact], n_rows: int) -> None:
        self.columns = list(columns)
        self.shape = (n_rows, len(self.columns))

    @classmethod
    def of(cls, columns: Iterable[np.ndarray], n_rows: int) -> Self:
        """Take float64 columns up, one at a time."""
        return cls([compact(column) for column in columns], n_rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def column(self, place: int) -> np.ndarray:
        """Return one feature of all rows; see `Rows`."""
        return self.columns[place].expanded()

    def part(self, part: slice) -> np.ndarray:
        """Return some rows; see `Rows`."""
        return self.take(np.arange(self.shape[0])[part])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows by their places, float64 of shape (m, n_features)."""
        out = np.empty((len(rows), self.shape[1]), order="F")
        for place, column in enumerate(self.columns):
            out[:, place] = column.expanded(rows)
        return out

    def followed_by(self, rows: np.ndarray) -> "CompactRows":
        """Return these rows and others, float64 of shape (m, n_features), behind them."""
        columns = (
            np.concatenate([self.column(place), rows[:, place]]) for place in range(self.shape[1])
        )
        return CompactRows.of(columns, self.shape[0] + len(rows))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Return the whole matrix, float64."""
        whole = self.part(slice(None))
        return whole if dtype is None else whole.astype(dtype, copy=False)


def as_rows(rows: "np.ndarray | ByColumn") -> "ByColumn | Matrix":
    """Return rows to be read by column, and by part if they can be; a matrix can."""
    if isinstance(rows, ByColumn):
        return rows
    return Matrix(np.asarray(rows, dtype=np.float64))


def compact(values: np.ndarray) -> Compact:
    """Return numbers, float64 of shape (n,), in the smallest type that holds them all exactly."""
    parts = [values[part] for part in parts_of(len(values))] or [values]
    for divisor in _DIVISORS:
        ends = _ends(parts, divisor)
        for kind in (np.int8, np.int16, np.int32) if ends else ():
            limits = np.iinfo(kind)
            # The smallest is NaN's.
            if limits.min < ends[0] and ends[1] <= limits.max:
                steps = [np.nan_to_num(np.rint(x * divisor), nan=limits.min) for x in parts]
                return Compact(np.concatenate([x.astype(kind) for x in steps]), divisor)
    with np.errstate(over="ignore"):
        single = [x.astype(np.float32) for x in parts]
    same = all(map(partial(np.array_equal, equal_nan=True), single, parts))
    return Compact(np.concatenate(single) if same else values.copy(), 1.0)


def _ends(parts: Sequence[np.ndarray], divisor: float) -> tuple[float, float] | None:
    """Return the smallest and largest number of steps, or None if values are no such steps."""
    low = high = 0.0
    for values in parts:
        known = values[~np.isnan(values)]
        steps = np.rint(known * divisor)
        # Infinity is no number of steps.
        if not np.isfinite(steps).all() or (steps / divisor != known).any():
            return None
        low, high = min(low, steps.min(initial=0.0)), max(high, steps.max(initial=0.0))
    return low, high


def parts_of(n_rows: int) -> Iterator[slice]:
    """Cut rows, so that what is computed on the way takes little memory beside the result."""
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
