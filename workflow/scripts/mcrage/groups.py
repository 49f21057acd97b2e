# SPDX-License-Identifier: MIT
"""Groups: the map φ of Algorithm 3.1, its inverse, counts and the filling plan.

A row's sensitive attributes and target are digits of a mixed-radix number, its group. The paper
(arXiv 2310.18430) prints φ with K = max(s_0), one short for levels counted from 0, and an inverse
that lacks the cumulative products; numpy's ``ravel_multi_index`` and ``unravel_index`` with the
first index fastest (``order="F"``) are the correct pair.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.limits import MISSING_LEVEL
from mcrage.datasets.roles import Roles
from mcrage.encoding.columns import as_text, level_codes, of_levels
from mcrage.errors import UserError


@dataclass(frozen=True)
class GroupSchema:
    """The columns that make a group and their levels: attributes first, target last.

    Attributes
    ----------
    columns : tuple of str
    levels : tuple of tuple of str
        Levels of each column, as text, in the order in which they are numbered.
    edges : tuple of tuple of float
        Of each column that is a number in bands (see `mcrage.datasets.roles.Attribute`), else
        empty.

    Examples
    --------
    >>> schema = GroupSchema(("SEX", "SOURCE"), (("F", "M"), ("out", "in")))
    >>> schema.label(2)
    'SEX=F, SOURCE=in'
    """

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    edges: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, roles: Roles) -> "GroupSchema":
        """Return the schema of a dataset's roles."""
        parts = (*roles.sensitive, roles.target)
        edges = tuple(attribute.edges for attribute in roles.sensitive)
        return cls(
            tuple(part.column for part in parts),
            tuple(part.levels for part in parts),
            edges if any(edges) else (),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of levels of each column, K_i in the paper."""
        return tuple(len(levels) for levels in self.levels)

    @property
    def n_groups(self) -> int:
        """Number of groups, the product of `shape`."""
        return prod(self.shape)

    @property
    def n_subgroups(self) -> int:
        """Number of subgroups: groups without regard to the target."""
        return prod(self.shape[:-1])

    def digits(self, table: pa.Table) -> np.ndarray:
        """Return each row's level numbers.

        Parameters
        ----------
        table : pyarrow.Table with `columns`

        Returns
        -------
        ndarray of int64, shape (n_columns, n)

        Raises
        ------
        UserError
            If a value is not one of the levels.
        """
        out = np.empty((len(self.columns), table.num_rows), dtype=np.int64)
        for row, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            values = table.column(column).combine_chunks()
            edges = self._bands(row)
            codes = _in_bands(values, edges) if edges else level_codes(values, levels)
            if levels[-1] == MISSING_LEVEL:
                missing = pa.scalar(len(levels) - 1, codes.type)
                codes = pc.if_else(pc.is_null(values), missing, codes)
            if codes.null_count:
                unknown = as_text(pc.unique(values.filter(pc.is_null(codes)))).to_pylist()
                raise UserError(
                    f"column {column}: found {unknown[:5]}, allowed are {list(levels)}. "
                    "List every level in the dataset card."
                )
            out[row] = codes.to_numpy(zero_copy_only=False)
        return out

    def index_of(self, digits: np.ndarray) -> np.ndarray:
        """φ: level numbers of shape (n_columns, n) to group numbers of shape (n,), int64."""
        return np.ravel_multi_index(tuple(digits), self.shape, order="F").astype(np.int64)

    def index(self, table: pa.Table) -> np.ndarray:
        """Return each row's group, int64 of shape (n,)."""
        return self.index_of(self.digits(table))

    def indices_of(self, groups: np.ndarray) -> np.ndarray:
        """φ⁻¹: group numbers of shape (n,) to level numbers of shape (n_columns, n), int64."""
        return np.stack(np.unravel_index(groups, self.shape, order="F")).astype(np.int64)

    def levels_of(self, groups: np.ndarray) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
        """Yield name, levels and level numbers of the columns that groups of shape (n,) fix.

        A number in bands is left out, of which a group fixes the band alone.
        """
        parts = zip(self.columns, self.levels, self.indices_of(groups), strict=True)
        for place, part in enumerate(parts):
            if not self._bands(place):
                yield part

    def columns_of(self, groups: np.ndarray) -> dict[str, pa.Array]:
        """Return the columns that groups of shape (n,) fix, as text."""
        return {
            column: of_levels(codes, levels, pa.string())
            for column, levels, codes in self.levels_of(groups)
        }

    def _bands(self, place: int) -> tuple[float, ...]:
        return self.edges[place] if place < len(self.edges) else ()

    def label(self, group: int) -> str:
        """Return a group in words, e.g. ``"SEX=F, SOURCE=in"``."""
        return self._words(self.indices_of(np.array([group]))[:, 0])

    def subgroup_of(self, groups: np.ndarray) -> np.ndarray:
        """Return the subgroup of each group number: the same index without the target."""
        return np.asarray(groups) % self.n_subgroups

    def subgroup_label(self, subgroup: int) -> str:
        """Return a subgroup in words, e.g. ``"SEX=F"``."""
        digits = np.unravel_index(subgroup, self.shape[:-1], order="F")
        return self._words(np.asarray(digits))

    def target_of(self, groups: np.ndarray) -> np.ndarray:
        """Return the target's level number of each group (1 is positive), int64."""
        return np.asarray(groups) // self.n_subgroups

    def merged(
        self, groups: np.ndarray, attributes: Sequence[str]
    ) -> tuple[np.ndarray, "GroupSchema"]:
        """Return groups of some of the attributes and the target alone.

        Parameters
        ----------
        groups : ndarray of int64, shape (n,)
        attributes : sequence of str
            Those that stay, in any order.

        Returns
        -------
        groups : ndarray of int64, shape (n,)
            Numbers in the schema that follows.
        schema : GroupSchema
        """
        stay = [
            place
            for place, column in enumerate(self.columns)
            if column in attributes or place == len(self.columns) - 1
        ]
        schema = GroupSchema(
            tuple(self.columns[place] for place in stay),
            tuple(self.levels[place] for place in stay),
            tuple(self._bands(place) for place in stay) if self.edges else (),
        )
        return schema.index_of(self.indices_of(groups)[stay]), schema

    def counts(self, groups: np.ndarray) -> np.ndarray:
        """Return the number of rows in each group, int64 of shape (n_groups,)."""
        return np.bincount(groups, minlength=self.n_groups)

    def counts_by_label(self, groups: np.ndarray) -> dict[str, int]:
        """Return the number of rows in each group, by the group's label."""
        return {self.label(k): int(n) for k, n in enumerate(self.counts(groups))}

    def _words(self, digits: Sequence[int]) -> str:
        return ", ".join(
            f"{column}={levels[digit]}"
            for column, levels, digit in zip(self.columns, self.levels, digits, strict=False)
        )


def _in_bands(values: pa.Array, edges: Sequence[float]) -> pa.Array:
    """Return the number of the band that each value lies in, null beyond the outermost edges."""
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        values = values.cast(pa.date32()).cast(pa.int32())
    numbers = pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy(
        zero_copy_only=False
    )
    codes = np.searchsorted(np.asarray(edges), numbers, side="right") - 1
    return pa.array(codes, mask=(codes < 0) | (codes > len(edges) - 2) | np.isnan(numbers))


def largest_group(counts: np.ndarray) -> int:
    """k*: the group with most rows, the first of them on a tie."""
    return int(np.argmax(counts))


def filling_plan(counts: np.ndarray, fill: float = 1.0, size: float = 1.0) -> np.ndarray:
    """Return how many rows to add to each group: n(π̂_k* − π̂_k), times `fill`.

    Algorithm 3.1, line 6. With ``fill = 1`` every group ends as large as the largest, with more
    every other one ends larger.

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
    fill : float in (0, 2]
        The dose: rows to add over rows that are lacking; rounded down to whole rows. A larger one
        adds at least as many to every group.
    size : float
        How large every group is to be, in multiples of the largest; 1 or more.

    Returns
    -------
    ndarray of int64, shape (n_groups,)
    """
    counts = np.asarray(counts)
    gaps = size * counts[largest_group(counts)] - counts
    return np.floor(gaps * fill + 1e-9).astype(np.int64)


def shared_filling_plan(
    counts: np.ndarray, strata: np.ndarray, fill: float = 1.0, size: float = 1.0
) -> np.ndarray:
    """Return how many rows to add to each group so that strata of groups, not groups, end alike.

    Within a stratum they are shared out as its own rows are over its groups. With subgroups for
    strata, the target stays as frequent in each as it is.

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
    strata : ndarray of int, shape (n_groups,)
        Number of each group's stratum, from 0. One without a row gets none.
    fill, size : float
        See `filling_plan`, of strata.

    Returns
    -------
    ndarray of int64, shape (n_groups,)
        Rounded down to whole rows of each group.
    """
    counts = np.asarray(counts)
    rows = np.bincount(strata, weights=counts).astype(np.int64)
    shares = counts / np.maximum(rows, 1)[strata]
    return np.floor(shares * filling_plan(rows, fill, size)[strata] + 1e-9).astype(np.int64)


def plan_rows(plan: np.ndarray) -> np.ndarray:
    """Return the group of every row that a plan asks for, in order: int64, (plan.sum(),)."""
    return np.repeat(np.arange(len(plan), dtype=np.int64), plan)
