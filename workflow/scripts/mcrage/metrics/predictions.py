# SPDX-License-Identifier: MIT
"""The table of predictions: the scores of test rows, from which every metric can be made anew."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.metrics.rules import HALF, UNDECIDED, decision_column
from mcrage.tables import ROW_ID


def predictions_table(
    row_ids: pa.ChunkedArray,
    schema: GroupSchema,
    groups: np.ndarray,
    score: np.ndarray,
    decisions: Mapping[str, np.ndarray] | None = None,
) -> pa.Table:
    """Return row_id, subgroup, y, score and decisions of test rows.

    Parameters
    ----------
    row_ids : pyarrow array of shape (n,)
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
    score : ndarray of float64, shape (n,) or (n, K)
        Of more than two levels the column holds a list in each row.
    decisions : mapping of str to ndarray of int64, shape (n,), optional
        By rule; each has a column but those of `HALF`, which the score tells. Null: undefined.
    """
    values = pa.array(score.ravel())
    if score.ndim == 2:
        values = pa.FixedSizeListArray.from_arrays(values, score.shape[1])
    return pa.table(
        {
            ROW_ID: row_ids,
            "subgroup": schema.subgroup_of(groups),
            "y": schema.target_of(groups).astype(np.int8),
            "score": values,
            **{
                decision_column(rule): pa.array(decided.astype(np.int8), mask=decided == UNDECIDED)
                for rule, decided in (decisions or {}).items()
                if rule != HALF
            },
        }
    )


def scores_of(predictions: pa.Table) -> np.ndarray:
    """Return scores of shape (n,), or (n, K) of more than two levels; null is NaN."""
    column = predictions.column("score").combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    flat = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)


def decisions_of(predictions: pa.Table, rule: str) -> np.ndarray:
    """Return a rule's decisions as they stand in the table, int64 of shape (n,)."""
    column = predictions.column(decision_column(rule)).combine_chunks()
    filled = column.cast(pa.int64()).fill_null(UNDECIDED)
    return filled.to_numpy(zero_copy_only=False)
