# SPDX-License-Identifier: MIT
"""Rows as arrays, the form in which figures take tables."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from mcrage.datasets.roles import Feature, Roles
from mcrage.encoding.columns import feature_matrix, feature_numbers
from mcrage.groups import GroupSchema
from mcrage.spool import column_of
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, read_table

if TYPE_CHECKING:
    import pyarrow as pa


def once(table: "pa.Table", n_outcomes: int = 2) -> np.ndarray:
    """Return which rows of a rebalanced table to take for each synthetic row to stand there once.

    With labels from a classifier it stands in the table with every outcome and a weight, first all
    rows with the last one: taken is the likeliest.

    Parameters
    ----------
    table : pyarrow.Table
        Without a column ``label_weight`` all rows are taken. No other column is looked at but
        ``is_synthetic``.
    n_outcomes : int
        Levels of the target.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    kept = np.ones(table.num_rows, dtype=bool)
    if LABEL_WEIGHT not in table.column_names:
        return kept
    synthetic = np.flatnonzero(table.column(IS_SYNTHETIC).to_numpy())
    copies = synthetic.reshape(n_outcomes, -1)
    likeliest = np.argmax(table.column(LABEL_WEIGHT).to_numpy()[copies], axis=0)
    kept[synthetic] = False
    kept[copies[likeliest, np.arange(copies.shape[1])]] = True
    return kept


@dataclass(frozen=True)
class Sample:
    """Rows of one table.

    Attributes
    ----------
    features : ndarray of float64, shape (n, n_features)
        See `mcrage.encoding.columns.feature_matrix`; in the order of the roles.
    groups : ndarray of int64, shape (n,)
    synthetic : ndarray of bool, shape (n,)
    drawn_from : tuple of int, optional
        Where these are some rows of a table: how many real and synthetic ones it has.
    """

    features: np.ndarray
    groups: np.ndarray
    synthetic: np.ndarray
    drawn_from: tuple[int, int] | None = None

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

    @classmethod
    def read(cls, path: str | os.PathLike, roles: Roles, max_rows: int, seed: int) -> "Sample":
        """Draw at most `max_rows` rows of a stage's file, in memory of one of its columns.

        A synthetic row that stands there with every outcome counts once, see `once`.
        """
        marks = [
            name for name in (IS_SYNTHETIC, LABEL_WEIGHT) if name in pq.read_schema(path).names
        ]
        schema = GroupSchema.of(roles)
        table = read_table(path, [*schema.columns, *marks])
        places = np.flatnonzero(once(table, len(roles.target.levels)))
        groups, synthetic = schema.index(table)[places], np.zeros(len(places), dtype=bool)
        if IS_SYNTHETIC in marks:
            synthetic = table.column(IS_SYNTHETIC).to_numpy()[places]
        whole = (int(np.sum(~synthetic)), int(np.sum(synthetic)))
        rows = drawn_rows(len(places), max_rows, seed)
        features = _features_of(path, roles.features, places[rows])
        return cls(features, groups[rows], synthetic[rows], whole)

    @property
    def whole(self) -> tuple[int, int]:
        """How many real and synthetic rows there are, these or those that they are drawn from."""
        n_synthetic = int(self.synthetic.sum())
        return self.drawn_from or (len(self) - n_synthetic, n_synthetic)

    def thinned(self, max_rows: int, seed: int) -> "Sample":
        """Return at most `max_rows` rows; see `drawn_rows`."""
        rows = drawn_rows(len(self), max_rows, seed)
        return Sample(self.features[rows], self.groups[rows], self.synthetic[rows], self.whole)


def drawn_rows(n: int, max_rows: int, seed: int) -> np.ndarray:
    """Return numbers of at most `max_rows` of n rows, drawn without replacement, rising."""
    if n <= max_rows:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, max_rows, replace=False))


def same_rows(one: str | os.PathLike, other: str | os.PathLike, roles: Roles) -> bool:
    """Say whether two files have the same rows in the same order, a column at a time.

    Parameters
    ----------
    one : path-like
        A rebalanced table.
    other : path-like
        Real rows.
    roles : Roles
    """
    files = [pq.ParquetFile(path) for path in (one, other)]
    if files[0].metadata.num_rows != files[1].metadata.num_rows:
        return False
    if column_of(files[0], IS_SYNTHETIC).to_numpy().any():
        return False
    schema = GroupSchema.of(roles)
    groups = [schema.index(read_table(path, schema.columns)) for path in (one, other)]
    return np.array_equal(*groups) and all(
        np.array_equal(
            *(feature_numbers(column_of(file, f.column), f) for file in files), equal_nan=True
        )
        for f in roles.features
    )


def _features_of(
    path: str | os.PathLike, features: Sequence[Feature], places: np.ndarray
) -> np.ndarray:
    """Return some rows of a file as `mcrage.encoding.columns.feature_matrix` has them."""
    file = pq.ParquetFile(path)
    rows = np.empty((len(places), len(features)))
    for column, feature in enumerate(features):
        rows[:, column] = feature_numbers(column_of(file, feature.column), feature)[places]
    return rows
