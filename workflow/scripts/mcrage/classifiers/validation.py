# SPDX-License-Identifier: MIT
"""The paper's criterion for checkpoints: F1 on the validation set of a forest on filled groups."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.registry import fit_and_score
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema
from mcrage.metrics.f1 import f1
from mcrage.rebalancing import synthetic_table


def validation_f1(
    settings: dict[str, Any],
    train: pa.Table,
    validation: pa.Table,
    roles: Roles,
    *,
    seed: int,
    threads: int,
) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the function that judges synthetic rows.

    Parameters
    ----------
    settings : dict
        Of the classifier; the paper's forest.
    train, validation : pyarrow.Table
    roles : Roles
    seed, threads : int
        The forest's; the same for every checkpoint, so that they differ by their rows alone.

    Returns
    -------
    callable
        ``criterion(features, groups) -> float``: raw features of shape (m, d) and groups of shape
        (m,) of synthetic rows, to F1 of the positive level at threshold 0.5.
    """
    schema = GroupSchema.of(roles)
    real = train.select([name for name in train.column_names if name in roles.columns])
    y = schema.target_of(schema.index(validation))

    def criterion(features: np.ndarray, groups: np.ndarray) -> float:
        synthetic = synthetic_table(features, groups, real, roles)
        table = pa.concat_tables([real.replace_schema_metadata(), synthetic])
        score = fit_and_score(settings, table, None, validation, roles, seed=seed, threads=threads)
        return f1(y, score, 0.5)

    return criterion
