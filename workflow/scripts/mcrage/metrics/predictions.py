# SPDX-License-Identifier: MIT
"""The table of predictions: the scores of test rows, from which every metric can be made anew."""

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.tables import ROW_ID


def score_columns(schema: GroupSchema) -> list[str]:
    """Return the columns that hold scores: score, or of more than two levels score_{level}."""
    levels = schema.levels[-1]
    return ["score"] if len(levels) == 2 else [f"score_{level}" for level in levels]


def predictions_table(
    row_ids: pa.ChunkedArray, schema: GroupSchema, groups: np.ndarray, score: np.ndarray
) -> pa.Table:
    """Return row_id, subgroup, y and scores of test rows.

    Parameters
    ----------
    row_ids : pyarrow array of shape (n,)
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
    score : ndarray of float64, shape (n,) or (n, K)
    """
    facts = {
        ROW_ID: row_ids,
        "subgroup": schema.subgroup_of(groups),
        "y": schema.target_of(groups).astype(np.int8),
    }
    scores = zip(score_columns(schema), np.atleast_2d(score.T), strict=True)
    return pa.table({**facts, **{name: pa.array(column) for name, column in scores}})


def scores_of(predictions: pa.Table, schema: GroupSchema) -> np.ndarray:
    """Return scores of shape (n,), or (n, K) of more than two levels; null is NaN."""
    columns = [
        predictions.column(name).combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name in score_columns(schema)
    ]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def threshold_rule(schema: GroupSchema, threshold: float) -> str:
    """Return how decisions were made, as results tell it: the threshold, or likeliest level."""
    return str(threshold) if len(schema.levels[-1]) == 2 else "likeliest"
