# SPDX-License-Identifier: MIT
"""Between one column of a pandas table, of any dtype, and numbers."""

import datetime
import decimal
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mcrage.datasets.grain import found_resolution
from mcrage.datasets.recorded import whole_ends
from mcrage.datasets.roles import Feature
from mcrage.errors import UserError

EXACT = 2**53
"""Whole numbers up to this are told apart in float64."""
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")


@dataclass(frozen=True)
class Column:
    """How a column is written in numbers.

    Attributes
    ----------
    name : hashable
    dtype : pandas or numpy dtype
        Of the column, which made values are given.
    plain : pandas or numpy dtype
        The dtype in which numbers, times and texts are what they are: that of the values of a
        sparse column, numpy's for Arrow's times and Python's own objects.
    values : pandas.Index or None
        The values that codes stand for; None: numbers stand for themselves. Missing is no value.
    ordered : bool
        Whether the values have an order.
    grain : int
        Ticks of a time in one unit of the matrix; 1 for everything else.
    objects : str
        What a column of Python objects holds, in the words of ``pandas.api.types.infer_dtype``;
        empty for others.
    sample : object
        Of a column of Python objects a value, whose type made ones have: of decimals the finest.
    missing : object
        What stands for a missing value: of a column of Python objects the first that is found
        there (None, NaN, NA or NaT).
    """

    name: Hashable
    dtype: Any
    plain: Any
    values: pd.Index | None = None
    ordered: bool = False
    grain: int = 1
    objects: str = ""
    sample: Any = None
    missing: Any = np.nan

    @classmethod
    def of(cls, series: pd.Series) -> "Column":
        """Return what a column shows of itself."""
        told = _plain(series)
        kind = told.dtype
        facts = {"name": series.name, "dtype": series.dtype, "plain": kind}
        if series.dtype == object:
            facts |= _of_objects(series)
        else:
            facts["missing"] = getattr(series.dtype, "na_value", np.nan)
        if isinstance(kind, pd.CategoricalDtype):
            return cls(**facts, values=kind.categories, ordered=bool(kind.ordered))
        if kind.kind in "mM":
            return cls(**facts, grain=_grain(told))
        if pd.api.types.is_complex_dtype(kind):
            # Words that scikit-learn's checks look for.
            raise UserError(f"Complex data not supported: column {series.name}; take its parts")
        if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
            return cls(**facts)
        try:
            _, values = pd.factorize(told, sort=True)
        except TypeError:
            # Texts and numbers side by side have no order.
            _, values = pd.factorize(told)
        return cls(**facts, values=pd.Index(values))

    def numbers(self, series: pd.Series) -> np.ndarray:
        """Return a column as float64 of shape (n,): numbers, codes or ticks, NaN where missing."""
        told = _plain(series)
        if self.values is not None:
            if isinstance(told.dtype, pd.CategoricalDtype):
                codes = told.cat.codes.to_numpy()
            else:
                codes = self.values.get_indexer(told)
            return np.where(codes < 0, np.nan, codes)
        if told.dtype.kind in "mM":
            ticks = told.astype("int64").to_numpy() / self.grain
            return np.where(told.isna(), np.nan, ticks)
        return told.to_numpy(dtype=np.float64, na_value=np.nan)

    def check_told_apart(self, series: pd.Series) -> None:
        """Refuse whole numbers as levels that are so large that float64 makes them one.

        Raises
        ------
        UserError
        """
        if self.values is None and pd.api.types.is_integer_dtype(self.plain):
            known = _plain(series).dropna()
            largest = max((abs(int(end)) for end in (known.min(), known.max())), default=0)
            if largest > EXACT:
                raise UserError(
                    f"sensitive column {self.name}: found {largest}, and whole numbers beyond "
                    f"{EXACT} can't be told apart; make the column a category, or text"
                )

    def made(self, numbers: np.ndarray) -> pd.Series:
        """Return the column that numbers stand for, in its own dtype."""
        missing = np.isnan(numbers)
        if self.values is not None:
            codes = np.where(missing, -1, numbers).astype(np.int64)
            if isinstance(self.dtype, pd.CategoricalDtype):
                return pd.Series(pd.Categorical.from_codes(codes, dtype=self.dtype), name=self.name)
            taken = pd.Series(self.values.take(np.maximum(codes, 0)), name=self.name)
            if missing.any():
                taken = _with_gaps(taken, missing, self.missing)
            return taken.astype(self.dtype)
        if self.plain.kind in "mM":
            ticks = np.rint(np.where(missing, 0, numbers)).astype(np.int64) * self.grain
            series = pd.Series(ticks, name=self.name).astype(self.plain).mask(missing)
        else:
            series = pd.Series(numbers, name=self.name)
            if pd.api.types.is_integer_dtype(self.plain):
                series = _whole(series, self.plain)
        if self.dtype != object:
            return series.astype(self.dtype)
        own = pd.Series(
            [
                None if gap else self._object(value)
                for value, gap in zip(series, missing, strict=True)
            ],
            name=self.name,
            dtype=object,
        )
        return _with_gaps(own, missing, self.missing)

    def feature(self, numbers: np.ndarray) -> Feature:
        """Return what generators have to know of the column, whose numbers are given."""
        name, missing = str(self.name), "keep" if np.isnan(numbers).any() else "none"
        if self.values is not None:
            kind = "ordinal" if self.ordered else "category"
            return Feature(name, name, kind=kind, levels=texts_of(self.values), missing=missing)
        whole = pd.api.types.is_integer_dtype(self.plain) or self.objects == "integer"
        if whole or self.plain.kind in "mM":
            return Feature(name, name, kind="integer", resolution=1.0, missing=missing)
        if self.objects == "decimal":
            resolution = 10.0 ** _exponent(self.sample)
        else:
            precision = 1e-7 if self.dtype in (np.float32, np.float16, "Float32") else 1e-12
            resolution = found_resolution(numbers, precision)
        return Feature(name, name, resolution=resolution, missing=missing)

    def _object(self, value: Any) -> Any:
        """Return a number or a time as the kind of object that the column holds."""
        kind = type(self.sample)
        if self.objects == "date":
            return value.date()
        if isinstance(value, pd.Timestamp):
            return value if kind is pd.Timestamp else value.to_pydatetime()
        if isinstance(value, pd.Timedelta):
            return value if kind is pd.Timedelta else value.to_pytimedelta()
        if self.objects == "decimal":
            return decimal.Decimal(repr(value)).quantize(self.sample)
        return kind(round(value)) if self.objects == "integer" else float(value)


