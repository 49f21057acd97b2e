# SPDX-License-Identifier: MIT
"""Rows of a plan in chunks of bounded memory, each group's in blocks of a fixed size.

A group's rows are numbered. They come in blocks whose noise has a seed of its own, derived from the
seed of the draw, the group and the block's number; within a block the members draw in turn. So a
row depends on its group and number alone: the rows of a smaller request are the first rows of a
larger one, and how many blocks are computed together changes nothing but the rounding of float32.

Rows that lie beside the band of their group are left out, and the next ones of the group take their
places: what is drawn is the model's distribution given the band. A group whose first block has next
to no row inside would take too long so; its rows stay as they are, for `mcrage.bands` to move them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Encoded rows (m, d) and their groups (m,) to which of them to keep, bool (m,)."""

logger = logging.getLogger(__name__)
# Of the rows of a group's first block so many must lie inside for others to be left out.
_LEAST_INSIDE = 1 / 8
# Rows of a block, of all members together.
_BLOCK_ROWS = 256
# Rows that are handed on at a time.
_CHUNK_ROWS = 131_072
# Rows that are computed at a time, of all members together, and at least of each: on the CPU so few
# that they stay in its cache, and so many that weights are read for many rows; on a GPU enough to
# keep it busy.
ROWS_AT_ONCE = {"cpu": 1024, "cuda": 131_072}
_ROWS_OF_A_MEMBER = 128


class Block(NamedTuple):
    """Some rows of one group.

    Attributes
    ----------
    group, number : int
        Block `number` of the group.
    n_rows : int
        Rows wanted of it.
    """

    group: int
    number: int
    n_rows: int


class Drawing(Protocol):
    """Draws blocks of rows."""

    def __call__(self, groups: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        """Return encoded rows (M, n, d) of groups (M, n), which are blocks of these numbers."""
        ...


def rows_of_a_block(n_members: int) -> int:
    """Return how many rows of a block each member draws."""
    return max(1, _BLOCK_ROWS // n_members)


def blocks_at_once(n_members: int, device: str) -> int:
    """Return how many blocks are computed together on a type of device, "cpu" or "cuda"."""
    rows = max(ROWS_AT_ONCE[device], _ROWS_OF_A_MEMBER * n_members)
    return max(1, rows // (rows_of_a_block(n_members) * n_members))


def block_seeds(seed: int, numbers: Iterable[int]) -> list[int]:
    """Return the seeds of blocks: consecutive, not hashed, so that no two share their noise."""
    return [(seed + number) % 2**32 for number in numbers]


def draw_plan(
    drawing: Drawing,
    plan: np.ndarray,
    *,
    n_members: int,
    n_groups: int,
    device: str,
    inside: Inside | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw so many rows of each group, from the members in turn.

    Parameters
    ----------
    drawing : Drawing
        Given blocks of `rows_of_a_block`, at most `blocks_at_once`.
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.
    n_members, n_groups : int
    device : str
        "cpu" or "cuda".
    inside : callable, optional
        Which rows to keep; None: all.

    Yields
    ------
    rows : ndarray of float32, shape (m, d)
        Encoded; m is bounded, whatever the plan.
    groups : ndarray of int64, shape (m,)
        Rising over the whole draw.
    """
    size = rows_of_a_block(n_members) * n_members
    most = max(1, _CHUNK_ROWS // size)
    shape = {"n_members": n_members, "n_groups": n_groups, "device": device}
    if inside is not None and plan.any():
        yield from _drawn_inside(
            lambda chunk: _drawn(drawing, chunk, **shape), plan, inside, size, most
        )
        return
    blocks = _blocks(plan, size) if plan.any() else iter([Block(0, 0, 0)])
    while chunk := list(islice(blocks, most)):
        yield _drawn(drawing, chunk, **shape)


def _drawn(
    drawing: Drawing, chunk: list[Block], *, n_members: int, n_groups: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of some blocks, and their groups."""
    own, together = rows_of_a_block(n_members), blocks_at_once(n_members, device)
    drawn = []
    for start in range(0, len(chunk), together):
        some = chunk[start : start + together]
        groups = np.repeat([block.group for block in some], own)
        rows = drawing(
            np.broadcast_to(groups, (n_members, len(groups))),
            [block.group + n_groups * block.number for block in some],
        )
        # From (M, blocks, rows of a member, d) to blocks in which the members take turns.
        rows = rows.reshape(n_members, len(some), own, -1)
        rows = rows.transpose(1, 2, 0, 3).reshape(len(some), own * n_members, -1)
        drawn += [part[: block.n_rows] for block, part in zip(some, rows, strict=True)]
    counts = [block.n_rows for block in chunk]
    return np.concatenate(drawn), np.repeat([block.group for block in chunk], counts)


def _drawn_inside(
    draw: Callable[[list[Block]], tuple[np.ndarray, np.ndarray]],
    plan: np.ndarray,
    inside: Inside,
    size: int,
    most: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the first rows of each group that lie inside; as many as planned, group by group.

    Parameters
    ----------
    draw : callable
    plan : ndarray of int64, shape (n_groups,)
        Not all 0.
    inside : callable
    size : int
        Rows of a block.
    most : int
        Blocks that are drawn at a time.
    """
    lacking = np.array(plan, dtype=np.int64)
    tried, kept = np.zeros((2, len(lacking)), dtype=np.int64)
    beside = np.zeros(len(lacking), dtype=bool)
    # Rows of groups behind one that still lacks some.
    held: dict[int, list[np.ndarray]] = {}
    while lacking.any():
        chunk: list[Block] = []
        for group in np.flatnonzero(lacking).tolist():
            share = max(kept[group] / tried[group], _LEAST_INSIDE) if tried[group] else 1.0
            first, wanted = tried[group] // size, -int(-lacking[group] // (size * share))
            chunk += [Block(group, int(first) + i, size) for i in range(min(wanted, most))]
            if len(chunk) >= most:
                break
        rows, groups = draw(chunk[:most])
        stays = inside(rows, groups)
        for group in np.unique(groups).tolist():
            own = np.flatnonzero(groups == group)
            if not tried[group]:
                beside[group] = stays[own[:size]].mean() < _LEAST_INSIDE
            good = own if beside[group] else own[stays[own]]
            tried[group] += len(own)
            kept[group] += len(good)
            taken = good[: lacking[group]]
            lacking[group] -= len(taken)
            held.setdefault(group, []).append(rows[taken])
        first = np.flatnonzero(lacking)[0] if lacking.any() else len(lacking)
        ready = sorted(group for group in held if group <= first)
        parts = {group: np.concatenate(held.pop(group)) for group in ready}
        yield (
            np.concatenate(list(parts.values())),
            np.repeat(ready, [len(part) for part in parts.values()]),
        )
    told = "%d of %d rows lay beside the band of their group: others took their places"
    logger.info(told, (tried - kept).sum(), tried.sum())
    if beside.any():
        logger.warning(
            "groups %s: nearly all rows lie beside their band; they are moved into it",
            ", ".join(map(str, np.flatnonzero(beside))),
        )


def _blocks(plan: np.ndarray, size: int) -> Iterator[Block]:
    """Yield the blocks of a plan, group by group."""
    for group, wanted in enumerate(plan.tolist()):
        for number, start in enumerate(range(0, wanted, size)):
            yield Block(group, number, min(size, wanted - start))
