# SPDX-License-Identifier: MIT
"""The short card of one's own table: path, target and sensitive, and nothing else required.

It is written out in full before it is checked: the file's checksum is taken, so that a change of
the file reruns what it has to, and columns that it does not list are inferred. What a CSV file
shows of its layout (delimiter, encoding, texts that mean missing) is taken from the file, too.
"""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcrage.datasets.limits import is_parquet
from mcrage.errors import UserError
from mcrage.provenance import file_hash

MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
DELIMITERS = ",;\t|"
_SEEN = {"delimiter", "encoding", "na_values"}
_WORDS = ("description", "licence", "citation")
_BLOCK = 1024 * 1024
_LINES = 200
_COMMA, _POINT = (re.compile(rf"[+-]?[0-9]*{mark}[0-9]+") for mark in (",", r"\."))


def expand(value: Any, name: str, origin: str) -> Any:
    """Return a card's plain values in full.

    Parameters
    ----------
    value : any
        As it stands in the YAML file. What is no short card comes back as it is, but for the
        checksums of files that lie on this machine; without columns, they are inferred.
    name : str
        The dataset's, unless the card says another.
    origin : str
        Names the card in messages.

    Raises
    ------
    UserError
        If the table is not there.
    """
    if not isinstance(value, dict):
        return value
    if "path" in value:
        value = _written_out(value, name, origin)
    if "columns" not in value:
        value = {"other_columns": "infer", **value}
    files = value.get("files")
    if isinstance(files, list):
        value = value | {"files": [_with_checksum(file, origin) for file in files]}
    return value


def _written_out(value: dict[str, Any], name: str, origin: str) -> dict[str, Any]:
    if "files" in value:
        raise UserError(
            f"{origin}: path: a card with files names its sources there; remove one of the two keys"
        )
    path = Path(str(value["path"]))
    _require(path, origin, "path")
    given = {key: each for key, each in value.items() if key != "path"}
    full = {
        "name": name,
        "title": given.get("name", name),
        **dict.fromkeys(_WORDS, ""),
        "other_columns": "infer",
        **given,
        "files": [{"name": path.name, "sources": [{"path": str(path)}]}],
    }
    if isinstance(full.get("target"), str):
        full["target"] = {"column": full["target"]}
    if isinstance(full.get("sensitive"), str | list):
        full["sensitive"] = {column: {} for column in names_of(full["sensitive"])}
    layout = full.get("format", {})
    if isinstance(layout, dict) and not layout.keys() >= _SEEN:
        full["format"] = (csv_layout(path) or {}) | layout
    return full


def _with_checksum(file: Any, origin: str) -> Any:
    """Return a file's entry with its checksum, if all its sources are paths on this machine."""
    if not isinstance(file, dict) or "sha256" in file or not isinstance(file.get("sources"), list):
        return file
    paths = [each.get("path") for each in file["sources"] if isinstance(each, dict)]
    if len(paths) != len(file["sources"]) or not all(isinstance(path, str) for path in paths):
        return file
    there = [Path(path) for path in paths if Path(path).is_file()]
    if not there:
        _require(Path(paths[0]), origin, "files.sources.path")
    return file | {"sha256": file_hash(there[0])}


def _require(path: Path, origin: str, key: str) -> None:
    if not path.is_file():
        raise UserError(
            f"{origin}: {key}: found {str(path)!r}, and there is no such file in {Path.cwd()}; "
            "write the path of your table, from the folder in which Snakemake runs"
        )


def csv_layout(path: Path) -> dict[str, Any] | None:
    """Return what a CSV file shows of its layout, as a card's section `format`; None of Parquet.

    The delimiter is what stands most often in the first line; the encoding is UTF-8, or cp1252 if
    the bytes are no UTF-8. Of the first lines follows whether a blank stands after delimiters,
    and, where these are no commas, whether a comma begins fractions; neither is told where not.
    """
    if is_parquet(path):
        return None
    decoder, encoding = codecs.getincrementaldecoder("utf-8")(), "utf-8"
    start = b""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            start = stream.read(_BLOCK)
            stream.seek(0)
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            encoding = "cp1252"
        except (gzip.BadGzipFile, EOFError, zlib.error):
            pass  # Who reads the table tells of it.
    lines = start.decode(encoding, errors="replace").splitlines()[:_LINES]
    delimiter = max(DELIMITERS, key=next(iter(lines), "").count)
    layout = {"delimiter": delimiter, "encoding": encoding, "na_values": list(MISSING_TEXTS)}
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return layout  # Who reads the table tells of it.
    later = [value for row in rows for value in row[1:]]
    if sum(value.startswith(" ") for value in later) > len(later) / 2:
        layout["trim"] = True
    values = [value.strip() for row in rows[1:] for value in row]
    with_comma = delimiter != "," and any(map(_COMMA.fullmatch, values))
    if with_comma and not any(map(_POINT.fullmatch, values)):
        layout["decimal"] = ","
    return layout


def names_of(value: str | Sequence[str]) -> list[str]:
    """Return names that stand in one text, divided by commas, or in a list."""
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts]
