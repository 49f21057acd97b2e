# SPDX-License-Identifier: MIT
"""Between a pandas table of any types and the matrix of numbers that generators take."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mcrage.datasets.grain import found_resolution, usual_bands
from mcrage.datasets.infer import FEW
from mcrage.datasets.limits import MAXIMUM_LEVELS, MISSING_LEVEL
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.errors import UserError

_MANY_TEXTS = 50


@dataclass(frozen=True)
class Column:
    """How a column is written in numbers.

    Attributes
    ----------
    name : hashable
    dtype : pandas or numpy dtype
        Of the column, which made values are given.
    values : pandas.Index or None
        The values that codes stand for; None: numbers stand for themselves. Missing is no value.
    ordered : bool
        Whether the values have an order.
    grain : float
        Ticks of a time in one unit of the matrix; 1 for everything else.
    """

    name: Hashable
    dtype: Any
    values: pd.Index | None = None
    ordered: bool = False
    grain: int = 1

    @classmethod
    def of(cls, series: pd.Series) -> "Column":
        """Return what a column shows of itself."""
        dtype, told = series.dtype, series
        if isinstance(dtype, pd.SparseDtype):
            told = series.sparse.to_dense()
        elif pd.api.types.is_object_dtype(dtype):
            told = series.infer_objects()
        kind = told.dtype
        if isinstance(kind, pd.CategoricalDtype):
            return cls(series.name, dtype, kind.categories, bool(kind.ordered))
        if pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
            return cls(series.name, dtype, grain=_grain(told))
        if pd.api.types.is_complex_dtype(kind):
            # Words that scikit-learn's checks look for.
            raise UserError(f"Complex data not supported: column {series.name}; take its parts")
        if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
            return cls(series.name, dtype)
        try:
            _, values = pd.factorize(told, sort=True)
        except TypeError:
            # Texts and numbers side by side have no order.
            _, values = pd.factorize(told)
        return cls(series.name, dtype, pd.Index(values))

    def numbers(self, series: pd.Series) -> np.ndarray:
        """Return a column as float64 of shape (n,): numbers, codes or ticks, NaN where missing."""
        if isinstance(series.dtype, pd.SparseDtype):
            series = series.sparse.to_dense()
        if self.values is not None:
            if isinstance(series.dtype, pd.CategoricalDtype):
                codes = series.cat.codes.to_numpy()
            else:
                codes = self.values.get_indexer(series)
            return np.where(codes < 0, np.nan, codes)
        if series.dtype == object:
            series = series.infer_objects()
        if series.dtype.kind in "mM":
            ticks = series.astype("int64").to_numpy() / self.grain
            return np.where(series.isna(), np.nan, ticks)
        return series.to_numpy(dtype=np.float64, na_value=np.nan)

    def made(self, numbers: np.ndarray) -> pd.Series:
        """Return the column that numbers stand for, in its own dtype."""
        missing = np.isnan(numbers)
        if self.values is not None:
            codes = np.where(missing, -1, numbers).astype(np.int64)
            if isinstance(self.dtype, pd.CategoricalDtype):
                return pd.Series(pd.Categorical.from_codes(codes, dtype=self.dtype), name=self.name)
            taken = pd.Series(self.values.take(np.maximum(codes, 0)), name=self.name)
            if missing.any():
                taken = taken.astype(object).mask(missing)
            return taken.astype(self.dtype)
        if self.dtype.kind in "mM":
            ticks = np.rint(np.where(missing, 0, numbers)).astype(np.int64) * self.grain
            times = pd.Series(ticks, name=self.name).astype(self.dtype)
            return times.mask(missing)
        series = pd.Series(numbers, name=self.name)
        if pd.api.types.is_integer_dtype(self.dtype):
            series = series.round()
        return series.astype(self.dtype)

    def feature(self, numbers: np.ndarray) -> Feature:
        """Return what generators have to know of the column, whose numbers are given."""
        name, missing = str(self.name), "keep" if np.isnan(numbers).any() else "none"
        if self.values is not None:
            kind = "ordinal" if self.ordered else "category"
            return Feature(name, name, kind=kind, levels=_texts(self.values), missing=missing)
        if self.dtype.kind in "iumM" or pd.api.types.is_integer_dtype(self.dtype):
            return Feature(name, name, kind="integer", resolution=1.0, missing=missing)
        precision = 1e-7 if self.dtype in (np.float32, np.float16, "Float32") else 1e-12
        resolution = found_resolution(numbers, precision)
        return Feature(name, name, resolution=resolution, missing=missing)


def _grain(times: pd.Series) -> int:
    """Return the coarsest of day, hour, minute, second and finer that holds every time, in ticks.

    Of naive times in their own unit; of others in that of what they are stored as.
    """
    unit = np.datetime_data(times.to_numpy().dtype if times.dtype.kind == "m" else _naive(times))[0]
    ticks = times.dropna().astype("int64").to_numpy()
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    for seconds in (86_400, 3600, 60, 1):
        if not np.any(ticks % (seconds * second)):
            return seconds * second
    return 1


def _naive(times: pd.Series) -> np.dtype:
    return times.dt.tz_localize(None).dtype


def _texts(values: pd.Index) -> tuple[str, ...]:
    """Return values as text, all different."""
    texts = tuple(map(str, values))
    return texts if len(set(texts)) == len(texts) else tuple(map(repr, values))


@dataclass(frozen=True)
class Frame:
    """A table's rows in numbers, and how to make rows of it from numbers.

    Attributes
    ----------
    columns : tuple of Column
        Of the whole table, in its order.
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
                raise UserError(f"column {name}: infinity is no value; make it missing, or a bound")
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
        levels = _texts(pd.Index(classes))
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
        out.columns = pd.Index([column.name for column in self.columns])
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
    texts = _texts(pd.Index(own, dtype=object))
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
