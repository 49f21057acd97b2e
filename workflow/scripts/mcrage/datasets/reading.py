# SPDX-License-Identifier: MIT
"""The raw files of a dataset as one table, of which a column at a time is in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mcrage.carried import Metadata
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.column_model import Column
from mcrage.datasets.csv_files import CsvFile
from mcrage.datasets.file_model import CsvFormat
from mcrage.datasets.joining import partners
from mcrage.datasets.limits import is_parquet
from mcrage.datasets.parquet_files import ParquetFile
from mcrage.datasets.recoding import recoded
from mcrage.errors import UserError, told_of
from mcrage.provenance import file_hash

RawFile = CsvFile | ParquetFile
Values = Callable[[], pa.ChunkedArray]
Told = tuple[pa.DataType, Metadata]


@dataclass(frozen=True)
class RawColumns:
    """Columns that are read one at a time, as the card reads them: null where a value is missing.

    Attributes
    ----------
    sources : dict of str to callable
        By name, what reads all rows of a column.
    kept : ndarray of int64
        Numbers of the rows that are left, rising.
    told : dict of str to tuple
        What pandas wrote of columns; see `ParquetFile.told`.
    """

    sources: dict[str, Values]
    kept: np.ndarray
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def column_names(self) -> list[str]:
        """Names of the columns: the file's in its order, then those of joined files."""
        return list(self.sources)

    @property
    def num_rows(self) -> int:
        """Number of rows that are left."""
        return len(self.kept)

    @property
    def num_columns(self) -> int:
        """Number of columns, with those that the card ignores."""
        return len(self.sources)

    def column(self, name: str) -> pa.ChunkedArray:
        """Read a column: text from CSV files, the file's own type from Parquet."""
        values = self.sources[name]()
        return values if len(values) == len(self.kept) else values.take(pa.array(self.kept))

    def told_by_pandas(self, name: str, kind: pa.DataType) -> Metadata:
        """Return what pandas wrote of a column; nothing if the table's is of another type."""
        found, told = self.told.get(name, (None, {}))
        return told if found == kind else {}


@dataclass(frozen=True)
class RawTable:
    """The raw files as one table, and where its rows stand in them.

    Attributes
    ----------
    table : RawColumns
        Files one after the other, columns of joined files last.
    files : list of CsvFile or ParquetFile
        The files with rows, in the card's order.
    """

    table: RawColumns
    files: list[RawFile] = field(repr=False)

    @property
    def kept(self) -> np.ndarray:
        """For each row of the table its number in the files, int64 of shape (n,)."""
        return self.table.kept

    @property
    def paths(self) -> list[Path]:
        """The files with rows, in the card's order."""
        return [file.path for file in self.files]

    @property
    def names(self) -> str:
        """The files' paths, for messages."""
        return ", ".join(map(str, self.paths))

    def keeping(self, stays: np.ndarray) -> "RawTable":
        """Return the rows for which `stays`, bool of shape (n,), holds."""
        return replace(self, table=replace(self.table, kept=self.kept[stays]))

    def place(self, row: int) -> str:
        """Return where a row of the table stands, e.g. ``"raw.csv, line 18"``."""
        number = int(self.kept[row])
        for file in self.files:
            if number < file.num_rows:
                return file.place(number)
            number -= file.num_rows
        raise IndexError(row)

    def of_files(self, names: Collection[str]) -> np.ndarray:
        """Return whether each row of the table comes from one of the files, bool of shape (n,)."""
        marks = [file.path.name in names for file in self.files]
        return np.repeat(marks, [file.num_rows for file in self.files])[self.kept]


