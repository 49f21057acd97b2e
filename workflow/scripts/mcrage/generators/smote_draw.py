# SPDX-License-Identifier: MIT
"""Rows drawn by imbalanced-learn's SMOTE, in chunks of bounded memory."""

from collections.abc import Iterator

import numpy as np
from imblearn.over_sampling import SMOTE

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.seeds import derive

# A chunk is drawn whole, whatever is wanted of it, so that it does not depend on that.
_CHUNK_ROWS = 65_536


def draw_groups(
    rows: np.ndarray,
    row_groups: np.ndarray,
    plan: np.ndarray,
    *,
    schema: GroupSchema,
    k_neighbors: int,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw so many rows of each group.

    Parameters
    ----------
    rows : ndarray of float, shape (n, d)
        Encoded training rows.
    row_groups : ndarray of int64, shape (n,)
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.
    schema : GroupSchema
    k_neighbors, seed : int

    Yields
    ------
    drawn : ndarray of float, shape (m, d)
    groups : ndarray of int64, shape (m,)
        All the same.

    Raises
    ------
    UserError
        If a group asked for has no more rows than neighbours are wanted.
    """
    present = schema.counts(row_groups)
    for group in np.flatnonzero(plan):
        if present[group] <= k_neighbors:
            raise UserError(
                f"SMOTE: group {schema.label(group)} has {present[group]} training rows; "
                f"k_neighbors = {k_neighbors} needs at least {k_neighbors + 1}. Lower "
                "k_neighbors, keep more rows in the scenario, or use a generator that shares "
                "strength across groups (cddpm)."
            )
    if not plan.any():
        yield rows[:0], row_groups[:0]
    for group, wanted in enumerate(plan.tolist()):
        for number, start in enumerate(range(0, wanted, _CHUNK_ROWS)):
            sampler = SMOTE(
                # imbalanced-learn takes final counts, and puts new rows behind those it was given.
                sampling_strategy={group: int(present[group]) + _CHUNK_ROWS},
                k_neighbors=k_neighbors,
                random_state=derive(seed, group, number),
            )
            drawn, _ = sampler.fit_resample(rows, row_groups)
            drawn = drawn[len(rows) :][: min(_CHUNK_ROWS, wanted - start)]
            yield drawn, np.full(len(drawn), group)
