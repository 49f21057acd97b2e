# SPDX-License-Identifier: MIT
"""Batches of an ensemble, drawn from a table that lies whole on the device.

A batch is a rank-1 lattice: rows are taken at equal distances along the table sorted by group, and
their noise levels at golden-ratio distances, both randomly shifted. Each batch so covers groups
and noise levels evenly, while every single draw stays exactly distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mcrage.diffusion.beside import Beside
from mcrage.diffusion.condition import Condition
from mcrage.diffusion.process import EdmProcess, Process, with_numbers
from mcrage.diffusion.streams import Streams
from mcrage.diffusion.subsets import Subsets

if TYPE_CHECKING:
    from mcrage.diffusion.training import Member

_GOLDEN = (math.sqrt(5) - 1) / 2


class Batch(NamedTuple):
    """What a step of M members learns from.

    Attributes
    ----------
    inputs, target : Tensor, shape (M, B, d)
    level : Tensor, shape (M, B)
    condition : Tensor, shape (M, B, C)
        Some of it dropped.
    """

    inputs: Tensor
    level: Tensor
    condition: Tensor
    target: Tensor


class Batches:
    """Draws a batch a step for every member, as it would be drawn for that member alone.

    Members that share seed, rows and noise share a batch, which is drawn and noised once.

    Parameters
    ----------
    rows : Tensor of float32, shape (n, d)
    groups : Tensor of int64, shape (n,)
    condition : Condition
    process : Process
    members : sequence of Member
        Of one batch size.
    subsets : sequence of Tensor of int64
        Rows that `Member.subset` names.
    group_exponent, factor_dropout : float
        See `mcrage.diffusion.training.TrainingSettings`.
    device : torch.device or str
    """

    def __init__(
        self,
        rows: Tensor,
        groups: Tensor,
        condition: Condition,
        process: Process,
        members: "Sequence[Member]",
        *,
        subsets: Sequence[Tensor] = (),
        group_exponent: float = 1.0,
        factor_dropout: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        sizes = {member.batch_size for member in members}
        if len(sizes) > 1:
            raise ValueError(
                f"members of one trainer share a batch size, found {sorted(sizes)}; "
                "see mcrage.diffusion.memory.partition"
            )
        self.size = sizes.pop()
        self.streams = Streams([member.seed for member in members], device)
        self._condition, self._process = condition, process
        self._factor_dropout = factor_dropout
        self._rows, self._groups = rows.to(device), groups.to(device)
        self._named = list(dict.fromkeys(member.subset for member in members))
        named = [None if name is None else subsets[name] for name in self._named]
        self._subsets = Subsets(groups, named, group_exponent, device)
        self._places = torch.arange(self.size, device=device)
        self._lattice = self._places * _GOLDEN % 1.0
        self.arrange(members)

    def arrange(self, members: "Sequence[Member]") -> None:
        """Draw for these members, some of those given at first, from now on."""
        device = self._rows.device
        streams = self.streams.restrict([member.seed for member in members])
        keys = [
            (stream, self._named.index(member.subset), member.noise_mean, member.noise_std)
            for stream, member in zip(streams, members, strict=True)
        ]
        units = list(dict.fromkeys(keys))
        self._unit_streams = _Gather([unit[0] for unit in units], max(streams) + 1, device)
        self._unit_subsets = torch.tensor([[unit[1]] for unit in units], device=device)
        self._units = _Gather([units.index(key) for key in keys], len(units), device)
        self._member_streams = _Gather(streams, max(streams) + 1, device)
        self._unit_process = self._with_noise([unit[2:] for unit in units], device)
        column = [[[member.condition_dropout]] for member in members]
        self._condition_dropout = torch.tensor(column, dtype=torch.float32, device=device)
        self._drops_condition = any(member.condition_dropout for member in members)
        self.drops = any(member.dropout for member in members)
        keep = [[[1.0 - member.dropout]] for member in members]
        self._keep = torch.tensor(keep, dtype=torch.float32, device=device)

    def _with_noise(
        self, units: list[tuple[float | None, float | None]], device: torch.device
    ) -> Process:
        if not any(value is not None for unit in units for value in unit):
            return self._process
        numbers = getattr(self._process, "numbers", self._process)
        if not isinstance(numbers, EdmProcess):
            raise ValueError("noise_mean and noise_std of a member need continuous noise levels")
        usual = [numbers.noise_mean, numbers.noise_std]
        filled = [
            [u if v is None else v for u, v in zip(usual, unit, strict=True)] for unit in units
        ]
        if all(own == usual for own in filled):
            return self._process
        mean, std = torch.tensor(filled, dtype=torch.float32, device=device).unsqueeze(2).unbind(1)
        return with_numbers(self._process, replace(numbers, noise_mean=mean, noise_std=std))

    def generators(self, *, inner: bool = True) -> list[torch.Generator]:
        """Return what the present members' batches are drawn with, on the device.

        `inner`: and what is dropped inside the network.
        """
        purposes = ["batch"]
        if self._drops_condition or self._factor_dropout:
            purposes.append("condition")
        if self.drops and inner:
            purposes.append("dropout")
        return self.streams.generators(purposes)

    def rows_and_levels(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rows (U, B, d), groups, uniforms of the noise level (U, B) and noise (U, B, d).

        U counts the distinct batches.
        """
        draws = self.streams.uniform(self.size + 1)
        # In double precision: float32 cannot tell the rows of a long table apart.
        positions = (self._places + draws[:, 1:].double()) / self.size
        index = self._subsets.rows(self._unit_streams(positions), self._unit_subsets)
        levels = self._unit_streams((self._lattice + draws[:, :1]) % 1.0)
        noise = self._unit_streams(self.streams.normal(self.size, self._rows.shape[1]))
        return self._rows[index], self._groups[index], levels, noise

    def draw(self) -> Batch:
        """Return the next batch of all members."""
        rows, groups, levels, noise = self.rows_and_levels()
        inputs, level, target = self._unit_process.corrupt(rows, levels, noise)
        condition = self.condition_of(groups)
        return Batch(self._units(inputs), self._units(level), condition, self._units(target))

    def condition_of(self, groups: Tensor) -> Tensor:
        """Return the condition (M, B, C) of groups (U, B), some of it dropped."""
        encoded = self._units(self._condition.encode(groups))
        if not self._drops_condition and not self._factor_dropout:
            return encoded
        n_factors = self._condition.n_factors
        draws = self.streams.uniform(self.size, n_factors + 1, purpose="condition")
        draws = self._member_streams(draws)
        dropped = draws[..., 1:] < self._factor_dropout
        dropped = dropped | (draws[..., :1] < self._condition_dropout)
        return self._condition.drop(encoded, dropped)

    def drop(self, hidden: Tensor) -> Tensor:
        """Inverted dropout of each member's own rate, (M, B, width) -> (M, B, width)."""
        draws = self._member_streams(self.streams.uniform(*hidden.shape[1:], purpose="dropout"))
        return hidden * (draws < self._keep).to(hidden.dtype).div_(self._keep)


