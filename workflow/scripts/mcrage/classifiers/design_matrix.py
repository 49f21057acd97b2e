# SPDX-License-Identifier: MIT
"""The columns a classifier sees: made alike for every treatment, from tables of any type.

- A number, a date (in days) and an ordinal (its place) are one column. Where it is missing it has
  the median of training rows.
- A category of two levels that is never missing is one column of 0 and 1. Another has an indicator
  for each of the `MAX_INDICATORS` levels most frequent in training rows; rarer ones, and those that
  training rows don't have, are 0 in all of them. A classifier that takes categories as they are
  gets them as one column of codes.
- Where missing values are information (`missing: keep`), an indicator says so; a classifier that
  takes missing values as they are gets them.
- Sensitive attributes come last, each as a category.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Feature, Roles
from mcrage.encoding.columns import feature_matrix
from mcrage.encoding.scaling import SubgroupScaling
from mcrage.encoding.usual import usual_values
from mcrage.groups import GroupSchema

MAX_INDICATORS = 30
# scikit-learn's histogram gradient boosting takes codes from 0 to 254.
_MAX_CODES = 255


@dataclass(frozen=True)
class DesignMatrix:
    """What a classifier sees of a row.

    Attributes
    ----------
    roles : Roles
    features : {"raw", "within_subgroup", "both"}
        Of numbers and dates; categories are always as they are.
    native : bool
        Whether the classifier takes categories as codes and missing values as NaN.
    attributes : bool
        Whether it sees the sensitive attributes.
    usual : ndarray of float64, shape (n_features,)
        Median of a number, most frequent code of levels, of training rows.
    levels : tuple of tuple of int
        Codes of each category that have a column, or a code, of their own.
    scaling : SubgroupScaling or None
        Of features within the subgroup, from training rows; None for raw ones.
    """

    roles: Roles
    features: Literal["raw", "within_subgroup", "both"]
    native: bool
    attributes: bool
    usual: np.ndarray = field(repr=False)
    levels: tuple[tuple[int, ...], ...] = field(repr=False)
    scaling: SubgroupScaling | None = field(repr=False)

    @classmethod
    def fit(
        cls,
        train: pa.Table,
        roles: Roles,
        features: str,
        *,
        native: bool = False,
        attributes: bool = True,
    ) -> "DesignMatrix":
        """Learn what is usual, which levels are frequent and each subgroup's moments.

        Parameters
        ----------
        train : pyarrow.Table
            Training rows, and nothing else is used.
        roles : Roles
        features : {"raw", "within_subgroup", "both"}
        native, attributes : bool
            See the class.
        """
        raw = feature_matrix(train, roles.features)
        most = _MAX_CODES - 1 if native else MAX_INDICATORS
        levels = tuple(
            _frequent(column, len(feature.levels), most) if feature.kind == "category" else ()
            for column, feature in zip(raw.T, roles.features, strict=True)
        )
        usual = usual_values(raw, roles.features)
        scaling, numbers = None, _numbers(roles)
        if features != "raw" and numbers:
            schema = GroupSchema.of(roles)
            complete = np.where(np.isnan(raw), usual, raw)[:, numbers]
            within = schema.subgroup_of(schema.index(train))
            scaling = SubgroupScaling.fit(complete.T, len(complete), within)
        return cls(roles, features, native, attributes, usual, levels, scaling)

    def of(self, rows: pa.Table) -> np.ndarray:
        """Return the matrix of rows, float64 of shape (n, n_columns)."""
        groups = GroupSchema.of(self.roles).index(rows)
        columns = self._columns(feature_matrix(rows, self.roles.features), groups)
        return np.column_stack([values for values, _ in columns])

    @property
    def categorical(self) -> list[bool]:
        """Which columns hold codes of a category, in order."""
        columns = self._columns(np.empty((0, len(self.usual))), np.empty(0, np.int64))
        return [codes for _, codes in columns]

    def _columns(self, raw: np.ndarray, groups: np.ndarray) -> Iterator[tuple[np.ndarray, bool]]:
        """Yield each column, and whether it holds codes."""
        schema = GroupSchema.of(self.roles)
        numbers = _numbers(self.roles) if self.scaling is not None else []
        hidden = [] if self.attributes else _in_bands(self.roles)
        for place, feature in enumerate(self.roles.features):
            if place in hidden:
                continue
            missing, kept = np.isnan(raw[:, place]), feature.missing == "keep"
            if feature.kind == "category":
                column = raw[:, place] if kept else self._complete(raw, place)
                yield from self._category(column, feature, self.levels[place])
            elif place not in numbers or self.features == "both":
                native = self.native and kept
                yield raw[:, place] if native else self._complete(raw, place), False
            if kept and not self.native:
                yield missing.astype(np.float64), False
        if self.attributes:
            digits = schema.indices_of(groups)
            for attribute, codes in zip(self.roles.sensitive, digits, strict=False):
                # One indicator of two levels says all.
                two = len(attribute.levels) == 2
                for level in range(1, 2) if two else range(len(attribute.levels)):
                    yield (codes == level).astype(np.float64), False
        if numbers:
            complete = np.column_stack([self._complete(raw, place) for place in numbers])
            standard = self.scaling.transform(complete, schema.subgroup_of(groups))
            for column, place in zip(standard.T, numbers, strict=True):
                if place not in hidden:
                    yield column, False

    def _complete(self, raw: np.ndarray, place: int) -> np.ndarray:
        return np.where(np.isnan(raw[:, place]), self.usual[place], raw[:, place])

    def _category(
        self, column: np.ndarray, feature: Feature, levels: tuple[int, ...]
    ) -> Iterator[tuple[np.ndarray, bool]]:
        if self.native and len(feature.levels) > 2:
            places = np.full(len(feature.levels) + 1, float(len(levels)))
            places[list(levels)] = np.arange(len(levels))
            places[-1] = np.nan
            yield places[np.where(np.isnan(column), len(feature.levels), column).astype(int)], True
            return
        binary = len(feature.levels) == 2
        for level in (1,) if binary else levels:
            indicator = (column == level).astype(np.float64)
            if self.native:
                indicator[np.isnan(column)] = np.nan
            yield indicator, False


def _frequent(column: np.ndarray, n_levels: int, most: int) -> tuple[int, ...]:
    """Return the codes with most rows, rising; stable, so that ties go to the lower code."""
    counts = np.bincount(column[~np.isnan(column)].astype(np.int64), minlength=n_levels)
    order = np.argsort(-counts, kind="stable")[:most]
    return tuple(sorted(int(code) for code in order if counts[code]))


def _numbers(roles: Roles) -> list[int]:
    return [place for place, feature in enumerate(roles.features) if feature.is_numeric]


def _in_bands(roles: Roles) -> list[int]:
    """Return the features that are a sensitive attribute in bands."""
    columns = [attribute.column for attribute in roles.sensitive]
    return [place for place, feature in enumerate(roles.features) if feature.column in columns]
