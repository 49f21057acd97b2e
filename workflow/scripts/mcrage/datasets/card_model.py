# SPDX-License-Identifier: MIT
"""What a dataset card says: where a table comes from, what its columns are and what for.

The model is closed: an unknown key is an error, since a misspelt one would otherwise be ignored
in silence. Stages get slices of a card (`DownloadSettings`, `PrepareSettings`) as plain values.
"""

import datetime
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from mcrage.config.base import Closed, closest
from mcrage.datasets import formula as formulas
from mcrage.datasets.assembly_model import Join, OfficialTest, RowFilter, assembly_problems
from mcrage.datasets.column_model import Column, SensitiveCard, TargetCard
from mcrage.datasets.file_model import CsvFormat, File, FileName, Sha256
from mcrage.datasets.limits import MAXIMUM_GROUPS, MISSING_LEVEL
from mcrage.errors import UserError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
RESERVED_COLUMNS = ("row_id", "is_synthetic", "label_weight", "is_official_test")
_IN_BANDS = {
    "integer": "[18, 65]",
    "continuous": "[18.5, 25]",
    "date": "[2000-01-01, 2010-01-01]",
}


def _as_list(value: Any) -> Any:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Expected(Closed):
    """Known facts about the raw table, verified before anything is built on it.

    Attributes
    ----------
    rows, columns : int
        Size of the raw table, without `row_id`, with ignored and joined columns, before rows are
        left out.
    rows_kept : int
        Rows that are left after `filters` and `drop_rows_without`.
    groups : dict of str to int
        Rows per group, named as in ``SEX=F, SOURCE=in``.
    """

    rows: PositiveInt | None = None
    rows_kept: PositiveInt | None = None
    columns: PositiveInt | None = None
    groups: dict[str, Annotated[int, Field(ge=0)]] = Field({})


