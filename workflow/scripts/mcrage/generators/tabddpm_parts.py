# SPDX-License-Identifier: MIT
"""From the settings of TabDDPM to the parts that training and sampling share."""

from typing import Any, NamedTuple

import torch

from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.gaussian_multinomial import GaussianMultinomial
from mcrage.diffusion.mlp import MlpNetwork
from mcrage.diffusion.schedule import cosine_schedule
from mcrage.encoding.mixed import MixedEncoding
from mcrage.groups import GroupSchema


class Parts(NamedTuple):
    """What training and sampling share: shapes and constants, no learnt values."""

    condition: Condition
    process: GaussianMultinomial
    network: MlpNetwork


def make_parts(
    settings: dict[str, Any], schema: GroupSchema, encoding: MixedEncoding, device: torch.device
) -> Parts:
    """Return condition, process and network of encoded rows."""
    # Nothing drops the condition, so that there is no null token.
    condition = group_condition(schema.n_groups, null_tokens=False, device=device)
    process = GaussianMultinomial(
        cosine_schedule(settings["timesteps"], settings["beta_max"]),
        encoding.n_numbers,
        encoding.cardinalities,
        device,
    )
    network = MlpNetwork(
        process.n_columns,
        condition,
        n_timesteps=settings["timesteps"],
        layers=settings["layers"],
        embedding=settings["embedding"],
    )
    return Parts(condition, process, network)
