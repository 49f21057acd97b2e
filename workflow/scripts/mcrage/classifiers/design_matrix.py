# SPDX-License-Identifier: MIT
"""The columns a classifier sees: the same for every treatment."""

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema


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
