# SPDX-License-Identifier: MIT
"""What pandas writes beside a Parquet file's columns, carried from the user's file to ours.

Arrow's types alone don't tell pandas a column's dtype: ``Int64`` with gaps is read back as float64,
which holds no large number exactly. It writes the dtypes into the file's metadata; each column
carries its own from stage to stage, and every file that is written names them anew. Nothing here
needs pandas.
"""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

KEY = b"pandas"


def told_by(schema: pa.Schema) -> dict[str, dict[bytes, bytes]]:
    """Return what pandas wrote of each column, as metadata of a field; empty without any.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of a file.
    """
    try:
        columns = json.loads((schema.metadata or {}).get(KEY, b"{}")).get("columns", [])
        found = {each["field_name"]: {KEY: json.dumps(each).encode()} for each in columns}
    except (ValueError, KeyError, TypeError, AttributeError):
        # It is no part of the table: another program may write anything there.
        return {}
    return {name: told for name, told in found.items() if name in schema.names}


def metadata_of(field: pa.Field) -> dict[bytes, bytes] | None:
    """Return what a field carries of `told_by`, or None."""
    told = (field.metadata or {}).get(KEY)
    return None if told is None else {KEY: told}


def schema_metadata(fields: Iterable[pa.Field]) -> dict[bytes, bytes]:
    """Return what a file with these columns says to pandas; empty if no column carries anything.

    Columns that carry nothing, such as ours, get the dtype that their type has in pandas.
    """
    carried: list[dict[str, Any]] = [
        json.loads(told[KEY]) for told in map(metadata_of, fields) if told is not None
    ]
    if not carried:
        return {}
    # No index: one that was a column is a column.
    return {
        KEY: json.dumps({"index_columns": [], "column_indexes": [], "columns": carried}).encode()
    }
