# SPDX-License-Identifier: MIT
"""Training of a stacked ensemble in a budget of steps, resumable, with no data loader.

Members differ by their seed, their settings and the rows they learn from; each ends as it would
alone. Nothing in a step waits for the device: rates are numbers known in advance, and losses add
up on the device until they are asked for. On a GPU a step is recorded as a graph and
replayed, and the next batch is drawn beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mcrage.diffusion.batches import Batches, NextBatch
from mcrage.diffusion.condition import Condition
from mcrage.diffusion.network import Network, StackedParameters
from mcrage.diffusion.optimizer import StackedAdam
from mcrage.diffusion.process import Process
from mcrage.diffusion.recording import Recording

_EMA_RAMP = 0.05


@dataclass(frozen=True)
class Member:
    """What sets one member of an ensemble apart.

    Attributes
    ----------
    seed : int
        Of its starting weights, batches and noise.
    learning_rate : float
        Above 0.
    condition_dropout : float
        Probability, in [0, 1), that the whole condition of a row is dropped.
    weight_decay : float
        Of all parameters but the group residual; at least 0.
    dropout : float
        Inside the network, in [0, 1).
    batch_size : int
        Members of one trainer share it; `mcrage.diffusion.memory.partition` makes a trainer of
        each size. Padding to the largest would be another way, but a padded row costs as much as
        one to learn from.
    noise_mean, noise_std : float, optional
        Of ln σ in training, instead of the process's own; for continuous noise levels.
    subset : int, optional
        Which of the trainer's subsets of rows it learns from; all rows if left out.
    steps : int, optional
        After which it stops; the run's if left out. Its learning rate follows the run's schedule.
    """

    seed: int
    learning_rate: float = 1e-3
    condition_dropout: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.0
    batch_size: int = 256
    noise_mean: float | None = None
    noise_std: float | None = None
    subset: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class TrainingSettings:
    """What all members share.

    Attributes
    ----------
    steps : int
        Of the whole run, on which the decay of the rate depends.
    group_exponent : float
        Groups are drawn in proportion to n_g to this power: 1 as they are, 0 all alike.
    factor_dropout : float
        Probability that each factor of the condition is dropped by itself.
    optimizer : {"adam", "adamw"}
    residual_weight_decay : float
        Of the group residual.
    warmup_steps : int
        The rate grows linearly over them.
    decay : {"constant", "linear", "exponential"}
        Linear falls to 0 at the last step; exponential multiplies by `decay_rate` every
        `decay_every` steps.
    clip_norm : float or None
        Largest norm of a member's gradient.
    ema_decay : float
        Of the moving average of the parameters; shorter at the start, where its half-life is at
        most 5 % of the steps done. 0: no average is kept, which saves its memory and time.
    """

    steps: int
    group_exponent: float = 1.0
    factor_dropout: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adamw"
    residual_weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: Literal["constant", "linear", "exponential"] = "constant"
    decay_rate: float = 1.0
    decay_every: int = 1
    clip_norm: float | None = None
    ema_decay: float = 0.999


class Trainer:
    """Trains M members at once; those that have stopped cost nothing.

    Parameters
    ----------
    network : Network
    condition : Condition
    process : Process
    rows : Tensor of float32, shape (n, d)
        Encoded.
    groups : Tensor of int64, shape (n,)
    members : sequence of Member
        Of one batch size.
    settings : TrainingSettings
    device : torch.device or str
    subsets : sequence of Tensor of int64
        Indices of rows, for `Member.subset`.
    recorded : bool
        On a GPU, replay a step from a graph instead of launching each of its kernels; the same
        result, sooner.

    Attributes
    ----------
    n_steps : int
        Steps done.
    active : tuple of int
        Places of the members still in training.
    parameters : StackedParameters
        Of the active members, A of them.
    average : Tensor, shape (A, P)
        Moving average of ``parameters.flat``, or that itself if none is kept.

    Raises
    ------
    ValueError
        If members differ in their batch size, or stop after the run's last step.
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
        subsets: Sequence[Tensor] = (),
        *,
        recorded: bool = True,
    ) -> None:
        self.network, self.process, self.settings = network, process, settings
        self.members = tuple(members)
        self.device = torch.device(device)
        self._is_recorded = recorded and self.device.type == "cuda"
        # What a step multiplies the rates by, and what the average takes of the parameters: on the
        # device where steps are recorded, as plain numbers elsewhere.
        self._scalars = torch.zeros(2, device=device) if self._is_recorded else None
        self.n_steps = 0
        self.budgets = [member.steps or settings.steps for member in members]
        self.last_step = max(self.budgets)
        if self.last_step > settings.steps:
            raise ValueError(f"a member of {self.last_step} steps in a run of {settings.steps}")
        self.batches = Batches(
            *(rows, groups, condition, process, self.members),
            subsets=subsets,
            group_exponent=settings.group_exponent,
            factor_dropout=settings.factor_dropout,
            device=device,
        )
        # Final (parameters, average) of the members that have stopped, by place.
        self._ended: dict[int, tuple[Tensor, Tensor]] = {}
        self._loss_sum = torch.zeros(len(members), device=device)
        self._read_at = [0] * len(members)
        self.active = tuple(range(len(members)))
        self.parameters = StackedParameters(network.parameters, len(members), device)
        self._initialise()
        self._prepare()
        if self.average is not self.parameters.flat:
            self.average.copy_(self.parameters.flat)

    def _initialise(self) -> None:
        streams = self.batches.streams
        places = streams.restrict([member.seed for member in self.members])
        for parameter, view in zip(
            self.parameters.parameters, self.parameters.views().values(), strict=True
        ):
            if parameter.bound:
                start = (streams.uniform(*parameter.shape) * 2 - 1) * parameter.bound
                for member, place in zip(view, places, strict=True):
                    member.copy_(start[place])

    def _prepare(self) -> None:
        """Make what belongs to the active members anew, around `parameters`."""
        flat, settings = self.parameters.flat, self.settings
        members = [self.members[place] for place in self.active]
        self.batches.arrange(members)
        self.average = torch.empty_like(flat) if settings.ema_decay > 0.0 else flat
        self._gradient = torch.zeros_like(flat)
        self._values = self.parameters.views()
        for name, view in self.parameters.views(self._gradient).items():
            self._values[name].requires_grad_().grad = view
        self.optimizer = StackedAdam(
            flat,
            self._gradient,
            [member.learning_rate for member in members],
            [member.weight_decay for member in members],
            [settings.residual_weight_decay] * len(members),
            n_main=self.parameters.n_main,
            decoupled=settings.optimizer == "adamw",
            clip_norm=settings.clip_norm,
            average=self.average if self.average is not flat else None,
        )
        self.optimizer.start_after(self.n_steps)
        self._active = torch.tensor(self.active, device=self.device)
        self._once = torch.ones(len(members), device=self.device)
        self._next = NextBatch(self.batches) if self._is_recorded else None
        if self._is_recorded:
            generators = self.batches.generators()
            self._recording = Recording(lambda: self._update(*self._scalars), generators)

    def _compact(self) -> None:
        """Set members aside whose steps are done, unless they are the last of all."""
        if self.n_steps >= self.last_step:
            return
        going = [i for i, place in enumerate(self.active) if self.budgets[place] > self.n_steps]
        if len(going) == len(self.active):
            return
        self._rewind()
        before = (self.parameters.flat, self.average)
        moments = (self.optimizer.first, self.optimizer.second)
        for row, place in enumerate(self.active):
            if row not in going:
                self._ended[place] = tuple(buffer[row].detach().clone() for buffer in before)
        self.active = tuple(self.active[row] for row in going)
        self._rebuild(*(buffer.detach()[going] for buffer in (*before, *moments)))

    def _rewind(self) -> None:
        """Have the streams where the steps done have left them."""
        if self._next is not None:
            self._next.rewind()

    def _rebuild(self, flat: Tensor, average: Tensor, first: Tensor, second: Tensor) -> None:
        self.parameters = StackedParameters(self.network.parameters, len(flat), self.device)
        self.parameters.flat.copy_(flat)
        self._prepare()
        with torch.no_grad():
            self.average.copy_(average)
        self.optimizer.first.copy_(first)
        self.optimizer.second.copy_(second)

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

    def step(self) -> None:
        """Take one step of all active members."""
        factor, taken = self.rate_factor(self.n_steps), 1.0 - self.ema_decay(self.n_steps + 1)
        if self._is_recorded:
            self._scalars[0].fill_(factor)
            self._scalars[1].fill_(taken)
            self._next.ensure()
            self._recording()
        else:
            self._update(factor, taken)
        self.n_steps += 1
        self._compact()

    def _update(self, factor: float | Tensor, taken: float | Tensor) -> None:
        begun = self.network.begin(self._values, self.batches.size)
        following = None
        if self._next is None:
            batch = self.batches.draw()
        else:
            batch, following = self._next.present, self._next.begin()
        drop = self.batches.drop if self.batches.drops else None
        inputs = (batch.inputs, batch.level, batch.condition)
        output = self.network(self._values, *inputs, drop, begun)
        losses = self.process.losses(output, batch.target)
        losses.backward(self._once)
        self.optimizer.step(factor, taken)
        self._loss_sum.index_add_(0, self._active, losses.detach())
        if following is not None:
            self._next.keep(following.result())

    def read_losses(self, places: Sequence[int] | None = None) -> list[float]:
        """Return the mean loss of members since their last reading; waits for the device.

        NaN where a member took no step since then.

        Parameters
        ----------
        places : sequence of int, optional
            Which members are read; all if left out.
        """
        sums, losses = self._loss_sum.tolist(), []
        for place in range(len(sums)) if places is None else places:
            last = self.budgets[place]
            n_steps = min(self.n_steps, last) - min(self._read_at[place], last)
            losses.append(sums[place] / n_steps if n_steps else math.nan)
            self._read_at[place], sums[place] = self.n_steps, 0.0
        self._loss_sum.copy_(torch.tensor(sums))
        return losses

    def weights(self, *, averaged: bool) -> Tensor:
        """Return the parameters of all members now, or their moving average, (M, P).

        A copy only where members have stopped.
        """
        present = (self.average if averaged else self.parameters.flat).detach()
        if not self._ended:
            return present
        return self._whole(present, {p: pair[averaged] for p, pair in self._ended.items()})

    def _whole(self, present: Tensor, ended: dict[int, Tensor]) -> Tensor:
        """Return rows of all members; 0 for those that are in neither."""
        whole = present.new_zeros(len(self.members), present.shape[1])
        whole[self._active] = present
        for place, row in ended.items():
            whole[place] = row
        return whole

    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to go on as if never stopped, as tensors on the CPU.

        Their shapes do not depend on who has stopped.
        """
        self._rewind()
        tensors = {
            "flat": self.weights(averaged=False),
            "first": self._whole(self.optimizer.first, {}),
            "second": self._whole(self.optimizer.second, {}),
            "loss_sum": self._loss_sum,
            "counts": torch.tensor([self.n_steps, *self._read_at]),
            **{f"stream.{k}": v for k, v in self.batches.streams.state().items()},
        }
        if self.settings.ema_decay > 0.0:
            tensors["average"] = self.weights(averaged=True)
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from the result of `state`."""
        self.n_steps, *self._read_at = state["counts"].tolist()
        self._loss_sum.copy_(state["loss_sum"])
        flat, average = state["flat"], state.get("average", state["flat"])
        going = [
            place
            for place, last in enumerate(self.budgets)
            if last > self.n_steps or last == self.last_step
        ]
        self._ended = {
            place: (flat[place].to(self.device), average[place].to(self.device))
            for place in range(len(self.members))
            if place not in going
        }
        self.active = tuple(going)
        self._rebuild(*(x[going] for x in (flat, average, state["first"], state["second"])))
        prefix = "stream."
        self.batches.streams.restore(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )
