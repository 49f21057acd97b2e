# SPDX-License-Identifier: MIT
"""Folds for cross-validation: groups spread evenly, clusters kept whole."""

import numpy as np


def stratified_folds(
    groups: np.ndarray, n_folds: int, seed: int, clusters: np.ndarray | None = None
) -> np.ndarray:
    """Deal rows into folds of nearly the same size and mix of groups.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
    n_folds : int
        At least 2.
    seed : int
    clusters : ndarray, shape (n,), optional
        Patient or hospital of each row. Rows of one cluster share a fold, and groups are then
        spread only as evenly as whole clusters allow: the largest are dealt first, each to the
        fold that lacks its groups most.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold of each row, from 0. Without clusters a group's numbers in two folds differ by at most
        1.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(groups))
    if clusters is None:
        order = shuffled[np.argsort(groups[shuffled], kind="stable")]
        folds = np.empty(len(groups), dtype=np.int64)
        # Dealt on from group to group, so that rests do not all end in the first folds.
        folds[order] = np.arange(len(groups)) % n_folds
        return folds
    _, members = np.unique(clusters, return_inverse=True)
    counts = np.zeros((members.max() + 1, groups.max() + 1))
    np.add.at(counts, (members, groups), 1.0)
    # Each group weighs the same, however few its rows are.
    shares = counts / np.maximum(counts.sum(axis=0), 1.0)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    filled = np.zeros((n_folds, shares.shape[1]))
    fold_of = np.empty(len(counts), dtype=np.int64)
    for cluster in order:
        # Adding s to f raises the sum of squares over folds by 2 f·s and a constant.
        fold = np.lexsort((filled.sum(axis=1), filled @ shares[cluster]))[0]
        fold_of[cluster] = fold
        filled[fold] += shares[cluster]
    return fold_of[members]
