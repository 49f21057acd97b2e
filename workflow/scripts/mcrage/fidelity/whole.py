# SPDX-License-Identifier: MIT
"""Two whole tables held against each other, groups and all: the measures that papers print."""

from collections.abc import Sequence

import numpy as np

from mcrage.datasets.roles import Feature, Roles
from mcrage.fidelity.coverage import coverage
from mcrage.fidelity.likeness import shape, thinned, told_apart, trend
from mcrage.fidelity.memorising import nearer_share
from mcrage.fidelity.space import Space

_MAX_ROWS = 10_000


def all_columns(roles: Roles) -> tuple[Feature, ...]:
    """Return the features, then the sensitive attributes that are none, then the target.

    For `mcrage.encoding.columns.feature_matrix`, where a table is judged as a whole.
    """
    own = [part for part in roles.sensitive if part.column not in roles.feature_columns]
    return (
        *roles.features,
        *(
            Feature(part.column, part.label, kind="category", levels=part.levels)
            for part in (*own, roles.target)
        ),
    )


def judge_whole(
    synthetic: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    features: Sequence[Feature],
    *,
    real: np.ndarray | None = None,
    seed: int = 0,
    max_rows: int = _MAX_ROWS,
) -> dict[str, float]:
    """Return one number for each measure.

    Parameters
    ----------
    synthetic, train, held_out : ndarray of float64, shapes (m, d), (n, d) and (h, d)
        See `mcrage.encoding.columns.feature_matrix`.
    features : sequence of Feature
        In the order of the columns; see `all_columns`.
    real : ndarray of float64, shape (r, d), optional
        What likeness is measured to; the held-out rows if not given. (Most papers take the
        training rows, which flatters who copies them.)
    seed : int
    max_rows : int
        Of each table, in C2ST, coverage and distances.

    Returns
    -------
    dict of str to float
        ``shape``: mean over columns; ``trend``; ``c2st_auroc``; ``c2st``: 1 - 2 |AUROC - ½|, 1 if
        nothing tells them apart; ``alpha_precision``, ``beta_recall``; ``nearer_to_training``:
        the share of synthetic rows nearer to a training row than to one of as many held-out ones
        (DCR share), neutral at a half, and ``nearer_to_training_error``, its standard error.
    """
    real = held_out if real is None else real
    auroc, _ = told_apart(synthetic, real, features, seed, max_rows=max_rows)
    covered = coverage(synthetic, real, features, seed, max_rows=max_rows)
    rng = np.random.default_rng(seed)
    space = Space.of(train, features)
    sides = [space.points(thinned(rows, max_rows, rng)) for rows in (synthetic, train, held_out)]
    share, error = nearer_share(*sides, rng)
    return {
        "shape": float(shape(synthetic, real, features).mean()),
        "trend": trend(synthetic, real, features),
        "c2st_auroc": auroc,
        "c2st": 1 - 2 * abs(auroc - 0.5),
        "alpha_precision": covered.alpha_precision,
        "beta_recall": covered.beta_recall,
        "nearer_to_training": share,
        "nearer_to_training_error": error,
    }
