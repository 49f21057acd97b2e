# SPDX-License-Identifier: MIT
"""A mixture's components, which together have the means and shares of the rows they were fitted to.

Wherever expectation and maximisation end, the components' means, each as often as it is, have the
mean of all rows, and their levels the rows' shares. So nothing is fitted anew.
"""

from itertools import pairwise

import numpy as np

from mcrage.generators.mixture_fit import LEVEL_ROWS
from mcrage.generators.mixture_numbers import MEAN_ROWS
from mcrage.leakage.stored import StoredModel


def check(model: StoredModel) -> list[str]:
    """Check numbers without gaps, and all codes; see `mcrage.leakage.fitted.check_learnt`."""
    train, encoding = model.train, model.encoding_anew
    within = train.within(model.facts["settings"]["scaling"])
    numbers, codes = encoding.transform(train.rows, jitter_seed=model.seed, within=within)
    sizes, means, levels = (
        model.arrays[f"components.{name}"] for name in ("sizes", "means", "levels")
    )
    n, k = len(codes), len(sizes)
    complete = [column for column, state in enumerate(encoding.states) if state is None]
    together = ((sizes + MEAN_ROWS) @ means[:, complete]) / (n + k * MEAN_ROWS)
    problems = []
    if not np.allclose(together, numbers[:, complete].mean(axis=0, dtype=np.float64), atol=1e-6):
        problems.append("means")
    ends = np.cumsum((0, *encoding.cardinalities)).tolist()
    counts = np.concatenate(
        [np.empty(0), *(np.bincount(codes[:, i], minlength=high - low)
        for i, (low, high) in enumerate(pairwise(ends)))]
    )  # fmt: skip
    found = ((sizes + LEVEL_ROWS) @ levels) / (n + k * LEVEL_ROWS)
    if found.shape != counts.shape or not np.allclose(found, counts / n, atol=1e-8):
        problems.append("levels")
    return [f"the mixture's {name} are not those of its training rows" for name in problems]
