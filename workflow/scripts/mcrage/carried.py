# SPDX-License-Identifier: MIT
"""What a column carries from the user's file to the tables made of it, as metadata of its field.

- What pandas wrote beside it in a Parquet file. Arrow's types alone don't tell pandas a column's
  dtype: ``Int64`` with gaps is read back as float64, which holds no large number exactly. Every
  file that is written names the dtypes anew.
- How its dates are written in a CSV file, so that those in ours are written alike.

Nothing here needs pandas.
"""

import json
from collections.abc import Iterable

import pyarrow as pa

PANDAS = b"pandas"
DATE_FORMAT = b"date_format"

Metadata = dict[bytes, bytes]


def told_by_pandas(schema: pa.Schema) -> dict[str, Metadata]:
    """Return what pandas wrote of each column of a file; empty without any.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of a file.
    """
    try:
        columns = json.loads((schema.metadata or {}).get(PANDAS, b"{}")).get("columns", [])
        found = {each["field_name"]: {PANDAS: json.dumps(each).encode()} for each in columns}
    except (ValueError, KeyError, TypeError, AttributeError):
        # It is no part of the table: another program may write anything there.
        return {}
    return {name: told for name, told in found.items() if name in schema.names}


def carried_by(field: pa.Field) -> Metadata:
    """Return what a column carries; empty if nothing."""
    found = field.metadata or {}
    return {key: found[key] for key in (PANDAS, DATE_FORMAT) if key in found}


def for_pandas(fields: Iterable[pa.Field]) -> Metadata:
    """Return what a file with these columns says to pandas; empty if no column carries any of it.

    Columns that carry nothing, such as ours, get the dtype that their type has in pandas.
    """
    told = [carried_by(field).get(PANDAS) for field in fields]
    columns = [json.loads(each) for each in told if each is not None]
    if not columns:
        return {}
    # No index: one that was a column is a column.
    facts = {"index_columns": [], "column_indexes": [], "columns": columns}
    return {PANDAS: json.dumps(facts).encode()}
