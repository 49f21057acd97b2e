# SPDX-License-Identifier: MIT
"""Rows drawn by a network that has learnt TabDDPM's process, step by step of the chain."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.gaussian_multinomial import GaussianMultinomial
from mcrage.diffusion.network import Network
from mcrage.diffusion.sampling import BlockNoise


@torch.inference_mode()
def draw(
    network: Network,
    condition: Condition,
    process: GaussianMultinomial,
    values: Mapping[str, Tensor],
    groups: Tensor,
    *,
    seeds: Sequence[int],
    block_rows: int,
    variance: Literal["posterior", "beta"] = "beta",
) -> Tensor:
    """Draw encoded rows of chosen groups, all in one batch, by ancestral sampling.

    Parameters
    ----------
    network, condition, process
        As in training.
    values : mapping of str to Tensor, shape (M, *shape)
    groups : Tensor of int64, shape (M, n)
    seeds : sequence of int
        Of the noise of each `block_rows` columns of `groups`; see
        `mcrage.diffusion.sampling.BlockNoise`.
    block_rows : int
    variance : {"posterior", "beta"}
        Of a step of numbers; see `mcrage.diffusion.sampling.ancestral`.

    Returns
    -------
    Tensor of float32, shape (M, n, d + C)
        Codes as floats.
    """
    schedule, categories = process.schedule, process.categories
    sizes = [process.n_numbers, categories.n_columns]
    n_members, n_rows = groups.shape
    shape = (n_members, block_rows, sum(sizes))
    noise = BlockNoise(seeds, shape, n_rows, groups.device)
    encoded = condition.encode(groups)
    numbers, uniform = _split(noise(), sizes)
    codes = categories.start(uniform)
    for t in reversed(range(schedule.n_timesteps)):
        inputs = torch.cat([numbers, categories.one_hot(codes)], dim=-1)
        level = groups.new_full((n_members, 1), (t + 1) / schedule.n_timesteps, dtype=torch.float32)
        output = network(values, inputs, level, encoded)
        guess, logits = output.split([process.n_numbers, categories.n_outputs], dim=-1)
        fresh, uniform = _split(noise(), sizes)
        beta = float(schedule.betas[t])
        # The posterior's mean in terms of the noise: x_0 itself would be a difference of numbers
        # 1 / √ᾱ_t times as large.
        numbers = (numbers - beta / schedule.marginal(t)[1] * guess) / math.sqrt(1.0 - beta)
        if t:
            spread = beta if variance == "beta" else schedule.posterior(t)[2]
            numbers = numbers + math.sqrt(spread) * fresh
        if categories.n_columns:
            codes = categories.before(logits, codes, torch.full_like(groups, t), uniform)
    return torch.cat([numbers, codes.float()], dim=-1)


def _split(noise: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return normal numbers (..., d) and uniform ones (..., C)."""
    normal, other = noise.split(list(sizes), dim=-1)
    return normal, torch.special.ndtr(other)
