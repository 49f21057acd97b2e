# SPDX-License-Identifier: MIT
"""α-precision and β-recall: do synthetic rows lie where real ones do, and cover them all.

After Alaa et al. 2022 (arXiv 2102.08921), in the variant that published tables of tabular
generators report (“naive”): in the space of scaled features itself, with no embedding learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.fidelity.likeness import FEWEST_ROWS, thinned
from mcrage.fidelity.space import Search, Space

_STEPS = 30
_MAX_ROWS = 5_000


@dataclass(frozen=True)
class Coverage:
    """How a cloud of synthetic rows lies to a cloud of real ones.

    Attributes
    ----------
    alpha_precision : float
        1 - Σ |α - P(α)| / Σ α over 30 levels α from 0 to 1, where P(α) is the share of synthetic
        rows in the ball about the mean of the real rows that holds a share α of them. 1 if they
        spread about the centre as real ones do; below 0 is possible.
    beta_recall : float
        The same of R(β): the share of real rows whose nearest synthetic row is no farther than
        their nearest real one, and lies in the ball about the mean of the synthetic rows that holds
        a share β of such nearest rows. What equally many real rows have is about 0.5, more is
        not better: rows nearer than other people are copies.
    """

    alpha_precision: float
    beta_recall: float


def coverage(
    synthetic: np.ndarray,
    real: np.ndarray,
    features: Sequence[Feature],
    seed: int,
    *,
    max_rows: int = _MAX_ROWS,
) -> Coverage:
    """Return α-precision and β-recall.

    Parameters
    ----------
    synthetic, real : ndarray of float64, shapes (m, d) and (n, d)
        The larger table is thinned to the size of the smaller, and both to `max_rows`, since how
        near rows lie depends on how many there are.
    features : sequence of Feature
    seed : int
        Of thinning.
    max_rows : int

    Returns
    -------
    Coverage
        NaN with fewer than `FEWEST_ROWS` of either.
    """
    size = min(len(synthetic), len(real), max_rows)
    if size < FEWEST_ROWS:
        return Coverage(float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    space = Space.in_range(real, features)
    mine, real = (space.points(thinned(rows, size, rng)) for rows in (synthetic, real))
    levels = np.linspace(0, 1, _STEPS)
    limits = np.quantile(real.radii(real), levels)
    inside = _shares_below(mine.radii(real), limits)
    near, rows = (found[:, 0] for found in Search.of(mine).nearest(real))
    radii = mine.radii(mine)[rows]
    reached = near <= Search.of(real).among()
    covered = reached.mean() * _shares_below(radii[reached], np.quantile(radii, levels))
    return Coverage(
        *(float(1 - np.abs(levels - shares).sum() / levels.sum()) for shares in (inside, covered))
    )


def _shares_below(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.zeros(len(limits))
    # A hair's breadth, since equal distances are not equal to the last bit.
    return np.array([np.mean(values <= limit * (1 + 1e-12)) for limit in limits])
