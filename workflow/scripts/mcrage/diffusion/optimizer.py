# SPDX-License-Identifier: MIT
"""Adam and AdamW over stacked parameters, with a learning rate for each member."""

import torch
from torch import Tensor


class StackedAdam:
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019) over a buffer (M, P).

    Equal to running ``torch.optim.Adam`` or ``AdamW`` on each member alone.

    Parameters
    ----------
    flat, gradient : Tensor, shape (M, P)
        Updated and read in place.
    learning_rates : Tensor, shape (M,)
    weight_decay : Tensor, shape (P,) or (1,)
        Of each column.
    decoupled : bool
        AdamW's decay of the parameters, instead of Adam's addition to the gradient.
    betas : tuple of float
    epsilon : float
    """

    def __init__(
        self,
        flat: Tensor,
        gradient: Tensor,
        learning_rates: Tensor,
        weight_decay: Tensor,
        *,
        decoupled: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.flat = flat
        self.gradient = gradient
        self.learning_rates = learning_rates.unsqueeze(1)
        self.weight_decay = weight_decay.unsqueeze(0)
        self.decoupled = decoupled
        self.betas = betas
        self.epsilon = epsilon
        self.first = torch.zeros_like(flat)
        self.second = torch.zeros_like(flat)
        self.n_steps = 0

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Take one step at `factor` times the learning rates."""
        self.n_steps += 1
        beta1, beta2 = self.betas
        rates = self.learning_rates * factor
        if self.decoupled:
            self.flat.mul_(1.0 - rates * self.weight_decay)
        else:
            self.gradient.addcmul_(self.flat, self.weight_decay.expand_as(self.flat))
        self.first.lerp_(self.gradient, 1.0 - beta1)
        self.second.mul_(beta2).addcmul_(self.gradient, self.gradient, value=1.0 - beta2)
        scale = (self.second / (1.0 - beta2**self.n_steps)).sqrt_().add_(self.epsilon)
        self.flat.sub_((self.first / scale).mul_(rates / (1.0 - beta1**self.n_steps)))


@torch.no_grad()
def clip_members(gradient: Tensor, max_norm: float) -> None:
    """Scale each member's gradient, (M, P), to a norm of at most `max_norm`, in place."""
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    gradient.mul_((max_norm / (norms + 1e-6)).clamp_(max=1.0))
