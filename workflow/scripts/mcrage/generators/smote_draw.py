# SPDX-License-Identifier: MIT
"""Rows drawn by imbalanced-learn's SMOTE."""

import numpy as np
from imblearn.over_sampling import SMOTE

from mcrage.errors import UserError
from mcrage.groups import GroupSchema


def draw_rows(
    rows: np.ndarray,
    row_groups: np.ndarray,
    groups: np.ndarray,
    *,
    schema: GroupSchema,
    k_neighbors: int,
    seed: int,
) -> np.ndarray:
    """Draw one row for each entry of `groups`.

    Parameters
    ----------
    rows : ndarray of float, shape (n, d)
        Encoded training rows.
    row_groups : ndarray of int64, shape (n,)
    groups : ndarray of int64, shape (m,)
        At least one.
    schema : GroupSchema
    k_neighbors, seed : int

    Returns
    -------
    ndarray of float, shape (m, d)

    Raises
    ------
    UserError
        If a group asked for has no more rows than neighbours are wanted.
    """
    present, wanted = schema.counts(row_groups), schema.counts(groups)
    for group in np.flatnonzero(wanted):
        if present[group] <= k_neighbors:
            raise UserError(
                f"SMOTE: group {schema.label(group)} has {present[group]} training rows; "
                f"k_neighbors = {k_neighbors} needs at least {k_neighbors + 1}. Lower "
                "k_neighbors, keep more rows in the scenario, or use a generator that shares "
                "strength across groups (cddpm)."
            )
    # imbalanced-learn takes final counts and puts the new rows after those it was given.
    strategy = {int(k): int(present[k] + wanted[k]) for k in np.flatnonzero(wanted)}
    sampler = SMOTE(sampling_strategy=strategy, k_neighbors=k_neighbors, random_state=seed % 2**32)
    resampled, labels = sampler.fit_resample(rows, row_groups)
    drawn, labels = resampled[len(rows) :], labels[len(rows) :]
    # Both orders are stable, so the i-th row drawn for a group goes to its i-th request.
    out = np.empty_like(drawn)
    out[np.argsort(groups, kind="stable")] = drawn[np.argsort(labels, kind="stable")]
    return out
