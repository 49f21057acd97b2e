# SPDX-License-Identifier: MIT
"""CSV files as text, block by block: encoding, header and shape are checked here."""

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from mcrage.config.base import closest
from mcrage.datasets.file_model import CsvFormat
from mcrage.errors import UserError
from mcrage.spool import RowSpool

BLOCK = 4 * 1024 * 1024
_DELIMITERS = {",": "','", ";": "';'", "\t": '"\\t"', "|": "'|'"}
_OTHER_FILES = {
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    b"PK\x03\x04": "a zip file or a spreadsheet; unpack it, or save the sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; save the sheet as CSV (UTF-8)",
    b"\x1f\x8b": "compressed with gzip; give it a name that ends in .gz",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}


class CsvFile:
    """One CSV file, checked, of which a column at a time is read.

    Parameters
    ----------
    path : Path
        Compressed, if its name ends in ``.gz``.
    layout : CsvFormat
    columns : sequence of str
        The card's columns; without a header in the file, in the file's order.
    wanted : sequence of str, optional
        Read these columns alone; the file may have others that the card does not know.
    passed_over : sequence of str, optional
        Columns that are in the file and not read.
    others : bool
        Whether there may be other columns than the card's.

    Attributes
    ----------
    column_names : list of str
        In the file's order, or as wanted; with those passed over.
    num_rows : int

    Raises
    ------
    UserError
        If the file is no CSV file of this layout, is empty, has columns that repeat, lack or are
        unknown, or has a row of another length.
    """

    def __init__(
        self,
        path: Path,
        layout: CsvFormat,
        columns: Sequence[str],
        wanted: Sequence[str] | None = None,
        passed_over: Sequence[str] = (),
        *,
        others: bool = False,
    ) -> None:
        self.path, self.layout = path, layout
        header = self._header(list(columns))
        check_header(path, header, list(columns), wanted, layout, others=others)
        self.column_names = list(wanted or header)
        self._spool = self._read(
            header, [name for name in self.column_names if name not in passed_over]
        )
        self.num_rows = self._spool.num_rows
        if self.num_rows == 0:
            raise UserError(
                f"{path}: the file has a header but no rows; write the table anew, with its rows"
            )

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as text, nothing missing."""
        return self._spool.column(name)

    def place(self, row: int) -> str:
        """Return where data row `row`, counted from 0, ends, e.g. ``"raw.csv, line 18"``."""
        wanted = row + int(self.layout.header)
        with _Records(self.path, self.layout) as records:
            reader = self._reader(records)
            lines = (reader.line_num for record in reader if record)
            line = next(line for index, line in enumerate(lines) if index == wanted)
            return f"{self.path}, line {records.passed + line}"

    def _reader(self, records: "_Records") -> "csv.Reader":
        text = io.TextIOWrapper(io.BufferedReader(records), encoding="utf-8", newline="")
        return csv.reader(text, delimiter=self.layout.delimiter)

    def _header(self, columns: list[str]) -> list[str]:
        with _Records(self.path, self.layout) as records:
            try:
                first = next((record for record in self._reader(records) if record), None)
            except csv.Error:
                raise self._unreadable() from None
        if first is None:
            raise UserError(f"{self.path}: the file is empty; write the table anew")
        if first[-1].endswith("\n"):
            raise self._unreadable()
        if not self.layout.header:
            return columns
        return [name.strip() for name in first] if self.layout.trim else first

    def _unreadable(self) -> UserError:
        # Arrow's own message quotes the row, which is a patient's record.
        return UserError(
            f"{self.path}: not readable as CSV; look for a quotation mark that is never closed"
        )

    def _read(self, header: list[str], wanted: list[str]) -> RowSpool:
        first_bad: list[pa_csv.InvalidRow] = []
        count = 0

        def note(row: pa_csv.InvalidRow) -> str:
            nonlocal count
            count += 1
            if not first_bad:
                first_bad.append(row)
            return "skip"

        read = pa_csv.ReadOptions(
            # Rows are numbered, for messages, only without threads.
            column_names=header,
            skip_rows_after_names=int(self.layout.header),
            use_threads=False,
            block_size=BLOCK,
        )
        parse = pa_csv.ParseOptions(
            delimiter=self.layout.delimiter, newlines_in_values=True, invalid_row_handler=note
        )
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            strings_can_be_null=False,
            include_columns=wanted,
        )
        spool = RowSpool(pa.schema([(name, pa.string()) for name in wanted]))
        last = None
        with _Records(self.path, self.layout) as records:
            try:
                source = io.BufferedReader(records)
                for batch in pa_csv.open_csv(source, read, parse, convert):
                    if batch.num_rows:
                        last = batch
                        spool.put(pa.Table.from_batches([batch]))
            except pa.ArrowInvalid:
                raise self._unreadable() from None
        if count:
            # The row's text is a patient's record and stays out of the message.
            bad = first_bad[0]
            place = self.place(bad.number - 1 - int(self.layout.header))
            raise UserError(
                f"{place}: found {bad.actual_columns} values instead of {bad.expected_columns} "
                f"({count} such row(s)); check format.delimiter in the card, or mend the file: "
                "look for a quotation mark that is never closed"
            )
        # The file was given one more end of line, which stands in no value but an unclosed one.
        if last is not None and any(
            (last[name][-1].as_py() or "").endswith("\n") for name in wanted
        ):
            raise self._unreadable()
        return spool


class _Records(io.RawIOBase):
    """The records of a CSV file in UTF-8: without byte-order mark, comments and what is empty.

    Attributes
    ----------
    passed : int
        Lines before the first record.
    """

    def __init__(self, path: Path, layout: CsvFormat) -> None:
        self._path, self._layout = path, layout
        self.passed = 0
        self._lines = 0
        self._decoder = codecs.getincrementaldecoder(layout.encoding)()
        self._ready = b""
        self._source = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        self._started = self._ended = False

    def close(self) -> None:
        self._source.close()
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._ready and not self._ended:
            self._ready = self._next()
        block, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)

    def _next(self) -> bytes:
        raw = self._block()
        self._ended = not raw
        if not self._started:
            return self._start(raw)
        # Arrow wants a last line to end.
        return self._checked(raw) + (b"\n" if self._ended else b"")

    def _start(self, raw: bytes) -> bytes:
        """Pass over what stands before the first record, and refuse what is no CSV file at all."""
        self._started = True
        for mark, told in _OTHER_FILES.items():
            if raw.startswith(mark):
                raise UserError(f"{self._path}: the file is {told}")
        text = self._checked(raw).removeprefix(b"\xef\xbb\xbf")
        comment = (self._layout.comment or "").encode()
        while text[:1] in (b"\n", b"\r") or (comment and text.startswith(comment)):
            line, end, rest = text.partition(b"\n")
            while not end and (more := self._block()):
                line, end, rest = (line + self._checked(more)).partition(b"\n")
            self.passed += 1
            text = rest
        return text + (b"\n" if self._ended else b"")

    def _block(self) -> bytes:
        try:
            return self._source.read(BLOCK)
        except (OSError, EOFError, zlib.error):
            raise UserError(
                f"{self._path}: not a readable gzip file; compress the table anew, or give it "
                "uncompressed"
            ) from None

    def _checked(self, raw: bytes) -> bytes:
        encoding = self._layout.encoding
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as problem:
            # Bytes of an unfinished character of the block before come first in problem.object.
            line = self._lines + problem.object[: problem.start].count(b"\n") + 1
            raise UserError(
                f"{self._path}, line {line}: byte 0x{problem.object[problem.start]:02x} is not "
                f"{encoding}; set format.encoding in the card to utf-8, latin-1 or cp1252"
            ) from None
        if "\0" in text:
            line = self._lines + text[: text.index("\0")].count("\n") + 1
            raise UserError(
                f"{self._path}, line {line}: found a NUL byte, which no text has; the file is "
                "damaged or no CSV file: save it anew as CSV (UTF-8)"
            )
        self._lines += text.count("\n")
        return text.encode()


def check_header(
    path: Path,
    header: list[str],
    known: list[str],
    wanted: Sequence[str] | None = None,
    layout: CsvFormat | None = None,
    *,
    others: bool = False,
) -> None:
    """Hold a file's columns against the card's.

    Raises
    ------
    UserError
        If a name stands twice, lacks or is unknown.
    """
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise UserError(
            f"{path}: the header names column(s) {', '.join(map(_shown, repeated))} more than "
            "once; rename all but one in the file"
        )
    lacking = [name for name in wanted or known if name not in header]
    extra = [] if wanted or others else [name for name in header if name not in known]
    if not lacking and not extra:
        return
    if layout is not None and lacking and (told := _other_delimiter(header, known, layout)):
        raise UserError(f"{path}: {told}")
    told = []
    if lacking:
        hints = "; ".join(f"{name}{closest(name, extra or header)}" for name in lacking)
        told.append(f"lacks the card's column(s) {hints}")
    if extra:
        hints = "; ".join(f"{_shown(name)}{closest(name, lacking or known)}" for name in extra)
        told.append(f"has column(s) that the card does not know: {hints}")
    raise UserError(
        f"{path}: {' and '.join(told)}. The file has: {', '.join(map(_shown, header))}. The card "
        f"has: {', '.join(known)}. Correct columns in the card; a column that is not wanted gets "
        "type: ignored"
    )


def _shown(name: str) -> str:
    """Return a column's name so that one sees it: quoted where it is empty or has odd ends."""
    return name if name and name == name.strip() and name.isprintable() else repr(name)


def _other_delimiter(header: list[str], known: list[str], layout: CsvFormat) -> str:
    """Return what to do if another delimiter makes the header the card's."""
    line = layout.delimiter.join(header)
    for delimiter, written in _DELIMITERS.items():
        found = {name.strip().strip('"') for name in line.split(delimiter)}
        if delimiter != layout.delimiter and len(found & set(known)) > len(
            set(known) & set(header)
        ):
            return (
                f"the header is divided by {written}, not by {layout.delimiter!r}: {line[:200]!r}; "
                f"write format.delimiter: {written} in the card"
            )
    return ""
