# SPDX-License-Identifier: MIT
"""Groups as indicator columns, with null tokens for what is left out."""

import torch
from torch import Tensor


class Condition:
    """Indicators of each factor's level, and of the group itself when a residual is wanted.

    A network multiplies them by a table of embeddings: that sums e_attribute + e_target + e_group.
    With a single factor, the group, it is the condition of the paper.

    Parameters
    ----------
    digits : Tensor of int64, shape (n_groups, n_factors)
        Each group's level of each factor.
    levels : tuple of int
        Number of levels of each factor.
    residual : bool
        Add one indicator a group; dropped whenever any factor is dropped.
    null_tokens : bool
        Give a dropped factor an indicator of its own; without one its columns are all 0.
    device : torch.device or str
    """

    def __init__(
        self,
        digits: Tensor,
        levels: tuple[int, ...],
        *,
        residual: bool = False,
        null_tokens: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.n_groups, self.n_factors = digits.shape
        blocks, nulls, owners = [], [], []
        for factor, n_levels in enumerate(levels):
            block = torch.nn.functional.one_hot(digits[:, factor], n_levels + null_tokens)
            null = torch.zeros(block.shape[1])
            if null_tokens:
                null[-1] = 1.0
            blocks.append(block.float())
            nulls.append(null)
            owners += [factor] * block.shape[1]
        self.n_factor_columns = len(owners)
        self.n_residual_columns = self.n_groups if residual else 0
        if residual:
            blocks.append(torch.eye(self.n_groups))
            nulls.append(torch.zeros(self.n_groups))
            owners += [self.n_factors] * self.n_groups
        self._table = torch.cat(blocks, dim=1).to(device)
        self._owner = torch.tensor(owners, device=device)
        self.null = torch.cat(nulls).to(device)

    def encode(self, groups: Tensor) -> Tensor:
        """Return the indicators of groups of shape (...), float32 of shape (..., C)."""
        return self._table[groups]

    def drop(self, encoded: Tensor, dropped: Tensor) -> Tensor:
        """Replace factors by their null token.

        Parameters
        ----------
        encoded : Tensor, shape (..., C)
        dropped : Tensor of bool, shape (..., n_factors)
        """
        any_dropped = dropped.any(dim=-1, keepdim=True)
        lost = torch.cat([dropped, any_dropped], dim=-1)[..., self._owner].to(encoded.dtype)
        return encoded * (1.0 - lost) + self.null * lost


def group_condition(n_groups: int, **options: bool | torch.device | str) -> Condition:
    """Return the paper's condition: the group's index is the only factor."""
    return Condition(torch.arange(n_groups).unsqueeze(1), (n_groups,), **options)
