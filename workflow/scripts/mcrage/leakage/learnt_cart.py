# SPDX-License-Identifier: MIT
"""A CART synthesiser's trees: each leaf lends the training rows that reach it, and no others."""

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.generators.cart_trees import Columns, leaves, ordered, seen, sizes_of
from mcrage.leakage.stored import StoredModel


def check(model: StoredModel) -> list[str]:
    """Send training rows down all trees; see `mcrage.leakage.fitted.check_learnt`."""
    train, features = model.train, model.train.roles.features
    columns = Columns.of(train.features, features, model.facts["settings"]["derive"])
    complete = columns.complete(train.features)
    problems = []
    for number, place in enumerate(columns.modelled):
        before = columns.modelled[:number]
        tree = arrays_below(f"trees.{place}.", model.arrays)
        values = seen(complete, train.groups, before, train.schema)
        shown = ordered(values, tree["ranks"], sizes_of(features, before, train.schema))
        leaf = leaves(tree, shown)
        count = np.bincount(leaf, minlength=len(tree["count"]))
        if not (
            np.array_equal(count, tree["count"])
            and np.array_equal(np.argsort(leaf, kind="stable"), tree["donors"])
        ):
            problems.append(
                f"the leaves of {features[place].column}'s tree do not lend the training rows that "
                "reach them"
            )
    return problems
