# SPDX-License-Identifier: MIT
"""Rows drawn by the members of a trained diffusion model."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.network import StackedParameters
from mcrage.diffusion.sampling import draw
from mcrage.generators.cddpm_parts import Parts


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
    device = weights.device
    stacked = StackedParameters(parts.network.parameters, len(weights), device)
    drawn = draw(
        parts.network,
        parts.condition,
        parts.process,
        stacked.views(weights),
        torch.from_numpy(np.array(groups, dtype=np.int64)).to(device),
        generator=torch.Generator(device).manual_seed(seed),
        sampler=settings["sampler"],
        n_steps=settings["sampling_steps"],
        guidance=settings["guidance"],
        variance=settings["sampling_variance"],
    )
    return drawn.cpu().numpy()


def draw_in_turn(
    settings: dict[str, Any], parts: Parts, weights: Tensor, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Draw one row for each entry of `groups`, shape (m,), encoded, shape (m, d)."""
    n_members = len(weights)
    # Sorted by group and dealt in turn, so that every group is shared evenly by the members.
    order = np.argsort(groups, kind="stable")
    requests = np.resize(groups[order], (-(-len(groups) // n_members), n_members)).T
    drawn = draw_rows(settings, parts, weights, requests, seed)
    rows = np.empty((len(groups), drawn.shape[-1]))
    rows[order] = drawn.swapaxes(0, 1).reshape(-1, drawn.shape[-1])[: len(groups)]
    return rows
