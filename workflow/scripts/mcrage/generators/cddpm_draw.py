# SPDX-License-Identifier: MIT
"""Rows drawn by the members of a trained diffusion model; see `mcrage.generators.blocks`."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.network import StackedParameters
from mcrage.diffusion.sampling import draw
from mcrage.generators.blocks import block_seeds, blocks_at_once, draw_plan, rows_of_a_block
from mcrage.generators.cddpm_parts import Parts
from mcrage.seeds import derive


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
    rows = drawing.block_rows * blocks_at_once(len(weights), weights.device.type)
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
    rows, groups : ndarray
        See `mcrage.generators.blocks.draw_plan`.
    """
    return draw_plan(
        _Drawing(settings, parts, weights, seed),
        plan,
        n_members=len(weights),
        n_groups=parts.condition.n_groups,
        device=weights.device.type,
    )


class _Drawing:
    """What one draw's batches share."""

    def __init__(self, settings: dict[str, Any], parts: Parts, weights: Tensor, seed: int) -> None:
        self._settings, self._parts, self._device = settings, parts, weights.device
        stacked = StackedParameters(parts.network.parameters, len(weights), "meta")
        self._values = stacked.views(weights)
        self._seed = derive(seed, "noise")
        # Of each member.
        self.block_rows = rows_of_a_block(len(weights))

    def __call__(self, groups: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        """Return encoded rows (M, n, d) of groups (M, n), which are blocks of these numbers."""
        drawn = draw(
            self._parts.network,
            self._parts.condition,
            self._parts.process,
            self._values,
            torch.from_numpy(np.array(groups, dtype=np.int64)).to(self._device),
            seeds=block_seeds(self._seed, numbers),
            block_rows=self.block_rows,
            sampler=self._settings["sampler"],
            n_steps=self._settings["sampling_steps"],
            code_steps=self._settings["category_steps"],
            guidance=self._settings["guidance"],
            variance=self._settings["sampling_variance"],
        )
        return drawn.cpu().numpy()
