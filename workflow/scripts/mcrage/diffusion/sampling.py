# SPDX-License-Identifier: MIT
"""Samplers, guidance, and the drawing of rows of chosen groups from a stacked ensemble.

A sampler is a plain function of a denoiser ``denoise(x, sigma) -> expected x_0`` in the frame
x = x_0 + σ ε, a start x at the first noise level, and falling noise levels that end in 0.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.network import Network
from mcrage.diffusion.process import DiscreteProcess, Process
from mcrage.diffusion.schedule import DiscreteSchedule

Denoise = Callable[[Tensor, float], Tensor]


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Heun's method on the probability-flow equation (Karras et al. 2022, algorithm 1)."""
    levels = sigmas.tolist()
    for sigma, lower in pairwise(levels):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + (lower - sigma) * slope
        if lower > 0:
            slope = 0.5 * (slope + (ahead - denoise(ahead, lower)) / lower)
            ahead = x + (lower - sigma) * slope
        x = ahead
    return x


def dpm_solver_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M) of Lu et al. 2022 (arXiv 2211.01095), one evaluation a step."""
    levels = sigmas.tolist()
    before, span_before = None, 0.0
    for sigma, lower in pairwise(levels):
        clean = denoise(x, sigma)
        if lower == 0:
            return clean
        span = math.log(sigma / lower)
        guess = clean
        if before is not None:
            guess = clean + (span / (2 * span_before)) * (clean - before)
        x = (lower / sigma) * x + (1 - lower / sigma) * guess
        before, span_before = clean, span
    return x


def ancestral(
    denoise: Denoise,
    x: Tensor,
    schedule: DiscreteSchedule,
    generator: torch.Generator,
    variance: Literal["posterior", "beta"] = "posterior",
) -> Tensor:
    """Ho et al. 2020, algorithm 2, over every step of a discrete schedule.

    Parameters
    ----------
    x : Tensor
        Start at the last step, in the frame x_0 + σ ε.
    variance : {"posterior", "beta"}
        β̃_t, or β_t as in MCRAGE's notebook.
    """
    sigmas = schedule.sigmas.tolist()
    state = x * schedule.marginal(schedule.n_timesteps - 1)[0]
    for t in reversed(range(schedule.n_timesteps)):
        signal, _ = schedule.marginal(t)
        from_data, from_state, spread = schedule.posterior(t)
        state = from_data * denoise(state / signal, sigmas[t]) + from_state * state
        if t > 0:
            if variance == "beta":
                spread = float(schedule.betas[t])
            noise = torch.empty_like(state).normal_(generator=generator)
            state = state + math.sqrt(spread) * noise
    return state


@torch.no_grad()
def draw(
    network: Network,
    condition: Condition,
    process: Process,
    values: Mapping[str, Tensor],
    groups: Tensor,
    *,
    generator: torch.Generator,
    sampler: Literal["ancestral", "dpm2m", "heun"],
    n_steps: int = 32,
    guidance: float = 0.0,
    variance: Literal["posterior", "beta"] = "posterior",
    chunk_rows: int = 65_536,
) -> Tensor:
    """Draw encoded rows of chosen groups, all groups in one batch.

    Parameters
    ----------
    network, condition, process
        As in training.
    values : mapping of str to Tensor, shape (M, *shape)
        Stacked parameters.
    groups : Tensor of int64, shape (M, n)
        Each member draws n rows.
    generator : torch.Generator
        On the device of `values`.
    sampler : {"ancestral", "dpm2m", "heun"}
        Ancestral takes all steps of a discrete schedule and needs one.
    n_steps : int
        Of the other two.
    guidance : float
        w of ε = (1 + w) ε_group - w ε_null; 0 leaves the second pass out.
    variance : {"posterior", "beta"}
        Of ancestral sampling.
    chunk_rows : int
        Most rows (members times rows) at a time.

    Returns
    -------
    Tensor of float32, shape (M, n, d)
    """
    if sampler == "ancestral" and not isinstance(process, DiscreteProcess):
        raise ValueError("ancestral sampling needs a discrete schedule")
    n_members = len(groups)
    n_columns = next(p.shape[1] for p in network.parameters if p.name == "output.weight")
    parts = []
    for chunk in groups.split(max(1, chunk_rows // n_members), dim=1):
        denoise = guided_denoiser(network, condition, process, values, chunk, guidance)
        steps = process.schedule.n_timesteps if sampler == "ancestral" else n_steps
        sigmas = process.sigmas(steps)
        x = torch.empty(*chunk.shape, n_columns, device=groups.device)
        x.normal_(generator=generator).mul_(math.sqrt(1.0 + float(sigmas[0]) ** 2))
        if sampler == "ancestral":
            parts.append(ancestral(denoise, x, process.schedule, generator, variance))
        else:
            parts.append({"heun": heun, "dpm2m": dpm_solver_2m}[sampler](denoise, x, sigmas))
    return torch.cat(parts, dim=1)


def guided_denoiser(
    network: Network,
    condition: Condition,
    process: Process,
    values: Mapping[str, Tensor],
    groups: Tensor,
    guidance: float,
) -> Denoise:
    """Return the denoiser of rows of the given groups, (M, n).

    The expected x_0 is affine in ε (and in v), with the same coefficients for both conditions, so
    D = (1 + w) D_group - w D_null is the guidance of ε (Ho and Salimans 2022).
    """
    wanted = condition.encode(groups)
    nothing = condition.null.expand_as(wanted)

    def bound(encoded: Tensor) -> Callable[[Tensor, float], Tensor]:
        def predict(inputs: Tensor, level: float) -> Tensor:
            levels = torch.full(inputs.shape[:-1], level, device=inputs.device)
            return network(values, inputs, levels, encoded)

        return predict

    def denoise(x: Tensor, sigma: float) -> Tensor:
        clean = process.denoise(bound(wanted), x, sigma)
        if guidance == 0:
            return clean
        return (1 + guidance) * clean - guidance * process.denoise(bound(nothing), x, sigma)

    return denoise
