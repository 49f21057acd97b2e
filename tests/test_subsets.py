# SPDX-License-Identifier: MIT
"""Rows found at places of subsets: a plain search of each subset is the oracle."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcrage.diffusion.subsets import Subsets

EXPONENTS = (0.0, 0.5, 1.0)


def searched(groups, rows, exponent, positions):
    """Return the rows at positions of one subset, by a search of it alone in floating point."""
    rows = torch.arange(len(groups)) if rows is None else rows.sort().values
    rows = rows[torch.argsort(groups[rows], stable=True)]
    counts = torch.bincount(groups[rows]).double()
    ends = torch.cumsum(counts.pow(exponent - 1.0)[groups[rows]], dim=0)
    ends = torch.where(ends < ends[-1], ends / ends[-1], torch.inf)
    return rows[torch.searchsorted(ends, positions, right=True)]


def positions_of(size: int, n_batches: int, seed: int = 0) -> torch.Tensor:
    """Return places as `Batches` draws them."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(n_batches, size, generator=generator).double()
    return (torch.arange(size) + draws) / size


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("n_rows", [30, 4411, 300_000])
def test_rows_are_those_of_a_search_of_each_subset_to_the_last_bit(n_rows, in_order, exponent):
    source = torch.Generator().manual_seed(n_rows)
    groups = torch.multinomial(torch.tensor([0.1, 0.5, 0.05, 0.35]), n_rows, True, generator=source)
    groups = groups.sort().values if in_order else groups
    folds = torch.arange(n_rows) % 5
    subsets = [None, *(torch.nonzero(folds != fold).squeeze(1) for fold in range(5))]
    found = Subsets(groups, subsets, exponent)
    for place, subset in enumerate(subsets):
        # Batch sizes of the presets.
        for size in (128, 256, 512):
            positions = positions_of(size, 200, seed=place)
            expected = searched(groups, subset, exponent, positions)
            own = torch.full((200, 1), place)
            assert torch.equal(found.rows(positions, own), expected)
            alone = Subsets(groups, [subset], exponent).rows(positions, torch.zeros_like(own))
            assert torch.equal(alone, expected)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    exponent=st.sampled_from(EXPONENTS),
    size=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_neighbours_move_no_row_whatever_the_batch_size(sizes, exponent, size, seed):
    source = torch.Generator().manual_seed(seed)
    groups = torch.randint(0, 3, (sum(sizes),), generator=source)
    subsets = list(torch.randperm(sum(sizes), generator=source).split(sizes))
    positions = positions_of(size, 3, seed)
    together = Subsets(groups, subsets, exponent)
    for place, subset in enumerate(subsets):
        rows = together.rows(positions, torch.full((3, 1), place))
        alone = Subsets(groups, [subset], exponent).rows(positions, torch.zeros(3, 1).long())
        assert torch.equal(rows, alone)
        assert set(rows.flatten().tolist()) <= set(subset.tolist())


def test_the_last_place_is_the_last_row_and_the_first_the_first():
    groups = torch.tensor([2, 0, 1, 0])
    ends = torch.tensor([0.0, 1 - 2**-50], dtype=torch.float64)
    rows = Subsets(groups, [None, torch.tensor([2, 0])], 1.0).rows(ends, torch.tensor([[0], [1]]))
    assert rows.tolist() == [[1, 0], [2, 0]]
