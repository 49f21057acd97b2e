# SPDX-License-Identifier: MIT
"""Networks as plain functions of stacked parameters: one code path for 1 and for 500 members."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from mcrage.diffusion.beside import Beside
from mcrage.diffusion.condition import Condition

Drop = Callable[[Tensor], Tensor]
"""Inner dropout: (M, B, width) -> (M, B, width)."""


@dataclass(frozen=True)
class Parameter:
    """One tensor of a member.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Without the ensemble axis.
    bound : float
        Starts uniform in ±bound; 0 starts at zero.
    residual : bool
        Decays with the group residual's own weight decay.
    """

    name: str
    shape: tuple[int, ...]
    bound: float
    residual: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


Predictor = Callable[[Mapping[str, Tensor], Tensor, Tensor, Tensor], Tensor]
"""(values, inputs, level, condition) -> outputs: a network as sampling uses it."""


Begun = dict[str, Beside]
"""What a network has begun, by name."""


class Network(Protocol):
    """What training and sampling need of a network."""

    parameters: tuple[Parameter, ...]

    def begin(self, values: Mapping[str, Tensor], batch_size: int) -> Begun | None:
        """Begin, while a batch is drawn, what needs none; `__call__` takes it up."""
        return None

    def __call__(
        self,
        values: Mapping[str, Tensor],
        inputs: Tensor,
        level: Tensor,
        condition: Tensor,
        drop: Drop | None = None,
        begun: Begun | None = None,
    ) -> Tensor:
        """Predict the process's target.

        Parameters
        ----------
        values : mapping of str to Tensor, shape (M, *shape)
            Where one has a ``grad``, the backward pass overwrites it.
        inputs : Tensor, shape (M, B, d)
        level : Tensor, shape (M, B), or (M, 1) if all rows have the same
            Noise level, roughly in [-1, 1].
        condition : Tensor, shape (M, B, C)
        drop : callable, optional
            Inner dropout; none in sampling.
        begun : optional
            The result of `begin` with these values.

        Returns
        -------
        Tensor, shape (M, B, d)
        """
        ...

    def activations(self, batch_size: int) -> int:
        """Return how many numbers a member holds at most from the forward to the backward pass."""
        ...


def linear_parameters(name: str, n_in: int, n_out: int, *, zero: bool = False) -> list[Parameter]:
    """Return weight and bias of a layer, which start as torch's do, or at zero."""
    bound = 0.0 if zero else 1.0 / math.sqrt(n_in)
    return [
        Parameter(f"{name}.weight", (n_in, n_out), bound),
        Parameter(f"{name}.bias", (n_out,), bound),
    ]


