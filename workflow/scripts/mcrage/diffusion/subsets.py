# SPDX-License-Identifier: MIT
"""Rows of several subsets of one table, found by their places in a subset sorted by group."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Places in a subset are told apart to so many parts of it. They are whole numbers, so that a
# subset's number in front of them costs no digit: its rows are the same, whichever subsets there
# are beside it. A place in a batch of up to 65,536 rows, a power of two, is one of the parts.
_PARTS = 2**40


class Subsets:
    """Finds rows at places in [0, 1) of subsets, at the same cost however many subsets there are.

    Ends of the rows' shares lie one after the other in a single growing vector, a subset behind
    the other, so that one search finds the rows of all.

    Parameters
    ----------
    groups : Tensor of int64, shape (n,)
        Of all rows of the table.
    subsets : sequence of (Tensor of int64 or None)
        Indices of rows; None: all rows.
    exponent : float
        Groups have shares in proportion to n_g to this power.
    device : torch.device or str
    """

    def __init__(
        self,
        groups: Tensor,
        subsets: Sequence[Tensor | None],
        exponent: float,
        device: torch.device | str = "cpu",
    ) -> None:
        sizes = [len(groups) if rows is None else len(rows) for rows in subsets]
        ends = torch.empty(sum(sizes), dtype=torch.int64)
        # The rows of a whole table in the order of its groups need no list.
        listed = len(subsets) > 1 or subsets[0] is not None or not _is_growing(groups)
        small = len(groups) < torch.iinfo(torch.int32).max
        rows = torch.empty(len(ends) * listed, dtype=torch.int32 if small else torch.int64)
        first = 0
        for place, (subset, size) in enumerate(zip(subsets, sizes, strict=True)):
            own, of_own = _in_order(groups, subset)
            ends[first : first + size] = _ends(of_own, exponent) + place * _PARTS
            if listed:
                rows[first : first + size] = torch.arange(size) if own is None else own
            first += size
        self._ends = ends.to(device)
        self._rows = rows.to(device) if listed else None

    def rows(self, positions: Tensor, places: Tensor) -> Tensor:
        """Return the rows at positions in subsets.

        Parameters
        ----------
        positions : Tensor of float64 in [0, 1), shape (..., B)
        places : Tensor of int64, shape (..., 1)
            Which subset.
        """
        wanted = (positions * _PARTS).long() + places * _PARTS
        index = torch.searchsorted(self._ends, wanted, right=True)
        return index if self._rows is None else self._rows[index].long()


def _is_growing(values: Tensor) -> bool:
    return not bool((values[1:] < values[:-1]).any())


def _in_order(groups: Tensor, subset: Tensor | None) -> tuple[Tensor | None, Tensor]:
    """Return the rows of a subset sorted by group, None for all as they lie, and their groups."""
    if subset is not None:
        subset = subset if _is_growing(subset) else subset.sort().values
        groups = groups[subset]
    if _is_growing(groups):
        return subset, groups
    groups, order = torch.sort(groups, stable=True)
    return order if subset is None else subset[order], groups


def _ends(groups: Tensor, exponent: float) -> Tensor:
    """Return where each row's share ends, in parts, rounded up: a place before it stays before."""
    ends = torch.bincount(groups).double().pow_(exponent - 1.0)[groups].cumsum_(dim=0)
    # The last row takes what rounding leaves.
    return ends.div_(ends[-1].clone()).mul_(_PARTS).ceil_().long()
