# SPDX-License-Identifier: MIT
"""Raw CSV files as text: encoding, header and shape are checked here, values in `prepare`."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from mcrage.config.base import closest
from mcrage.datasets.card_model import CsvFormat, PrepareSettings
from mcrage.datasets.column_model import Column
from mcrage.errors import UserError
from mcrage.provenance import file_hash


@dataclass(frozen=True)
class RawTable:
    """The raw files as one table of text, and where its rows stand in them.

    Attributes
    ----------
    table : pyarrow.Table
        Text columns, null where a value is missing; files one after the other.
    paths : list of Path
        The files in the card's order.
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

    @property
    def names(self) -> str:
        """The files' paths, for messages."""
        return ", ".join(map(str, self.paths))


def read_files(settings: PrepareSettings, paths: list[Path]) -> RawTable:
    """Read a dataset's raw files, which are told apart by their names.

    Raises
    ------
    UserError
        If a file is missing or altered, or for what `read_text` refuses.
    """
    by_name = {path.name: path for path in paths}
    ordered, tables = [], []
    for file in settings.files:
        path = by_name.get(file.name)
        if path is None or not path.is_file():
            raise UserError(
                f"dataset {settings.name}: the raw file {path or file.name} is missing; run "
                f"snakemake, which downloads it"
            )
        found = file_hash(path)
        if found != file.sha256:
            raise UserError(
                f"{path}: SHA-256 is {found}, the card of {settings.name} says {file.sha256}; "
                f"delete the file and run again, or correct the card"
            )
        ordered.append(path)
        known, infers = dict(settings.columns), settings.other_columns == "infer"
        tables.append(read_text(path, settings.format, known, others=infers))
    order = tables[0].column_names
    table = pa.concat_tables([table.select(order) for table in tables]).combine_chunks()
    rows = [table.num_rows for table in tables]
    return RawTable(table, ordered, rows, settings.format, np.arange(sum(rows)))


def read_text(
    path: Path, layout: CsvFormat, columns: dict[str, Column], *, others: bool = False
) -> pa.Table:
    """Read one CSV file as text, with the columns of the card.

    Parameters
    ----------
    path : Path
    layout : CsvFormat
    columns : dict of str to Column
        The card's columns; without a header in the file, in the file's order.
    others : bool
        Whether there may be other columns than the card's.

    Returns
    -------
    pyarrow.Table
        Text columns in the file's order, null where the value is missing.

    Raises
    ------
    UserError
        If the file is empty, in another encoding, has columns that repeat, lack or are unknown,
        or has a row of another length.
    """
    raw = path.read_bytes()
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
    _check_header(path, header, list(columns), others=others)

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
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
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
    missing = pa.array(layout.na_values, pa.string())
    for index, name in enumerate(table.column_names):
        values = table.column(name)
        if layout.trim:
            values = pc.utf8_trim_whitespace(values)
        is_missing = pc.is_in(values, value_set=missing)
        values = pc.if_else(is_missing, pa.scalar(None, pa.string()), values)
        table = table.set_column(index, name, values)
    return table


def _trimmed(value: str, layout: CsvFormat) -> str:
    return value.strip() if layout.trim else value


def _check_header(path: Path, header: list[str], known: list[str], *, others: bool) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise UserError(
            f"{path}: the header names column(s) {', '.join(repeated)} more than once; rename all "
            f"but one in the file"
        )
    lacking = [name for name in known if name not in header]
    extra = [] if others else [name for name in header if name not in known]
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
    with path.open(encoding=layout.encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=layout.delimiter)
        records = (reader.line_num for record in reader if record)
        wanted = row + int(layout.header)
        return next(line for index, line in enumerate(records) if index == wanted)
