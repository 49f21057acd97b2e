# SPDX-License-Identifier: MIT
"""What every generator is and does."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.clusters import clusters_of
from mcrage.datasets.roles import Roles
from mcrage.encoding.columns import feature_matrix, feature_numbers
from mcrage.encoding.rows import CompactRows, Rows
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.spool import column_of
from mcrage.tables import read_table

Criterion = Callable[[np.ndarray, np.ndarray], float]
"""(synthetic features (m, d) in raw units, their groups (m,)) -> score, larger is better."""


class Checkpoint(Protocol):
    """Where a fit keeps what it needs to go on after it was killed.

    It belongs to one fit of these settings, seed, data and code, and ends as the fit's final state:
    as long as it is kept, the same fit takes no step again.
    """

    def load(
        self, misfit: Callable[[dict[str, np.ndarray]], str | None]
    ) -> dict[str, np.ndarray] | None:
        """Return the arrays saved last, or None if there are none or `misfit` gives a reason."""
        ...

    def save(self, arrays: dict[str, np.ndarray]) -> bool:
        """Replace what was saved; return whether that worked."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """Rows to learn from.

    Attributes
    ----------
    rows : ndarray of float64, shape (n, d), or Rows
        As `mcrage.encoding.columns.feature_matrix` makes it: raw units, codes of levels, days,
        and NaN where a value is missing; in the order of ``roles.features``. What takes
        `mcrage.encoding.rows.Rows` needs no such matrix as a whole.
    groups : ndarray of int64, shape (n,)
    schema : GroupSchema
    roles : Roles
    clusters : ndarray, shape (n,), optional
        Patient or hospital of each row, where the dataset names one; rows without are their own.
    n_borrowed : int
        So many rows at the end are copies that rare groups borrowed; see `mcrage.rare_groups`.
    left : tuple of int
        Groups that are not filled, and may have no rows.
    """

    rows: np.ndarray | Rows
    groups: np.ndarray
    schema: GroupSchema
    roles: Roles = field(repr=False)
    clusters: np.ndarray | None = field(default=None, repr=False)
    n_borrowed: int = 0
    left: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes."""
        expected = (len(self.groups), len(self.roles.features))
        if self.rows.shape != expected:
            raise ValueError(f"features have shape {self.rows.shape}, expected {expected}")

    @classmethod
    def of(cls, table: pa.Table, roles: Roles, *, compactly: bool = False) -> "TrainingData":
        """Return the rows of a table, e.g. a rebalanced one, as a matrix or compactly."""
        if compactly:
            columns = (feature_numbers(table.column(f.column), f) for f in roles.features)
            rows = CompactRows.of(columns, table.num_rows)
        else:
            rows = feature_matrix(table, roles.features)
        return cls._of(rows, table, roles)

    @classmethod
    def read(cls, path: str | os.PathLike, roles: Roles) -> "TrainingData":
        """Return the rows of a table in a Parquet file, compactly, in memory of those alone."""
        file = pq.ParquetFile(path)
        names = [name for name in roles.cluster if name in file.schema_arrow.names]
        table = read_table(path, list(dict.fromkeys([*GroupSchema.of(roles).columns, *names])))
        columns = (feature_numbers(column_of(file, f.column), f) for f in roles.features)
        return cls._of(CompactRows.of(columns, table.num_rows), table, roles)

    @classmethod
    def _of(cls, rows: np.ndarray | Rows, table: pa.Table, roles: Roles) -> "TrainingData":
        schema = GroupSchema.of(roles)
        clusters = clusters_of(table, roles.cluster)
        return cls(rows, schema.index(table), schema, roles, clusters=clusters)

    @property
    def features(self) -> np.ndarray:
        """The rows as a matrix, float64 of shape (n, d); made anew where they are none."""
        return np.asarray(self.rows)

    def within(self, scaling: str) -> np.ndarray:
        """Return what a scaling standardises each row within, int64 of shape (n,)."""
        return standardised_within(scaling, self.groups, self.schema)

    @property
    def counts(self) -> np.ndarray:
        """Number of rows in each group, int64 of shape (n_groups,)."""
        return self.schema.counts(self.groups)

    @property
    def own_counts(self) -> np.ndarray:
        """The same without borrowed rows: what filling goes by."""
        return self.schema.counts(self.groups[: len(self.groups) - self.n_borrowed])

    def without_rows(self, groups: np.ndarray) -> np.ndarray:
        """Return the groups that are to be filled, but of which there are none in `groups`."""
        return np.setdiff1d(np.flatnonzero(self.schema.counts(groups) == 0), self.left)

    def check_groups(self) -> None:
        """Raise a UserError if a group that is to be filled has no rows."""
        empty = self.without_rows(self.groups)
        if len(empty):
            raise UserError(
                f"group {self.schema.label(int(empty[0]))} has no training rows, so nothing can "
                "be learnt about it. Keep more rows in the scenario, or merge levels in the "
                "dataset card."
            )


