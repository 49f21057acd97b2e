# SPDX-License-Identifier: MIT
"""Random numbers for an ensemble: one generator for each seed, shared by members of that seed."""

import torch
from torch import Tensor


class Streams:
    """Draws for M members from S generators.

    Members with the same seed see the same rows, noise and starting weights, so that settings of
    a grid are compared on equal draws, and a member trains as it would alone.

    Parameters
    ----------
    seeds : sequence of int
        One a member.
    device : torch.device or str
    """

    def __init__(self, seeds: list[int], device: torch.device | str = "cpu") -> None:
        distinct = list(dict.fromkeys(seeds))
        self.n_members = len(seeds)
        self.n_streams = len(distinct)
        self.device = torch.device(device)
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in distinct]
        places = [distinct.index(seed) for seed in seeds]
        self._places = torch.tensor(places, device=device)
        self._identical = places == list(range(len(places)))

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1), shape (S, *shape)."""
        out = torch.empty(self.n_streams, *shape, device=self.device)
        for part, generator in zip(out, self._generators, strict=True):
            part.uniform_(generator=generator)
        return out

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, shape (S, *shape)."""
        out = torch.empty(self.n_streams, *shape, device=self.device)
        for part, generator in zip(out, self._generators, strict=True):
            part.normal_(generator=generator)
        return out

    def keep(self, probability: float, *shape: int) -> Tensor:
        """Return 1 with a probability and else 0, shape (S, *shape)."""
        out = torch.empty(self.n_streams, *shape, device=self.device)
        for part, generator in zip(out, self._generators, strict=True):
            part.bernoulli_(probability, generator=generator)
        return out

    def members(self, value: Tensor) -> Tensor:
        """Give each member its stream's part: (S, ...) -> (M, ...)."""
        if self._identical:
            return value
        if self.n_streams == 1:
            return value.expand(self.n_members, *value.shape[1:])
        return value[self._places]

    def state(self) -> list[Tensor]:
        """Return the generators' states, uint8 tensors on the CPU."""
        return [generator.get_state() for generator in self._generators]

    def restore(self, states: list[Tensor]) -> None:
        """Continue from the result of `state`."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
