# SPDX-License-Identifier: MIT
"""Adam and AdamW over stacked parameters, with rates and decays for each member."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

_STREAMS = 16
"""Most calls of the fused update at a time on a GPU."""


class StackedAdam:
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019) over a buffer (M, P).

    Equal to running ``torch.optim.Adam`` or ``AdamW`` on each member alone. Once the buffers no
    longer fit a cache, a step costs the time to move them, and a temporary of their size costs
    even more; so torch's fused update reads and writes each number once and needs none. It knows
    one rate a call. On a GPU the call for one member occupies a fraction of the processors, so
    calls for different members are made side by side.

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
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.flat, self.gradient = flat, gradient
        self.decoupled = decoupled
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
        self._residual = slice(n_main, None) if n_main not in (None, flat.shape[1]) else None
        if self._residual is not None:
            column = dict(device=flat.device, dtype=flat.dtype)
            self._rates = torch.tensor(learning_rates, **column).unsqueeze(1)
            self._decays = torch.tensor(weight_decays, **column).unsqueeze(1)
            self._residual_decays = torch.tensor(residual_weight_decays, **column).unsqueeze(1)
        self._count = torch.zeros((), device=flat.device)
        n_streams = min(len(self._runs), _STREAMS) if flat.is_cuda and len(self._runs) > 1 else 0
        self._streams = [torch.cuda.Stream(flat.device) for _ in range(n_streams)]

    def start_after(self, n_steps: int) -> None:
        """Go on as after so many steps, but for the moments."""
        self._count.fill_(float(n_steps))

    @torch.no_grad()
    def step(self, factor: float | Tensor = 1.0) -> None:
        """Take one step at `factor` times the learning rates; nothing waits for the device.

        A factor that lies on the device, float32 of shape (), is read in each replay of a graph.
        """
        self._count.add_(1.0)
        if self._residual is not None:
            self._decay_residual(factor)
        # All that is computed for the calls is, before the first of them.
        rates = [rate * factor for _, rate, _ in self._runs]
        if not self._streams:
            for (members, _, decay), rate in zip(self._runs, rates, strict=True):
                self._update(members, rate, decay)
            return
        present = torch.cuda.current_stream(self.flat.device)
        for stream in self._streams:
            stream.wait_stream(present)
        for call, ((members, _, decay), rate) in enumerate(zip(self._runs, rates, strict=True)):
            with torch.cuda.stream(self._streams[call % len(self._streams)]):
                self._update(members, rate, decay)
        for stream in self._streams:
            present.wait_stream(stream)

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
            flat.mul_((1.0 - rates * self._residual_decays) / (1.0 - rates * self._decays))
        else:
            self.gradient[:, self._residual] += flat * (self._residual_decays - self._decays)


@torch.no_grad()
def clip_members(gradient: Tensor, max_norm: float) -> None:
    """Scale each member's gradient, (M, P), to a norm of at most `max_norm`, in place."""
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    gradient.mul_((max_norm / (norms + 1e-6)).clamp_(max=1.0))