def standardised_within(scaling: str, groups: np.ndarray, schema: GroupSchema) -> np.ndarray:
    """Return the group of each row for a scaling within the group, else its subgroup.

    Parameters
    ----------
    scaling : str
        A name from `mcrage.encoding.scaling.SCALINGS`.
    groups : ndarray of int64, shape (n,)
    schema : GroupSchema
    """
    return groups if scaling == "within_group" else schema.subgroup_of(groups)


@runtime_checkable
class Generator(Protocol):
    """Learns the distribution of features given the group, and draws rows of chosen groups.

    A generator derives from this class and is called with the plain values of its settings,
    ``Generator(settings)``; to fit, it needs none of those that only sampling reads (see
    `mcrage.generators.registry`).

    Attributes
    ----------
    history : dict of str to list
        Columns of the training curve, of equal length; empty when nothing is iterated.
    facts : dict
        What the fit cost and chose, plain JSON values. Times belong here and never into the saved
        model: equal seeds give equal bytes.
    """

    history: dict[str, list]
    facts: dict[str, Any]

    def fit(
        self,
        train: TrainingData,
        *,
        criterion: Criterion | None = None,
        seed: int,
        device: str = "cpu",
        threads: int = 1,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Learn from training rows; continue from `checkpoint` if a killed run left one.

        The result is the same as that of a run never killed.
        """
        ...

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``."""
        ...

    @classmethod
    def load(cls, folder: str | os.PathLike, sampling: Mapping[str, Any]) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : path-like
        sampling : mapping of str to Any
            All settings that only sampling reads; what the model was trained with is no guide.
        """
        ...

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group, in chunks, so that memory does not grow with the plan.

        The i-th row of a group depends on the seed and i, not on how many rows are asked for: the
        rows of a smaller plan are the first rows of a larger one, up to the rounding of floats.

        Parameters
        ----------
        plan : ndarray of int64, shape (n_groups,)
            Rows of each group; groups left out at the end get none.

        Yields
        ------
        features : ndarray of float64, shape (m, d)
            Like `TrainingData.features`, and complete where a feature's ``missing`` is not "keep".
            There is at least one chunk; an empty plan's has no row.
        groups : ndarray of int64, shape (m,)
            Rising over the whole draw.
        """
        ...

    def sample(self, groups: np.ndarray, *, seed: int, device: str = "cpu") -> np.ndarray:
        """Draw one row for each entry of `groups`: what `draw` yields, put together.

        Parameters
        ----------
        groups : ndarray of int64, shape (m,)

        Returns
        -------
        ndarray of float64, shape (m, d)
            Like `TrainingData.features`.
        """
        groups = np.asarray(groups, dtype=np.int64)
        chunks = self.draw(np.bincount(groups), seed=seed, device=device)
        drawn = np.concatenate([features for features, _ in chunks])
        rows = np.empty_like(drawn)
        # Both are in order within a group, so its i-th row goes to its i-th request.
        rows[np.argsort(groups, kind="stable")] = drawn
        return rows
