# SPDX-License-Identifier: MIT
"""`mcrage.rebalancing.rebalance` of tables that lie in files, in memory of a column at a time."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.carried import carried_by
from mcrage.groups import GroupSchema
from mcrage.rebalancing import Labels, rebalance
from mcrage.spool import ColumnSpool, column_of
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, ROW_ID, read_table

_PLACE = "place in its file"


def rebalance_files(
    train: str | os.PathLike,
    schema: GroupSchema,
    *,
    synthetic: str | os.PathLike | None,
    labels: Labels | None,
    seed: int,
    treatment: Mapping[str, Any],
) -> tuple[ColumnSpool, pa.Table, np.ndarray]:
    """Apply a treatment to tables in Parquet files.

    Which rows there are is decided on the columns that make groups; the others follow one by one.

    Parameters
    ----------
    train, synthetic : path-like
        See `mcrage.rebalancing.rebalance`, as are the others; `treatment` holds the rest.
    schema : GroupSchema
    labels : callable, optional
    seed : int
    treatment : mapping

    Returns
    -------
    rebalanced : ColumnSpool
    weights : pyarrow.Table
    groups : ndarray of int64
        Of each row of `rebalanced`.
    """
    columns = list(schema.columns)
    likely: Labels | None = None
    if labels is not None:
        whole = labels

        def likely(rows: pa.Table) -> np.ndarray:
            return whole(read_table(synthetic).take(rows.column(_PLACE)))

    narrow, weights = rebalance(
        _placed(read_table(train, [ROW_ID, *columns])),
        schema,
        synthetic=None if synthetic is None else _placed(read_table(synthetic, columns)),
        labels=likely,
        seed=seed,
        **treatment,
    )
    added = narrow.column(IS_SYNTHETIC).to_numpy()
    place = narrow.column(_PLACE).to_numpy()
    real_rows, added_rows = pa.array(place[~added]), pa.array(place[added])
    file = pq.ParquetFile(train)
    drawn = None if synthetic is None else pq.ParquetFile(synthetic)
    spool = ColumnSpool()
    for name in file.schema_arrow.names:
        if name == ROW_ID:
            continue
        carried = carried_by(file.schema_arrow.field(name))
        if name == schema.columns[-1]:
            # A synthetic row may have been given another label.
            spool.put(name, narrow.column(name), carried)
            continue
        values = column_of(file, name).take(real_rows)
        if drawn is not None:
            more = column_of(drawn, name).take(added_rows)
            values = pa.chunked_array([*values.chunks, *more.chunks], values.type)
        spool.put(name, values, carried)
    for name in (IS_SYNTHETIC, LABEL_WEIGHT):
        if name in narrow.column_names:
            spool.put(name, narrow.column(name))
    return spool, weights, schema.index(narrow)


def _placed(table: pa.Table) -> pa.Table:
    return table.append_column(_PLACE, pa.array(np.arange(table.num_rows)))
