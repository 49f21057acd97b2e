# SPDX-License-Identifier: MIT
"""What a card says of raw files: where each comes from, and how CSV files are written."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from mcrage.config.base import Closed
from mcrage.datasets.column_model import Level

FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "an address must hold no user or password, since cards, logs and tables keep it; "
            "download the file yourself and use a mirror"
        )
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return url
    raise ValueError("only https:// addresses are allowed (http:// on this machine only)")


FileName = Annotated[str, Field(pattern=FILE_PATTERN, max_length=200)]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class Source(Closed):
    """One place to get a file from: give one of the three.

    Attributes
    ----------
    url : str
        An https address.
    embedded : str
        A table that an installed library carries, written as CSV.
    path : str
        A file on this machine, relative to the folder in which Snakemake runs: one's own table.
    """

    url: Annotated[str, AfterValidator(_https)] | None = None
    embedded: Literal["sklearn.datasets.load_diabetes"] | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if len([place for place in (self.url, self.embedded, self.path) if place]) != 1:
            raise ValueError("a source has one of the keys url, embedded and path; write one")
        return self


class Archive(Closed):
    """The zip or tar file that the addresses deliver, and the member that is the wanted file."""

    member: str
    size: PositiveInt | None = None


class File(Closed):
    """One raw file: its plain name, its checksum and where to get it, in order of preference.

    `sha256` and `size` (bytes) are those of the file itself, also when it comes in an archive.

    `keep` names columns: the others, such as names and dates of birth, are dropped while the file
    is downloaded and never written to disk. Of columns with one name the first is kept.
    """

    name: FileName
    sha256: Sha256
    size: PositiveInt | None = None
    sources: list[Source] = Field(min_length=1)
    archive: Archive | None = None
    keep: Annotated[list[str], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _plain_text(self) -> Self:
        embedded = any(source.embedded for source in self.sources)
        if self.keep is not None and (embedded or self.name.endswith((".gz", ".parquet"))):
            raise ValueError(
                "keep: for a CSV file alone that is neither compressed nor embedded; remove the key"
            )
        return self


class CsvFormat(Closed):
    """How to read the raw files, which are all CSV of one layout.

    Attributes
    ----------
    header : bool
        Whether the first line names the columns; without it the card lists them in file order.
    na_values : list of str
        Texts that mean "missing".
    trim : bool
        Drop white space around values.
    decimal : {".", ","}
        What divides whole numbers from their fraction.
    comment : str, optional
        Lines before the first row or header are passed over when they begin with this character.
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    header: bool = True
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    na_values: list[Level] = Field([""])
    trim: bool = False
    decimal: Literal[".", ","] = "."
    comment: Annotated[str, Field(min_length=1, max_length=1)] | None = None

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.decimal == self.delimiter:
            raise ValueError(
                "decimal: the delimiter is the comma, too; write the delimiter of the file, "
                "e.g. delimiter: ';'"
            )
        return self
