# SPDX-License-Identifier: MIT
"""Fewer rows to learn from, for generators whose cost grows faster than what more rows tell them.

Trees with leaves of a few rows, and mixtures of some ten components, are what they are long before
a million rows; the time and the memory that they take go on growing. Neighbours of rows, between
which SMOTE draws, are looked for in a time that grows with the square of the rows.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from mcrage.encoding.rows import CompactRows
from mcrage.generators.base import TrainingData
from mcrage.seeds import derive

logger = logging.getLogger(__name__)
THINNED = ("cart", "mixture", "smote")
"""Kinds that learn from a part of a long table, as their setting ``max_rows`` says."""
_ROWS_KEPT = 1_000


def thinned(train: TrainingData, max_rows: int | None, seed: int) -> TrainingData:
    """Return at most about so many training rows, drawn at random within each group.

    Groups keep their shares of the rows, but for small ones: up to 1,000 rows of a group stay,
    also where that makes more rows than `max_rows` in all.

    Parameters
    ----------
    train : TrainingData
        Returned as it is where it is no longer.
    max_rows : int or None
        None: all.
    seed : int
        Of the generator's training; what is drawn with is derived from it.

    Returns
    -------
    TrainingData
        Rows in their order, borrowed ones last.
    """
    n_rows = len(train.groups)
    if max_rows is None or n_rows <= max_rows:
        return train
    kept = np.zeros(n_rows, dtype=bool)
    for group in np.unique(train.groups):
        own = np.flatnonzero(train.groups == group)
        wanted = max(len(own) * max_rows // n_rows, min(len(own), _ROWS_KEPT))
        # A stream for each group: another's rows change nothing.
        rng = np.random.default_rng(derive(seed, "thinned", int(group)))
        kept[rng.choice(own, size=wanted, replace=False)] = True
    places = np.flatnonzero(kept)
    logger.info(
        "learns from %d of %d training rows, drawn within each group (max_rows: %d)",
        len(places), n_rows, max_rows,
    )  # fmt: skip
    rows = train.rows
    return replace(
        train,
        rows=rows.take(places) if isinstance(rows, CompactRows) else rows[places],
        groups=train.groups[places],
        clusters=None if train.clusters is None else train.clusters[places],
        n_borrowed=int(kept[n_rows - train.n_borrowed :].sum()) if train.n_borrowed else 0,
    )


def thinning_facts(train: TrainingData, part: TrainingData) -> dict[str, Any]:
    """Return what the report says of a part that was learnt from: nothing where that is all.

    Parameters
    ----------
    train, part : TrainingData
        As given, and as `thinned` returned it.
    """
    n_rows, n_kept = len(train.groups), len(part.groups)
    return {} if n_kept == n_rows else {"learnt_from": {"rows": n_kept, "of": n_rows}}
