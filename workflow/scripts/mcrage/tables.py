# SPDX-License-Identifier: MIT
"""Parquet and JSON in and out: atomic, deterministic, and each file says where it came from."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcrage.carried import for_pandas
from mcrage.errors import UserError
from mcrage.provenance import KEY, PARQUET_KEY, Origin, to_json
from mcrage.spool import PORTION

ROW_ID = "row_id"
IS_SYNTHETIC = "is_synthetic"
LABEL_WEIGHT = "label_weight"
IS_OFFICIAL_TEST = "is_official_test"
_PARTIAL = ".partial"
_ROWS_HASHED = 65_536  # at a time


@contextmanager
def atomic_output(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it into place on success.

    A job that dies half-way leaves no file under the final name; what it leaves beside it is
    removed by `sweep`. The suffix is kept, since writers such as matplotlib choose the format by
    it.

    Parameters
    ----------
    path : path-like
        The file to write. Its folder is made when missing.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{final.name}.", suffix=f"{_PARTIAL}{final.suffix}", dir=final.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
    except OSError as error:
        # What the user knows; libraries name the temporary file, or none.
        error.filename = str(final)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left beside it.

    Parameters
    ----------
    path : path-like
        As given to `atomic_output`.
    """
    final = Path(path)
    name = re.escape(final.name)
    left = re.compile(rf"\.{name}\.\w+{re.escape(_PARTIAL + final.suffix)}")
    if final.parent.is_dir():
        for other in final.parent.iterdir():
            if left.fullmatch(other.name):
                other.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def read_table(path: str | os.PathLike, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file.

    Parameters
    ----------
    path : path-like
        The file.
    columns : sequence of str, optional
        Only these columns, in this order.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    UserError
        If the file is missing, not Parquet, or lacks one of `columns`.
    """
    try:
        found = pq.read_schema(path)
        missing = [column for column in columns or () if column not in found.names]
        if not missing:
            return pq.read_table(
                path, columns=None if columns is None else list(columns), partitioning=None
            )
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. Let Snakemake make it: snakemake --cores all {path}"
        ) from None
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}). "
            f"Delete it and run snakemake again."
        ) from None
    raise UserError(
        f"{path}: lacks the column(s) {', '.join(missing)}; it has {', '.join(found.names)}. "
        "Delete it and run snakemake again."
    )


def write_table(
    table: pa.Table,
    path: str | os.PathLike,
    origin: Origin | None = None,
    rows_by_group: Mapping[str, int] | None = None,
) -> None:
    """Write one Parquet file atomically; equal content gives equal bytes.

    Pages carry a checksum, so that `mcrage.lineage` sees damage of a file that nothing was made
    from yet.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order in which they are to be read.
    path : path-like
        The file to write.
    origin : dict, optional
        Where it comes from, kept in the schema metadata; see `mcrage.provenance`.
    rows_by_group : mapping of str to int, optional
        For tables of patients; becomes part of the origin.
    """
    with table_writer(path, table.schema, origin, rows_by_group) as write:
        write(table)


@contextmanager
def table_writer(
    path: str | os.PathLike,
    schema: pa.Schema,
    origin: Origin | None = None,
    rows_by_group: Mapping[str, int] | None = None,
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that writes the next rows of one Parquet file, in memory of those alone.

    The file appears when all is written; equal rows in equal portions give equal bytes.

    Parameters
    ----------
    path, origin, rows_by_group
        See `write_table`.
    schema : pyarrow.Schema
        Of every portion.

    Examples
    --------
    >>> import tempfile
    >>> portion = pa.table({"x": [1, 2]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.parquet"
    ...     with table_writer(path, portion.schema) as write:
    ...         write(portion)
    ...         write(portion)
    ...     read_table(path).num_rows
    4
    """
    told = dict(origin or {})
    if rows_by_group is not None:
        told["rows_by_group"] = dict(rows_by_group)
    schema = schema.with_metadata({PARQUET_KEY: to_json(told).encode(), **for_pandas(schema)})
    with (
        atomic_output(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield lambda portion: writer.write_table(
            portion.replace_schema_metadata(schema.metadata).unify_dictionaries().combine_chunks()
        )


def take_rows(
    source: str | os.PathLike,
    rows: np.ndarray,
    path: str | os.PathLike,
    origin: Origin | None = None,
    rows_by_group: Mapping[str, int] | None = None,
    without: Sequence[str] = (),
) -> None:
    """Write some rows of a Parquet file to another one, in memory of a portion of them.

    Parameters
    ----------
    source : path-like
    rows : ndarray of int64
        Numbers of the rows, rising.
    path, origin, rows_by_group
        See `write_table`.
    without : sequence of str
        Columns to leave out.
    """
    file = pq.ParquetFile(source)
    names = [name for name in file.schema_arrow.names if name not in without]
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    waiting: list[pa.RecordBatch] = []
    passed = 0
    with table_writer(path, schema, origin, rows_by_group) as write:
        for batch in file.iter_batches(batch_size=PORTION, use_threads=False):
            first, last = np.searchsorted(rows, [passed, passed + batch.num_rows])
            if first < last:
                taken = batch.select(names).take(pa.array(rows[first:last] - passed))
                waiting.append(taken.replace_schema_metadata())
            passed += batch.num_rows
            if sum(map(len, waiting)) >= PORTION:
                write(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            write(pa.Table.from_batches(waiting))


def write_json(
    value: dict[str, Any], path: str | os.PathLike, origin: Origin | None = None
) -> None:
    """Write plain values as sorted, indented JSON, atomically, with where they come from."""
    told = value if origin is None else {**value, KEY: origin}
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Raises
    ------
    UserError
        If the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. Let Snakemake make it: snakemake --cores all {path}"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error}). Delete it and run again.") from None


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 of a table's column names, types and values, in row order.

    The file's own bytes are not used: they change with the Parquet writer, the content does not.
    Nor does it depend on how a table lies in memory: in which chunks, or what stands where a value
    is missing.
    """
    portions = (table.slice(i, _ROWS_HASHED) for i in range(0, table.num_rows, _ROWS_HASHED))
    return _content_hash(table.schema, table.num_rows, portions)


def content_hash_of_file(path: str | os.PathLike) -> str:
    """Return `content_hash` of the table in a Parquet file, in memory of a portion of its rows."""
    file = pq.ParquetFile(path)
    return _content_hash(file.schema_arrow, file.metadata.num_rows, _portions(file))


def _portions(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield rows by `_ROWS_HASHED`, however the file's own groups of rows are cut."""
    waiting: list[pa.Table] = []
    for batch in file.iter_batches(batch_size=_ROWS_HASHED, use_threads=False):
        waiting.append(pa.Table.from_batches([batch]))
        while sum(map(len, waiting)) >= _ROWS_HASHED:
            rows = pa.concat_tables(waiting)
            yield rows.slice(0, _ROWS_HASHED)
            waiting = [rows.slice(_ROWS_HASHED)]
    if sum(map(len, waiting)):
        yield pa.concat_tables(waiting)


def _content_hash(schema: pa.Schema, n_rows: int, portions: Iterator[pa.Table]) -> str:
    digest = hashlib.sha256()
    fields = [(field.name, str(field.type)) for field in schema]
    digest.update(repr((fields, n_rows)).encode())
    for portion in portions:
        for column in portion.columns:
            for part in _canonical(column):
                digest.update(part)
    return digest.hexdigest()


def _canonical(column: pa.ChunkedArray) -> Iterator[np.ndarray | pa.Buffer | bytes]:
    """Yield bytes that are equal for equal values, missing ones included."""
    array = column.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    yield pc.is_null(array).to_numpy(zero_copy_only=False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pc.fill_null(array, "").cast(pa.string())
        yield pc.binary_length(texts).to_numpy()
        together = pa.ListArray.from_arrays([0, len(texts)], texts)
        yield pc.binary_join(together, "")[0].as_buffer()
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        yield pc.fill_null(array, pa.scalar(0).cast(kind)).to_numpy(zero_copy_only=False)
    elif pa.types.is_floating(kind):
        values = pc.fill_null(array, 0.0).to_numpy()
        # Numbers that are none come in many bit patterns.
        yield np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    else:
        yield json.dumps(array.to_pylist(), default=str).encode()
