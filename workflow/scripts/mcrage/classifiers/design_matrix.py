# SPDX-License-Identifier: MIT
"""The columns a classifier sees: the same for every treatment."""

from typing import Literal

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.encoding.scaling import SubgroupScaling
from mcrage.groups import GroupSchema


def design_matrices(
    train: pa.Table,
    test: pa.Table,
    roles: Roles,
    features: Literal["raw", "within_subgroup", "both"] = "raw",
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a classifier sees of training rows and of rows to score.

    Parameters
    ----------
    train, test : pyarrow.Table
    roles : Roles
    features : {"raw", "within_subgroup", "both"}
        Within the subgroup they are standardised with the moments of the training rows.

    Returns
    -------
    train, test : ndarray of float64, shapes (n_train, n_columns) and (n_test, n_columns)
    """
    raw = [design_matrix(table, roles)[0] for table in (train, test)]
    if features == "raw":
        return raw[0], raw[1]
    n_features = len(roles.feature_columns)
    schema = GroupSchema.of(roles)
    subgroups = [schema.subgroup_of(schema.index(table)) for table in (train, test)]
    scaling = SubgroupScaling.fit(raw[0][:, :n_features], 0, subgroups[0])
    standard = [
        scaling.transform(matrix[:, :n_features], of)
        for matrix, of in zip(raw, subgroups, strict=True)
    ]
    kept = n_features if features == "within_subgroup" else 0
    train_matrix, test_matrix = (
        np.column_stack([matrix[:, kept:], more])
        for matrix, more in zip(raw, standard, strict=True)
    )
    return train_matrix, test_matrix


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
    columns = [
        table.column(name).combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64)
        for name in roles.feature_columns
    ]
    names = list(roles.feature_columns)
    digits = GroupSchema.of(roles).digits(table)
    for attribute, codes in zip(roles.sensitive, digits, strict=False):
        levels = range(1, 2) if len(attribute.levels) == 2 else range(len(attribute.levels))
        for level in levels:
            columns.append((codes == level).astype(np.float64))
            names.append(f"{attribute.column}={attribute.levels[level]}")
    return np.column_stack(columns), names
