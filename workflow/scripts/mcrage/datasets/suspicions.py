# SPDX-License-Identifier: MIT
"""What is allowed and yet likely a mistake: said in the log, and left to the user."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.roles import Feature
from mcrage.encoding.columns import feature_matrix
from mcrage.errors import UserError

logger = logging.getLogger(__name__)
ENOUGH_ROWS = 50
"""Below, nothing is suspected: chance does the same."""
NEARLY_ALL = 0.995
_ENOUGH_TO_SEE = 200_000


def suspect_identifier(feature: Feature, values: pa.Array) -> None:
    """Warn of a feature that looks like an identifier: whole numbers or levels, nearly all other.

    Parameters
    ----------
    feature : Feature
    values : pyarrow.Array, shape (n,)
    """
    known = len(values) - values.null_count
    if known < ENOUGH_ROWS or feature.kind not in ("integer", "category"):
        return
    different = len(feature.levels) or pc.count_distinct(values).as_py()
    if different >= NEARLY_ALL * known:
        logger.warning(
            "column %s: %d different values in %d rows: is it an identifier? Nothing is learnt of "
            "one: write type: ignored in the card, or name it under cluster if it is a patient's",
            feature.column, different, known,
        )  # fmt: skip


def suspect_leakage(feature: Feature, values: pa.Array, target: np.ndarray) -> None:
    """Warn of a feature that tells the target by itself, perhaps recorded after the outcome.

    Parameters
    ----------
    feature : Feature
    values : pyarrow.Array, shape (n,)
    target : ndarray of int64, shape (n,)
        Level of each row.
    """
    step = max(1, len(values) // _ENOUGH_TO_SEE)
    table = pa.table({feature.column: values.take(pa.array(np.arange(0, len(values), step)))})
    numbers, target = feature_matrix(table, [feature])[:, 0], target[::step]
    share = predicted_alone(numbers, target, ordered=not feature.levels)
    if share >= NEARLY_ALL:
        logger.warning(
            "column %s: it alone tells the target in all but %.2g %% of the rows that one could "
            "not guess: was it recorded after the outcome, or made from it? If so, write type: "
            "ignored in the card", feature.column, 100 * (1 - share),
        )  # fmt: skip


def predicted_alone(numbers: np.ndarray, target: np.ndarray, *, ordered: bool) -> float:
    """Return how well a column tells the target by itself, from 0 (not at all) to 1 (always).

    Rows of an ordered column are told by the best cut, of another one by what is most frequent
    among rows of the same value. What the most frequent level of the target gets right is no
    merit: 1 minus the errors over the errors of that guess.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n,)
        NaN is a value of its own, above all others.
    target : ndarray of int64, shape (n,)
    ordered : bool

    Returns
    -------
    float
        0 where there are too few rows to tell.
    """
    values, place = np.unique(numbers, return_inverse=True)
    n_levels = int(target.max()) + 1
    counts = np.bincount(place * n_levels + target, minlength=len(values) * n_levels)
    counts = counts.reshape(len(values), n_levels)
    totals = counts.sum(axis=0)
    guessed = len(target) - totals.max()
    # A value that few rows have tells their target by chance.
    if guessed < ENOUGH_ROWS // 2 or (not ordered and len(values) * 10 > len(target)):
        return 0.0
    if ordered:
        below = np.cumsum(counts, axis=0)
        right = (below.max(axis=1) + (totals - below).max(axis=1)).max()
    else:
        right = counts.max(axis=1).sum()
    return 1.0 - float(len(target) - right) / float(guessed)


def refuse_told_by_attribute(name: str, codes: np.ndarray, target: np.ndarray) -> None:
    """Refuse a sensitive attribute whose levels all have one level of the target.

    Raises
    ------
    UserError
        Groups without a row can't be filled.
    """
    pairs = np.unique(np.stack([codes, target]), axis=1)
    if len(target) >= ENOUGH_ROWS and pairs.shape[1] == len(np.unique(codes)):
        raise UserError(
            f"sensitive attribute {name}: each of its levels has one level of the target alone, so "
            "that the other groups are empty; is it the target by another name? Take it out of "
            "sensitive in the card"
        )
