# SPDX-License-Identifier: MIT
"""Rows of a plan in chunks of bounded memory, each group's in blocks of a fixed size.

A group's rows are numbered. They come in blocks whose noise has a seed of its own, derived from the
seed of the draw, the group and the block's number; within a block the members draw in turn. So a
row depends on its group and number alone: the rows of a smaller request are the first rows of a
larger one, and how many blocks are computed together changes nothing but the rounding of float32.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

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
    drawing: Drawing, plan: np.ndarray, *, n_members: int, n_groups: int, device: str
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

    Yields
    ------
    rows : ndarray of float32, shape (m, d)
        Encoded; m is bounded, whatever the plan.
    groups : ndarray of int64, shape (m,)
        Rising over the whole draw.
    """
    own, together = rows_of_a_block(n_members), blocks_at_once(n_members, device)
    size = own * n_members
    blocks = _blocks(plan, size) if plan.any() else iter([Block(0, 0, 0)])
    while chunk := list(islice(blocks, max(1, _CHUNK_ROWS // size))):
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
            rows = rows.transpose(1, 2, 0, 3).reshape(len(some), size, -1)
            drawn += [part[: block.n_rows] for block, part in zip(some, rows, strict=True)]
        counts = [block.n_rows for block in chunk]
        yield np.concatenate(drawn), np.repeat([block.group for block in chunk], counts)


def _blocks(plan: np.ndarray, size: int) -> Iterator[Block]:
    """Yield the blocks of a plan, group by group."""
    for group, wanted in enumerate(plan.tolist()):
        for number, start in enumerate(range(0, wanted, size)):
            yield Block(group, number, min(size, wanted - start))
