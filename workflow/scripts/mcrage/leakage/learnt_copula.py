# SPDX-License-Identifier: MIT
"""A copula's margins, estimated anew from the rows that it may have learnt from."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from mcrage.generators.copula_fit import fit
from mcrage.leakage.stored import StoredModel


def check(model: StoredModel) -> list[str]:
    """Check quantiles of numbers and shares of levels; see `mcrage.leakage.fitted.check_learnt`."""
    train, encoding = model.train, model.encoding_anew
    numbers, codes = encoding.compact(train.rows)
    anew = fit(
        numbers,
        codes,
        train.groups,
        train.schema,
        states=encoding.states,
        cardinalities=encoding.cardinalities,
        prior_rows=model.facts["settings"]["prior_rows"],
    )
    stored = {name: model.arrays[f"margins.{name}"] for name in anew}
    pairs = {"quantiles": (stored["quantiles"], anew["quantiles"])}
    # The order of levels comes from an eigenvector, whose sign is another machine's choice.
    pairs["shares"] = tuple(_by_level(each, encoding.cardinalities) for each in (stored, anew))
    return [
        f"the copula's {name} are not what its training rows give"
        for name, (mine, given) in pairs.items()
        if mine.shape != given.shape or not np.allclose(mine, given, rtol=1e-6, atol=1e-8)
    ]


def _by_level(margins: Mapping[str, np.ndarray], cardinalities: Sequence[int]) -> np.ndarray:
    """Return the shares of each column's codes in the order of the codes."""
    shares = np.empty_like(margins["shares"])
    for low, high in pairwise(np.cumsum((0, *cardinalities)).tolist()):
        shares[:, low + margins["order"][low:high]] = margins["shares"][:, low:high]
    return shares
