# SPDX-License-Identifier: MIT
"""TabDDPM's network, ``MLPDiffusion``: a plain perceptron whose input knows time and group."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import silu

from mcrage.diffusion.condition import Condition
from mcrage.diffusion.network import (
    Begun,
    Drop,
    Network,
    Parameter,
    add_product,
    linear,
    linear_parameters,
)

# Wavelengths of the embedded time grow from 2π steps to this many times as much.
_LONGEST = 10_000.0


class MlpNetwork(Network):
    """A projection of the row plus embeddings of time and group, then layers with ReLU.

    Parameters
    ----------
    n_columns : int
        Columns read and predicted.
    condition : Condition
    n_timesteps : int
        T; levels are (t + 1) / T.
    layers : sequence of int
        Units of each layer.
    embedding : int
        Units of the projection and of both embeddings; even.
    """

    def __init__(
        self,
        n_columns: int,
        condition: Condition,
        *,
        n_timesteps: int,
        layers: Sequence[int],
        embedding: int = 128,
    ) -> None:
        self._n_timesteps, self._embedding = n_timesteps, embedding
        self._layers = tuple(layers)
        self._n_columns = n_columns
        self._n_condition = condition.n_factor_columns + condition.n_residual_columns
        parameters = [
            *linear_parameters("input", n_columns, embedding),
            *linear_parameters("time0", embedding, embedding),
            *linear_parameters("time1", embedding, embedding),
            # Of variance 1, like torch's embeddings.
            Parameter("condition.weight", (self._n_condition, embedding), math.sqrt(3.0)),
        ]
        before = embedding
        for place, width in enumerate(self._layers):
            parameters += linear_parameters(f"layer{place}", before, width)
            before = width
        parameters += linear_parameters("output", before, n_columns)
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
        """Predict the target; see `mcrage.diffusion.network.Network`."""
        time = linear(values, "time1", silu(linear(values, "time0", self._times(level))))
        nothing = inputs.new_zeros(1, 1, 1)
        group = silu(add_product(nothing, condition, values["condition.weight"]))
        hidden = linear(values, "input", inputs) + time + group
        for place in range(len(self._layers)):
            hidden = torch.relu(linear(values, f"layer{place}", hidden))
            if drop is not None:
                hidden = drop(hidden)
        return linear(values, "output", hidden)

    def _times(self, level: Tensor) -> Tensor:
        """Return cosines and sines of the step, (...) -> (..., embedding)."""
        half = self._embedding // 2
        places = torch.arange(half, device=level.device)
        frequencies = torch.exp(-math.log(_LONGEST) / half * places)
        # Once for each step that there is: a batch has more rows.
        steps = torch.arange(self._n_timesteps, device=level.device)
        phases = steps.unsqueeze(1) * frequencies
        table = torch.cat([phases.cos(), phases.sin()], dim=1)
        return table[(level * self._n_timesteps).round().long() - 1]

    def activations(self, batch_size: int) -> int:
        """Count what is kept; see `mcrage.diffusion.network.Network`."""
        # Input and output of each activation, embeddings, and what the loss makes of the outputs.
        width = 2 * sum(self._layers) + 8 * self._embedding + 8 * self._n_columns
        return batch_size * (width + self._n_condition)
