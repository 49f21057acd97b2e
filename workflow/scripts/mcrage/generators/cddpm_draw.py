# SPDX-License-Identifier: MIT
"""Rows drawn by the members of a trained diffusion model, in chunks of bounded memory.

A group's rows are numbered. They come in blocks whose noise has a seed of its own, derived from the
seed of the draw, the group and the block's number; within a block the members draw in turn. So a
row depends on its group and number alone: the rows of a smaller request are the first rows of a
larger one, and how many blocks are computed together changes nothing but the rounding of float32.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.network import StackedParameters
from mcrage.diffusion.sampling import draw
from mcrage.generators.cddpm_parts import Parts
from mcrage.seeds import derive

# Rows of a block, of all members together.
_BLOCK_ROWS = 256
# Rows that are handed on at a time.
_CHUNK_ROWS = 131_072
# Rows that are computed at a time, of all members together, and at least of each: on the CPU so few
# that they stay in its cache, and so many that weights are read for many rows; on a GPU enough to
# keep it busy.
_ROWS_AT_ONCE = {"cpu": 1024, "cuda": 131_072}
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


def draw_rows(
    settings: dict[str, Any], parts: Parts, weights: Tensor, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Draw rows of chosen groups, each member its own.

    Parameters
    ----------
    settings : dict
        ``CddpmSettings.resolved()``.
    parts : Parts
        On the device of `weights`.
    weights : Tensor, shape (M, P)
    groups : ndarray of int64, shape (M, n)
    seed : int

    Returns
    -------
    ndarray of float32, shape (M, n, d)
        Encoded.
    """
    drawing = _Drawing(settings, parts, weights, seed)
    rows = drawing.block_rows * drawing.blocks_at_once
    drawn = []
    for start in range(0, groups.shape[1], rows):
        part = groups[:, start : start + rows]
        first = start // drawing.block_rows
        n_blocks = -(-part.shape[1] // drawing.block_rows)
        drawn.append(drawing(part, range(first, first + n_blocks)))
    return np.concatenate(drawn, axis=1)


def draw_groups(
    settings: dict[str, Any], parts: Parts, weights: Tensor, plan: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw so many rows of each group, from the members in turn.

    Parameters
    ----------
    settings, parts, weights, seed
        See `draw_rows`.
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.

    Yields
    ------
    rows : ndarray of float32, shape (m, d)
        Encoded; m is bounded, whatever the plan.
    groups : ndarray of int64, shape (m,)
        Rising over the whole draw.
    """
    drawing = _Drawing(settings, parts, weights, seed)
    n_members, size = len(weights), drawing.block_rows * len(weights)
    blocks = _blocks(plan, size) if plan.any() else iter([Block(0, 0, 0)])
    while chunk := list(islice(blocks, max(1, _CHUNK_ROWS // size))):
        drawn = []
        for start in range(0, len(chunk), drawing.blocks_at_once):
            some = chunk[start : start + drawing.blocks_at_once]
            groups = np.repeat([block.group for block in some], drawing.block_rows)
            rows = drawing(
                np.broadcast_to(groups, (n_members, len(groups))),
                [block.group + parts.condition.n_groups * block.number for block in some],
            )
            # From (M, blocks, rows of a member, d) to blocks in which the members take turns.
            rows = rows.reshape(n_members, len(some), drawing.block_rows, -1)
            rows = rows.transpose(1, 2, 0, 3).reshape(len(some), size, -1)
            drawn += [own[: block.n_rows] for block, own in zip(some, rows, strict=True)]
        counts = [block.n_rows for block in chunk]
        yield np.concatenate(drawn), np.repeat([block.group for block in chunk], counts)


class _Drawing:
    """What one draw's batches share."""

    def __init__(self, settings: dict[str, Any], parts: Parts, weights: Tensor, seed: int) -> None:
        self._settings, self._parts, self._device = settings, parts, weights.device
        n_members = len(weights)
        stacked = StackedParameters(parts.network.parameters, n_members, "meta")
        self._values = stacked.views(weights)
        self._seed = derive(seed, "noise")
        # Of each member.
        self.block_rows = max(1, _BLOCK_ROWS // n_members)
        rows = max(_ROWS_AT_ONCE[self._device.type], _ROWS_OF_A_MEMBER * n_members)
        self.blocks_at_once = max(1, rows // (self.block_rows * n_members))

    def __call__(self, groups: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        """Return encoded rows (M, n, d) of groups (M, n), which are blocks of these numbers."""
        drawn = draw(
            self._parts.network,
            self._parts.condition,
            self._parts.process,
            self._values,
            torch.from_numpy(np.array(groups, dtype=np.int64)).to(self._device),
            # Consecutive, not hashed: no two blocks share their noise.
            seeds=[(self._seed + number) % 2**32 for number in numbers],
            block_rows=self.block_rows,
            sampler=self._settings["sampler"],
            n_steps=self._settings["sampling_steps"],
            code_steps=self._settings["category_steps"],
            guidance=self._settings["guidance"],
            variance=self._settings["sampling_variance"],
        )
        return drawn.cpu().numpy()


def _blocks(plan: np.ndarray, size: int) -> Iterator[Block]:
    """Yield the blocks of a plan, group by group."""
    for group, wanted in enumerate(plan.tolist()):
        for number, start in enumerate(range(0, wanted, size)):
            yield Block(group, number, min(size, wanted - start))
