# SPDX-License-Identifier: MIT
"""Adam and AdamW over stacked parameters, with rates and decays for each member."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from mcrage.diffusion.fused_update import FusedUpdate


class StackedAdam:
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019) over a buffer (M, P).

    Equal to running ``torch.optim.Adam`` or ``AdamW`` on each member alone, after
    ``clip_grad_norm_`` and before a moving average of the parameters. Once the buffers no longer
    fit a cache, a step costs the time to move them, and a temporary of their size costs even more;
    so each number is read and written once: on a GPU by one kernel for all members, elsewhere by
    torch's fused update, which knows one rate a call.

    Parameters
    ----------
    flat, gradient : Tensor of float32, shape (M, P)
        Contiguous; updated and read in place.
    learning_rates, weight_decays, residual_weight_decays : sequence of float, length M
    n_main : int, optional
        The columns from here on decay by `residual_weight_decays`; all columns are main if left
        out.
    decoupled : bool
        AdamW's decay of the parameters, instead of Adam's addition to the gradient.
    clip_norm : float, optional
        Largest norm of a member's gradient.
    average : Tensor of float32, shape (M, P), optional
        Of the parameters; moved in place.
    betas : tuple of float
    epsilon : float

    Attributes
    ----------
    first, second : Tensor of float32, shape (M, P)
        Moments.
    """

    def __init__(
        self,
        flat: Tensor,
        gradient: Tensor,
        learning_rates: Sequence[float],
        weight_decays: Sequence[float],
        residual_weight_decays: Sequence[float] | None = None,
        *,
        n_main: int | None = None,
        decoupled: bool = True,
        clip_norm: float | None = None,
        average: Tensor | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.flat, self.gradient, self.average = flat, gradient, average
        self.decoupled, self.clip_norm = decoupled, clip_norm
        self.betas, self.epsilon = betas, epsilon
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        # A call for each run of neighbours that share rate and decay: one for members that
        # differ by their seed alone.
        self._runs: list[tuple[slice, float, float]] = []
        start = 0
        for (rate, decay), run in groupby(zip(learning_rates, weight_decays, strict=True)):
            stop = start + len(list(run))
            self._runs.append((slice(start, stop), rate, decay))
            start = stop
        column = dict(device=flat.device, dtype=flat.dtype)
        self._rates = torch.tensor(learning_rates, **column)
        self._decays = torch.tensor(weight_decays, **column)
        self._residual_decays = torch.tensor(residual_weight_decays or weight_decays, **column)
        n_main = flat.shape[1] if n_main is None else n_main
        self._residual = slice(n_main, None) if n_main < flat.shape[1] else None
        self._count = torch.zeros((), device=flat.device)
        self._fused = None
        if flat.is_cuda:
            fused = FusedUpdate(
                *(self._rates, self._decays, self._residual_decays),
                n_main=n_main,
                decoupled=decoupled,
                betas=betas,
                epsilon=epsilon,
            )
            self._fused = fused if fused.is_there else None
            self._factors = torch.zeros(2, device=flat.device)

    def start_after(self, n_steps: int) -> None:
        """Go on as after so many steps, but for the moments."""
        self._count.fill_(float(n_steps))

    @torch.no_grad()
    def step(self, factor: float | Tensor = 1.0, taken: float | Tensor = 0.0) -> None:
        """Take one step; nothing waits for the device.

        What lies on the device, float32 of shape (), is read in each replay of a graph.

        Parameters
        ----------
        factor : float or Tensor
            What the learning rates are multiplied by.
        taken : float or Tensor
            How far the average moves to the parameters, in [0, 1].
        """
        self._count.add_(1.0)
        scales = None
        if self.clip_norm is not None:
            scales = clipping_scales(self.gradient, self.clip_norm)
        if self._fused is not None:
            self._step_fused(scales, factor, taken)
            return
        if scales is not None:
            self.gradient.mul_(scales.unsqueeze(1))
        if self._residual is not None:
            self._decay_residual(factor)
        for members, rate, decay in self._runs:
            self._update(members, rate * factor, decay)
        if self.average is not None:
            self.average.lerp_(self.flat, taken)

    def _step_fused(
        self, scales: Tensor | None, factor: float | Tensor, taken: float | Tensor
    ) -> None:
        factor, taken = (
            value if isinstance(value, Tensor) else place.fill_(value)
            for place, value in zip(self._factors, (factor, taken), strict=True)
        )
        self._fused(
            *(self.flat, self.gradient, self.first, self.second, self.average),
            *(scales, self._count, factor, taken),
        )

    def _update(self, members: slice, rate: float | Tensor, decay: float) -> None:
        update = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        buffers = (self.flat, self.gradient, self.first, self.second)
        update(
            *([buffer[members]] for buffer in buffers),
            *([], [self._count]),
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=decay,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def _decay_residual(self, factor: float | Tensor) -> None:
        """Make the update that follows, which knows one decay a member, decay these columns."""
        flat = self.flat[:, self._residual]
        if self.decoupled:
            rates = self._rates * factor
            kept = (1.0 - rates * self._residual_decays) / (1.0 - rates * self._decays)
            flat.mul_(kept.unsqueeze(1))
        else:
            more = (self._residual_decays - self._decays).unsqueeze(1)
            self.gradient[:, self._residual] += flat * more


def clipping_scales(gradient: Tensor, max_norm: float) -> Tensor:
    """Return what scales each member's gradient, (M, P), to a norm of at most `max_norm`, (M,)."""
    norms = torch.linalg.vector_norm(gradient, dim=1)
    return (max_norm / (norms + 1e-6)).clamp_(max=1.0)
