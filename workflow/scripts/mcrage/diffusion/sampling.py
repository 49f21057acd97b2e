# SPDX-License-Identifier: MIT
"""Samplers, guidance, and the drawing of rows of chosen groups from a stacked ensemble.

A sampler is a plain function of a denoiser ``denoise(x, sigma) -> expected x_0`` in the frame
x = x_0 + σ ε, a start x at the first noise level, and falling noise levels that end in 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.masked import MaskedProcess
from mcrage.diffusion.masked_sampling import draw_codes, given_codes
from mcrage.diffusion.network import Network, Predictor
from mcrage.diffusion.process import DiscreteProcess, EdmProcess, NumberProcess
from mcrage.diffusion.schedule import DiscreteSchedule, geometric_sigmas

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


def uni_pc(denoise: Denoise, x: Tensor, sigmas: Tensor, order: int = 3) -> Tensor:
    """UniPC of Zhao et al. 2023 (arXiv 2302.04867), one evaluation a step.

    x(σ') = (σ'/σ) x + ∫ exp(u - h) D du, over u = ln(σ/σ_u) from 0 to h = ln(σ/σ'), with a
    polynomial through known D in place of D. Once D is known at σ' too, the step to it is done
    again with a polynomial that goes there, which costs nothing. Columns that others determine
    make the equation stiff, which this form does not mind; Adams-Bashforth on the angle arctan σ
    is better on normal columns and diverges on such tables.

    Parameters
    ----------
    denoise, x, sigmas
        See the module.
    order : int
        Number of D that a polynomial goes through.
    """
    logs = [-math.log(sigma) for sigma in sigmas[:-1].tolist()]
    known: list[Tensor] = []
    before = x
    for step, place in enumerate(logs):
        known = [*known, denoise(x, math.exp(-place))][-order:]
        places = logs[step + 1 - len(known) : step + 1]
        if step:
            x = _exponential_step(before, known, places, logs[step - 1], place)
        if step + 1 == len(logs):
            return known[-1]
        before = x
        x = _exponential_step(x, known, places, place, logs[step + 1])
    return x


def _exponential_step(
    x: Tensor, known: Sequence[Tensor], places: Sequence[float], start: float, end: float
) -> Tensor:
    """Return x at -ln σ = `end` from x at `start`; D is known at `places`."""
    weights = _exponential_weights(tuple(place - start for place in places), end - start)
    x = math.exp(start - end) * x
    for weight, value in zip(weights, known, strict=True):
        x = torch.add(x, value, alpha=weight)
    return x


@lru_cache(maxsize=4096)  # the same for every batch of rows
def _exponential_weights(offsets: tuple[float, ...], span: float) -> list[float]:
    """Weights of values at `offsets` in ∫ exp(u - span) p(u) du, p the polynomial through them."""
    moments = [-math.expm1(-span)]
    for power in range(1, len(offsets)):
        moments.append(span**power - power * moments[-1])
    places = torch.tensor(offsets, dtype=torch.float64)
    powers = torch.arange(len(offsets), dtype=torch.float64).unsqueeze(1)
    return torch.linalg.solve(places**powers, torch.tensor(moments, dtype=torch.float64)).tolist()


SOLVERS = {"dpm2m": dpm_solver_2m, "heun": heun, "unipc": uni_pc}


class BlockNoise:
    """Random numbers for blocks of rows, each block from a seed of its own.

    What a block gets does not depend on the blocks beside it, nor on how much of it is used.

    Parameters
    ----------
    seeds : sequence of int
        One for each block; below 2**32, which is all that torch reads on the CPU.
    shape : tuple of int
        (M, rows of a block, d).
    n_rows : int
        Rows to return of all blocks together; the last may be cut short.
    device : torch.device or str
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: tuple[int, int, int],
        n_rows: int,
        device: torch.device | str,
    ) -> None:
        self._sources = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._shape, self._n_rows, self._device = shape, n_rows, device

    def __call__(self) -> Tensor:
        """Return the next standard normal numbers, float32 of shape (M, n_rows, d)."""
        blocks = [
            torch.empty(self._shape, device=self._device).normal_(generator=source)
            for source in self._sources
        ]
        return torch.cat(blocks, dim=1)[:, : self._n_rows]

    def uniform(self, n_columns: int) -> Tensor:
        """Return the next numbers of [0, 1), float32 of shape (M, n_rows, n_columns)."""
        shape = (*self._shape[:2], n_columns)
        blocks = [
            torch.empty(shape, device=self._device).uniform_(generator=source)
            for source in self._sources
        ]
        return torch.cat(blocks, dim=1)[:, : self._n_rows]