def texts_of(values: pd.Index) -> tuple[str, ...]:
    """Return values as text, all different."""
    texts = tuple(map(str, values))
    return texts if len(set(texts)) == len(texts) else tuple(map(repr, values))


def _of_objects(series: pd.Series) -> dict[str, Any]:
    """Return what a column of Python objects holds, a value, and what stands for a missing one."""
    gaps = series.isna().to_numpy()
    facts = {"objects": pd.api.types.infer_dtype(series, skipna=True)}
    known = series[~gaps]
    if len(known):
        decimals = facts["objects"] == "decimal"
        facts["sample"] = min(known, key=_exponent) if decimals else known.iloc[0]
    if gaps.any():
        facts["missing"] = series[gaps].iloc[0]
    return facts


def _exponent(value: decimal.Decimal) -> int:
    return value.as_tuple().exponent


def _plain(series: pd.Series) -> pd.Series:
    """Return a column in the dtype that `Column.plain` names; rows are numbered anew."""
    dtype = series.dtype
    if isinstance(dtype, pd.SparseDtype):
        return series.sparse.to_dense()
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mM":
        if dtype.type is datetime.date:
            return series.astype("datetime64[s]")
        return pa.array(series.array).to_pandas()
    if not pd.api.types.is_object_dtype(dtype):
        return series
    gaps, objects = series.isna(), pd.api.types.infer_dtype(series, skipna=True)
    if objects in _NUMBERS:
        numbers = [np.nan if gap else float(value) for value, gap in zip(series, gaps, strict=True)]
        return pd.Series(numbers, name=series.name)
    if objects == "date":
        return series.where(~gaps, None).astype("datetime64[s]")
    return series.infer_objects()


def _with_gaps(series: pd.Series, missing: np.ndarray, mark: Any) -> pd.Series:
    """Return a column of objects with a mark where values are missing."""
    values = series.to_numpy(dtype=object, copy=True)
    values[missing] = mark
    return pd.Series(values, name=series.name, dtype=object)


def _whole(series: pd.Series, plain: Any) -> pd.Series:
    """Return floats as the whole numbers nearest to them that a dtype holds."""
    return series.round().clip(*whole_ends(getattr(plain, "numpy_dtype", plain))).astype(plain)


def _grain(times: pd.Series) -> int:
    """Return the coarsest of day, hour, minute, second and finer that holds every time, in ticks.

    Of naive times in their own unit; of others in that of what they are stored as.
    """
    naive = times.dtype if times.dtype.kind == "m" else times.dt.tz_localize(None).dtype
    unit = np.datetime_data(naive)[0]
    ticks = times.dropna().astype("int64").to_numpy()
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    for seconds in (86_400, 3600, 60, 1):
        if not np.any(ticks % (seconds * second)):
            return seconds * second
    return 1
