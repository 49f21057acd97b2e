# SPDX-License-Identifier: MIT
"""Codes drawn by a network that has learnt to predict hidden ones from the others."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.masked import HIDDEN_LEVEL, MaskedProcess
from mcrage.diffusion.network import Network, Predictor


def draw_codes(
    network: Network,
    condition: Condition,
    process: MaskedProcess,
    values: Mapping[str, Tensor],
    groups: Tensor,
    uniform: Callable[[int], Tensor],
    n_steps: int,
    guidance: float = 0.0,
) -> Tensor:
    """Draw the codes of rows of chosen groups.

    All are hidden at first. In a step each row reveals columns of its own random order: one, or as
    many as need be for `n_steps` to do.

    Parameters
    ----------
    network, condition, process, values, groups
        See `mcrage.diffusion.sampling.draw`.
    uniform : callable
        Number of columns -> random numbers of [0, 1), shape (M, n, columns).
    n_steps : int
        Most steps; with fewer than there are columns, those revealed together are drawn as if they
        were independent given those before.
    guidance : float
        w of (1 + w) logits_group - w logits_null.

    Returns
    -------
    Tensor of float32, shape (M, n, D)
    """
    draws = uniform(process.n_slots + process.n_codes)
    slots, order = draws.split([process.n_slots, process.n_codes], dim=-1)
    # The largest of logits plus such noise is a draw from their softmax (Gumbel 1954).
    gumbel = -torch.log(-torch.log(slots.clamp(1e-7, 1 - 1e-7)))
    rank = order.argsort(dim=-1).argsort(dim=-1)
    wanted = condition.encode(groups)
    nothing = condition.null.expand_as(wanted)
    level = torch.full((len(groups), 1), HIDDEN_LEVEL, device=groups.device)
    numbers = gumbel.new_zeros(*groups.shape, process.n_numbers)
    codes = gumbel.new_full((*groups.shape, process.n_codes), -1.0)
    n_steps = min(n_steps, process.n_codes)
    for step in range(n_steps):
        inputs = torch.cat([numbers, process.shown(codes)], dim=-1)
        logits = process.logits(network(values, inputs, level, wanted))
        if guidance:
            null = process.logits(network(values, inputs, level, nothing))
            logits = (1 + guidance) * logits - guidance * null
        revealed = (rank >= step * process.n_codes // n_steps) & (
            rank < (step + 1) * process.n_codes // n_steps
        )
        codes = torch.where(revealed, process.likeliest(logits + gumbel), codes)
    return codes


def given_codes(network: Network, process: MaskedProcess, codes: Tensor) -> Predictor:
    """Return a network of numbers alone, of rows whose codes (M, n, D) are known."""
    known = process.amounts(codes).to(codes.dtype)
    shown = process.shown(codes)

    def predict(
        values: Mapping[str, Tensor], inputs: Tensor, level: Tensor, condition: Tensor
    ) -> Tensor:
        inputs = torch.cat([inputs * known, shown], dim=-1)
        return network(values, inputs, level, condition)[..., : process.n_numbers]

    return predict
