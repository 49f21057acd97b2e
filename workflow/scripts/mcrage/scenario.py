# SPDX-License-Identifier: MIT
"""How the training set comes about: undersampling, splits and the induced imbalance.

All functions return row numbers, sorted, so that tables keep the order of the file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.tables import IS_OFFICIAL_TEST


def undersample(subgroups: np.ndarray, seed: int) -> np.ndarray:
    """Draw rows at random until every subgroup is as large as the smallest (paper, section 4.1).

    Parameters
    ----------
    subgroups : ndarray of int, shape (n,)
        Each row's cell of sensitive attributes.
    seed : int

    Returns
    -------
    ndarray of int64
        Sorted row numbers; subgroups without any row are not counted as the smallest.
    """
    rng = np.random.default_rng(seed)
    values, counts = np.unique(subgroups, return_counts=True)
    kept = [
        rng.choice(np.flatnonzero(subgroups == value), size=counts.min(), replace=False)
        for value in values
    ]
    return np.sort(np.concatenate(kept))


def apportion(counts: np.ndarray, fraction: float) -> np.ndarray:
    """Share out ``round(fraction * counts.sum())`` rows over groups by largest remainders.

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
    fraction : float in [0, 1]

    Returns
    -------
    ndarray of int64, shape (n_groups,)
        Within one row of ``fraction * counts`` in every group, never more than `counts`.
    """
    exact = np.asarray(counts) * fraction
    shares = np.floor(exact + 1e-9).astype(np.int64)
    left = round(float(exact.sum())) - int(shares.sum())
    remainders = exact - shares
    # Stable, so that ties go to the lower group number whatever the platform sorts like.
    first = np.argsort(-remainders, kind="stable")[: max(left, 0)]
    shares[first] += 1
    return np.minimum(shares, counts)


def draw(groups: np.ndarray, fraction: float, seed: int, n_groups: int) -> np.ndarray:
    """Draw a fraction of the rows, stratified by group.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
    fraction : float in (0, 1]
    seed : int
    n_groups : int

    Returns
    -------
    ndarray of int64
        Sorted row numbers, `apportion` of them from each group.
    """
    rng = np.random.default_rng(seed)
    shares = apportion(np.bincount(groups, minlength=n_groups), fraction)
    drawn = [
        rng.choice(np.flatnonzero(groups == group), size=share, replace=False)
        for group, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(drawn))


def split(
    groups: np.ndarray,
    fraction: float,
    seed: int,
    n_groups: int,
    clusters: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows in two, stratified by group.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
    fraction : float in (0, 1)
        Share of the second part.
    seed : int
    n_groups : int
    clusters : ndarray, shape (n,), optional
        Patient or hospital of each row. Rows of one cluster stay together, and the fraction is
        then met only as closely as whole clusters allow.

    Returns
    -------
    first, second : ndarray of int64
        Sorted row numbers; disjoint, together all rows.
    """
    if clusters is None:
        second = draw(groups, fraction, seed, n_groups)
    else:
        second = _draw_clusters(groups, fraction, seed, clusters)
    first = np.setdiff1d(np.arange(len(groups)), second)
    return first, second


def official_split(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and those of the dataset's own test set.

    Parameters
    ----------
    table : pyarrow.Table
        With the column is_official_test, as `mcrage.datasets.prepare` makes it.

    Returns
    -------
    pool, test : ndarray of int64
        Sorted row numbers.
    """
    test = table.column(IS_OFFICIAL_TEST).to_numpy()
    return np.flatnonzero(~test), np.flatnonzero(test)


def _draw_clusters(
    groups: np.ndarray, fraction: float, seed: int, clusters: np.ndarray, candidates: int = 64
) -> np.ndarray:
    """Draw whole clusters: of several random draws, the one whose groups are best represented."""
    rng = np.random.default_rng(seed)
    _, members, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise UserError(
            "all rows belong to one cluster, so nothing can be held out; check the cluster column "
            "in the dataset card."
        )
    wanted = np.bincount(groups) * fraction
    best, best_distance = np.empty(0, dtype=np.int64), np.inf
    for _ in range(candidates):
        order = rng.permutation(len(sizes))
        totals = np.cumsum(sizes[order])
        # At least one cluster on either side, and as close to the fraction as whole ones allow.
        n = int(np.argmin(np.abs(totals[:-1] - wanted.sum()))) + 1
        chosen = np.flatnonzero(np.isin(members, order[:n]))
        drawn = np.bincount(groups[chosen], minlength=len(wanted))
        distance = float(np.abs(drawn - wanted).sum())
        if distance < best_distance:
            best, best_distance = chosen, distance
    return best


def thin_out(
    digits: np.ndarray, schema: GroupSchema, keep: Sequence[Mapping], seed: int
) -> np.ndarray:
    """Induce the imbalance: keep a fraction of the rows of given subgroups.

    Within a subgroup the mix of outcomes stays as it is, to the row.

    Parameters
    ----------
    digits : ndarray of int64, shape (n_columns, n)
        Level numbers from `GroupSchema.digits`.
    schema : GroupSchema
    keep : sequence of mapping
        Each with ``where`` (attribute: level) and ``fraction``; applied in order, the draws of
        one rule independent of those of another.
    seed : int

    Returns
    -------
    ndarray of int64
        Sorted row numbers that stay.

    Raises
    ------
    UserError
        If a rule names no sensitive attribute or level, or matches no row.
    """
    stays = np.ones(digits.shape[1], dtype=bool)
    groups = schema.index_of(digits)
    for number, rule in enumerate(keep):
        matches = stays & _matching(digits, schema, rule["where"])
        rows = np.flatnonzero(matches)
        words = ", ".join(f"{column}={level}" for column, level in rule["where"].items())
        if not len(rows):
            raise UserError(
                f"scenario, keep where {words}: no training row matches. Check the levels, or "
                "remove the rule."
            )
        chosen = rows[draw(groups[rows], rule["fraction"], seed + number, schema.n_groups)]
        stays[rows] = False
        stays[chosen] = True
    return np.flatnonzero(stays)


def _matching(digits: np.ndarray, schema: GroupSchema, where: Mapping[str, str]) -> np.ndarray:
    attributes = schema.columns[:-1]
    matches = np.ones(digits.shape[1], dtype=bool)
    for column, level in where.items():
        if column not in attributes:
            raise UserError(
                f"scenario, keep where {column}: not a sensitive attribute of the dataset; "
                f"allowed: {', '.join(attributes)}."
            )
        position = schema.columns.index(column)
        levels = schema.levels[position]
        if str(level) not in levels:
            raise UserError(
                f"scenario, keep where {column}={level}: no such level; allowed: "
                f"{', '.join(levels)}."
            )
        matches &= digits[position] == levels.index(str(level))
    return matches
