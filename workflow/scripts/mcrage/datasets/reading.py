# SPDX-License-Identifier: MIT
"""Raw CSV files as text: encoding, header and shape are checked here, values in `prepare`."""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from mcrage.config.base import closest
from mcrage.datasets.card_model import CsvFormat, PrepareSettings
from mcrage.datasets.column_model import Column
from mcrage.datasets.joining import joined
from mcrage.datasets.recoding import recoded
from mcrage.errors import UserError
from mcrage.provenance import file_hash


@dataclass(frozen=True)
class RawTable:
    """The raw files as one table of text, and where its rows stand in them.

    Attributes
    ----------
    table : pyarrow.Table
        Text columns, null where a value is missing; files one after the other, columns of joined
        files last.
    paths : list of Path
        The files with rows, in the card's order.
    rows : list of int
        Rows of each file.
    format : CsvFormat
    kept : ndarray of int64
        For each row of the table its number in the files.
    """

    table: pa.Table
    paths: list[Path]
    rows: list[int]
    format: CsvFormat
    kept: np.ndarray

    def place(self, row: int) -> str:
        """Return where a row of the table stands, e.g. ``"raw.csv, line 18"``."""
        row = self.kept[row]
        for path, count in zip(self.paths, self.rows, strict=True):
            if row < count:
                return f"{path}, line {_line_number(path, self.format, row)}"
            row -= count
        raise IndexError(row)

    def of_files(self, names: Collection[str]) -> np.ndarray:
        """Return whether each row of the table comes from one of the files, bool of shape (n,)."""
        belongs = np.repeat([path.name in names for path in self.paths], self.rows)
        return belongs[self.kept]

    @property
    def names(self) -> str:
        """The files' paths, for messages."""
        return ", ".join(map(str, self.paths))


def read_files(settings: PrepareSettings, paths: list[Path]) -> RawTable:
    """Read a dataset's raw files, which are told apart by their names.

    Raises
    ------
    UserError
        If a file is missing or altered, or for what `read_text` and `joined` refuse.
    """
    found = _checked(settings, {path.name: path for path in paths})
    columns = dict(settings.columns)
    others = {join.file: join for join in settings.joins}
    taken = {name for join in settings.joins for name in join.columns}
    own = {name: column for name, column in columns.items() if name not in taken}
    ordered = [path for name, path in found.items() if name not in others]
    tables = [read_text(path, settings.format, own) for path in ordered]
    order = tables[0].column_names
    table = pa.concat_tables([table.select(order) for table in tables]).combine_chunks()
    rows = [table.num_rows for table in tables]
    for name, join in others.items():
        wanted = list(dict.fromkeys([join.key, *join.columns, *join.where]))
        other = read_text(found[name], settings.format, columns, wanted)
        table = joined(table, other, join, found[name])
    return RawTable(table, ordered, rows, settings.format, np.arange(sum(rows)))


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


