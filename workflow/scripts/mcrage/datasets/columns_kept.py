# SPDX-License-Identifier: MIT
"""Some columns of a raw file, so that what identifies people never lies on a disk."""

import csv
import io
import logging
from pathlib import Path
from typing import IO

from mcrage.config.base import closest
from mcrage.datasets.file_model import CsvFormat
from mcrage.errors import UserError

logger = logging.getLogger(__name__)


def keep_columns(
    whole: IO[bytes], target: Path, columns: list[str], layout: CsvFormat, name: str
) -> None:
    """Write some columns of a CSV file, in the file's order.

    Where a name stands twice in the header the first column is kept, and the log says in how many
    rows a later one differs.

    Parameters
    ----------
    whole : binary file
        The CSV file, with a header.
    target : Path
        What to write, in UTF-8.
    columns : list of str
    layout : CsvFormat
        Of the CSV file.
    name : str
        Of the file, for messages.

    Raises
    ------
    UserError
        If the file lacks one of the columns, or is no CSV file of this layout.
    """
    whole.seek(0)
    text = io.TextIOWrapper(whole, encoding=layout.encoding, newline="")
    reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
    try:
        header = [field.strip().removeprefix("\ufeff") for field in next(reader, [])]
        _check_header(header, columns, name)
        places = [header.index(column) for column in header if column in columns]
        places = list(dict.fromkeys(places))
        again = {
            place: header.index(column)
            for place, column in enumerate(header)
            if column in columns and place != header.index(column)
        }
        differing = dict.fromkeys(again, 0)
        with target.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter=layout.delimiter, lineterminator="\n")
            writer.writerow([header[place] for place in places])
            for row in reader:
                if not row:
                    continue
                writer.writerow([row[place] for place in places])
                for place, first in again.items():
                    differing[place] += row[place] != row[first]
    except (csv.Error, UnicodeDecodeError, IndexError):
        # Their own messages quote the row, which is a person's record.
        raise UserError(
            f"{name}, line {reader.line_num}: not readable as CSV in {layout.encoding} with "
            f"delimiter {layout.delimiter!r}; correct format in the card"
        ) from None
    finally:
        text.detach()
    logger.info("%s: kept %d of %d columns", name, len(places), len(header))
    for place, first in again.items():
        level = logging.WARNING if differing[place] else logging.INFO
        logger.log(
            level, "%s: column %s stands twice, in places %d and %d; the first is kept, the other "
            "differs from it in %d row(s)", name, header[first], first + 1, place + 1,
            differing[place],
        )  # fmt: skip


def _check_header(header: list[str], columns: list[str], name: str) -> None:
    lacking = [column for column in columns if column not in header]
    if lacking:
        hints = "; ".join(f"{column}{closest(column, header)}" for column in lacking)
        raise UserError(
            f"{name}: lacks the column(s) {hints}; correct files.keep in the card. The file has: "
            f"{', '.join(header)}"
        )
