# SPDX-License-Identifier: MIT
"""Rows drawn by imbalanced-learn's SMOTE and its kin, in chunks of bounded memory."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
from sklearn.neighbors import NearestNeighbors

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.seeds import derive

# A chunk is drawn whole, whatever is wanted of it, so that it does not depend on that.
_CHUNK_ROWS = 65_536
# SMOTENC holds all neighbours of a chunk, one number for each level.
_CHUNK_ROWS_WITH_LEVELS = 1_024


def draw_groups(
    rows: np.ndarray,
    codes: np.ndarray | None,
    row_groups: np.ndarray,
    plan: np.ndarray,
    *,
    schema: GroupSchema,
    k_neighbors: int,
    seed: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Draw so many rows of each group.

    Parameters
    ----------
    rows : ndarray of float, shape (n, d)
        Numbers of encoded training rows.
    codes : ndarray of int64, shape (n, c), optional
        Codes of the same rows; None where there can be none.
    row_groups : ndarray of int64, shape (n,)
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.
    schema : GroupSchema
    k_neighbors, seed : int

    Yields
    ------
    drawn : ndarray of float, shape (m, d)
    codes : ndarray of int64, shape (m, c)
        Only where codes are given.
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
    n_codes = 0 if codes is None else codes.shape[1]
    matrix = np.concatenate([rows, codes], axis=1) if n_codes else rows
    chunk_rows = _CHUNK_ROWS_WITH_LEVELS if n_codes else _CHUNK_ROWS

    def parts(drawn: np.ndarray, group: int) -> tuple[np.ndarray, ...]:
        numbers, groups = drawn[:, : rows.shape[1]], np.full(len(drawn), group)
        if codes is None:
            return numbers, groups
        return numbers, drawn[:, rows.shape[1] :].astype(np.int64), groups

    if not plan.any():
        yield parts(matrix[:0], 0)
    for group, wanted in enumerate(plan.tolist()):
        neighbours = _Neighbours(n_neighbors=k_neighbors + 1)
        for number, start in enumerate(range(0, wanted, chunk_rows)):
            drawn = np.empty((chunk_rows, 0))
            # Features that are all constant are none to draw.
            if matrix.shape[1]:
                sampler = _sampler(rows.shape[1], n_codes)(
                    # imbalanced-learn takes final counts, and puts new rows behind those given.
                    sampling_strategy={group: int(present[group]) + chunk_rows},
                    k_neighbors=neighbours,
                    random_state=derive(seed, group, number),
                )
                drawn = sampler.fit_resample(matrix, row_groups)[0][len(matrix) :]
            yield parts(drawn[: min(chunk_rows, wanted - start)], group)


class _Neighbours(NearestNeighbors):
    """The neighbours of one group's rows, the row itself first: looked for once for all its chunks.

    imbalanced-learn looks for them whenever it draws, which takes the square of a group's rows.
    """

    def __sklearn_clone__(self) -> "_Neighbours":
        """Return itself: a sampler that is made anew for a chunk finds what was found."""
        return self

    def fit(self, X, y=None) -> "_Neighbours":
        """Take the group's rows, the first time."""
        return self if hasattr(self, "_found") else super().fit(X)

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Return the places of the neighbours of each of the rows that it was fitted to."""
        if not hasattr(self, "_found"):
            self._found = super().kneighbors(X, return_distance=False)
        return self._found


def _sampler(n_numbers: int, n_codes: int) -> Callable[..., SMOTE]:
    """Return the kind of SMOTE that is made for a table of so many columns of each type."""
    if not n_codes:
        return SMOTE
    if not n_numbers:
        return SMOTEN
    return partial(SMOTENC, categorical_features=[*range(n_numbers, n_numbers + n_codes)])
