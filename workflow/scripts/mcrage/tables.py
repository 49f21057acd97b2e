# SPDX-License-Identifier: MIT
"""Parquet and JSON in and out: atomic, deterministic, with provenance in the schema metadata."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.errors import UserError

_METADATA_KEY = b"mcrage"
ROW_ID = "row_id"
IS_SYNTHETIC = "is_synthetic"


@contextmanager
def atomic_output(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it into place on success.

    A job that dies half-way leaves no file under the final name. The suffix is kept, since
    writers such as matplotlib choose the format by it.

    Parameters
    ----------
    path : path-like
        The file to write. Its folder is made when missing.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


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
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. Let Snakemake make it: snakemake --cores all {path}"
        ) from None
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}). "
            f"Delete it and run snakemake again."
        ) from None
    if columns is None:
        return table
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise UserError(
            f"{path}: lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(table.column_names)}. Delete it and run snakemake again."
        )
    return table.select(list(columns))


def write_table(
    table: pa.Table, path: str | os.PathLike, provenance: dict[str, Any] | None = None
) -> None:
    """Write one Parquet file atomically; equal content gives equal bytes.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order in which they are to be read.
    path : path-like
        The file to write.
    provenance : dict, optional
        Plain JSON values (rule, params, parents), kept in the schema metadata and read back by
        `read_provenance`. No timestamps and no paths of the machine belong here.
    """
    table = table.replace_schema_metadata(
        {_METADATA_KEY: json.dumps(provenance or {}, sort_keys=True).encode()}
    )
    with atomic_output(path) as temporary:
        pq.write_table(table.combine_chunks(), temporary, compression="zstd")


def read_provenance(path: str | os.PathLike) -> dict[str, Any]:
    """Return the provenance that `write_table` stored in a Parquet file, or an empty dict."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(_METADATA_KEY, b"{}"))


def write_json(value: Any, path: str | os.PathLike) -> None:
    """Write plain values as sorted, indented JSON, atomically."""
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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
    """
    digest = hashlib.sha256()
    digest.update(repr([(field.name, str(field.type)) for field in table.schema]).encode())
    for column in table.columns:
        array = column.combine_chunks()
        digest.update(json.dumps(array.to_pylist(), default=str).encode())
    return digest.hexdigest()


def row_keys(table: pa.Table, columns: Sequence[str]) -> list[tuple]:
    """Return each row's values in `columns` as a hashable tuple, for comparison by content."""
    return list(zip(*(table.column(column).to_pylist() for column in columns), strict=True))
