# SPDX-License-Identifier: MIT
"""From the settings of the diffusion generator to the parts of `mcrage.diffusion`."""

import itertools
import logging
import math
from typing import Any

import numpy as np
import torch

from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.network import Network, PaperNetwork, ResidualNetwork
from mcrage.diffusion.process import DiscreteProcess, EdmProcess, Process
from mcrage.diffusion.schedule import (
    cosine_schedule,
    diameter,
    linear_schedule,
    timesteps_rule,
)
from mcrage.diffusion.training import Member, TrainingSettings
from mcrage.errors import UserError
from mcrage.groups import GroupSchema

logger = logging.getLogger(__name__)

_MAX_ROWS_DIAMETER = 20_000


def check_device(device: str) -> torch.device:
    """Return the device that the user asked for: ``auto`` is a GPU if there is one.

    Raises
    ------
    UserError
        If this machine has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device '{device}' was asked for, but torch finds no GPU here. Set the device to "
            "'cpu' or 'auto', or run on a machine with a GPU and a matching torch."
        )
    return wanted


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def count_timesteps(settings: dict[str, Any], rows: np.ndarray) -> int | None:
    """Return T: as given, by the paper's rule, or None for continuous noise levels.

    Parameters
    ----------
    settings : dict
    rows : ndarray of float32, shape (n, d)
        Encoded training rows.
    """
    if settings["target"] == "edm":
        return None
    if settings["timesteps"] != "auto":
        return settings["timesteps"]
    if len(rows) > _MAX_ROWS_DIAMETER:
        # The diameter joins rows far from the centre, so only the farthest are compared.
        distances = np.square(rows - rows.mean(axis=0)).sum(axis=1)
        rows = rows[np.argsort(-distances, kind="stable")[:_MAX_ROWS_DIAMETER]]
    diam = diameter(torch.from_numpy(rows))
    n_timesteps = timesteps_rule(settings["beta_max"], diam)
    logger.info("timesteps by the paper's rule: diameter %.4g gives %d", diam, n_timesteps)
    return n_timesteps


def make_process(
    settings: dict[str, Any], n_timesteps: int | None, device: torch.device
) -> Process:
    """Return the noising process."""
    if n_timesteps is None:
        names = ("noise_mean", "noise_std", "sigma_min", "sigma_max")
        return EdmProcess(**{name: settings[name] for name in names})
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


def make_network(settings: dict[str, Any], n_columns: int, condition: Condition) -> Network:
    """Return the network, which holds shapes and no values."""
    if settings["network"] == "paper":
        return PaperNetwork(n_columns, condition, width=settings["width"])
    return ResidualNetwork(n_columns, condition, width=settings["width"], depth=settings["depth"])


def make_members(settings: dict[str, Any], seed: int) -> list[Member]:
    """Return the grid's settings times the seeds; each setting meets the same seeds."""
    grid = itertools.product(
        range(settings["seeds"]), settings["learning_rates"], settings["condition_dropouts"]
    )
    return [Member(seed + place, rate, dropout) for place, rate, dropout in grid]


def training_settings(settings: dict[str, Any], n_rows: int) -> TrainingSettings:
    """Return the trainer's settings; epochs become steps of whole batches."""
    steps = settings["steps"]
    if steps is None:
        steps = settings["epochs"] * steps_per_epoch(settings, n_rows)
    return TrainingSettings(
        steps=steps,
        decay=settings["rate_decay"],
        residual_weight_decay=settings["group_weight_decay"],
        **{
            name: settings[name]
            for name in (
                "batch_size",
                "group_exponent",
                "factor_dropout",
                "dropout",
                "optimizer",
                "weight_decay",
                "warmup_steps",
                "decay_rate",
                "decay_every",
                "clip_norm",
                "ema_decay",
            )
        },
    )


def steps_per_epoch(settings: dict[str, Any], n_rows: int) -> int:
    """Return the number of batches that hold as many rows as the table, at least 1."""
    return math.ceil(n_rows / settings["batch_size"])
