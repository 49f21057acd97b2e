# SPDX-License-Identifier: MIT
"""Tables larger than memory: put down as rows and taken up as columns, or the other way round.

What is put down lies in a file without a name, which is gone with the process, however that ends:
it holds patients' records.
"""

import io
import os
import tempfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.carried import Metadata

PORTION = 65_536
"""Rows that are in memory at a time."""


class RowSpool:
    """Rows that are put down in portions and taken up one column at a time.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of every portion.

    Examples
    --------
    >>> spool = RowSpool(pa.schema([("a", pa.string()), ("b", pa.string())]))
    >>> for _ in range(2):
    ...     spool.put(pa.table({"a": ["x"], "b": ["y"]}))
    >>> spool.column("b").to_pylist()
    ['y', 'y']
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.num_rows = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - gone with the spool
        self._writer: pq.ParquetWriter | None = pq.ParquetWriter(
            self._file, schema, compression="lz4"
        )

    def put(self, rows: pa.Table) -> None:
        """Put the next rows down; none may follow once a column was taken up."""
        self.num_rows += rows.num_rows
        self._writer.write_table(rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """Take up a column of all rows."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        return column_of(pq.ParquetFile(self._file), name)


class ColumnSpool:
    """Columns of one length that are put down one by one and taken up in portions of rows.

    Examples
    --------
    >>> spool = ColumnSpool()
    >>> spool.put("a", pa.array([1, 2]))
    >>> spool.put("b", pa.array(["x", "y"]))
    >>> [portion.to_pydict() for portion in spool.portions()]
    [{'a': [1, 2], 'b': ['x', 'y']}]
    """

    def __init__(self) -> None:
        self.num_rows = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - gone with the spool
        self._starts: dict[str, int] = {}
        self._fields: dict[str, pa.Field] = {}

    @property
    def schema(self) -> pa.Schema:
        """The columns in the order in which they were put down."""
        return pa.schema(list(self._fields.values()))

    def put(
        self,
        name: str,
        values: pa.Array | pa.ChunkedArray,
        carried: Metadata | None = None,
    ) -> None:
        """Put a column down, with what it carries; see `mcrage.carried`."""
        whole = values
        if isinstance(values, pa.ChunkedArray):
            whole = values.unify_dictionaries().combine_chunks()
        self.num_rows = len(whole)
        self._starts[name] = self._file.seek(0, os.SEEK_END)
        field = pa.field(name, whole.type)
        self._fields[name] = field.with_metadata(carried) if carried else field
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, pa.schema([field]), options=options) as writer:
            for start in range(0, len(whole), PORTION):
                writer.write_batch(pa.record_batch([whole.slice(start, PORTION)], [name]))
        self._file.flush()

    def portions(self) -> Iterator[pa.Table]:
        """Take all columns up, some rows at a time."""
        readers = [
            pa.ipc.open_stream(_From(self._file.fileno(), start)) for start in self._starts.values()
        ]
        for _ in range(0, self.num_rows, PORTION):
            arrays = [reader.read_next_batch().column(0) for reader in readers]
            yield pa.table(arrays, schema=self.schema)


class PortionSpool:
    """Portions of rows that are put down, and taken up again one after the other as they were.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of every portion.

    Examples
    --------
    >>> spool = PortionSpool(pa.schema([("a", pa.int64())]))
    >>> for number in range(2):
    ...     spool.put(pa.table({"a": [number]}))
    >>> [portion.to_pydict() for portion in spool.portions()]
    [{'a': [0]}, {'a': [1]}]
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - gone with the spool
        self._starts: list[int] = []

    def put(self, rows: pa.Table) -> None:
        """Put the next portion down."""
        self._starts.append(self._file.seek(0, os.SEEK_END))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, self.schema, options=options) as writer:
            writer.write_table(rows.cast(self.schema).unify_dictionaries().combine_chunks())
        self._file.flush()

    def portions(self) -> Iterator[pa.Table]:
        """Take all portions up."""
        for start in self._starts:
            yield pa.ipc.open_stream(_From(self._file.fileno(), start)).read_all()


class _From(io.RawIOBase):
    """A file from some byte on, with a position of its own: one open file serves all columns."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor, self._place = descriptor, start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        block = os.pread(self._descriptor, len(buffer), self._place)
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)


def column_of(file: pq.ParquetFile, name: str) -> pa.ChunkedArray:
    """Return one column of a Parquet file, and of no other the memory."""
    # A name with a dot looks like one of a nested column: more may come than was asked for.
    return file.read(columns=[name], use_threads=False).column(name)
