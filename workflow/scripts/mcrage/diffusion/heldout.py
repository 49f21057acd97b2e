# SPDX-License-Identifier: MIT
"""The denoising loss on rows that a member has not learnt from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.network import Network, StackedParameters
from mcrage.diffusion.process import Process

LEVELS, MAX_ROWS = 8, 1024
"""Noise levels a row, and most rows of a group of each subset, by default."""


class HeldOut:
    """Group-macro denoising loss on fixed noise.

    Every held-out row is noised to `n_levels` levels, spread evenly over the distribution of the
    levels in training, with noise of its own. Levels and noise stay the same for all members and
    at all times: what differs is the network alone, so differences are far less noisy than the
    losses. The loss of a row is the process's, as in training; rows are averaged within their
    group and groups among each other, since small groups are the ones that rows are drawn for.

    Parameters
    ----------
    network, condition, process
        As in training; members with noise of their own are judged by the process's, so that
        all losses are read on one yardstick.
    rows : Tensor of float32, shape (n, d)
    groups : Tensor of int64, shape (n,)
    held : sequence of Tensor of int64
        Rows that each subset of `mcrage.diffusion.training.Trainer` leaves out, in its order.
    seed : int
        Of levels, noise and the choice of rows.
    n_levels : int
    max_rows : int
        Most rows judged of a group of each subset; more are thinned at random.
    chunk_rows : int
        Most noised rows of a member at a time.
    device : torch.device or str
    """

    def __init__(
        self,
        network: Network,
        condition: Condition,
        process: Process,
        rows: Tensor,
        groups: Tensor,
        held: Sequence[Tensor],
        *,
        seed: int,
        n_levels: int = LEVELS,
        max_rows: int = MAX_ROWS,
        chunk_rows: int = 1024,
        device: torch.device | str = "cpu",
    ) -> None:
        self._network, self._process = network, process
        self._chunk_rows = chunk_rows
        generator = torch.Generator().manual_seed(seed)
        chosen = [_thinned(index, groups, max_rows, generator) for index in held]
        longest = max(len(index) for index in chosen)
        index = torch.zeros(len(chosen), longest, dtype=torch.int64)
        weights = torch.zeros(len(chosen), longest)
        for place, part in enumerate(chosen):
            own = groups[part]
            counts = torch.bincount(own)
            index[place, : len(part)] = part
            weights[place, : len(part)] = 1.0 / (counts[own] * (counts > 0).sum())
        start = torch.rand(len(chosen), longest, 1, generator=generator)
        levels = ((torch.arange(n_levels) + start) / n_levels).flatten(1)
        index, weights = (x.repeat_interleave(n_levels, dim=1) for x in (index, weights / n_levels))
        noise = torch.randn(*index.shape, rows.shape[1], generator=generator)
        encoded = condition.encode(groups[index].to(device))
        parts = (rows[index], levels, noise, weights)
        # Noised when they are judged, since indicators of codes take more room than the codes.
        self._parts = (encoded, *(tensor.to(device) for tensor in parts))

    @torch.no_grad()
    def losses(self, weights: Tensor, subsets: Sequence[int]) -> list[float]:
        """Return the loss of each member; waits for the device.

        Parameters
        ----------
        weights : Tensor of float32, shape (M, P)
        subsets : sequence of int, length M
            The subset that each member learns from.

        Returns
        -------
        list of float
        """
        values = StackedParameters(self._network.parameters, 0).views(weights)
        places = torch.tensor(subsets, device=weights.device)
        total = torch.zeros(len(weights), device=weights.device)
        n_rows = self._parts[0].shape[1]
        for start in range(0, n_rows, self._chunk_rows):
            part = (x[:, start : start + self._chunk_rows][places] for x in self._parts)
            condition, rows, levels, noise, spread = part
            inputs, level, target = self._process.corrupt(rows, levels, noise)
            output = self._network(values, inputs, level, condition)
            total += (self._process.row_losses(output, target) * spread).sum(dim=1)
        return total.tolist()


def most_held(held: Sequence[Tensor], groups: Tensor, max_rows: int = MAX_ROWS) -> int:
    """Return how many rows are judged of the subset that leaves most out; see `HeldOut`."""
    return max(int(torch.bincount(groups[index]).clamp_(max=max_rows).sum()) for index in held)


def _thinned(index: Tensor, groups: Tensor, most: int, generator: torch.Generator) -> Tensor:
    shuffled = index[torch.randperm(len(index), generator=generator)]
    kept = [shuffled[groups[shuffled] == group][:most] for group in groups[index].unique()]
    return torch.cat(kept).sort().values
