# SPDX-License-Identifier: MIT
"""What treatments made: the rows, weights and labels that their declared settings give."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.rebalancing import Labels, rebalance, row_weights
from mcrage.tables import LABEL_WEIGHT, ROW_ID


def check_made(
    treatment: str,
    weights: pa.Table,
    rebalanced: pa.Table,
    train: pa.Table,
    synthetic: pa.Table | None,
    schema: GroupSchema,
    settings: Mapping[str, Any],
    seed: int,
    *,
    labelled: bool = False,
) -> list[str]:
    """Apply a treatment anew to the columns that make groups, and compare.

    Parameters
    ----------
    treatment : str
    weights, rebalanced : pyarrow.Table
        Of the same length.
    train : pyarrow.Table
        Its training set, with row_id.
    synthetic : pyarrow.Table or None
        What its generator drew.
    schema : GroupSchema
    settings : mapping
        What is declared of it: how much is filled, repeated or left out, and what weighs the same;
        see `mcrage.rebalancing.rebalance`.
    seed : int
    labelled : bool
        Whether synthetic rows are labelled anew, which `check_labels` looks at.
    """
    columns, n_levels = list(schema.columns), schema.shape[-1]
    # How likely a label is changes weights, and no rows.
    alike = np.ones(n_levels) / n_levels
    try:
        anew, beside = rebalance(
            train.select([ROW_ID, *columns]),
            schema,
            synthetic=None if synthetic is None else synthetic.select(columns),
            labels=(lambda rows: np.tile(alike, (rows.num_rows, 1))) if labelled else None,
            seed=seed,
            **settings,
        )
    except UserError as error:
        return [f"{treatment}: {error}"]
    if not weights.column(ROW_ID).equals(beside.column(ROW_ID)):
        return [
            f"{treatment}: {weights.num_rows} rows of rebalanced.parquet are not the "
            f"{beside.num_rows} that its settings give"
        ]
    problems = []
    if not np.array_equal(schema.index(rebalanced), schema.index(anew)):
        problems.append(
            f"{treatment}: the groups of rows in rebalanced.parquet are not those that its "
            "settings give"
        )
    given, stored = (table.column("weight").to_numpy() for table in (beside, weights))
    if not labelled and not np.allclose(given, stored, rtol=1e-9):
        problems.append(
            f"{treatment}: weights.parquet is not what the rows of rebalanced.parquet give"
        )
    return problems


def check_labels(
    treatment: str,
    weights: pa.Table,
    rebalanced: pa.Table,
    schema: GroupSchema,
    n_real: int,
    labels: Labels,
    *,
    weighted: Mapping[str, Any] | None = None,
) -> list[str]:
    """Compare labels and their weights with those that training rows alone teach.

    Parameters
    ----------
    treatment : str
    weights, rebalanced : pyarrow.Table
        Of the same length; synthetic rows last, with the last level of the target (of two, the
        positive one), then with the one before.
    schema : GroupSchema
    n_real : int
        Real rows before them.
    labels : callable
        The classifier that labelled them, fitted anew.
    weighted : mapping, optional
        ``weights`` and ``weights_over``, where these are declared of the treatment, too; see
        `mcrage.rebalancing.row_weights`.
    """
    n_levels = schema.shape[-1]
    n_synthetic = (rebalanced.num_rows - n_real) // n_levels
    starts = [n_real + copy * n_synthetic for copy in range(n_levels)]
    copies = [rebalanced.slice(start, n_synthetic) for start in starts]
    rows, target = copies[0], schema.columns[-1]
    others = [name for name in rebalanced.column_names if name not in (target, LABEL_WEIGHT)]
    if n_real + n_levels * n_synthetic != rebalanced.num_rows or any(
        not copy.select(others).equals(rows.select(others))
        or (schema.target_of(schema.index(copy)) != level).any()
        for level, copy in zip(range(n_levels)[::-1], copies, strict=True)
    ):
        return [
            f"{treatment}: the synthetic rows in rebalanced.parquet do not stand once with every "
            "level of the target, the last one (of two, the positive one) first"
        ]
    likely = labels(rows)
    if likely.ndim == 1:
        likely = np.stack([1.0 - likely, likely], axis=1)
    mass = np.concatenate([np.ones(n_real), likely[:, ::-1].T.ravel()])
    how = weighted or {}
    groups = schema.index(rebalanced)
    final = row_weights(groups, schema, how.get("weights"), how.get("weights_over"), mass)
    for place, anew, column in (
        ("weights.parquet", final, weights.column("weight")),
        ("rebalanced.parquet", mass, rebalanced.column(LABEL_WEIGHT)),
    ):
        found = column.to_numpy()
        # Sums of many small numbers: another number of threads may round them otherwise.
        if len(anew) != len(found) or not np.allclose(anew, found, rtol=0, atol=1e-6):
            return [
                f"{treatment}: the weights in {place} are not those of labels that the training "
                "rows alone teach"
            ]
    return []