def ancestral(
    denoise: Denoise,
    x: Tensor,
    schedule: DiscreteSchedule,
    noise: Callable[[], Tensor],
    variance: Literal["posterior", "beta"] = "posterior",
) -> Tensor:
    """Ho et al. 2020, algorithm 2, over every step of a discrete schedule.

    Parameters
    ----------
    x : Tensor
        Start at the last step, in the frame x_0 + σ ε.
    noise : callable
        Returns fresh standard normal numbers of the shape of `x`.
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
            state = state + math.sqrt(spread) * noise()
    return state


@torch.inference_mode()
def draw(
    network: Network,
    condition: Condition,
    process: NumberProcess | MaskedProcess,
    values: Mapping[str, Tensor],
    groups: Tensor,
    *,
    seeds: Sequence[int],
    block_rows: int,
    sampler: Literal["ancestral", "dpm2m", "heun", "unipc"],
    n_steps: int = 32,
    code_steps: int = 32,
    guidance: float = 0.0,
    variance: Literal["posterior", "beta"] = "posterior",
) -> Tensor:
    """Draw encoded rows of chosen groups, all in one batch.

    Parameters
    ----------
    network, condition, process
        As in training.
    values : mapping of str to Tensor, shape (M, *shape)
        Stacked parameters.
    groups : Tensor of int64, shape (M, n)
        Each member draws n rows.
    seeds : sequence of int
        Of the noise of each `block_rows` columns of `groups`; see `BlockNoise`.
    block_rows : int
    sampler : {"ancestral", "dpm2m", "heun", "unipc"}
        Ancestral takes all steps of a discrete schedule and needs one.
    n_steps : int
        Of the others.
    code_steps : int
        Most steps in which the codes of a masked process are revealed, before the numbers.
    guidance : float
        w of ε = (1 + w) ε_group - w ε_null, and of logits alike; 0 leaves the second pass out.
    variance : {"posterior", "beta"}
        Of ancestral sampling.

    Returns
    -------
    Tensor of float32, shape (M, n, d), or (M, n, d + D) with D columns of codes
    """
    n_members, n_rows = groups.shape
    masked = isinstance(process, MaskedProcess)
    numbers = process.numbers if masked else process
    if sampler == "ancestral" and not isinstance(numbers, DiscreteProcess):
        raise ValueError("ancestral sampling needs a discrete schedule")
    if masked:
        n_columns = process.n_numbers
    else:
        n_columns = next(p.shape[1] for p in network.parameters if p.name == "output.weight")
    noise = BlockNoise(seeds, (n_members, block_rows, n_columns), n_rows, groups.device)
    codes = None
    if masked:
        codes = draw_codes(
            network, condition, process, values, groups, noise.uniform, code_steps, guidance
        )
        if n_columns == 0:
            return codes
        network = given_codes(network, process, codes)
    denoise = guided_denoiser(network, condition, numbers, values, groups, guidance)
    if sampler == "ancestral":
        sigmas = numbers.schedule.sigmas.flip(0)
    elif sampler == "unipc" and isinstance(numbers, EdmProcess):
        sigmas = geometric_sigmas(n_steps, numbers.sigma_min, numbers.sigma_max)
    else:
        sigmas = numbers.sigmas(n_steps)
    x = noise().mul_(math.sqrt(1.0 + float(sigmas[0]) ** 2))
    if sampler == "ancestral":
        x = ancestral(denoise, x, numbers.schedule, noise, variance)
    else:
        x = SOLVERS[sampler](denoise, x, sigmas)
    return x if codes is None else torch.cat([x, codes], dim=-1)


def guided_denoiser(
    network: Predictor,
    condition: Condition,
    process: NumberProcess,
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
            # All rows are at one noise level: it is embedded once.
            levels = torch.full((len(inputs), 1), level, device=inputs.device)
            return network(values, inputs, levels, encoded)

        return predict

    def denoise(x: Tensor, sigma: float) -> Tensor:
        clean = process.denoise(bound(wanted), x, sigma)
        if guidance == 0:
            return clean
        return (1 + guidance) * clean - guidance * process.denoise(bound(nothing), x, sigma)

    return denoise
