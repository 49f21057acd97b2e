# SPDX-License-Identifier: MIT
"""Labels of synthetic rows from what real rows teach, in place of those they were drawn for.

A generator that learns P(x | group) from few rows labels badly where outcomes overlap: its rows
near the boundary carry either label at random, and a forest learns the noise. A classifier fitted
on the real rows knows P(outcome | x) better, above all where it shares across subgroups what the
forest learns of each by itself (`features: both` or `within_subgroup`). Both labels with their
probabilities as weights hand that on without the noise of drawing one.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.registry import fit
from mcrage.datasets.roles import Roles
from mcrage.rebalancing import Labels


def soft_labels(
    settings: dict[str, Any], train: pa.Table, roles: Roles, *, seed: int, threads: int = 1
) -> Labels:
    """Fit a classifier on real rows, to tell how likely synthetic rows have the positive outcome.

    Parameters
    ----------
    settings : dict
        Of the classifier that teaches, resolved.
    train : pyarrow.Table
        The real rows it is fitted on.
    roles : Roles
    seed, threads : int
    """
    score = fit(settings, train, None, roles, seed=seed, threads=threads)
    # Where nothing lacks there are no rows, which scikit-learn refuses.
    return lambda rows: score(rows) if rows.num_rows else np.empty(0)