class NextBatch:
    """On a GPU, the batch of the next step, drawn beside the present one.

    A batch is drawn by a chain of fifty small kernels, each of which waits for the one before:
    this takes as long as all the rest of a step of small networks. The streams are then a batch
    ahead of the steps done, and `rewind` gives it back.

    Parameters
    ----------
    batches : Batches
        As arranged for the present members.

    Attributes
    ----------
    present : Batch or None
        None before the first. Where it lies never changes, so that a recorded step can read it.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._generators = batches.generators(inner=False)
        self.present: Batch | None = None
        self._is_drawn = False

    def ensure(self) -> None:
        """Draw the present batch if it is not there."""
        if self._is_drawn:
            return
        before = [generator.get_offset() for generator in self._generators]
        drawn = self._batches.draw()
        self._used = [
            generator.get_offset() - offset
            for generator, offset in zip(self._generators, before, strict=True)
        ]
        if self.present is None:
            copied = (part.clone(memory_format=torch.contiguous_format) for part in drawn)
            self.present = Batch(*copied)
        else:
            self.keep(drawn)
        self._is_drawn = True

    def begin(self) -> Beside:
        """Begin to draw the batch after the present one."""
        return Beside("batch", self.present.inputs, self._batches.draw)

    def keep(self, drawn: Batch) -> None:
        """Make this the present batch, once the one before has been learnt from."""
        for part, new in zip(self.present, drawn, strict=True):
            part.copy_(new)

    def rewind(self) -> None:
        """Put the streams back to where they were before the present batch, and forget it."""
        if not self._is_drawn:
            return
        for generator, used in zip(self._generators, self._used, strict=True):
            generator.set_offset(generator.get_offset() - used)
        self._is_drawn = False


class _Gather:
    """Entries of a first axis, by their places; free where that is the axis itself."""

    def __init__(self, places: list[int], n: int, device: torch.device) -> None:
        self.places = torch.tensor(places, device=device)
        self._identical = places == list(range(n))
        self._n = len(places) if n == 1 else None

    def __call__(self, value: Tensor) -> Tensor:
        if self._identical:
            return value
        if self._n is not None:
            return value.expand(self._n, *value.shape[1:])
        return value[self.places]