def read_files(settings: PrepareSettings, paths: Sequence[Path]) -> RawTable:
    """Read a dataset's raw files, which are told apart by their names.

    Raises
    ------
    UserError
        If a file is missing or altered, files don't fit together, or for what `CsvFile`,
        `ParquetFile` and `partners` refuse.
    """
    found = _checked(settings, {path.name: path for path in paths})
    columns = dict(settings.columns)
    others = {join.file: join for join in settings.joins}
    taken = {name for join in settings.joins for name in join.columns}
    own = [name for name in columns if name not in taken]
    used = {each.column for each in settings.filters} | set(settings.drop_rows_without)
    used |= {join.key for join in settings.joins}
    passed_over = [
        name
        for name, each in columns.items()
        if each.type == "ignored" and name not in used and settings.other_columns == "refuse"
    ]
    files = [
        _opened(path, settings, own, passed_over=passed_over)
        for name, path in found.items()
        if name not in others
    ]
    sources = {
        name: _reader(settings.format, files, name, columns.get(name))
        for name in files[0].column_names
    }
    told = _told(files[0])
    for name, join in others.items():
        wanted = list(dict.fromkeys([join.key, *join.columns, *join.where]))
        other = _opened(found[name], settings, list(columns), wanted=wanted)
        lines = {
            column: _reader(settings.format, [other], column, columns.get(column))
            for column in wanted
        }
        partner = partners(sources[join.key](), lines, join, other.path)
        sources |= {column: _beside(lines[column], partner) for column in join.columns}
        told |= {column: own for column, own in _told(other).items() if column in join.columns}
    rows = np.arange(sum(file.num_rows for file in files))
    return RawTable(RawColumns(sources, rows, told), files)


def read_alone(path: Path, layout: CsvFormat) -> RawColumns:
    """Read a table that has no card yet.

    Raises
    ------
    UserError
        For what `CsvFile` and `ParquetFile` refuse.
    """
    if is_parquet(path):
        file: RawFile = ParquetFile(path, [], others=True)
    else:
        file = CsvFile(path, layout, [], others=True)
    sources = {name: _reader(layout, [file], name, None) for name in file.column_names}
    return RawColumns(sources, np.arange(file.num_rows))


def _opened(
    path: Path,
    settings: PrepareSettings,
    columns: list[str],
    *,
    wanted: list[str] | None = None,
    passed_over: Sequence[str] = (),
) -> RawFile:
    others = settings.other_columns == "infer"
    if is_parquet(path):
        return ParquetFile(path, columns, wanted, others=others)
    return CsvFile(path, settings.format, columns, wanted, passed_over, others=others)


def _reader(layout: CsvFormat, files: list[RawFile], name: str, column: Column | None) -> Values:
    def read() -> pa.ChunkedArray:
        parts = []
        for file in files:
            with told_of(str(file.path)):
                parts.append(recoded(file.column(name), layout, column, name))
        kinds = {str(part.type): file.path for part, file in zip(parts, files, strict=True)}
        if len(kinds) > 1:
            told = ", ".join(f"{kind} in {path}" for kind, path in kinds.items())
            raise UserError(
                f"column {name}: its type is {told}; write the files with one type, or as CSV"
            )
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)

    return read


def _told(file: RawFile) -> dict[str, Told]:
    return file.told if isinstance(file, ParquetFile) else {}


def _beside(lines: Values, partner: pa.Array) -> Values:
    return lambda: lines().take(partner)


def _checked(settings: PrepareSettings, by_name: dict[str, Path]) -> dict[str, Path]:
    """Return the card's files by name and in its order, each as it must be."""
    checked = {}
    for file in settings.files:
        path = by_name.get(file.name)
        if path is None or not path.is_file():
            raise UserError(
                f"dataset {settings.name}: the raw file {path or file.name} is missing; run "
                f"snakemake, which downloads it"
            )
        if file.sha256 is not None and (found := file_hash(path)) != file.sha256:
            raise UserError(
                f"{path}: SHA-256 is {found}, the card of {settings.name} says {file.sha256}; "
                f"delete the file and run again, or correct the card"
            )
        checked[file.name] = path
    return checked
