# SPDX-License-Identifier: MIT
"""Parquet files as raw files: their columns keep their types."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcrage.carried import told_by_pandas
from mcrage.datasets.csv_files import check_header
from mcrage.errors import UserError
from mcrage.spool import column_of


class ParquetFile:
    """One Parquet file, checked, of which a column at a time is read.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        The card's columns.
    wanted : sequence of str, optional
        Read these columns alone; the file may have others that the card does not know.
    others : bool
        Whether there may be other columns than the card's.

    Attributes
    ----------
    column_names : list of str
        In the file's order, or as wanted.
    num_rows : int
    told : dict of str to tuple
        Type of the columns of which pandas wrote something, and what that is, as metadata of a
        field; see `mcrage.carried`.

    Raises
    ------
    UserError
        If the file is not Parquet, is damaged, has no rows, or has columns that repeat, lack or
        are unknown.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        wanted: Sequence[str] | None = None,
        *,
        others: bool = False,
    ) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
            names = self._file.schema_arrow.names
        except (pa.ArrowException, OSError):
            raise self._damaged() from None
        check_header(path, names, list(columns), wanted, others=others)
        self.column_names = list(wanted or names)
        schema = self._file.schema_arrow
        self.told = {
            name: (schema.field(name).type, own) for name, own in told_by_pandas(schema).items()
        }
        self.num_rows = self._file.metadata.num_rows
        if self.num_rows == 0:
            raise UserError(
                f"{path}: the file has columns but no rows; write the table anew, with its rows"
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column in its own type; numbers that are none are missing.

        Raises
        ------
        UserError
            If the file is damaged, or the column's type is none that a table can have.
        """
        try:
            values = column_of(self._file, name)
        except (pa.ArrowException, OSError):
            raise self._damaged() from None
        return _usual(values, f"{self.path}, column {name}", name)

    def place(self, row: int) -> str:
        """Return where a row stands, e.g. ``"raw.parquet, row 18"`` (counted from 1)."""
        return f"{self.path}, row {row + 1}"

    def _damaged(self) -> UserError:
        with self.path.open("rb") as stream:
            whole = stream.read(4) == b"PAR1"
        if whole:
            return UserError(
                f"{self.path}: the Parquet file is damaged, or was not copied whole; "
                "copy or write it anew"
            )
        return UserError(
            f"{self.path}: not a Parquet file, whatever its name says; rename it (CSV files end in "
            ".csv or .csv.gz), or write it anew"
        )


def _usual(values: pa.ChunkedArray, place: str, name: str) -> pa.ChunkedArray:
    """Return a column in one of the types that the stages know."""
    kind = values.type
    of_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_dictionary(kind):
        inner = kind.value_type
        if pa.types.is_string(inner) or pa.types.is_large_string(inner):
            return values.unify_dictionaries()
        return _usual(values.cast(inner), place, name)
    known = (
        *(of_text, pa.types.is_integer(kind), pa.types.is_boolean(kind), pa.types.is_null(kind)),
        *(pa.types.is_date(kind), pa.types.is_timestamp(kind), pa.types.is_decimal(kind)),
    )
    if any(known):
        return values
    raise UserError(
        f"{place}: is of the type {kind}; allowed are numbers, booleans, text, categories, dates "
        f"and timestamps. Convert it in the file, or write columns.{name}.type: ignored in the card"
    )