class Card(Closed):
    """A dataset card. See the module's and each part's description.

    Several files have their rows one after the other, but those under `joins` give columns. Then
    `filters` leave rows out, and so does `drop_rows_without`, which names columns: rows in which
    one of them is missing go. The log says how many.

    `cluster` names one column or several, such as patient and hospital: rows that agree in one of
    them stay on one side of a split.

    `other_columns` says what becomes of columns that are not under `columns`: ``refuse``, or
    ``infer`` what they are (see `mcrage.datasets.infer`), as for the short card of one's own table
    (see `mcrage.datasets.short_card`).
    """

    name: Name
    title: str
    description: str
    licence: str
    citation: str
    homepage: str = ""
    files: list[File] = Field(min_length=1)
    format: CsvFormat = CsvFormat()
    columns: dict[str, Column] = Field({})
    other_columns: Literal["refuse", "infer"] = "refuse"
    target: TargetCard
    sensitive: dict[str, SensitiveCard] = Field(min_length=1)
    cluster: Annotated[list[str], BeforeValidator(_as_list)] = Field([])
    joins: list[Join] = Field([])
    filters: list[RowFilter] = Field([])
    official_test: OfficialTest | None = None
    drop_rows_without: list[str] = Field([])
    expected: Expected = Expected()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._file_problems(), *self._role_problems(), *self._formula_problems()]
        problems += assembly_problems(
            files=[file.name for file in self.files],
            columns=self.columns,
            joins=self.joins,
            filters=self.filters,
            official_test=self.official_test,
        )
        if self.official_test and self.expected.rows_kept is None:
            problems.append(
                "expected.rows_kept: missing; with an official test set the workflow needs to know "
                "how many rows there are in all"
            )
        by_name = {"joins": self.joins, "files.keep": [file for file in self.files if file.keep]}
        problems += [
            f"{key}: columns are told by name; write format.header: true"
            for key, used in by_name.items()
            if used and not self.format.header
        ]
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
        roles = {f"sensitive.{column}": column for column in self.sensitive}
        roles["target.column"] = self.target.column
        several = len(self.cluster) > 1
        for number, column in enumerate(self.cluster):
            roles[f"cluster[{number}]" if several else "cluster"] = column
        for key, column in roles.items():
            problems += self._role_problem(key, column)
        used = list(roles.values())
        problems += [
            f"columns.{column}: it has more than one role; it may be sensitive, the target or the "
            f"cluster, one of the three"
            for column in sorted({column for column in used if used.count(column) > 1})
        ]
        problems += [
            self._unknown("drop_rows_without", column)
            for column in self.drop_rows_without
            if column not in self.columns and not self.infers
        ]
        if not self.feature_columns and not self.infers:
            problems.append(
                "columns: no feature; declare a column that is neither ignored nor the target, a "
                "sensitive attribute (without bands) or the cluster"
            )
        n_groups = prod(len(levels or "12") for levels in self.group_levels().values())
        if n_groups > MAXIMUM_GROUPS:
            problems.append(
                f"sensitive: the levels make {n_groups} groups, at most {MAXIMUM_GROUPS} are "
                "allowed; choose fewer attributes or wider bands, or join levels in the file"
            )
        return problems

    def _unknown(self, key: str, column: str) -> str:
        return (
            f"{key}: found {column!r}{closest(column, list(self.columns))}, which is not under "
            f"columns; allowed: {', '.join(self.columns)}"
        )

    def _role_problem(self, key: str, column: str) -> list[str]:
        if column not in self.columns:
            return [] if self.infers else [self._unknown(key, column)]
        found = self.columns[column]
        role = key.partition(".")[0].partition("[")[0]
        attribute = self.sensitive.get(column) if role == "sensitive" else None
        bands = attribute.bands if attribute else None
        problems = []
        if role == "target" and self.target.threshold is not None:
            fits, wanted = found.is_numeric, "continuous or integer (it has a threshold)"
        elif bands is not None:
            dates = isinstance(bands[0], datetime.date)
            fits = found.type == "date" if dates else found.is_numeric
            wanted = "date (its bands are)" if dates else "continuous or integer (it has bands)"
        else:
            fits, wanted = found.has_levels, "category or ordinal"
        if not fits:
            hint = ""
            if role == "sensitive" and bands is None and found.type in _IN_BANDS:
                hint = f", or have bands, e.g. {key}.bands: {_IN_BANDS[found.type]}"
            problems.append(f"{key}: column {column} is {found.type}; it must be {wanted}{hint}")
        levels = attribute.levels if attribute else self.target.levels
        if role != "cluster" and fits and found.levels and levels and levels != found.levels:
            problems.append(
                f"{key.removesuffix('.column')}.levels: found {', '.join(levels)}, but "
                f"columns.{column}.levels has {', '.join(found.levels)}; leave one of the two out"
            )
        allowed = ("refuse", "keep") if attribute and bands is None else ("refuse",)
        if found.missing not in allowed:
            level = ", or write keep, which makes missing a level of its own"
            problems.append(
                f"columns.{column}.missing: found {found.missing!r}, but a row needs its {role}; "
                f"remove the key and list the column under drop_rows_without"
                f"{level if len(allowed) > 1 else ''}"
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
            plain = [
                other
                for other in self.feature_columns
                if self.columns[other].is_numeric and self.columns[other].formula is None
            ]
            seen = [other for other in used if other in self.columns or not self.infers]
            wrong = [other for other in seen if other not in plain]
            if wrong or not used or name == self.target.column:
                problems.append(
                    f"columns.{name}.formula: found {column.formula!r}; a feature may follow from "
                    f"features that are not derived themselves: {', '.join(plain)}"
                )
        return problems

    @property
    def infers(self) -> bool:
        """Whether columns that are not listed are found from the data."""
        return self.other_columns == "infer"

    @property
    def feature_columns(self) -> list[str]:
        """Names of the features, in the card's order; an attribute in bands is one, too."""
        others = {self.target.column, *self.cluster}
        others |= {name for name, each in self.sensitive.items() if each.bands is None}
        return [
            name
            for name, column in self.columns.items()
            if column.type != "ignored" and name not in others
        ]

    def group_levels(self) -> dict[str, list[str] | None]:
        """Return the levels that make groups, by column; None where the data will tell."""
        found = {name: self._attribute_levels(name, each) for name, each in self.sensitive.items()}
        target = self.target
        return {**found, target.column: target.levels or self._column_levels(target.column)}

    def _attribute_levels(self, name: str, attribute: SensitiveCard) -> list[str] | None:
        if attribute.bands and name in self.columns:
            return attribute.band_names(self.columns[name])
        levels = attribute.levels or self._column_levels(name)
        if levels and name in self.columns and self.columns[name].missing == "keep":
            return [*levels, MISSING_LEVEL]
        return levels

    def _column_levels(self, name: str) -> list[str] | None:
        return self.columns[name].levels if name in self.columns else None


class DownloadSettings(Closed):
    """What the download stage uses of a card."""

    name: Name
    files: list[File]
    format: CsvFormat


class Checksum(Closed):
    """A raw file and the SHA-256 that it must have.

    Without one only some columns of it were kept: the download checked what they come from.
    """

    name: FileName
    sha256: Sha256 | None


class PrepareSettings(Closed):
    """What the prepare stage uses of a card.

    Columns and attributes are pairs: their order matters (fields of a file without a header, the
    numbering of groups), and JSON objects have none.
    """

    name: Name
    files: list[Checksum]
    format: CsvFormat
    columns: list[tuple[str, Column]]
    other_columns: Literal["refuse", "infer"]
    target: TargetCard
    sensitive: list[tuple[str, SensitiveCard]]
    cluster: list[str]
    joins: list[Join]
    filters: list[RowFilter]
    official_test: OfficialTest | None
    drop_rows_without: list[str]
    expected: Expected
