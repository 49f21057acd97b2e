# SPDX-License-Identifier: MIT
"""The table of predictions: the scores of test rows, from which every metric can be made anew."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import decide
from mcrage.metrics.rules import HALF, UNDECIDED, decision_column, rule_name
from mcrage.tables import ROW_ID


def predictions_table(
    row_ids: pa.Array | pa.ChunkedArray,
    schema: GroupSchema,
    groups: np.ndarray,
    score: np.ndarray,
    decisions: Mapping[str, np.ndarray] | None = None,
) -> pa.Table:
    """Return row_id, subgroup, y, score and decisions of test rows.

    Parameters
    ----------
    row_ids : pyarrow.Array or pyarrow.ChunkedArray of shape (n,)
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


def decisions_of(
    predictions: pa.Table, schema: GroupSchema, rules: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the level that each row is predicted to have, by each rule.

    Parameters
    ----------
    predictions : pyarrow.Table
        Of `predictions_table`.
    schema : GroupSchema
    rules : sequence of str
        Of `mcrage.metrics.rules.RULES`.

    Returns
    -------
    dict of str to ndarray of int64, shape (n,)
        By the values of the column threshold in results; `UNDECIDED` where a rule is undefined.
    """
    return {
        rule_name(rule, schema.shape[-1]): (
            decide(scores_of(predictions), 0.5)
            if rule == HALF
            else predictions.column(decision_column(rule))
            .combine_chunks()
            .cast(pa.int64())
            .fill_null(UNDECIDED)
            .to_numpy(zero_copy_only=False)
        )
        for rule in rules
    }
