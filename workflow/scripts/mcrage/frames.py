# SPDX-License-Identifier: MIT
"""Between a pandas table of any types and the matrix of numbers that generators take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mcrage.datasets.grain import usual_bands
from mcrage.datasets.guessing import FEW
from mcrage.datasets.limits import MAXIMUM_LEVELS, MISSING_LEVEL
from mcrage.datasets.roles import Attribute, Roles, Target
from mcrage.errors import UserError
from mcrage.frame_columns import Column, texts_of

_MANY_TEXTS = 50


@dataclass(frozen=True)
class Frame:
    """A table's rows in numbers, and how to make rows of it from numbers.

    Attributes
    ----------
    columns : tuple of Column
        Of the whole table, in its order.
    index : pandas.Index
        Their names, as the table has them.
    features : tuple of int
        Places of the columns that a generator models.
    fixed : dict of int to int
        Places of the sensitive columns that a group fixes, with their place among `sensitive`.
    constants : dict of int to float
        Places of the columns that have the same value in every row, with that value.
    rows : ndarray of float64, shape (n, n_features)
    digits : ndarray of int64, shape (n_sensitive + 1, n)
        Level of each sensitive attribute, and of the target last.
    keys : tuple of tuple
        The user's own value for each level of each sensitive attribute and of the target; a band
        is a pandas Interval.
    roles : Roles
    """

    columns: tuple[Column, ...]
    index: pd.Index
    features: tuple[int, ...]
    fixed: dict[int, int]
    constants: dict[int, float]
    rows: np.ndarray
    digits: np.ndarray
    keys: tuple[tuple, ...]
    roles: Roles

    @classmethod
    def of(
        cls, table: pd.DataFrame, sensitive: Sequence[int], target: np.ndarray, classes: Sequence
    ) -> "Frame":
        """Return a table in numbers.

        Parameters
        ----------
        table : pandas.DataFrame
        sensitive : sequence of int
            Places of the sensitive attributes.
        target : ndarray of int, shape (n,)
            Class of each row.
        classes : sequence
            What each class is called.

        Raises
        ------
        UserError
            For names that stand twice, numbers that are infinite, and texts that are no category.
        """
        names = [str(name) for name in table.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"column names {', '.join(twice)} stand twice; rename all but one")
        columns, numbers, features, constants = [], [], {}, {}
        fixed, attributes, keys, digits = {}, [], [], []
        for place, name in enumerate(names):
            series = table.iloc[:, place]
            column = Column.of(series)
            values = column.numbers(series)
            if np.isinf(values).any():
                n_infinite = int(np.isinf(values).sum())
                raise UserError(
                    f"column {name}: {n_infinite} of {len(values)} values are infinite; "
                    "numbers are finite: make them missing (NaN), or a bound"
                )
            if place in sensitive:
                column.check_told_apart(series)
            columns.append(column)
            numbers.append(values)
            if place not in sensitive and _is_constant(values):
                constants[place] = values[0]
        for number, place in enumerate(sensitive):
            attribute, own, codes, is_band = _attribute(columns[place], numbers[place])
            attributes.append(attribute)
            keys.append(own)
            digits.append(codes)
            if not is_band:
                fixed[place] = number
        for place, column in enumerate(columns):
            if place in fixed or place in constants:
                continue
            _check_texts(column, numbers[place])
            features[place] = column.feature(numbers[place])
        label = "y"
        while label in names:
            label += "_"
        levels = texts_of(pd.Index(classes))
        roles = Roles(
            dataset="X",
            title="X",
            features=tuple(features.values()),
            sensitive=tuple(attributes),
            target=Target(label, label, levels, levels),
            columns=(*names, label),
        )
        rows = np.empty((len(table), len(features)), order="F")
        for number, place in enumerate(features):
            rows[:, number] = numbers[place]
        return cls(
            tuple(columns),
            table.columns,
            tuple(features),
            fixed,
            constants,
            rows,
            np.stack([*digits, target]).astype(np.int64),
            (*keys, tuple(classes)),
            roles,
        )

    def made(self, rows: np.ndarray, digits: np.ndarray) -> pd.DataFrame:
        """Return rows of the table.

        Parameters
        ----------
        rows : ndarray of float64, shape (m, n_features)
        digits : ndarray of int64, shape (n_sensitive + 1, m)
        """
        made = []
        for place, column in enumerate(self.columns):
            if place in self.constants:
                numbers = np.full(len(rows), self.constants[place])
            elif place in self.fixed:
                numbers = self._values_of(place, digits[self.fixed[place]])
            else:
                numbers = rows[:, self.features.index(place)]
            made.append(column.made(numbers))
        out = pd.concat(made, axis=1)
        out.columns = self.index
        return out

    def _values_of(self, place: int, codes: np.ndarray) -> np.ndarray:
        """Return the numbers that stand for the levels of a sensitive attribute."""
        own = self.keys[self.fixed[place]]
        column = self.columns[place]
        levels = column.numbers(pd.Series(list(own), dtype=_inner(column.dtype)))
        return levels[codes]


def _inner(dtype: Any) -> Any:
    return dtype.subtype if isinstance(dtype, pd.SparseDtype) else dtype


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.isnan(values).all() or (values == values[0]).all())


def _attribute(column: Column, numbers: np.ndarray) -> tuple[Attribute, tuple, np.ndarray, bool]:
    """Return a sensitive attribute, its levels in the user's values, and each row's level."""
    name = str(column.name)
    missing = np.isnan(numbers)
    found = np.unique(numbers[~missing])
    if len(found) > FEW and column.values is None:
        if missing.any():
            raise UserError(
                f"sensitive column {name}: {missing.sum()} values are missing, and it is cut into "
                "bands; fill them, or make a column of bands in which missing is one"
            )
        edges = (-np.inf, *usual_bands(numbers), np.inf)
        own = tuple(pd.IntervalIndex.from_breaks(edges, closed="left"))
        texts = tuple(map(str, own))
        codes = np.searchsorted(edges, numbers, side="right") - 1
        return Attribute(name, name, texts, texts, edges), own, codes, True
    if len(found) > MAXIMUM_LEVELS:
        raise UserError(
            f"sensitive column {name}: {len(found)} different values, at most {MAXIMUM_LEVELS} are "
            "allowed; join some, or choose another column"
        )
    codes = np.searchsorted(found, numbers)
    own = tuple(column.made(found).tolist())
    texts = texts_of(pd.Index(own, dtype=object))
    if missing.any():
        # As in the workflow, where a card says missing: keep.
        own, texts = (*own, None), (*texts, MISSING_LEVEL)
        codes = np.where(missing, len(found), codes)
    return Attribute(name, name, texts, texts), own, codes, False


def _check_texts(column: Column, numbers: np.ndarray) -> None:
    known = int((~np.isnan(numbers)).sum())
    found = 0 if column.values is None else len(np.unique(numbers[~np.isnan(numbers)]))
    if found > _MANY_TEXTS and found > known / 2:
        raise UserError(
            f"column {column.name}: {found} different texts in {known} rows, which looks like a "
            "name or a number of a patient; leave it out of X"
        )
