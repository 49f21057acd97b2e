# SPDX-License-Identifier: MIT
"""What a network is asked to predict from a noised row, and the denoiser that follows from it.

Both processes of numbers present one denoiser in the frame x = x_0 + σ ε, so guidance and the
deterministic samplers are written once. Targets have unit weight.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from mcrage.diffusion.schedule import DiscreteSchedule, karras_sigmas, log_normal_sigmas

Predict = Callable[[Tensor, float], Tensor]
"""A network with its condition bound: (inputs (M, n, d), level) -> outputs (M, n, d)."""


class Process(Protocol):
    """How rows become what a network learns from, and how its outputs are judged."""

    def corrupt(self, rows: Tensor, uniform: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Noise rows to a random level.

        Parameters
        ----------
        rows, noise : Tensor, shape (..., B, d)
            Noise is standard normal.
        uniform : Tensor in [0, 1), shape (..., B)
            Chooses each row's level.

        Returns
        -------
        inputs, level, target : Tensor, shapes (..., B, inputs), (..., B), (..., B, targets)
        """
        ...

    def row_losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, (..., B)."""
        ...

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of each member's rows, (M,)."""
        ...


class SquaredLoss:
    """The loss of targets of unit weight."""

    def row_losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean square of the error of each row, (..., B, d) -> (..., B)."""
        return (output - target).square().mean(dim=-1)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean square of the error of each member, (M, B, d) -> (M,)."""
        return _MeanSquare.apply(output, target)


class _MeanSquare(torch.autograd.Function):
    """The mean square of a difference, whose gradient is one product instead of five."""

    @staticmethod
    def forward(ctx, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean of each member, (M, B, d) -> (M,)."""
        error = output - target
        ctx.save_for_backward(error)
        return error.square().mean(dim=(1, 2))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the output; the target has none."""
        (error,) = ctx.saved_tensors
        return error * (gradient * (2.0 / error[0].numel()))[:, None, None], None


class DiscreteProcess(SquaredLoss):
    """A chain of T steps whose noise (ε) or velocity (v) is predicted.

    Parameters
    ----------
    schedule : DiscreteSchedule
    target : {"epsilon", "v"}
        ε of Ho et al. 2020, or v = √ᾱ ε - √(1 - ᾱ) x_0 of Salimans and Ho 2022.
    device : torch.device or str
    """

    def __init__(
        self,
        schedule: DiscreteSchedule,
        target: Literal["epsilon", "v"] = "epsilon",
        device: torch.device | str = "cpu",
    ) -> None:
        self.schedule = schedule
        self.target = target
        marginals = [schedule.marginal(t) for t in range(schedule.n_timesteps)]
        self._marginals = torch.tensor(marginals, dtype=torch.float32, device=device)
        self._sigmas = schedule.sigmas

    def corrupt(self, rows: Tensor, uniform: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Noise rows to a random step; see `Process.corrupt`."""
        n_timesteps = self.schedule.n_timesteps
        step = (uniform * n_timesteps).long().clamp_(max=n_timesteps - 1)
        signal, spread = self._marginals[step].unsqueeze(-1).unbind(dim=-2)
        inputs = signal * rows + spread * noise
        target = noise if self.target == "epsilon" else signal * noise - spread * rows
        return inputs, (step + 1) / n_timesteps, target

    def sigmas(self, n_steps: int) -> Tensor:
        """Return at most n_steps falling noise levels of the chain and a final 0."""
        last = self.schedule.n_timesteps - 1
        steps = torch.linspace(last, 0, min(n_steps, last + 1)).round().long()
        return torch.cat([self._sigmas[steps], torch.zeros(1, dtype=torch.float64)])

    def denoise(self, predict: Predict, x: Tensor, sigma: float) -> Tensor:
        """Return the expected x_0 of x = x_0 + σ ε at one of the chain's noise levels."""
        step = int(torch.argmin((self._sigmas - sigma).abs()))
        signal, spread = self.schedule.marginal(step)
        inputs = signal * x
        output = predict(inputs, (step + 1) / self.schedule.n_timesteps)
        if self.target == "epsilon":
            return x - sigma * output
        return signal * inputs - spread * output


@dataclass(frozen=True)
class EdmProcess(SquaredLoss):
    """Continuous noise with the preconditioning of Karras et al. 2022, for data of unit variance.

    Attributes
    ----------
    noise_mean, noise_std : float
        Of ln σ in training, where a member has none of its own.
    sigma_min, sigma_max : float
        Range of σ in sampling.
    """

    noise_mean: float = -0.5
    noise_std: float = 1.2
    sigma_min: float = 0.01
    sigma_max: float = 20.0

    def corrupt(self, rows: Tensor, uniform: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Noise rows to a random level; see `Process.corrupt`."""
        sigma = log_normal_sigmas(uniform, self.noise_mean, self.noise_std).unsqueeze(-1)
        scale = (1.0 + sigma**2).sqrt()
        x = rows + sigma * noise
        # Target (x_0 - c_skip x) / c_out with c_skip = 1 / (1 + σ²) and c_out = σ / √(1 + σ²).
        return x / scale, self._level(sigma.squeeze(-1)), (sigma * rows - noise) / scale

    def sigmas(self, n_steps: int) -> Tensor:
        """Return n_steps falling noise levels and a final 0."""
        return karras_sigmas(n_steps, self.sigma_min, self.sigma_max)

    def denoise(self, predict: Predict, x: Tensor, sigma: float) -> Tensor:
        """Return the expected x_0 of x = x_0 + σ ε."""
        scale = math.sqrt(1.0 + sigma**2)
        output = predict(x / scale, math.log(sigma) / 4)
        return x / scale**2 + (sigma / scale) * output

    @staticmethod
    def _level(sigma: Tensor) -> Tensor:
        return sigma.log() / 4


NumberProcess = DiscreteProcess | EdmProcess


def with_numbers(process: Process, numbers: NumberProcess) -> Process:
    """Return a process whose numbers are noised by another; the other, if it has numbers alone."""
    if not hasattr(process, "numbers"):
        return numbers
    other = copy.copy(process)
    other.numbers = numbers
    return other
