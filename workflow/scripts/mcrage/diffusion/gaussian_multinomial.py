# SPDX-License-Identifier: MIT
"""TabDDPM's process: numbers are noised by a Gaussian chain, categories by a multinomial one.

Both chains have one schedule, and a network predicts from both (Kotelnikov et al. 2023, arXiv
2209.15421). A row is (numbers, codes) to a trainer, and (numbers, indicators) to a network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcrage.diffusion.multinomial import Multinomial
from mcrage.diffusion.process import DiscreteProcess
from mcrage.diffusion.schedule import DiscreteSchedule


class GaussianMultinomial:
    """Noises numbers and categories together, and says how far a network's guess is off.

    Parameters
    ----------
    schedule : DiscreteSchedule
    n_numbers : int
        d.
    cardinalities : sequence of int
        Levels of each of the C columns of categories.
    device : torch.device or str

    Attributes
    ----------
    n_columns : int
        What a network reads and predicts: noise of numbers, then logits of levels.
    """

    def __init__(
        self,
        schedule: DiscreteSchedule,
        n_numbers: int,
        cardinalities: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        self.schedule, self.n_numbers = schedule, n_numbers
        self.numbers = DiscreteProcess(schedule, "epsilon", device)
        self.categories = Multinomial(cardinalities, schedule, device)
        self.n_columns = n_numbers + self.categories.n_outputs

    def corrupt(self, rows: Tensor, uniform: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Noise rows to a random step; see `mcrage.diffusion.process.Process.corrupt`.

        Parameters
        ----------
        rows, noise : Tensor, shape (..., B, d + C)
            Codes as floats; the noise of codes decides what becomes of each.
        uniform : Tensor in [0, 1), shape (..., B)
            Chooses each row's step.

        Returns
        -------
        inputs : Tensor, shape (..., B, n_columns)
        level : Tensor, shape (..., B)
            (t + 1) / T.
        target : Tensor, shape (..., B, d + 2 C + 1)
            Noise of numbers, codes, noised codes and t.
        """
        sizes = [self.n_numbers, self.categories.n_columns]
        (numbers, codes), (noise, draws) = rows.split(sizes, dim=-1), noise.split(sizes, dim=-1)
        inputs, level, target = self.numbers.corrupt(numbers, uniform, noise)
        t = self.step_of(level)
        noised = self.categories.noised(codes.long(), t, torch.special.ndtr(draws))
        shown = self.categories.one_hot(noised)
        target = torch.cat([target, codes, noised.float(), t.unsqueeze(-1).float()], dim=-1)
        return torch.cat([inputs, shown], dim=-1), level, target

    def step_of(self, level: Tensor) -> Tensor:
        """Return t, int64, of levels (t + 1) / T."""
        return (level * self.schedule.n_timesteps).round().long() - 1

    def row_losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, (..., B).

        The mean square error of the noise plus, as a mean over columns of categories, T times the
        relative entropy at t, which is an estimate of its sum over the chain.

        Parameters
        ----------
        output : Tensor, shape (..., B, n_columns)
        target : Tensor, shape (..., B, d + 2 C + 1)
        """
        n = self.categories.n_columns
        noise, logits = output.split([self.n_numbers, self.categories.n_outputs], dim=-1)
        wanted, codes, noised, t = target.split([self.n_numbers, n, n, 1], dim=-1)
        losses = output.new_zeros(output.shape[:-1])
        if self.n_numbers:
            losses = losses + (noise - wanted).square().mean(dim=-1)
        if n:
            t = t.squeeze(-1).long()
            entropies = self.categories.kl(logits, codes.long(), noised.long(), t)
            losses = losses + self.schedule.n_timesteps * entropies.mean(dim=-1)
        return losses

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of each member's rows, (M, B, n_columns) -> (M,)."""
        return self.row_losses(output, target).mean(dim=1)