class _Product(torch.autograd.Function):
    """base + x @ weight of stacked matrices, whose gradient is written where it is to be.

    Torch would allocate the gradient of every weight in every step, and it would have to be copied
    to its place. Here it is multiplied right into ``weight.grad`` (and ``bias.grad``), which is
    overwritten and not added to: a weight may be used once in a network.
    """

    @staticmethod
    def forward(ctx, base: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """Return the sum, (M, B, out); a base of shape (M, out) is a bias."""
        ctx.save_for_backward(x, weight)
        ctx.weight_gradient, ctx.bias_gradient = weight.grad, None
        if base.dim() == 2:
            ctx.bias_gradient, base = base.grad, base.unsqueeze(1)
        return _sum_of(base, x, weight)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Write the weight's and the bias's gradient, return those of the inputs."""
        x, weight = ctx.saved_tensors
        torch.bmm(x.mT, gradient, out=ctx.weight_gradient)
        of_x = torch.bmm(gradient, weight.mT) if ctx.needs_input_grad[1] else None
        if ctx.bias_gradient is None:
            return gradient, of_x, None
        torch.sum(gradient, dim=1, out=ctx.bias_gradient)
        return None, of_x, None


def add_product(base: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Return base + x @ weight, (M, B, out), whose gradient is written where it is to be."""
    if weight.grad is not None and torch.is_grad_enabled():
        return _Product.apply(base, x, weight)
    return _sum_of(base.unsqueeze(1) if base.dim() == 2 else base, x, weight)


def _sum_of(base: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    if x.is_cuda:
        # A GPU's product would first copy what it adds to, and then read it.
        return torch.bmm(x, weight).add_(base)
    return torch.baddbmm(base, x, weight)


def linear(values: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return the layer of this name applied to x, (M, B, in) -> (M, B, out)."""
    return add_product(values[f"{name}.bias"], x, values[f"{name}.weight"])


class ResidualNetwork(Network):
    """Residual perceptron with SiLU, a sinusoidal noise embedding and an additive condition.

    Parameters
    ----------
    n_columns : int
        d, columns of a row.
    condition : Condition
    width : int
    depth : int
        Number of residual blocks, two products each.
    n_frequencies : int
        Of the noise embedding, which has twice as many columns.
    """

    def __init__(
        self,
        n_columns: int,
        condition: Condition,
        *,
        width: int = 256,
        depth: int = 3,
        n_frequencies: int = 32,
    ) -> None:
        self.depth = depth
        self.n_frequencies = n_frequencies
        self._n_inputs = (
            3 * n_columns + 4 * n_frequencies + condition.n_factor_columns
            + condition.n_residual_columns
        )  # fmt: skip
        self._n_factor_columns = condition.n_factor_columns
        parameters = [
            *linear_parameters("input", n_columns, width),
            Parameter("noise.weight", (2 * n_frequencies, width), 1 / math.sqrt(n_frequencies)),
            # Indicators are sparse: an embedding keeps the scale of one input, not of the sum.
            Parameter("condition.weight", (condition.n_factor_columns, width), 1.0),
        ]
        for block in range(depth):
            parameters += linear_parameters(f"block{block}.expand", width, width)
            parameters += linear_parameters(f"block{block}.return", width, width)
        parameters += linear_parameters("output", width, n_columns, zero=True)
        if condition.n_residual_columns:
            shape = (condition.n_residual_columns, width)
            parameters.append(Parameter("group.weight", shape, 0.0, residual=True))
        self.parameters = tuple(parameters)

    def __call__(
        self,
        values: Mapping[str, Tensor],
        inputs: Tensor,
        level: Tensor,
        condition: Tensor,
        drop: Drop | None = None,
        begun: Begun | None = None,
    ) -> Tensor:
        """Predict the target; see `Network`."""
        factors = condition[..., : self._n_factor_columns]
        noise = sinusoids(level, self.n_frequencies)
        # The noise comes first, since it is the same for all rows in sampling.
        hidden = add_product(values["input.bias"], noise, values["noise.weight"])
        hidden = add_product(hidden, inputs, values["input.weight"])
        hidden = add_product(hidden, factors, values["condition.weight"])
        if "group.weight" in values:
            groups = condition[..., self._n_factor_columns :]
            hidden = add_product(hidden, groups, values["group.weight"])
        for block in range(self.depth):
            inner = silu(linear(values, f"block{block}.expand", silu(hidden)))
            if drop is not None:
                inner = drop(inner)
            hidden = hidden + linear(values, f"block{block}.return", inner)
        return linear(values, "output", silu(hidden))

    def activations(self, batch_size: int) -> int:
        """Count what is kept; see `Network`."""
        # A block keeps the input and output of two activations, and perhaps a mask; three more
        # layers are under way in the backward pass.
        width = self.parameters[0].shape[1]
        return batch_size * ((5 * self.depth + 5) * width + self._n_inputs)


class PaperNetwork(Network):
    """The network of MCRAGE's notebook, without the activation and dropout on its output.

    d -> width (GELU, kept for the skip) -> width (GELU), times an embedding of the group, plus an
    embedding of the time, beside the skip -> d. The notebook ends in GELU and dropout .5: a GELU
    is never below -.17, so the noise could not be predicted; both are left out.

    Parameters
    ----------
    n_columns, condition, width
        See `ResidualNetwork`; the condition should have no null tokens, since the notebook
        masks a dropped group to zeros.
    n_timesteps : int, optional
        T, if levels are always t / T.

    Notes
    -----
    Half of the products embed a group and a time, of which there are few: with one factor and T
    known, they are computed once for each group and each time that there is, and looked up by a
    product with indicators, whose gradient, unlike that of an index, is summed in a fixed order.
    """

    def __init__(
        self,
        n_columns: int,
        condition: Condition,
        *,
        width: int = 576,
        n_timesteps: int | None = None,
    ) -> None:
        n_condition = condition.n_factor_columns + condition.n_residual_columns
        self._one_factor = condition.n_factors == 1 and not condition.n_residual_columns
        self._n_condition, self._n_timesteps = n_condition, n_timesteps
        self.parameters = tuple(
            [
                *linear_parameters("input", n_columns, width),
                *linear_parameters("hidden", width, width),
                *linear_parameters("condition0", n_condition, width),
                *linear_parameters("condition1", width, width),
                *linear_parameters("time0", 1, width),
                *linear_parameters("time1", width, width),
                *linear_parameters("output", 2 * width, n_columns),
            ]
        )

    def __call__(
        self,
        values: Mapping[str, Tensor],
        inputs: Tensor,
        level: Tensor,
        condition: Tensor,
        drop: Drop | None = None,
        begun: Begun | None = None,
    ) -> Tensor:
        """Predict the target; see `Network`."""
        if begun is None:
            begun = self._begin(values, condition.shape[1], level.shape[1])
        group, time = self._group(values, condition, begun), self._time(values, level, begun)
        skip = gelu(linear(values, "input", inputs))
        hidden = gelu(linear(values, "hidden", skip))
        if drop is not None:
            hidden = drop(hidden)
        hidden = group.result() * hidden + time.result()
        return linear(values, "output", torch.cat([hidden, skip], dim=-1))

    def begin(self, values: Mapping[str, Tensor], batch_size: int) -> Begun:
        """Embed each group and each time that there is, if a batch has more rows."""
        return self._begin(values, batch_size, batch_size)

    def _begin(self, values: Mapping[str, Tensor], n_rows: int, n_levels: int) -> Begun:
        like, begun = values["input.bias"], {}
        n_groups, n_times = self._n_condition, self._n_timesteps

        def embed_groups() -> Tensor:
            # Each group, and none.
            groups = torch.eye(n_groups + 1, n_groups, device=like.device)
            return _embedding(values, "condition", groups.expand(len(like), -1, -1))

        def embed_times() -> Tensor:
            times = torch.arange(1, n_times + 1, device=like.device) / n_times
            return _embedding(values, "time", times.expand(len(like), -1).unsqueeze(-1))

        if self._one_factor and n_groups < n_rows:
            begun["group"] = Beside("group", like, embed_groups)
        if n_times is not None and n_times < n_levels:
            begun["time"] = Beside("time", like, embed_times)
        return begun

    def _group(self, values: Mapping[str, Tensor], condition: Tensor, begun: Begun) -> Beside:
        if "group" not in begun:
            return Beside("group", condition, lambda: _embedding(values, "condition", condition))

        def choose(table: Tensor) -> Tensor:
            none = 1 - condition.sum(-1, keepdim=True)
            return torch.bmm(torch.cat([condition, none], -1), table)

        return begun["group"].then(choose)

    def _time(self, values: Mapping[str, Tensor], level: Tensor, begun: Begun) -> Beside:
        if "time" not in begun:
            return Beside("time", level, lambda: _embedding(values, "time", level.unsqueeze(-1)))
        n = self._n_timesteps

        def choose(table: Tensor) -> Tensor:
            steps = torch.arange(1, n + 1, device=level.device)
            chosen = (level * n).round().unsqueeze(-1) == steps
            return torch.bmm(chosen.to(level.dtype), table)

        return begun["time"].then(choose)

    def activations(self, batch_size: int) -> int:
        """Count what is kept; see `Network`."""
        width = self.parameters[0].shape[1]
        # As if no embedding were looked up.
        return batch_size * (16 * width + (self._n_timesteps or 0) + 2 * self._n_condition)


def _embedding(values: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return linear(values, f"{name}1", gelu(linear(values, f"{name}0", x)))


def sinusoids(level: Tensor, n_frequencies: int) -> Tensor:
    """Return sines and cosines of a level at .5 to 16 cycles a unit, (...) -> (..., 2 n)."""
    exponents = torch.linspace(-1.0, 4.0, n_frequencies, device=level.device, dtype=level.dtype)
    phase = level.unsqueeze(-1) * (2 * math.pi * torch.exp2(exponents))
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


class StackedParameters:
    """All parameters of all members in one buffer, with a view a name.

    One buffer lets the optimiser, the clipping and the moving average run as a few operations
    over (M, P), whatever the number of layers.

    Parameters
    ----------
    parameters : tuple of Parameter
        Those of the group residual last.
    n_members : int
    device : torch.device or str

    Attributes
    ----------
    flat : Tensor, shape (M, P)
    n_main : int
        Columns of `flat` before those of the group residual.
    """

    def __init__(
        self,
        parameters: tuple[Parameter, ...],
        n_members: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.parameters = parameters
        self.sizes = [parameter.size for parameter in parameters]
        self.flat = torch.zeros(n_members, sum(self.sizes), device=device)
        self.n_main = sum(
            size for p, size in zip(parameters, self.sizes, strict=True) if not p.residual
        )

    def views(self, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Return each parameter as a view (M, *shape) of `flat`, by default of this buffer."""
        flat = self.flat if flat is None else flat
        views, start = {}, 0
        for parameter, size in zip(self.parameters, self.sizes, strict=True):
            views[parameter.name] = flat.narrow(1, start, size).unflatten(1, parameter.shape)
            start += size
        return views
