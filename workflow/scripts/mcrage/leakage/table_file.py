# SPDX-License-Identifier: MIT
"""A table that lies in a file, of which the guard takes up what it looks at."""

import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.spool import column_of
from mcrage.tables import read_table


class TableFile:
    """A Parquet file with the few members of `pyarrow.Table` that the guard uses.

    Parameters
    ----------
    path : path-like

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.parquet")
    ...     pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), path)
    ...     table = TableFile(path)
    ...     table.num_rows, table.column_names, table.column("b").to_pylist()
    (2, ['a', 'b'], ['x', 'y'])
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path
        # Refuses what is no Parquet file, in words.
        self.num_rows = read_table(path, []).num_rows
        self.column_names = pq.read_schema(path).names

    def column(self, name: str) -> pa.ChunkedArray:
        """Read one column."""
        return column_of(pq.ParquetFile(self.path), name)

    def select(self, names: Sequence[str]) -> pa.Table:
        """Read some columns."""
        return read_table(self.path, list(names))

    def whole(self) -> pa.Table:
        """Read all columns."""
        return read_table(self.path)
