# SPDX-License-Identifier: MIT
"""What a dataset card says of columns: types, levels, bands, missing values, the target."""

import datetime
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from mcrage.config.base import Closed
from mcrage.datasets.limits import MAXIMUM_FEATURE_LEVELS, MAXIMUM_LEVELS, MISSING_LEVEL

ISO_DATE = "%Y-%m-%d"
EPOCH = datetime.date(1970, 1, 1)

Missing = Literal["refuse", "keep", "impute"]


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(
            "YAML reads unquoted yes, no, on, off, true and false as true or false; put the text "
            "in quotes"
        )
    if isinstance(value, int | float):
        raise ValueError(f"levels are text as it stands in the file; write '{value}' in quotes")
    if value == MISSING_LEVEL:
        raise ValueError(
            f"{MISSING_LEVEL} is what the workflow calls missing values; write another level"
        )
    return value


def _edge(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, str | bool):
        raise ValueError("write where a band begins: a number, or a date such as 2000-01-31")
    return value


Level = Annotated[str, BeforeValidator(_text)]
Edge = Annotated[float | datetime.date, BeforeValidator(_edge)]


def _check_labels(levels: Sequence[str] | None, labels: Sequence[str] | None) -> None:
    if levels is not None and len(set(levels)) != len(levels):
        raise ValueError(f"levels: {list(levels)} names one twice; name each level once")
    if labels is None:
        return
    if levels is None:
        raise ValueError("labels: given without levels; write the levels that they stand for")
    if len(labels) != len(levels):
        raise ValueError(
            f"labels: {len(labels)} labels for {len(levels)} levels; write one for each"
        )


