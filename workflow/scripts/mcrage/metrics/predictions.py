# SPDX-License-Identifier: MIT
"""The table of predictions: the scores of test rows, from which every metric can be made anew."""

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import decide
from mcrage.tables import ROW_ID


def predictions_table(
    row_ids: pa.ChunkedArray, schema: GroupSchema, groups: np.ndarray, score: np.ndarray
) -> pa.Table:
    """Return row_id, subgroup, y and score of test rows.

    Parameters
    ----------
    row_ids : pyarrow array of shape (n,)
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
    score : ndarray of float64, shape (n,) or (n, K)
        Of more than two levels the column holds a list in each row.
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
        }
    )


def scores_of(predictions: pa.Table) -> np.ndarray:
    """Return scores of shape (n,), or (n, K) of more than two levels; null is NaN."""
    column = predictions.column("score").combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    flat = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)


def decisions_of(
    predictions: pa.Table, schema: GroupSchema, threshold: float
) -> dict[str, np.ndarray]:
    """Return the level that each row is predicted to have, by how decisions were made.

    Parameters
    ----------
    predictions : pyarrow.Table
        Of `predictions_table`.
    schema : GroupSchema
    threshold : float
        See `mcrage.metrics.confusion.decide`.

    Returns
    -------
    dict of str to ndarray of int64, shape (n,)
        By the values of the column threshold in results.
    """
    return {threshold_rule(schema, threshold): decide(scores_of(predictions), threshold)}


def threshold_rule(schema: GroupSchema, threshold: float) -> str:
    """Return how decisions were made, as results tell it: the threshold, or likeliest level."""
    return str(threshold) if len(schema.levels[-1]) == 2 else "likeliest"
