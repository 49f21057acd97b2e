# SPDX-License-Identifier: MIT
"""The columns a classifier sees: the same for every treatment."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.encoding.columns import feature_matrix
from mcrage.encoding.scaling import SubgroupScaling
from mcrage.groups import GroupSchema


@dataclass(frozen=True)
class DesignMatrix:
    """What a classifier sees of a row.

    Attributes
    ----------
    roles : Roles
    features : {"raw", "within_subgroup", "both"}
    scaling : SubgroupScaling or None
        Of features within the subgroup, from training rows; None for raw ones.
    """

    roles: Roles
    features: Literal["raw", "within_subgroup", "both"]
    scaling: SubgroupScaling | None

    @classmethod
    def fit(cls, train: pa.Table, roles: Roles, features: str) -> "DesignMatrix":
        """Learn the moments of each subgroup, where they are needed, from training rows."""
        if features == "raw":
            return cls(roles, features, None)
        raw = design_matrix(train, roles)[0][:, : len(roles.feature_columns)]
        return cls(roles, features, SubgroupScaling.fit(raw, 0, _subgroups(train, roles)))

    def of(self, rows: pa.Table) -> np.ndarray:
        """Return the matrix of rows, float64 of shape (n, n_columns)."""
        raw = design_matrix(rows, self.roles)[0]
        if self.scaling is None:
            return raw
        n_features = len(self.roles.feature_columns)
        standard = self.scaling.transform(raw[:, :n_features], _subgroups(rows, self.roles))
        kept = n_features if self.features == "within_subgroup" else 0
        return np.column_stack([raw[:, kept:], standard])


def _subgroups(rows: pa.Table, roles: Roles) -> np.ndarray:
    schema = GroupSchema.of(roles)
    return schema.subgroup_of(schema.index(rows))


def design_matrix(table: pa.Table, roles: Roles) -> tuple[np.ndarray, list[str]]:
    """Return features and sensitive attributes as numbers.

    The published notebook drops SEX from SMOTE's table only; here every treatment has it. An
    attribute of two levels is one 0/1 column, one of more levels an indicator for each level.

    Parameters
    ----------
    table : pyarrow.Table
    roles : Roles

    Returns
    -------
    matrix : ndarray of float64, shape (n, n_columns)
    names : list of str
        What each column is, for the reader.
    """
    columns = list(feature_matrix(table, roles.features).T)
    names = list(roles.feature_columns)
    digits = GroupSchema.of(roles).digits(table)
    for attribute, codes in zip(roles.sensitive, digits, strict=False):
        levels = range(1, 2) if len(attribute.levels) == 2 else range(len(attribute.levels))
        for level in levels:
            columns.append((codes == level).astype(np.float64))
            names.append(f"{attribute.column}={attribute.levels[level]}")
    return np.column_stack(columns), names
