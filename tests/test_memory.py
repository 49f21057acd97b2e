# SPDX-License-Identifier: MIT
"""What an ensemble is said to take beside what it takes, and grids that are split by it."""

import logging
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.heldout import HeldOut
from mcrage.diffusion.memory import heldout_bytes, member_bytes, partition, table_bytes
from mcrage.diffusion.network import Network, PaperNetwork, ResidualNetwork
from mcrage.diffusion.process import DiscreteProcess, EdmProcess
from mcrage.diffusion.schedule import linear_schedule
from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.generators import blocks, cddpm_fit
from test_generators import fitted

DIGITS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most that torch held at a time while something was done, in bytes."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def peak_of_numpy(work: Callable[[], object]) -> int:
    """Return the most that Python and NumPy held at a time, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_measure_is_of_what_is_held_at_a_time():
    def work():
        for _ in range(3):
            torch.zeros(2**20).add(1)

    assert peak_bytes(work) == pytest.approx(2 * 4 * 2**20, rel=1e-4)


# Rows, columns, members, width, folds: what takes most is the table, its folds, the held-out rows,
# or the members; the last has some of each.
CASES = {
    "table": (200_000, 30, 2, 16, 0),
    "folds": (200_000, 3, 5, 16, 5),
    "held out": (30_000, 40, 5, 16, 5),
    "members": (500, 5, 60, 128, 5),
    "all": (20_000, 10, 10, 64, 5),
}
BATCH = 128


def network_of(kind: str, condition: Condition, n_columns: int, width: int) -> Network:
    if kind == "paper":
        return PaperNetwork(n_columns, condition, width=width, n_timesteps=35)
    return ResidualNetwork(n_columns, condition, width=width, depth=2)


@pytest.mark.parametrize("kind", ["residual", "paper"])
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_training_takes_what_was_reckoned(case, in_order, kind):
    n_rows, n_columns, n_members, width, n_folds = CASES[case]
    condition = Condition(DIGITS, (2, 2))
    network = network_of(kind, condition, n_columns, width)
    process = DiscreteProcess(linear_schedule(35, 1e-10, 0.2)) if kind == "paper" else EdmProcess()
    shared = (network, condition, process)
    folds = torch.arange(n_rows) % max(1, n_folds)
    learnt, held = (
        [torch.nonzero((folds == fold) == out).squeeze(1) for fold in range(n_folds)]
        for out in (False, True)
    )
    members = [
        Member(0, 1e-3 * (1 + place), batch_size=BATCH, subset=place % 5 if n_folds else None)
        for place in range(n_members)
    ]
    reckoned = n_members * member_bytes(network, BATCH, averaged=True)

    def work():
        nonlocal reckoned
        # The table is there before, and counts all the same.
        rows, groups = torch.randn(n_rows, n_columns), torch.arange(n_rows) * 4 // n_rows
        if not in_order:
            groups = groups.flip(0)
        reckoned += table_bytes(rows, groups, learnt)
        reckoned += heldout_bytes(rows, groups, held, len(condition.null))
        if held:
            judge = HeldOut(*shared, rows, groups, held, seed=0, chunk_rows=2 * BATCH)
        settings = TrainingSettings(10, clip_norm=1.0)
        one = Trainer(*shared, rows, groups, members, settings, subsets=learnt)
        for _ in range(2):
            one.step()
        if held:
            judge.losses(one.weights(averaged=True), [member.subset for member in members])

    measured = peak_bytes(work)
    assert measured <= reckoned <= 1.6 * measured


def test_what_is_held_out_is_reckoned_before_it_is_made():
    rows, groups = torch.randn(6000, 7), torch.arange(6000) % 4
    held = [torch.arange(0, 5000), torch.arange(5000, 6000)]
    shared = (ResidualNetwork(7, Condition(DIGITS, (2, 2)), width=8), Condition(DIGITS, (2, 2)))
    one = HeldOut(*shared, EdmProcess(), rows, groups, held, seed=0)
    kept = sum(part.nbytes for part in one._parts)
    reckoned = heldout_bytes(rows, groups, held, len(shared[1].null))
    assert kept < reckoned < 1.4 * kept
    # Of a subset that leaves much out, no more than so many rows of each group are judged.
    assert one._parts[0].shape[1] == 8 * 4 * 1024


def watched(monkeypatch, **options) -> tuple[int, int, int, list[list[int]]]:
    """Fit a grid; return a member's bytes, the table's, the limit, and the ensembles."""
    seen = []

    def divided(members, bytes_of, limit, shared):
        parts = partition(members, bytes_of, limit, shared)
        seen.append((bytes_of(members[0]), shared, limit, parts))
        return parts

    monkeypatch.setattr(cddpm_fit, "partition", divided)
    fitted("crossed", override=options)
    return seen[0]


def test_a_grid_is_split_by_what_the_table_leaves(monkeypatch):
    own, table, _, parts = watched(monkeypatch)
    assert len(parts) == 1
    assert table > own / 3
    room = (table + 2.5 * own) / 2**30
    own, table, limit, parts = watched(monkeypatch, max_memory_gib=room)
    assert max(map(len, parts)) == 2
    assert all(table + len(part) * own <= limit for part in parts)


def test_a_table_that_is_too_large_by_itself_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        fitted("crossed", override={"max_memory_gib": 2e-6})
    assert "the table and one member take more than is allowed" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        fitted("crossed")
    assert not caplog.text


@pytest.mark.parametrize("name", ["tuned", "paper"])
def test_drawing_holds_no_more_for_more_rows(name, monkeypatch):
    """Rows leave as they are drawn, so that ten million take the memory of some thousands."""
    monkeypatch.setattr(blocks, "_CHUNK_ROWS", 2048)
    generator = fitted(name, override={"sampling_steps": 2})

    def draw(n_rows: int) -> None:
        drawn = generator.draw(np.full(4, n_rows // 4), seed=1)
        assert sum(len(groups) for _, groups in drawn) == n_rows

    for peak in (peak_bytes, peak_of_numpy):
        few, many = (peak(lambda n=n: draw(n)) for n in (4_096, 16_384))
        assert many < 1.2 * few, peak.__name__
