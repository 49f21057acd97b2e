# SPDX-License-Identifier: MIT
"""Which rows belong together: those of one patient, of one hospital, or of either."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def clusters_of(table: pa.Table, columns: Sequence[str]) -> np.ndarray | None:
    """Return the cluster of each row.

    Rows that agree in one of the columns are in one cluster, and so are those that are linked by
    others: where patients move between hospitals, hospitals that share a patient are one cluster,
    so that neither a patient nor a hospital ever lies on both sides of a split.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
        Those that the table lacks are passed over.

    Returns
    -------
    ndarray of int64, shape (n,), or None
        Numbers without a meaning beyond equality; a row without any value, such as a synthetic
        one, is a cluster of its own. None if the table has none of the columns.

    Examples
    --------
    >>> stays = pa.table({"hospital": ["a", "a", "b", "c"], "patient": ["1", "2", "2", "3"]})
    >>> clusters_of(stays, ["hospital", "patient"]).tolist()
    [0, 0, 0, 3]
    """
    present = [column for column in columns if column in table.column_names]
    if not present:
        return None
    codes = [_codes(table.column(column)) for column in present]
    clusters = np.arange(table.num_rows)
    while True:
        before = clusters
        for code in codes:
            # The lowest number among the rows of a value becomes that of all of them.
            lowest = np.full(int(code.max(initial=-1)) + 1, table.num_rows)
            np.minimum.at(lowest, code, clusters)
            clusters = lowest[code]
        if np.array_equal(before, clusters):
            return clusters


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return a number for each value; a missing one has a number of its own."""
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    indices = array.indices
    missing = indices.is_null().to_numpy(zero_copy_only=False)
    codes = indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    codes[missing] = len(array.dictionary) + np.arange(missing.sum())
    return codes
