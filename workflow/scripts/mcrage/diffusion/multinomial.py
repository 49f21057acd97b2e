# SPDX-License-Identifier: MIT
"""Multinomial diffusion of categories, exact in float32 whatever the number of columns.

A level is kept with probability α_t and replaced by a uniformly drawn one with 1 - α_t, at every
step of the chain of a `DiscreteSchedule` (Hoogeboom et al. 2021, arXiv 2102.05379). With x a
column's one-hot row of K levels:

- q(x_t | x_0) = ᾱ_t x_0 + (1 - ᾱ_t) / K
- q(x_{t-1} | x_t, x_0) ∝ [α_t x_t + (1 - α_t) / K] [ᾱ_{t-1} x_0 + (1 - ᾱ_{t-1}) / K]
- p(x_{t-1} | x_t) is the same with a network's x̂_0, a distribution, in place of x_0.

TabDDPM's code normalises all columns of a row with differences of one cumulative sum of
exponentials, which loses digits as columns are added, and in the end all of them. Here each column
is normalised by itself, after its own maximum is taken off. That is done once, for x̂_0: what the
products above add up to is known, α_t m + (1 - α_t) / K with m the second factor at x_t.

Columns lie one after the other, as in a network's output, (..., n_outputs): padding them to the
most levels of any would take fourteen times the memory for Diabetes-130. Indices t count from 0,
as in `mcrage.diffusion.schedule`; the posterior at t = 0 is x_0 itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mcrage.diffusion.schedule import DiscreteSchedule

# In place of a logarithm of 0, which is then multiplied by 0.
_TINY = 1e-37
# Largest share of a total that is told from it.
_BELOW_ONE = 1.0 - 2.0**-52


class _Shares(NamedTuple):
    """What α_t, ᾱ_t or ᾱ_{t-1} keeps, and the rest, by row: (..., 1)."""

    kept: Tensor
    lost: Tensor


class Multinomial:
    """The chain of C columns of categories, each with levels of its own.

    Parameters
    ----------
    cardinalities : sequence of int
        Levels of each column, at least 1.
    schedule : DiscreteSchedule
    device : torch.device or str

    Attributes
    ----------
    n_columns, n_outputs : int
        C, and the sum of all levels: what a network reads and predicts for these columns.

    Examples
    --------
    >>> from mcrage.diffusion.schedule import cosine_schedule
    >>> chain = Multinomial([2, 3], cosine_schedule(100))
    >>> codes = torch.tensor([[0, 2], [1, 1]])
    >>> chain.one_hot(codes)
    tensor([[1., 0., 0., 0., 1.],
            [0., 1., 0., 1., 0.]])
    >>> chain.marginal(codes, torch.tensor([50, 99])).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        cardinalities: Sequence[int],
        schedule: DiscreteSchedule,
        device: torch.device | str = "cpu",
    ) -> None:
        counts = torch.tensor(list(cardinalities), dtype=torch.int64)
        self.n_columns, self.n_outputs = len(counts), int(counts.sum())
        self._owner = torch.arange(len(counts)).repeat_interleave(counts).to(device)
        # Adds up what belongs to a column, or gives it to all levels, as a product: its gradient
        # is one, too, and sums in a fixed order.
        columns = torch.arange(len(counts), device=device)
        self._belongs = (self._owner.unsqueeze(1) == columns).float()
        counts = counts.to(device)
        self._starts = counts.cumsum(0) - counts
        self._counts = counts.float()
        log_alpha = torch.log1p(-schedule.betas)
        log_alpha_bar = log_alpha.cumsum(0)
        before = torch.cat([torch.zeros(1, dtype=torch.float64), log_alpha_bar[:-1]])

        def shares(log_kept: Tensor) -> Tensor:
            # 1 - exp of a small number has few digits left; expm1 has all.
            return torch.stack([log_kept.exp(), -torch.expm1(log_kept)]).float().to(device)

        self._step, self._until, self._before = (
            shares(log_kept) for log_kept in (log_alpha, log_alpha_bar, before)
        )

    def one_hot(self, codes: Tensor) -> Tensor:
        """Return codes (..., C) as indicators of all levels, float32 of shape (..., n_outputs)."""
        flat = torch.zeros(*codes.shape[:-1], self.n_outputs, device=codes.device)
        return flat.scatter_(-1, codes + self._starts, 1.0)

    def log_softmax(self, output: Tensor) -> Tensor:
        """Return log x̂_0 of logits, by column, both (..., n_outputs)."""
        owner = self._owner.expand_as(output)
        highest = output.new_full((*output.shape[:-1], self.n_columns), -torch.inf)
        highest.scatter_reduce_(-1, owner, output.detach(), "amax")
        shifted = output - highest[..., self._owner]
        totals = shifted.exp() @ self._belongs
        return shifted - totals.log() @ self._belongs.mT

    def marginal(self, codes: Tensor, t: Tensor) -> Tensor:
        """Return q(x_t | x_0).

        Parameters
        ----------
        codes : Tensor of int64, shape (..., C)
            x_0.
        t : Tensor of int64, shape (...)

        Returns
        -------
        Tensor of float32, shape (..., n_outputs)
            Probabilities that add up to 1 in each column.
        """
        return self._mixed(self.one_hot(codes), _at(self._until, t))

    def posterior(self, codes: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        """Return q(x_{t-1} | x_t, x_0), like `marginal`; x_0 = `codes` and x_t = `noised`."""
        return self._posterior(self.one_hot(codes), noised, t)

    def prediction(self, output: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        """Return p(x_{t-1} | x_t), whose x̂_0 is the softmax of a network's output.

        Parameters
        ----------
        output : Tensor of float32, shape (..., n_outputs)
            Logits of x_0.
        noised : Tensor of int64, shape (..., C)
            x_t.
        t : Tensor of int64, shape (...)

        Returns
        -------
        Tensor of float32, shape (..., n_outputs)
            Probabilities that add up to 1 in each column.
        """
        return self._posterior(self.log_softmax(output).exp(), noised, t)

    def noised(self, codes: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
        """Draw x_t from q(x_t | x_0).

        Parameters
        ----------
        codes : Tensor of int64, shape (..., C)
            x_0.
        t : Tensor of int64, shape (...)
        uniform : Tensor of float32 in [0, 1], shape (..., C)
            One number decides whether a level is kept, and which takes its place.
        """
        # Small numbers decide, since float32 has more of them.
        lost = _at(self._until, t).lost
        return torch.where(uniform < lost, self._level(uniform / lost), codes)

    def start(self, uniform: Tensor) -> Tensor:
        """Draw x_T, which is uniform over the levels of each column, from uniforms (..., C)."""
        return self._level(uniform)

    def before(self, output: Tensor, noised: Tensor, t: Tensor, uniform: Tensor) -> Tensor:
        """Draw x_{t-1} from p(x_{t-1} | x_t).

        Parameters
        ----------
        output, noised, t
            See `prediction`.
        uniform : Tensor of float32 in [0, 1], shape (..., C)

        Returns
        -------
        Tensor of int64, shape (..., C)
            Never a level of probability 0.
        """
        # In double precision, since the sums run over all columns.
        ends = self.prediction(output, noised, t).double().cumsum(-1)
        last = ends[..., self._starts + self._counts.long() - 1]
        first = torch.cat([torch.zeros_like(last[..., :1]), last[..., :-1]], dim=-1)
        wanted = first + uniform.double() * (last - first)
        wanted = torch.minimum(wanted, last * _BELOW_ONE)
        passed = ends <= wanted[..., self._owner]
        return (passed.float() @ self._belongs).long()

    def kl(self, output: Tensor, codes: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        """Return KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)) of each column, in nats.

        At t = 0 that is -log p(x_0 | x_1), since q is then certain.

        Parameters
        ----------
        output : Tensor of float32, shape (..., n_outputs)
        codes, noised : Tensor of int64, shape (..., C)
            x_0 and x_t.
        t : Tensor of int64, shape (...)

        Returns
        -------
        Tensor of float32, shape (..., C)

        Notes
        -----
        Both are a first factor, which they share, times a second, n and m, over its total. So
        KL = Σ q (log n - log m) - log Z_q + log Z_p, and q has three values: at x_0, at x_t and
        elsewhere. Nothing but Σ log m runs over all levels.
        """
        step, rest = _at(self._step, t), _at(self._before, t)
        drift, floor = step.lost / self._counts, rest.lost / self._counts
        log_start = self.log_softmax(output)
        floors = (rest.lost / self._counts[self._owner]).clamp(min=_TINY)
        sum_log_m = torch.log(rest.kept * log_start.exp() + floors) @ self._belongs
        # At x_0 and x_t in logarithms, exact even where x̂_0 is 0 in float32.
        log_m, log_m_noised = (
            torch.logaddexp(
                log_start.gather(-1, place + self._starts) + rest.kept.log(),
                floor.log(),
            )
            for place in (codes, noised)
        )
        same = codes == noised
        n, n_noised = rest.kept + floor, torch.where(same, rest.kept, 0.0) + floor
        total_q, total_p = step.kept * n_noised + drift, step.kept * log_m_noised.exp() + drift
        # Σ q log n and Σ q log m, times Z_q.
        of_n = drift * (torch.xlogy(n, n) + (self._counts - 1.0) * torch.xlogy(floor, floor))
        of_n = of_n + step.kept * torch.xlogy(n_noised, n_noised)
        of_m = drift * (rest.kept * log_m + floor * sum_log_m)
        of_m = of_m + step.kept * n_noised * log_m_noised
        return (of_n - of_m) / total_q - total_q.log() + total_p.log()

    def _posterior(self, start: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        step = _at(self._step, t)
        mixed = self._mixed(start, _at(self._before, t))
        weights = self._mixed(self.one_hot(noised), step) * mixed
        at_noised = mixed.gather(-1, noised + self._starts)
        totals = step.kept * at_noised + step.lost / self._counts
        return weights / totals[..., self._owner]

    def _mixed(self, start: Tensor, shares: _Shares) -> Tensor:
        return shares.kept * start + shares.lost / self._counts[self._owner]

    def _level(self, uniform: Tensor) -> Tensor:
        """Return the level in which a number of [0, 1] falls when all are alike."""
        level = (uniform * self._counts).long().clamp(min=0)
        return torch.minimum(level, self._counts.long() - 1)


def _at(shares: Tensor, t: Tensor) -> _Shares:
    kept, lost = shares[:, t].unsqueeze(-1)
    return _Shares(kept, lost)
