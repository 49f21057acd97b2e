# SPDX-License-Identifier: MIT
"""From the settings of the diffusion generator to the parts that training and sampling share."""

from typing import Any, NamedTuple

import numpy as np
import torch

from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.masked import MaskedProcess
from mcrage.diffusion.network import Network, PaperNetwork, ResidualNetwork
from mcrage.diffusion.process import DiscreteProcess, EdmProcess, NumberProcess
from mcrage.diffusion.schedule import cosine_schedule, linear_schedule
from mcrage.generators.cddpm_rows import RowEncoding
from mcrage.groups import GroupSchema


class Parts(NamedTuple):
    """What training and sampling share: shapes and constants, no learnt values."""

    condition: Condition
    process: NumberProcess | MaskedProcess
    network: Network


def make_parts(
    settings: dict[str, Any],
    schema: GroupSchema,
    encoding: RowEncoding,
    n_timesteps: int | None,
    device: torch.device,
) -> Parts:
    """Return condition, process and network of encoded rows."""
    condition = make_condition(settings, schema, device)
    process = make_process(settings, n_timesteps, device)
    n_columns = encoding.n_columns
    if encoding.has_codes:
        mixed = encoding.mixed
        process = MaskedProcess(process, mixed.n_numbers, mixed.code_counts, mixed.states, device)
        n_columns = process.n_columns
    return Parts(condition, process, make_network(settings, n_columns, condition, n_timesteps))


def make_process(
    settings: dict[str, Any], n_timesteps: int | None, device: torch.device
) -> NumberProcess:
    """Return the noising process of numbers."""
    if n_timesteps is None:
        names = ("sigma_min", "sigma_max")
        # Training does without the range of sampling; its levels are each member's own.
        return EdmProcess(**{name: settings[name] for name in names if name in settings})
    if settings["schedule"] == "linear":
        schedule = linear_schedule(n_timesteps, settings["beta_min"], settings["beta_max"])
    else:
        schedule = cosine_schedule(n_timesteps, settings["beta_max"])
    return DiscreteProcess(schedule, settings["target"], device)


def make_condition(
    settings: dict[str, Any], schema: GroupSchema, device: torch.device
) -> Condition:
    """Return the encoding of groups; the paper's network masks with zeros, not null tokens."""
    null_tokens = settings["network"] != "paper"
    if settings["condition"] == "group":
        return group_condition(schema.n_groups, null_tokens=null_tokens, device=device)
    digits = schema.indices_of(np.arange(schema.n_groups)).T.copy()
    return Condition(
        torch.from_numpy(digits),
        schema.shape,
        residual=settings["group_residual"],
        null_tokens=null_tokens,
        device=device,
    )


def make_network(
    settings: dict[str, Any], n_columns: int, condition: Condition, n_timesteps: int | None
) -> Network:
    """Return the network, which holds shapes and no values."""
    if settings["network"] == "paper":
        return PaperNetwork(n_columns, condition, width=settings["width"], n_timesteps=n_timesteps)
    return ResidualNetwork(n_columns, condition, width=settings["width"], depth=settings["depth"])
