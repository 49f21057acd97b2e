# SPDX-License-Identifier: MIT
"""Uniform numbers for the rows of a plan: those of a group's i-th row depend on seed and i only."""

from collections.abc import Iterator

import numpy as np

from mcrage.seeds import derive

# Rows of one stream.
_BLOCK_ROWS = 4096
# Rows in a chunk, about; small groups are put together, so that columns are long.
_CHUNK_ROWS = 32_768
# Numbers of a matrix that is held at a time.
_AT_ONCE = 2_000_000


def uniform_chunks(
    plan: np.ndarray, width: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield numbers to draw rows from by inversion, in chunks of bounded memory.

    Parameters
    ----------
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.
    width : int
        Numbers for each row.
    seed : int

    Yields
    ------
    uniforms : ndarray of float64, shape (m, width)
        Within (0, 1).
    groups : ndarray of int64, shape (m,)
        Rising over all chunks. There is at least one chunk; an empty plan's has no row.
    """
    waiting: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for group, wanted in enumerate(np.asarray(plan).tolist()):
        for block, start in enumerate(range(0, wanted, _BLOCK_ROWS)):
            n = min(_BLOCK_ROWS, wanted - start)
            # Row by row from one stream: fewer rows are the first of more.
            rng = np.random.default_rng([derive(seed, group), block])
            waiting.append(np.maximum(rng.random((n, width)), np.finfo(float).tiny))
            labels.append(np.full(n, group, dtype=np.int64))
            if sum(map(len, labels)) >= _CHUNK_ROWS:
                yield np.concatenate(waiting), np.concatenate(labels)
                waiting, labels = [], []
    if labels or not np.any(plan):
        yield (
            np.concatenate([np.empty((0, width)), *waiting]),
            np.concatenate([np.empty(0, dtype=np.int64), *labels]),
        )


def places(uniforms: np.ndarray, cumulated: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Invert distributions over the columns of a table.

    Parameters
    ----------
    uniforms : ndarray of float64, shape (m,)
    cumulated : ndarray of float64, shape (k, n_columns)
        Rising to 1 along each row.
    rows : ndarray of int64, shape (m,)
        The row of the table for each number.

    Returns
    -------
    ndarray of int64, shape (m,)
        Never a column without a share of its own.
    """
    out = np.empty(len(uniforms), dtype=np.int64)
    # Sums of shares need not end at 1 to the last bit.
    last = cumulated[:, -1]
    step = max(1, _AT_ONCE // cumulated.shape[1])
    for start in range(0, len(uniforms), step):
        part = slice(start, start + step)
        own = rows[part]
        reached = uniforms[part, None] * last[own, None] > cumulated[own]
        out[part] = reached.sum(axis=1)
    return out
