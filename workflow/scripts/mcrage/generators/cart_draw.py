# SPDX-License-Identifier: MIT
"""Rows drawn from the trees of the CART synthesiser."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mcrage.datasets.formula import evaluate
from mcrage.datasets.recorded import as_recorded
from mcrage.datasets.roles import Feature
from mcrage.encoding.arrays import arrays_below
from mcrage.errors import UserError
from mcrage.generators.cart_trees import Columns, leaves, ordered, seen, sizes_of
from mcrage.generators.uniform_draws import uniform_chunks
from mcrage.groups import GroupSchema

# A value that so many of a column's rows have is a point, and not spread.
_POINT = 0.2


def draw(
    rows: np.ndarray,
    trees: Mapping[str, np.ndarray],
    features: Sequence[Feature],
    schema: GroupSchema,
    plan: np.ndarray,
    *,
    derive: bool,
    smooth: bool,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw so many rows of each group; see `mcrage.generators.base.Generator`.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, n_features)
        Training rows.
    trees : mapping of str to ndarray
        See `mcrage.generators.cart_fit.grow`.
    features : sequence of Feature
    schema : GroupSchema
    plan : ndarray of int64, shape (n_groups,)
    derive, smooth : bool
        Recompute columns with a formula; spread numbers within their leaf.
    seed : int
    """
    from scipy.special import ndtri

    columns = Columns.of(rows, features, derive)
    complete = columns.complete(rows)
    own = {place: dict(arrays_below(f"{place}.", trees)) for place in columns.modelled}
    widths = {
        place: _widths(complete[:, place], own[place])
        for place in columns.modelled
        if smooth and not features[place].levels
    }
    width = len(columns.modelled) * (2 if smooth else 1)
    for uniforms, groups in uniform_chunks(plan, width, seed):
        drawn = np.full((len(groups), len(features)), np.nan, order="F")
        for number, place in enumerate(columns.modelled):
            before, tree = columns.modelled[:number], own[place]
            shown = ordered(
                seen(drawn, groups, before, schema),
                tree["ranks"],
                sizes_of(features, before, schema),
            )
            leaf = leaves(tree, shown)
            which = (uniforms[:, number] * tree["count"][leaf]).astype(np.int64)
            donors = tree["donors"][tree["start"][leaf] + which]
            value = complete[donors, place]
            if place in widths:
                noise = ndtri(uniforms[:, len(columns.modelled) + number])
                value = as_recorded(value + noise * widths[place][donors], features[place])
                value = np.clip(value, columns.lower[place], columns.upper[place])
            drawn[:, place] = value
        _recompute(drawn, features, columns)
        yield drawn, groups


def _widths(values: np.ndarray, tree: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the deviation of what is added to each training row's value, by Silverman's rule."""
    leaf = np.repeat(np.arange(len(tree["count"])), tree["count"])
    mine = values[tree["donors"]]
    known = ~np.isnan(mine)
    leaf_size = len(tree["count"])
    n = np.maximum(np.bincount(leaf[known], minlength=leaf_size), 1)
    mean = np.bincount(leaf[known], weights=mine[known], minlength=leaf_size) / n
    square = np.square(mine[known] - mean[leaf[known]])
    deviation = np.sqrt(np.bincount(leaf[known], weights=square, minlength=leaf_size) / n)
    width = np.empty(len(values))
    width[tree["donors"]] = (0.9 * deviation * n**-0.2)[leaf]
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    width[(counts >= _POINT * len(values))[place]] = 0.0
    return width


def _recompute(drawn: np.ndarray, features: Sequence[Feature], columns: Columns) -> None:
    known = {features[place].column: drawn[:, place] for place in columns.modelled}
    for place in columns.derived:
        feature = features[place]
        derived = evaluate(feature.formula, known)
        if not np.isfinite(derived).all():
            raise UserError(
                f"column {feature.column}: the formula '{feature.formula}' divides by zero for "
                "drawn rows. Declare a `lower` bound above 0 for its denominator."
            )
        drawn[:, place] = as_recorded(derived, feature)
