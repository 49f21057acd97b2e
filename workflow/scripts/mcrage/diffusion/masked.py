# SPDX-License-Identifier: MIT
"""Rows of numbers and codes: absorbing diffusion of the codes, then of the numbers given them.

p(row) = p(codes) p(numbers | codes), both by one network. Codes are learnt as in masked (absorbing)
diffusion: a random number of them, from one to all, is hidden, and the hidden ones are predicted
from the others (Austin et al. 2021, arXiv 2107.03006). Revealed one at a time, in a random order,
they are drawn from an autoregressive model of any order (Hoogeboom et al. 2022, arXiv 2110.02037),
which assumes no two of them independent. Numbers are then denoised with all codes known: also the
states that say which of them are amounts at all, so no number is learnt where there is none.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from mcrage.diffusion.process import DiscreteProcess, EdmProcess

# Noise level of rows with hidden codes, whose numbers are unknown; those of numbers are below 1.3.
HIDDEN_LEVEL = 2.0
# A slot that pads a column: as good as impossible, and 0 times it is 0.
_NEVER = -1e4
# What an indicator is worth to the network, beside numbers of unit variance: indicators are sparse,
# and at 1 they are learnt from only after hundreds of steps.
_INDICATOR = 3.0
# Most that a rare amount, or a nearly constant code, weighs beside the others.
_MOST_WEIGHT = 5.0
# Least and largest share of rows that learn codes, where there are both.
_SHARES = 0.3, 0.7


class MaskedProcess:
    """Noises rows whose last columns are codes, and judges what is predicted from them.

    Parameters
    ----------
    numbers : DiscreteProcess or EdmProcess
        Of the numbers.
    n_numbers : int
        d, the columns before those of codes.
    counts : sequence of sequence of int
        How often training rows have each code, of each of the D columns of codes.
    states : sequence of (int, int) or None, length d, optional
        The column of codes and the code that say where a number is an amount; None where always.
    device : torch.device or str

    Attributes
    ----------
    n_slots : int
        C. Codes enter the network as indicators, and leave it as logits, in one slot for each code;
        columns with as many slots lie side by side, and some slots pad them.
    n_columns : int
        d + C, inputs and outputs of the network.
    """

    def __init__(
        self,
        numbers: DiscreteProcess | EdmProcess,
        n_numbers: int,
        counts: Sequence[Sequence[int]],
        states: Sequence[tuple[int, int] | None] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        self.numbers, self.n_numbers = numbers, n_numbers
        self.n_codes = len(counts)
        sizes = [1 << (len(own) - 1).bit_length() for own in counts]
        order = sorted(range(self.n_codes), key=lambda column: sizes[column])
        self._order = torch.tensor(order, device=device)
        self._back = torch.argsort(self._order)
        # (first slot, columns, slots of each) of columns with as many slots.
        self._blocks, owner, place, offset, weight = [], [], [], [], []
        for size, same in groupby(order, key=lambda column: sizes[column]):
            columns = list(same)
            self._blocks.append((len(owner), len(columns), size))
            for column in columns:
                own = torch.tensor(counts[column], dtype=torch.float64)
                shares = own / own.sum()
                pad = size - len(own)
                owner += [len(weight)] * size
                place += [*range(len(own)), *[-2] * pad]
                offset += [*shares.log().tolist(), *[_NEVER] * pad]
                entropy = float(-(shares * shares.log()).sum())
                weight.append(min(1.0 / entropy, _MOST_WEIGHT))
        self.n_slots = len(owner)
        self.n_columns = n_numbers + self.n_slots
        share = self.n_codes / (self.n_codes + n_numbers)
        low, high = _SHARES
        self._share = min(max(share, low), high) if n_numbers else 1.0
        floats = {"dtype": torch.float32, "device": device}
        self._owner = torch.tensor(owner, device=device)
        self._place = torch.tensor(place, **floats)
        self._offset = torch.tensor(offset, **floats)
        self._weight = torch.tensor(weight, **floats)
        self._set_states(list(states) or [None] * n_numbers, counts, device)

    def _set_states(
        self,
        states: Sequence[tuple[int, int] | None],
        counts: Sequence[Sequence[int]],
        device: torch.device | str,
    ) -> None:
        told = [(0, -1) if state is None else state for state in states]
        shares = [
            1.0 if state is None else counts[state[0]][state[1]] / sum(counts[state[0]])
            for state in states
        ]
        self._state_column = torch.tensor([c for c, _ in told], dtype=torch.int64, device=device)
        self._state_code = torch.tensor([float(code) for _, code in told], device=device)
        self._always = torch.tensor([state is None for state in states], device=device)
        boost = [min(1.0 / share, _MOST_WEIGHT) for share in shares]
        self._boost = torch.tensor(boost, dtype=torch.float32, device=device)

    def amounts(self, codes: Tensor) -> Tensor:
        """Return which numbers are amounts, bool of shape (..., d), by codes of shape (..., D)."""
        return (codes[..., self._state_column] == self._state_code) | self._always

    def indicators(self, codes: Tensor) -> Tensor:
        """Return 1 in the slot of each code, (..., D) -> (..., C); none for a negative code."""
        return (codes[..., self._order][..., self._owner] == self._place).to(codes.dtype)

    def shown(self, codes: Tensor) -> Tensor:
        """Return what the network is told of codes, (..., D) -> (..., C): 0 of negative ones."""
        return _INDICATOR * self.indicators(codes)

    def logits(self, output: Tensor) -> Tensor:
        """Return the logits of the codes in an output of the network, (..., d + C) -> (..., C).

        Where it gives 0 they are the logarithms of how often training rows have each code.
        """
        return output[..., self.n_numbers :] + self._offset

    def by_column(self, slots: Tensor) -> list[Tensor]:
        """Return slots (..., C) as a tensor (..., columns, slots of each) for each block."""
        return [
            slots[..., first : first + n * size].unflatten(-1, (n, size))
            for first, n, size in self._blocks
        ]

    def likeliest(self, slots: Tensor) -> Tensor:
        """Return the code of each column's largest slot, (..., C) -> (..., D), as floats."""
        codes = torch.cat([block.argmax(dim=-1) for block in self.by_column(slots)], dim=-1)
        return codes[..., self._back].to(slots.dtype)

    def corrupt(self, rows: Tensor, uniform: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Hide codes of some rows, and noise the numbers of the others.

        Parameters
        ----------
        rows, noise : Tensor, shape (..., B, d + D)
            Codes as floats; the noise of codes says which are hidden first.
        uniform : Tensor in [0, 1), shape (..., B)
            Chooses what each row teaches, and how many codes are hidden or how large noise is.

        Returns
        -------
        inputs : Tensor, shape (..., B, d + C)
        level : Tensor, shape (..., B)
        target : Tensor, shape (..., B, 2 d + D)
            Of numbers, the weight of each, and hidden codes; -1 for others.
        """
        sizes = [self.n_numbers, self.n_codes]
        (numbers, codes), (noise, ranks) = rows.split(sizes, dim=-1), noise.split(sizes, dim=-1)
        teaches_codes = (uniform < self._share).unsqueeze(-1)
        n_hidden = (uniform / self._share * self.n_codes).long().clamp_(max=self.n_codes - 1)
        highest = ranks.sort(dim=-1).values.gather(-1, n_hidden.unsqueeze(-1))
        hidden = (ranks <= highest) & teaches_codes
        nothing = codes.new_full((), -1.0)
        shown = self.shown(torch.where(hidden, nothing, codes))
        asked = torch.where(hidden, codes, nothing)
        if self.n_numbers == 0:
            return shown, torch.full_like(uniform, HIDDEN_LEVEL), asked
        rest = ((uniform - self._share) / (1.0 - self._share)).clamp(min=0.0)
        inputs, level, target = self.numbers.corrupt(numbers, rest, noise)
        known = (self.amounts(codes) & ~teaches_codes).to(inputs.dtype)
        level = torch.where(teaches_codes.squeeze(-1), HIDDEN_LEVEL, level)
        target = torch.cat([target, known * self._boost, asked], dim=-1)
        return torch.cat([inputs * known, shown], dim=-1), level, target

    def row_losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, (..., B).

        Of a row that teaches numbers the weighted mean square of the error, of one that teaches
        codes the mean cross-entropy of those hidden, each by the entropy of its column: to predict
        what is usual costs 1, whatever the column.
        """
        d = self.n_numbers
        wanted, weight, asked = target.split(
            [d, target.shape[-1] - d - self.n_codes, self.n_codes], -1
        )
        logits = self.logits(output)
        of_column = (asked >= 0).to(output.dtype)
        of_column = of_column / of_column.sum(dim=-1, keepdim=True).clamp_(min=1.0)
        of_column = of_column[..., self._order] * self._weight
        totals = torch.cat([block.logsumexp(dim=-1) for block in self.by_column(logits)], dim=-1)
        picked = self.indicators(asked) * of_column[..., self._owner]
        losses = (totals * of_column).sum(dim=-1) - (logits * picked).sum(dim=-1)
        if d:
            losses = losses + ((output[..., :d] - wanted).square() * weight).mean(dim=-1)
        return losses

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of each member's rows, (M, B, d + C) -> (M,)."""
        return self.row_losses(output, target).mean(dim=1)
