# SPDX-License-Identifier: MIT
"""What a dataset card says: where a table comes from, what its columns are and what for.

The model is closed: an unknown key is an error, since a misspelt one would otherwise be ignored
in silence. Stages get slices of a card (`DownloadSettings`, `PrepareSettings`) as plain values.
"""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from mcrage.config.base import Closed, closest
from mcrage.datasets import formula as formulas
from mcrage.errors import UserError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
RESERVED_COLUMNS = ("row_id", "is_synthetic", "label_weight")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAXIMUM_LEVELS = 12


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(
            "YAML reads unquoted yes, no, on, off, true and false as true or false; put the text "
            "in quotes"
        )
    if isinstance(value, int | float):
        raise ValueError(f"levels are text as it stands in the file; write '{value}' in quotes")
    return value


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


Level = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
FileName = Annotated[str, Field(pattern=FILE_PATTERN)]
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
    """

    name: FileName
    sha256: Sha256
    size: PositiveInt | None = None
    sources: list[Source] = Field(min_length=1)
    archive: Archive | None = None


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
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    header: bool = True
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    na_values: list[Level] = Field([""])
    trim: bool = False


class Column(Closed):
    """One column of the raw file.

    Attributes
    ----------
    type : {"continuous", "integer", "category", "ignored"}
        Numeric columns are features; a category is an attribute, the target or the cluster; an
        ignored column is left out of every table.
    resolution : float, optional
        Smallest recorded difference; found from the data when left out.
    minimum, maximum : float, optional
        Bounds that hold by definition, not merely in this sample.
    formula : str, optional
        For a derived column, how it follows from others, e.g. ``10 * A / B``.
    """

    type: Literal["continuous", "integer", "category", "ignored"]
    label: str = ""
    unit: str = ""
    resolution: PositiveFloat | None = None
    minimum: float | None = None
    maximum: float | None = None
    formula: str | None = None
    missing_allowed: bool = False

    @model_validator(mode="after")
    def _numbers_only(self) -> Self:
        keys = ("unit", "resolution", "minimum", "maximum", "formula")
        numeric = [key for key in keys if getattr(self, key) not in ("", None)]
        if not self.is_numeric and numeric:
            raise ValueError(
                f"{', '.join(numeric)}: for continuous and integer columns only, and this one is "
                f"{self.type}; remove it"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        return self

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self.type in ("continuous", "integer")


def _check_labels(levels: list[str] | None, labels: list[str] | None) -> None:
    if levels is not None and len(set(levels)) != len(levels):
        raise ValueError(f"levels: {levels} names one twice; name each level once")
    if labels is None:
        return
    if levels is None:
        raise ValueError("labels: given without levels; write the levels that they stand for")
    if len(labels) != len(levels):
        raise ValueError(
            f"labels: {len(labels)} labels for {len(levels)} levels; write one for each"
        )


class Labelled(Closed):
    """Levels of a category and how to show them to readers (the levels themselves by default).

    Levels that are left out are found from the data, in alphabetical order.
    """

    levels: Annotated[list[Level], Field(min_length=2, max_length=MAXIMUM_LEVELS)] | None = None
    labels: list[str] | None = None

    @model_validator(mode="after")
    def _match(self) -> Self:
        _check_labels(self.levels, self.labels)
        return self


class TargetCard(Closed):
    """The column to predict; the second level is the positive one.

    With a `threshold` the column is numeric, and a row is positive when its value lies above it
    (``median``: the median of the whole table, which defines the label and is not learnt).
    """

    column: str
    levels: Annotated[list[Level], Field(min_length=2, max_length=2)]
    labels: list[str] | None = None
    threshold: float | Literal["median"] | None = None

    @model_validator(mode="after")
    def _match(self) -> Self:
        _check_labels(self.levels, self.labels)
        return self


class Expected(Closed):
    """Known facts about the raw table, verified before anything is built on it.

    Attributes
    ----------
    rows, columns : int
        Size of the raw table, without `row_id`, with ignored columns.
    groups : dict of str to int
        Rows per group, named as in ``SEX=F, SOURCE=in``.
    """

    rows: PositiveInt | None = None
    columns: PositiveInt | None = None
    groups: dict[str, Annotated[int, Field(ge=0)]] = Field({})


class Card(Closed):
    """A dataset card. See the module's and each part's description."""

    name: Name
    title: str
    description: str
    licence: str
    citation: str
    homepage: str = ""
    files: list[File] = Field(min_length=1)
    format: CsvFormat = CsvFormat()
    columns: dict[str, Column]
    target: TargetCard
    sensitive: dict[str, Labelled] = Field(min_length=1)
    cluster: str | None = None
    expected: Expected = Expected()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._file_problems(), *self._role_problems(), *self._formula_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _file_problems(self) -> list[str]:
        names = [file.name for file in self.files]
        repeated = sorted({name for name in names if names.count(name) > 1})
        return [f"files: {name} is listed twice; list each file once" for name in repeated]

    def _role_problems(self) -> list[str]:
        problems = [
            f"columns: {name} is a name that the workflow keeps for itself; rename the column"
            for name in RESERVED_COLUMNS
            if name in self.columns
        ]
        numeric_target = self.target.threshold is not None
        roles = {f"sensitive.{column}": (column, False) for column in self.sensitive}
        roles["target.column"] = (self.target.column, numeric_target)
        if self.cluster is not None:
            roles["cluster"] = (self.cluster, False)
        for key, (column, numeric) in roles.items():
            problems += self._role_problem(key, column, numeric)
        used = [column for column, _ in roles.values()]
        problems += [
            f"columns.{column}: it has more than one role; it may be sensitive, the target or the "
            f"cluster, one of the three"
            for column in sorted({column for column in used if used.count(column) > 1})
        ]
        problems += [
            f"columns.{name}: a category without a role, but features are numbers; list it under "
            f"sensitive, target or cluster, or write type: ignored"
            for name, column in self.columns.items()
            if column.type == "category" and name not in used
        ]
        if not self.feature_columns:
            problems.append(
                "columns: no feature; declare a column that is continuous or integer and not the "
                "target"
            )
        return problems

    def _role_problem(self, key: str, column: str, numeric: bool) -> list[str]:
        if column not in self.columns:
            return [
                f"{key}: found {column!r}{closest(column, list(self.columns))}, which is not under "
                f"columns; allowed: {', '.join(self.columns)}"
            ]
        found = self.columns[column]
        problems = []
        if found.is_numeric != numeric or found.type == "ignored":
            wanted = "continuous or integer (it has a threshold)" if numeric else "category"
            problems.append(f"{key}: column {column} is {found.type}; it must be {wanted}")
        if found.missing_allowed:
            problems.append(
                f"columns.{column}.missing_allowed: a row needs its {key.partition('.')[0]}; "
                "remove the key, or make the missing mark a level and take it out of "
                "format.na_values"
            )
        return problems

    def _formula_problems(self) -> list[str]:
        problems = []
        for name, column in self.columns.items():
            if column.formula is None:
                continue
            try:
                used = formulas.names(column.formula)
            except UserError as error:
                problems.append(f"columns.{name}.formula: {error}")
                continue
            plain = [other for other in self.feature_columns if self.columns[other].formula is None]
            wrong = [other for other in used if other not in plain]
            if wrong or not used or name == self.target.column:
                problems.append(
                    f"columns.{name}.formula: found {column.formula!r}; a feature may follow from "
                    f"features that are not derived themselves: {', '.join(plain)}"
                )
        return problems

    @property
    def feature_columns(self) -> list[str]:
        """Names of the numeric columns that are not the target, in the card's order."""
        return [
            name
            for name, column in self.columns.items()
            if column.is_numeric and name != self.target.column
        ]


class DownloadSettings(Closed):
    """What the download stage uses of a card."""

    name: Name
    files: list[File]


class Checksum(Closed):
    """A raw file and the SHA-256 that it must have."""

    name: FileName
    sha256: Sha256


class PrepareSettings(Closed):
    """What the prepare stage uses of a card.

    Columns and attributes are pairs: their order matters (fields of a file without a header, the
    numbering of groups), and JSON objects have none.
    """

    name: Name
    files: list[Checksum]
    format: CsvFormat
    columns: list[tuple[str, Column]]
    target: TargetCard
    sensitive: list[tuple[str, Labelled]]
    cluster: str | None
    expected: Expected
