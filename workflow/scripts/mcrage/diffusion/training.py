# SPDX-License-Identifier: MIT
"""Training of a stacked ensemble in a budget of steps, resumable, with no data loader.

The whole table lies on the device. A batch is a rank-1 lattice: rows are taken at equal distances
along the table sorted by group, and their noise levels at golden-ratio distances, both randomly
shifted. Each batch so covers groups and noise levels evenly, while every single draw stays
exactly distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.network import Network, StackedParameters
from mcrage.diffusion.optimizer import StackedAdam, clip_members
from mcrage.diffusion.process import Process
from mcrage.diffusion.streams import Streams

_GOLDEN = (math.sqrt(5) - 1) / 2
_EMA_RAMP = 0.05


@dataclass(frozen=True)
class Member:
    """What sets one member of an ensemble apart."""

    seed: int
    learning_rate: float = 1e-3
    condition_dropout: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """What all members share.

    Attributes
    ----------
    steps : int
        Of the whole run; the decay of the rate needs it.
    batch_size : int
    group_exponent : float
        Groups are drawn in proportion to n_g to this power: 1 as they are, 0 all alike.
    factor_dropout : float
        Probability that each factor of the condition is dropped by itself.
    dropout : float
        Inside the network.
    optimizer : {"adam", "adamw"}
    weight_decay, residual_weight_decay : float
        Of all parameters, and of the group residual instead.
    warmup_steps : int
        The rate grows linearly over them.
    decay : {"constant", "linear", "exponential"}
        Linear falls to 0 at the last step; exponential multiplies by `decay_rate` every
        `decay_every` steps.
    clip_norm : float or None
        Largest norm of a member's gradient.
    ema_decay : float
        Of the moving average of the parameters; shorter at the start, where its half-life is at
        most 5 % of the steps done.
    """

    steps: int
    batch_size: int = 256
    group_exponent: float = 1.0
    factor_dropout: float = 0.0
    dropout: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = 0.0
    residual_weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: Literal["constant", "linear", "exponential"] = "constant"
    decay_rate: float = 1.0
    decay_every: int = 1
    clip_norm: float | None = None
    ema_decay: float = 0.999


class Trainer:
    """Trains M members at once.

    Parameters
    ----------
    network : Network
    condition : Condition
    process : Process
    rows : Tensor of float32, shape (n, d)
        Encoded.
    groups : Tensor of int64, shape (n,)
    members : sequence of Member
    settings : TrainingSettings
    device : torch.device or str

    Attributes
    ----------
    n_steps : int
        Steps done.
    parameters : StackedParameters
    average : Tensor, shape (M, P)
        Moving average of ``parameters.flat``.
    """

    def __init__(
        self,
        network: Network,
        condition: Condition,
        process: Process,
        rows: Tensor,
        groups: Tensor,
        members: Sequence[Member],
        settings: TrainingSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.condition, self.process = network, condition, process
        self.settings = settings
        self.members = tuple(members)
        self.n_steps = 0
        order = torch.argsort(groups, stable=True)
        self._rows, self._groups = rows[order].to(device), groups[order].to(device)
        counts = torch.bincount(groups, minlength=condition.n_groups).double()
        weights = counts.pow(settings.group_exponent - 1.0)[groups[order]]
        bounds = torch.cumsum(weights, dim=0)
        self._bounds = (bounds / bounds[-1]).float().to(device)
        self._streams = Streams([member.seed for member in members], device)
        self._learning_rates = self._column([member.learning_rate for member in members], device)
        self._condition_dropout = self._column(
            [member.condition_dropout for member in members], device
        )
        self._drops_condition = bool((self._condition_dropout > 0).any())
        self._places = torch.arange(settings.batch_size, device=device)
        self._lattice = self._places * _GOLDEN % 1.0

        self.parameters = StackedParameters(network.parameters, len(members), device)
        self._initialise()
        flat = self.parameters.flat
        self.average = flat.clone()
        self._gradient = torch.zeros_like(flat)
        self._values = {k: view.requires_grad_() for k, view in self.parameters.views().items()}
        decay = torch.full(flat.shape[1:], settings.weight_decay, device=device)
        decay[self.parameters.n_main :] = settings.residual_weight_decay
        self.optimizer = StackedAdam(
            flat,
            self._gradient,
            self._learning_rates,
            decay,
            decoupled=settings.optimizer == "adamw",
        )
        self._loss_sum = torch.zeros(len(members), device=device)
        self._loss_steps = 0

    @staticmethod
    def _column(values: list[float], device: torch.device | str) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    def _initialise(self) -> None:
        for parameter, view in zip(
            self.parameters.parameters, self.parameters.views().values(), strict=True
        ):
            if parameter.bound:
                start = (self._streams.uniform(*parameter.shape) * 2 - 1) * parameter.bound
                view.copy_(self._streams.members(start))

    def rate_factor(self, step: int) -> float:
        """Return what the learning rates are multiplied by at a step counted from 0."""
        settings = self.settings
        factor = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        if settings.decay == "linear":
            return factor * (1.0 - step / settings.steps)
        if settings.decay == "exponential":
            return factor * settings.decay_rate ** (step // settings.decay_every)
        return factor

    def ema_decay(self, step: int) -> float:
        """Return the decay of the moving average at a step counted from 1."""
        decay = self.settings.ema_decay
        if decay <= 0.0:
            return 0.0
        half_life = min(math.log(0.5) / math.log(decay), _EMA_RAMP * step)
        return 0.5 ** (1.0 / half_life)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rows (S, B, d), groups (S, B), uniforms of the noise level (S, B), noise."""
        streams, size = self._streams, self.settings.batch_size
        draws = streams.uniform(size + 1)
        positions = (self._places + draws[:, 1:]) / size
        index = torch.searchsorted(self._bounds, positions, right=True)
        index.clamp_(max=len(self._bounds) - 1)
        rows = self._rows[index]
        levels = (self._lattice + draws[:, :1]) % 1.0
        return rows, self._groups[index], levels, streams.normal(*rows.shape[1:])

    def _condition_batch(self, groups: Tensor) -> Tensor:
        """Return the condition (M, B, C) of groups (S, B), some of it dropped."""
        streams = self._streams
        encoded = streams.members(self.condition.encode(groups))
        factor_dropout = self.settings.factor_dropout
        if not self._drops_condition and not factor_dropout:
            return encoded
        draws = streams.members(streams.uniform(groups.shape[1], self.condition.n_factors + 1))
        dropped = draws[..., 1:] < factor_dropout
        dropped = dropped | (draws[..., :1] < self._condition_dropout[:, None, None])
        return self.condition.drop(encoded, dropped)

    def _drop(self, hidden: Tensor) -> Tensor:
        keep = 1.0 - self.settings.dropout
        mask = self._streams.keep(keep, *hidden.shape[1:])
        return hidden * self._streams.members(mask.div_(keep))

    def step(self) -> None:
        """Take one step of all members."""
        rows, groups, levels, noise = self._batch()
        members = self._streams.members
        inputs, level, target = map(members, self.process.corrupt(rows, levels, noise))
        output = self.network(
            self._values,
            inputs,
            level,
            self._condition_batch(groups),
            self._drop if self.settings.dropout else None,
        )
        losses = (output - target).square().mean(dim=(1, 2))
        gradients = torch.autograd.grad(losses.sum(), list(self._values.values()))
        torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=self._gradient)
        if self.settings.clip_norm is not None:
            clip_members(self._gradient, self.settings.clip_norm)
        self.optimizer.step(self.rate_factor(self.n_steps))
        self.n_steps += 1
        self.average.lerp_(self.parameters.flat, 1.0 - self.ema_decay(self.n_steps))
        self._loss_sum += losses.detach()
        self._loss_steps += 1

    def read_losses(self) -> list[float]:
        """Return each member's mean loss since the last reading; waits for the device."""
        losses = (self._loss_sum / max(self._loss_steps, 1)).tolist()
        self._loss_sum.zero_()
        self._loss_steps = 0
        return losses

    def weights(self, *, averaged: bool) -> Tensor:
        """Return the parameters now, or their moving average, (M, P); not a copy."""
        return self.average if averaged else self.parameters.flat

    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to go on as if never stopped, as tensors on the CPU."""
        tensors = {
            "flat": self.parameters.flat,
            "average": self.average,
            "first": self.optimizer.first,
            "second": self.optimizer.second,
            "loss_sum": self._loss_sum,
            "counts": torch.tensor([self.n_steps, self._loss_steps]),
        }
        for place, state in enumerate(self._streams.state()):
            tensors[f"stream{place}"] = state
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from the result of `state`."""
        self.parameters.flat.copy_(state["flat"])
        self.average.copy_(state["average"])
        self.optimizer.first.copy_(state["first"])
        self.optimizer.second.copy_(state["second"])
        self._loss_sum.copy_(state["loss_sum"])
        self.n_steps, self._loss_steps = state["counts"].tolist()
        self.optimizer.n_steps = self.n_steps
        self._streams.restore([state[f"stream{i}"] for i in range(self._streams.n_streams)])
