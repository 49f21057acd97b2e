# SPDX-License-Identifier: MIT
"""What a dataset card says of several files and of rows: joins, filters, the official test set."""

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mcrage.config.base import Closed, closest
from mcrage.datasets.column_model import Level


class Join(Closed):
    """Columns of another raw file, put beside the rows that have the same key.

    No row comes or goes by a join: a row without a partner has missing values there, and `filters`
    can leave it out. A key that stands in two lines of the other file is an error.

    Attributes
    ----------
    file : str
        The other file, one of the card's `files`.
    key : str
        Column that both have.
    columns : list of str
        What to take from it. Its other columns are passed over and need no entry in the card.
    where : dict of str to str
        Lines of the other file to use: column and the text that stands in it.
    unmatched : int, optional
        Rows that are known to have no partner; any other number is an error.
    """

    file: str
    key: str
    columns: Annotated[list[str], Field(min_length=1)]
    where: dict[str, Level] = Field({})
    unmatched: NonNegativeInt | None = None


class RowFilter(Closed):
    """Which rows stay, by one column; one of `keep`, `drop` and bounds.

    Attributes
    ----------
    column : str
        Its values as in the file, after `replace` of the column.
    keep : list of str, optional
        Rows with one of these stay; those in which it is missing do not.
    drop : list of str, optional
        Rows with one of these go.
    minimum, maximum : float, optional
        Rows whose number, in the file with the card's `format.decimal`, lies between stay; those in
        which it is missing do not.
    removes : int, optional
        Rows that are known to go here; any other number is an error.
    """

    column: str
    keep: Annotated[list[Level], Field(min_length=1)] | None = None
    drop: Annotated[list[Level], Field(min_length=1)] | None = None
    minimum: float | None = None
    maximum: float | None = None
    removes: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        bounds = self.minimum is not None or self.maximum is not None
        if (self.keep is not None) + (self.drop is not None) + bounds != 1:
            raise ValueError(
                "a filter has one of keep, drop, and minimum with or without maximum; write one, "
                "and another filter for the rest"
            )
        return self

    @property
    def words(self) -> str:
        """The condition, for logs and messages."""
        if self.keep is not None:
            return f"{self.column} is one of {', '.join(map(repr, self.keep))}"
        if self.drop is not None:
            return f"{self.column} is none of {', '.join(map(repr, self.drop))}"
        low = "" if self.minimum is None else f"{self.minimum:g} <= "
        high = "" if self.maximum is None else f" <= {self.maximum:g}"
        return f"{low}{self.column}{high}"


class OfficialTest(Closed):
    """The test set that comes with the dataset, for a scenario with ``split: official``.

    Attributes
    ----------
    files : list of str
        Raw files whose rows it consists of.
    rows : int
        How many there are.
    """

    files: Annotated[list[str], Field(min_length=1)]
    rows: PositiveInt


def assembly_problems(
    *,
    files: Collection[str],
    columns: Collection[str],
    joins: list[Join],
    filters: list[RowFilter],
    official_test: OfficialTest | None,
) -> list[str]:
    """Return what of a card's joins, filters and official test does not fit its files and columns.

    Parameters
    ----------
    files, columns : collection of str
        The card's.
    joins : list of Join
    filters : list of RowFilter
    official_test : OfficialTest, optional

    Returns
    -------
    list of str
        One line for each problem.
    """
    problems = []
    taken: list[str] = []
    for number, join in enumerate(joins):
        key = f"joins[{number}]"
        problems += _unlisted(f"{key}.file", [join.file], files, "files")
        problems += _unlisted(f"{key}.key", [join.key], columns, "columns")
        problems += _unlisted(f"{key}.columns", join.columns, columns, "columns")
        problems += [
            f"{key}.columns: {name} comes from another file already; take it from one"
            for name in join.columns
            if name in taken or join.columns.count(name) > 1
        ]
        if join.key in join.columns or join.key in taken:
            problems.append(
                f"{key}.key: {join.key} must be a column of the first file; leave it out of columns"
            )
        taken += join.columns
    joined = [join.file for join in joins]
    problems += [
        f"joins: {name} is joined twice; take all its columns at once"
        for name in sorted({name for name in joined if joined.count(name) > 1})
    ]
    if files and set(files) <= set(joined):
        problems.append("joins: every file is joined to another; leave out the one with the rows")
    for number, each in enumerate(filters):
        problems += _unlisted(f"filters[{number}].column", [each.column], columns, "columns")
    if official_test is not None:
        plain = [name for name in files if name not in joined]
        problems += _unlisted("official_test.files", official_test.files, plain, "files")
        if plain and set(plain) <= set(official_test.files):
            problems.append(
                "official_test.files: no file is left to learn from; leave out those for training"
            )
    return problems


def _unlisted(key: str, names: list[str], known: Collection[str], where: str) -> list[str]:
    return [
        f"{key}: found {name!r}{closest(name, list(known))}, which is not under {where}; allowed: "
        f"{', '.join(known)}"
        for name in names
        if name not in known
    ]
