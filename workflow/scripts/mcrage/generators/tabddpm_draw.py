# SPDX-License-Identifier: MIT
"""Rows drawn by a trained TabDDPM; see `mcrage.generators.blocks`."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.gaussian_multinomial_sampling import draw
from mcrage.diffusion.network import StackedParameters
from mcrage.generators.blocks import block_seeds, draw_plan, rows_of_a_block
from mcrage.generators.tabddpm_parts import Parts
from mcrage.seeds import derive


def draw_groups(
    settings: dict[str, Any], parts: Parts, weights: Tensor, plan: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw so many rows of each group.

    Parameters
    ----------
    settings : dict
        ``TabddpmSettings.resolved()``.
    parts : Parts
        On the device of `weights`.
    weights : Tensor, shape (1, P)
    plan : ndarray of int64, shape (n_groups,)
        Rows of each group.
    seed : int

    Yields
    ------
    rows : ndarray of float32, shape (m, d + C)
        Numbers, then codes.
    groups : ndarray of int64, shape (m,)
        See `mcrage.generators.blocks.draw_plan`.
    """
    stacked = StackedParameters(parts.network.parameters, len(weights), "meta")
    values, noise_seed = stacked.views(weights), derive(seed, "noise")

    def drawing(groups: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
        drawn = draw(
            *(parts.network, parts.condition, parts.process, values),
            torch.from_numpy(np.array(groups, dtype=np.int64)).to(weights.device),
            seeds=block_seeds(noise_seed, numbers),
            block_rows=rows_of_a_block(len(weights)),
            variance=settings["sampling_variance"],
        )
        return drawn.cpu().numpy()

    return draw_plan(
        drawing,
        plan,
        n_members=len(weights),
        n_groups=parts.condition.n_groups,
        device=weights.device.type,
    )
