# SPDX-License-Identifier: MIT
"""Whether synthetic rows lie nearer to training rows than real rows do that nobody learnt from.

A generator that learns the people lies as far from its training rows as held-out people do; one
that learns the rows by heart lies nearer. Each number has the same of held-out rows beside it, and
the standard error of their difference if there is none. Distances tell of copies and near copies;
they are no proof of privacy (arXiv 2505.01524).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.fidelity.nearest import Nearest, quantiles, typical
from mcrage.fidelity.space import Points, Search

LEVELS = {"nearest_1_percent": 0.01, "nearest_5_percent": 0.05, "nearest_half": 0.5}
_RATIO = 1 / 3
_SUBSETS = 10
# Of synthetic rows with those of one side; 20 million tell the share to half a percent.
_MAX_PAIRS = 20_000_000
# Copies differ by the rounding of floating point numbers at most.
_SAME = 1e-9


@dataclass(frozen=True)
class Share:
    """A share of a group's synthetic rows, and what it would be for an honest generator.

    Attributes
    ----------
    metric : str
        ``nearest_1_percent``, ``nearest_5_percent``, ``nearest_half``: nearer to a training row
        than all but this share of held-out rows; ``much_nearer_to_one``: d₁ / d₂ < 1/3, the
        distances to the two nearest training rows; ``copies``: equal to a training row in all
        features; ``nearer_to_training``: nearer to the training rows than to as many held-out
        ones, neutral at a half.
    group : int
    value : float
        In [0, 1].
    reference : float
        Of held-out rows; NaN if there are none.
    error : float
        Standard error of value - reference, if both have the same expectation.
    """

    metric: str
    group: int
    value: float
    reference: float
    error: float


def memorised(
    synthetic: np.ndarray,
    groups: np.ndarray,
    train: np.ndarray,
    train_groups: np.ndarray,
    held_out: np.ndarray,
    held_groups: np.ndarray,
    features: Sequence[Feature],
    seed: int,
) -> Iterator[Share]:
    """Judge synthetic rows group by group.

    Parameters
    ----------
    synthetic, train, held_out : ndarray of float64, shapes (m, d), (n, d) and (h, d)
        Raw units.
    groups, train_groups, held_groups : ndarray of int64
        Of the rows above.
    features : sequence of Feature
        In the order of the columns.
    seed : int
        Of the subsets of equal size.

    Yields
    ------
    Share
        For each group that has synthetic and training rows. Where a group has too few held-out
        rows for a quantile, see `mcrage.fidelity.nearest.quantiles`.
    """
    nearest = Nearest.of(train, train_groups, features)
    usual = typical(nearest.own(), train_groups)
    near = nearest.distances(synthetic, groups, k=2)
    held_near = nearest.distances(held_out, held_groups, k=2)
    limits = {
        metric: quantiles(held_near[:, 0], held_groups, level, usual)
        for metric, level in LEVELS.items()
    }
    points = [nearest.space.points(rows) for rows in (synthetic, train, held_out)]
    rng = np.random.default_rng(seed)
    for group in np.unique(groups):
        mine, held = groups == group, held_groups == group
        if group not in nearest.searches:
            continue
        n, h = int(mine.sum()), int(held.sum())
        for metric, found in limits.items():
            if group in found:
                limit, reference, n_real = found[group]
                value = float(np.mean(near[mine, 0] < limit))
                # Of the level, since the share below an empirical quantile is known beforehand.
                error = _error(LEVELS[metric], n, n_real)
                yield Share(metric, int(group), value, reference, error)
        for metric, said in (("much_nearer_to_one", _much_nearer), ("copies", _copied)):
            value = float(np.mean(said(near[mine])))
            reference = float(np.mean(said(held_near[held]))) if h else float("nan")
            pooled = (value * n + reference * h) / (n + h) if h else float("nan")
            yield Share(metric, int(group), value, reference, _error(pooled, n, h))
        masks = (mine, train_groups == group, held)
        sides = [rows.take(mask) for rows, mask in zip(points, masks, strict=True)]
        value, error = nearer_share(*sides, rng)
        yield Share("nearer_to_training", int(group), value, 0.5, error)


def nearer_share(
    synthetic: Points, train: Points, held_out: Points, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the share of synthetic rows nearer to training rows than to as many held-out ones.

    The larger side is thinned to the size of the smaller, ten times, and the shares are averaged.
    A tie counts half.

    Parameters
    ----------
    synthetic, train, held_out : Points
    rng : Generator

    Returns
    -------
    share : float
        In [0, 1]; neutral at a half; NaN without rows on either side.
    error : float
        Of the share if which half of the N real rows was learnt from is a matter of chance:
        ½ √((Σ w² - 1/N) N / (N - 1)), where w is the share of synthetic rows that a real row is
        nearest to. Synthetic rows that gather about few real ones make it large.
    """
    size = min(len(train), len(held_out))
    if size == 0 or len(synthetic) == 0:
        return float("nan"), float("nan")
    if len(synthetic) * size > _MAX_PAIRS:
        taken = rng.choice(len(synthetic), max(1, _MAX_PAIRS // size), replace=False)
        synthetic = synthetic.take(np.sort(taken))
    repeats = _SUBSETS if len(train) != len(held_out) else 1
    shares, variances = [], []
    for _ in range(repeats):
        sides = [
            rows.take(np.sort(rng.choice(len(rows), size, replace=False)))
            for rows in (train, held_out)
        ]
        (near, row), (other, other_row) = (
            (found[:, 0] for found in Search.of(rows).nearest(synthetic)) for rows in sides
        )
        shares.append(np.mean(near < other) + 0.5 * np.mean(near == other))
        owner = np.where(near <= other, row, size + other_row)
        weight = np.bincount(owner, minlength=2 * size) / len(synthetic)
        variances.append(0.25 * weight.var(ddof=1) * 2 * size)
    return float(np.mean(shares)), float(np.sqrt(np.mean(variances)))


def _much_nearer(near: np.ndarray) -> np.ndarray:
    return near[:, 0] < _RATIO * near[:, 1]


def _copied(near: np.ndarray) -> np.ndarray:
    return near[:, 0] < _SAME


def _error(share: float, n: int, n_real: int) -> float:
    """Return the standard error of the difference of two shares with this expectation."""
    if not n or not n_real:
        return float("nan")
    return float(np.sqrt(share * (1 - share) * (1 / n + 1 / n_real)))
