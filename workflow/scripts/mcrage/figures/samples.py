# SPDX-License-Identifier: MIT
"""Rows as arrays, the form in which figures take tables."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
from mcrage.encoding.columns import feature_matrix
from mcrage.groups import GroupSchema
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT

if TYPE_CHECKING:
    import pyarrow as pa


def each_row_once(table: "pa.Table", n_outcomes: int = 2) -> "pa.Table":
    """Return a rebalanced table with each synthetic row once, with the likelier of its outcomes.

    With labels from a classifier it stands in the table with every outcome and a weight, first
    all rows with the last one.

    Parameters
    ----------
    table : pyarrow.Table
        Without a column ``label_weight`` it is returned as it is.
    n_outcomes : int
        Levels of the target.
    """
    if LABEL_WEIGHT not in table.column_names:
        return table
    synthetic = np.flatnonzero(table.column(IS_SYNTHETIC).to_numpy())
    copies = synthetic.reshape(n_outcomes, -1)
    likeliest = np.argmax(table.column(LABEL_WEIGHT).to_numpy()[copies], axis=0)
    kept = np.ones(table.num_rows, dtype=bool)
    kept[synthetic] = False
    kept[copies[likeliest, np.arange(copies.shape[1])]] = True
    return table.filter(kept)


@dataclass(frozen=True)
class Sample:
    """Rows of one table.

    Attributes
    ----------
    features : ndarray of float64, shape (n, n_features)
        See `mcrage.encoding.columns.feature_matrix`; in the order of the roles.
    groups : ndarray of int64, shape (n,)
    synthetic : ndarray of bool, shape (n,)
    """

    features: np.ndarray
    groups: np.ndarray
    synthetic: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.groups)

    @classmethod
    def of(cls, table: "pa.Table", roles: Roles, *, synthetic: bool = False) -> "Sample":
        """Take the features and groups out of a stage's table.

        Parameters
        ----------
        table : pyarrow.Table
            With the features and the columns of the groups.
        roles : Roles
        synthetic : bool
            What the rows are when the table has no column ``is_synthetic``.
        """
        n = table.num_rows
        flag = (
            table.column(IS_SYNTHETIC).to_numpy().astype(bool)
            if IS_SYNTHETIC in table.column_names
            else np.full(n, synthetic)
        )
        return cls(feature_matrix(table, roles.features), GroupSchema.of(roles).index(table), flag)

    def equals(self, other: "Sample") -> bool:
        """Say whether both have the same rows in the same order."""
        return (
            np.array_equal(self.features, other.features, equal_nan=True)
            and np.array_equal(self.groups, other.groups)
            and np.array_equal(self.synthetic, other.synthetic)
        )

    def take(self, rows: np.ndarray) -> "Sample":
        """Return the given rows, by number or by mask."""
        return Sample(self.features[rows], self.groups[rows], self.synthetic[rows])