class Column(Closed):
    """One column of the raw file.

    Attributes
    ----------
    type : {"continuous", "integer", "ordinal", "category", "date", "ignored"}
        A column is a feature, unless it is a sensitive attribute without bands, the target or the
        cluster. A category has levels without an order (true and false are two), an ordinal has
        levels in rising order. An ignored column is left out of every table.
    resolution : float, optional
        Smallest recorded difference; found from the data when left out.
    minimum, maximum : float, optional
        Bounds that hold by definition, not merely in this sample.
    formula : str, optional
        For a derived column, how it follows from others, e.g. ``10 * A / B``.
    levels : list of str, optional
        An ordinal needs them, lowest first; those of a category are found from the data when left
        out, in alphabetical order.
    labels : list of str, optional
        How to show the levels to readers.
    date_format : str
        As in ``strptime``, e.g. ``%d/%m/%Y``; for dates that are text in the file.
    missing : {"refuse", "keep", "impute"}
        ``refuse``: a missing value is an error. ``keep``: that a value is missing is information,
        which generators draw and classifiers see; of a sensitive attribute it is a level of its
        own. ``impute``: what is usual in training rows takes its place when models learn, and
        synthetic rows are complete; the table itself keeps its gaps.
    replace : dict of str to str
        Texts to put in the place of others before anything else is made of them: an age of
        ``"> 89"`` becomes ``"90"``, or several rare levels become one.
    na_values : list of str
        Texts that mean "missing" in this column, beside those of ``format.na_values``.
    """

    type: Literal["continuous", "integer", "ordinal", "category", "date", "ignored"]
    label: str = ""
    unit: str = ""
    resolution: PositiveFloat | None = None
    minimum: float | None = None
    maximum: float | None = None
    formula: str | None = None
    levels: (
        Annotated[list[Level], Field(min_length=2, max_length=MAXIMUM_FEATURE_LEVELS)] | None
    ) = None
    labels: list[str] | None = None
    date_format: str | None = None
    missing: Missing = "refuse"
    replace: dict[Level, Level] = Field({})
    na_values: list[Level] = Field([])

    @model_validator(mode="after")
    def _of_its_type(self) -> Self:
        numbers = ("unit", "resolution", "minimum", "maximum", "formula")
        for keys, fits, wanted in (
            (numbers, self.is_numeric, "continuous and integer"),
            (("levels", "labels"), self.has_levels, "ordinal and category"),
            (("date_format",), self.type == "date", "date"),
        ):
            given = [key for key in keys if getattr(self, key) not in ("", None)]
            if given and not fits:
                raise ValueError(
                    f"{', '.join(given)}: for {wanted} columns only, and this one is "
                    f"{self.type}; remove it"
                )
        if self.type == "ordinal" and self.levels is None:
            raise ValueError("levels: missing; an ordinal needs its levels, lowest first")
        if self.date_format is not None and "%" not in self.date_format:
            raise ValueError(
                f"date_format: found {self.date_format!r}; write it as in strptime, e.g. %d/%m/%Y"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        _check_labels(self.levels, self.labels)
        return self

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self.type in ("continuous", "integer")

    @property
    def has_levels(self) -> bool:
        """Whether values are levels."""
        return self.type in ("ordinal", "category")


class Labelled(Closed):
    """Levels and how to show them to readers (the levels themselves by default).

    Levels that are left out are the column's, and where it has none they are found from the data,
    in alphabetical order.
    """

    levels: Annotated[list[Level], Field(min_length=2, max_length=MAXIMUM_LEVELS)] | None = None
    labels: list[str] | None = None

    @model_validator(mode="after")
    def _match(self) -> Self:
        _check_labels(self.levels, self.labels)
        return self


class SensitiveCard(Labelled):
    """A sensitive attribute: a category or an ordinal, or a feature in bands such as an age.

    Attributes
    ----------
    bands : list of float or date, optional
        Where bands begin, rising: ``[18, 65]`` makes three, below 18, from 18 to below 65, and
        from 65 on. The column stays a feature. `levels` are then the names of the bands; without
        them they are called like ``18 to 64``.
    """

    bands: Annotated[list[Edge], Field(min_length=1, max_length=MAXIMUM_LEVELS - 1)] | None = None

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.bands is None:
            return self
        told = ", ".join(map(str, self.bands))
        if len({type(edge) for edge in self.bands}) > 1:
            raise ValueError(f"bands: found {told}; write numbers alone, or dates alone")
        if any(edge in (inf, -inf) or edge != edge for edge in self.bands):
            raise ValueError(f"bands: found {told}; the outermost bands have no end, leave it out")
        if any(low >= high for low, high in pairwise(self.bands)):
            raise ValueError(f"bands: found {told}; write them in rising order, each once")
        if self.levels is not None and len(self.levels) != len(self.bands) + 1:
            raise ValueError(
                f"levels: {len(self.levels)} names for {len(self.bands) + 1} bands (the outermost "
                "ones have no end); write one for each, or leave levels out"
            )
        return self

    def edges(self) -> tuple[float, ...]:
        """Return the ends of all bands, dates in days since 1970-01-01; empty without bands."""
        if self.bands is None:
            return ()
        inner = [
            float((edge - EPOCH).days) if isinstance(edge, datetime.date) else float(edge)
            for edge in self.bands
        ]
        return (-inf, *inner, inf)

    def band_names(self, column: Column) -> list[str]:
        """Return what bands are called, from the lowest on.

        Parameters
        ----------
        column : Column
            Whole numbers and dates get the last value of a band as its end.
        """
        if self.levels is not None:
            return self.levels
        bands = self.bands or []
        return [
            f"below {_number(bands[0])}",
            *(_between(low, high, column.type == "integer") for low, high in pairwise(bands)),
            f"{_number(bands[-1])} and above",
        ]


def _between(low: Edge, high: Edge, whole: bool) -> str:
    if isinstance(high, datetime.date):
        return f"{_number(low)} to {high - datetime.timedelta(days=1)}"
    if not whole or high != int(high):
        return f"{_number(low)} to below {_number(high)}"
    last = high - 1
    return _number(low) if last == low else f"{_number(low)} to {_number(last)}"


def _number(edge: Edge) -> str:
    return f"{edge:g}" if isinstance(edge, float) and abs(edge) < 1e6 else str(edge)


class TargetCard(Labelled):
    """The column to predict: a category or an ordinal of two levels or more.

    Attributes
    ----------
    positive : str, optional
        Of two levels, the one that is predicted; the second when left out.
    threshold : float or "median", optional
        The column is then numeric, and a row has the second level when its value lies above
        (``median``: the median of the whole table, which defines the label and is not learnt).
    """

    column: str
    positive: Level | None = None
    threshold: float | Literal["median"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.threshold is not None and (self.levels is None or len(self.levels) != 2):
            raise ValueError("levels: a threshold makes two levels; name them, the lower one first")
        if self.positive is None:
            return self
        if self.threshold is not None:
            raise ValueError(
                "positive: with a threshold the second level is the positive one; remove the key"
            )
        if self.levels is not None and len(self.levels) != 2:
            raise ValueError(
                f"positive: the target has {len(self.levels)} levels, and only of two is one "
                "positive; remove the key"
            )
        if self.levels is not None and self.positive not in self.levels:
            raise ValueError(
                f"positive: found {self.positive!r}; allowed: {', '.join(self.levels)}"
            )
        return self