def read_text(
    path: Path,
    layout: CsvFormat,
    columns: dict[str, Column],
    wanted: Sequence[str] | None = None,
) -> pa.Table:
    """Read one CSV file as text, with the columns of the card and no others.

    Parameters
    ----------
    path : Path
        Compressed, if its name ends in ``.gz``.
    layout : CsvFormat
    columns : dict of str to Column
        The card's columns; without a header in the file, in the file's order.
    wanted : sequence of str, optional
        Read these columns alone; the file may have others that the card does not know.

    Returns
    -------
    pyarrow.Table
        Text columns in the file's order, or as wanted, null where the value is missing.

    Raises
    ------
    UserError
        If the file is empty, in another encoding, has columns that repeat, lack or are unknown,
        or has a row of another length.
    """
    raw = _without_comments(_bytes(path), layout)
    try:
        raw = raw.decode(layout.encoding).encode("utf-8").removeprefix(b"\xef\xbb\xbf")
    except UnicodeDecodeError as problem:
        line = raw[: problem.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{raw[problem.start]:02x} is not {layout.encoding}; set "
            f"format.encoding in the card to utf-8, latin-1 or cp1252"
        ) from None
    reader = csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), delimiter=layout.delimiter)
    first = next((record for record in reader if record), None)
    if first is None:
        raise UserError(f"{path}: the file is empty; download it again")
    header = [_trimmed(name, layout) for name in first] if layout.header else list(columns)
    _check_header(path, header, list(columns), wanted)

    bad_rows: list[pa_csv.InvalidRow] = []

    def _note(row: pa_csv.InvalidRow) -> str:
        bad_rows.append(row)
        return "skip"

    read = pa_csv.ReadOptions(
        # Rows are numbered, for messages, only without threads.
        column_names=header,
        skip_rows_after_names=int(layout.header),
        use_threads=False,
    )
    parse = pa_csv.ParseOptions(
        delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=_note
    )
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()),
        strings_can_be_null=False,
        include_columns=wanted,
    )
    try:
        # Arrow takes empty lines before the header for rows, and wants a last line to end.
        records = raw.lstrip(b"\r\n") + b"\n"
        table = pa_csv.read_csv(pa.BufferReader(records), read, parse, convert)
    except pa.ArrowInvalid:
        # Arrow's own message quotes the row, which is a patient's record.
        raise UserError(
            f"{path}: not readable as CSV; look for a quotation mark that is never closed"
        ) from None
    if bad_rows:
        # The row's text is a patient's record and stays out of the message.
        bad = bad_rows[0]
        line = _line_number(path, layout, bad.number - 1 - int(layout.header))
        raise UserError(
            f"{path}, line {line}: found {bad.actual_columns} values instead of "
            f"{bad.expected_columns} ({len(bad_rows)} such row(s)); check format.delimiter in the "
            f"card, or mend the file"
        )
    if table.num_rows == 0:
        raise UserError(f"{path}: the file has a header but no rows; download it again")
    for index, name in enumerate(table.column_names):
        values = recoded(table.column(name), layout, columns.get(name))
        table = table.set_column(index, name, values)
    return table


def _bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        raise UserError(f"{path}: not a readable gzip file; download it again") from None


def _without_comments(raw: bytes, layout: CsvFormat) -> bytes:
    """Leave out the lines before the first row or header that begin with the comment mark."""
    while layout.comment and raw.startswith(layout.comment.encode()):
        raw = raw.partition(b"\n")[2]
    return raw


def _trimmed(value: str, layout: CsvFormat) -> str:
    return value.strip() if layout.trim else value


def _check_header(
    path: Path, header: list[str], known: list[str], wanted: Sequence[str] | None
) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise UserError(
            f"{path}: the header names column(s) {', '.join(repeated)} more than once; rename all "
            f"but one in the file"
        )
    lacking = [name for name in wanted or known if name not in header]
    extra = [] if wanted else [name for name in header if name not in known]
    if not lacking and not extra:
        return
    told = []
    if lacking:
        hints = "; ".join(f"{name}{closest(name, extra or header)}" for name in lacking)
        told.append(f"lacks the card's column(s) {hints}")
    if extra:
        hints = "; ".join(f"{name}{closest(name, lacking or known)}" for name in extra)
        told.append(f"has column(s) that the card does not know: {hints}")
    raise UserError(
        f"{path}: {' and '.join(told)}. The file has: {', '.join(header)}. The card has: "
        f"{', '.join(known)}. Correct columns in the card; a column that is not wanted gets type: "
        f"ignored"
    )


def _line_number(path: Path, layout: CsvFormat, row: int) -> int:
    """Return the line, counted from 1, on which data row `row`, counted from 0, ends."""
    whole = _bytes(path)
    rest = _without_comments(whole, layout)
    passed = whole[: len(whole) - len(rest)].count(b"\n")
    stream = io.StringIO(rest.decode(layout.encoding), newline="")
    reader = csv.reader(stream, delimiter=layout.delimiter)
    records = (reader.line_num for record in reader if record)
    wanted = row + int(layout.header)
    return passed + next(line for index, line in enumerate(records) if index == wanted)
