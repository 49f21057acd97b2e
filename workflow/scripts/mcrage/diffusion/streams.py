# SPDX-License-Identifier: MIT
"""Random numbers for an ensemble: generators for each seed, shared by all members of that seed."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PURPOSES = ("batch", "condition", "dropout")
"""What numbers are drawn for. Each has a generator of its own, so that a member that drops nothing
meets the same batches whether or not others of its ensemble drop something."""


class Streams:
    """Draws for the S distinct seeds of an ensemble.

    Members of one seed see the same draws, so that settings of a grid are compared on equal terms.

    Parameters
    ----------
    seeds : sequence of int
        Repeated ones count once.
    device : torch.device or str

    Attributes
    ----------
    seeds : tuple of int
        Distinct, in order of appearance.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.seeds = tuple(dict.fromkeys(seeds))
        self.device = torch.device(device)
        self._generators = {
            purpose: [
                torch.Generator(device).manual_seed(_purpose_seed(seed, place))
                for seed in self.seeds
            ]
            for place, purpose in enumerate(PURPOSES)
        }
        self._drawing = list(range(len(self.seeds)))

    def restrict(self, seeds: Sequence[int]) -> list[int]:
        """Draw for these seeds only from now on; return each one's place in what is drawn."""
        kept = [seed for seed in self.seeds if seed in set(seeds)]
        self._drawing = [self.seeds.index(seed) for seed in kept]
        return [kept.index(seed) for seed in seeds]

    def generators(self, purposes: Sequence[str]) -> list[torch.Generator]:
        """Return the generators that are drawn from now for these purposes."""
        return [self._generators[purpose][place] for purpose in purposes for place in self._drawing]

    def uniform(self, *shape: int, purpose: str = "batch") -> Tensor:
        """Return numbers in [0, 1), float32 of shape (S, *shape)."""
        out = torch.empty(len(self._drawing), *shape, device=self.device)
        for part, place in zip(out, self._drawing, strict=True):
            part.uniform_(generator=self._generators[purpose][place])
        return out

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, float32 of shape (S, *shape)."""
        out = torch.empty(len(self._drawing), *shape, device=self.device)
        for part, place in zip(out, self._drawing, strict=True):
            part.normal_(generator=self._generators["batch"][place])
        return out

    def state(self) -> dict[str, Tensor]:
        """Return the generators' states by purpose: uint8 on the CPU, a row a seed."""
        return {
            purpose: torch.stack([generator.get_state() for generator in generators])
            for purpose, generators in self._generators.items()
        }

    def restore(self, states: dict[str, Tensor]) -> None:
        """Continue from the result of `state`."""
        for purpose, rows in states.items():
            for generator, state in zip(self._generators[purpose], rows, strict=True):
                # A copy: torch reads a state from the start of its storage, not of the row.
                generator.set_state(state.clone())


def _purpose_seed(seed: int, place: int) -> int:
    if place == 0:
        return seed
    # Mixed, not added: seeds of an ensemble follow on each other.
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0])
