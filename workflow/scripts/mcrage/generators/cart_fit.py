# SPDX-License-Identifier: MIT
"""Growing the trees of the CART synthesiser with scikit-learn, and keeping them as arrays."""

import logging
from collections.abc import Sequence

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.generators.cart_trees import Columns, leaves, ordered, seen, sizes_of
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)


def grow(
    rows: np.ndarray,
    groups: np.ndarray,
    features: Sequence[Feature],
    schema: GroupSchema,
    *,
    derive: bool,
    min_leaf: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Grow a tree for each column.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, n_features)
    groups : ndarray of int64, shape (n,)
    features : sequence of Feature
    schema : GroupSchema
    derive : bool
        Whether columns with a formula are recomputed, and have no tree.
    min_leaf : int
        Fewest rows of a leaf.
    seed : int
        Of ties between splits.

    Returns
    -------
    dict of str to ndarray
        Of the feature i ``{i}.feature``, ``threshold``, ``left``, ``right``, ``missing_left`` by
        node; ``start`` and ``count`` of a leaf's rows among the ``donors``; ``ranks`` of levels
        before it.
    """
    columns = Columns.of(rows, features, derive)
    complete = columns.complete(rows)
    found: dict[str, np.ndarray] = {}
    for number, place in enumerate(columns.modelled):
        before = columns.modelled[:number]
        values = seen(complete, groups, before, schema)
        sizes = sizes_of(features, before, schema)
        tree = _tree(values, sizes, complete[:, place], features[place], min_leaf, seed)
        found |= {f"{place}.{name}": array for name, array in tree.items()}
        logger.info(
            "%s: a tree of %d leaves", features[place].column, int((tree["count"] > 0).sum())
        )
    return found


def _tree(
    values: np.ndarray,
    sizes: Sequence[int],
    wanted: np.ndarray,
    feature: Feature,
    min_leaf: int,
    seed: int,
) -> dict[str, np.ndarray]:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if feature.levels:
        # What is missing is one more level.
        codes = np.where(np.isnan(wanted), len(feature.levels), wanted).astype(np.int64)
        ranks = _ranks(values, sizes, codes)
        kind, response = DecisionTreeClassifier, codes
    else:
        response = _responses(wanted)
        ranks = _ranks(values, sizes, response)
        kind = DecisionTreeRegressor
    shown = ordered(values, ranks, sizes)
    grown = kind(min_samples_leaf=min(min_leaf, len(shown)), random_state=seed)
    grown = grown.fit(shown, response).tree_
    tree = {
        "feature": grown.feature.astype(np.int64),
        "threshold": grown.threshold.astype(np.float64),
        "left": grown.children_left.astype(np.int64),
        "right": grown.children_right.astype(np.int64),
        "missing_left": grown.missing_go_to_left.astype(np.uint8),
    }
    leaf = leaves(tree, shown)
    count = np.bincount(leaf, minlength=len(tree["feature"])).astype(np.int64)
    return {
        **tree,
        "ranks": ranks,
        "donors": np.argsort(leaf, kind="stable").astype(np.int32),
        "start": np.cumsum(count) - count,
        "count": count,
    }


def _responses(values: np.ndarray) -> np.ndarray:
    """Return what a number's tree is grown for: its middle rank, and whether it is missing.

    Ranks, since a few large values would have the squares of amounts for themselves.
    """
    missing = np.isnan(values)
    known, place, counts = np.unique(values[~missing], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.full(len(values), 0.5)
    if len(known):
        ranks[~missing] = ((ends - 0.5 * counts) / ends[-1])[place]
    parts = [ranks, missing.astype(np.float64)] if missing.any() else [ranks]
    return np.stack(parts, axis=1)


def _ranks(values: np.ndarray, sizes: Sequence[int], response: np.ndarray) -> np.ndarray:
    """Return the rank of each level of each column by the response.

    By the mean of a number or of two levels, which is where the best split of all sets lies
    (Breiman et al. 1984); of more by the first principal component of the levels' mean responses
    (Coppersmith, Hong and Hosking 1999).
    """
    parts = [np.empty(0)]
    overall = _sums(np.zeros(len(values), dtype=np.int64), 1, response)[0] / len(values)
    for column, size in enumerate(sizes):
        if not size:
            continue
        codes = np.where(np.isnan(values[:, column]), size - 1, values[:, column])
        codes = codes.astype(np.int64)
        counts = np.bincount(codes, minlength=size)
        sums = _sums(codes, size, response)
        # A level that no row has, as one that says nothing.
        means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], overall)
        centred = means - overall
        score = centred[:, 0]
        if centred.shape[1] > 2:
            weighted = centred.T @ (centred * counts[:, None])
            score = centred @ np.linalg.eigh(weighted)[1][:, -1]
        ranks = np.empty(size)
        ranks[np.argsort(score, kind="stable")] = np.arange(size)
        parts.append(ranks)
    return np.concatenate(parts)


def _sums(codes: np.ndarray, size: int, response: np.ndarray) -> np.ndarray:
    """Return the sum of a number's responses, or the rows of each level, for each code."""
    if response.ndim == 1:
        table = np.zeros((size, int(response.max()) + 1))
        np.add.at(table, (codes, response), 1.0)
        return table
    return np.stack([np.bincount(codes, weights=one, minlength=size) for one in response.T], axis=1)
