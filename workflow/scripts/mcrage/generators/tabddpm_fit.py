# SPDX-License-Identifier: MIT
"""From training rows to the weights of TabDDPM."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.encoding.mixed import MixedEncoding
from mcrage.errors import UserError
from mcrage.generators.base import Checkpoint, TrainingData
from mcrage.generators.cddpm_grid import Grid
from mcrage.generators.cddpm_rows import sort_by_group
from mcrage.generators.cddpm_run import Run
from mcrage.generators.cddpm_schedule import Schedule, steps_per_epoch
from mcrage.generators.devices import check_device, device_name
from mcrage.generators.tabddpm_parts import make_parts


@dataclass(frozen=True)
class Fitted:
    """What a fit learnt and what it cost.

    Attributes
    ----------
    encoding : MixedEncoding
    weights : Tensor, shape (1, P)
    history, facts : dict
        See `mcrage.generators.tabddpm.TabddpmGenerator`.
    """

    encoding: MixedEncoding
    weights: Tensor
    history: dict[str, list]
    facts: dict[str, Any]


def fit(
    settings: dict[str, Any],
    train: TrainingData,
    *,
    seed: int,
    device: str,
    threads: int,
    checkpoint: Checkpoint | None,
) -> Fitted:
    """Learn from training rows; see `mcrage.generators.tabddpm.TabddpmGenerator.fit`."""
    place = check_device(device)
    train.check_groups()
    torch.set_num_threads(threads)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    started = time.perf_counter()
    encoding, rows = _encoded(settings, train, seed)
    parts = make_parts(settings, train.schema, encoding, place)
    groups = sort_by_group(rows, np.asarray(train.groups, dtype=np.int64))
    data = (torch.from_numpy(rows), torch.from_numpy(groups))
    member = Member(
        seed,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        dropout=settings["dropout"],
        batch_size=settings["batch_size"],
    )
    shared = TrainingSettings(
        steps=settings["steps"],
        group_exponent=settings["group_exponent"],
        decay="linear",
        ema_decay=settings["ema_decay"],
    )
    grid = Grid(
        [member],
        {member.batch_size: Schedule(shared, steps_per_epoch(len(rows), member.batch_size))},
    )
    run = Run(
        lambda members, shared: Trainer(
            *(parts.network, parts.condition, parts.process, *data),
            *([own for _, own in members], shared, place),
        ),
        [grid],
        lambda members: [[*range(len(members))]],
        averaged=settings["ema_decay"] > 0.0,
        checkpoint=checkpoint,
        started=started,
        label="training tabddpm",
    )
    run.run()
    facts = {
        "device": device_name(place),
        "seconds": run.costs.seconds,
        "gpu_seconds": run.costs.gpu_seconds,
        "steps_per_second": 1 / max(run.costs.seconds_per_step, 1e-9),
        "checkpoint_seconds": run.costs.checkpoint_seconds,
        "resumptions": run.costs.resumptions,
        "n_parameters": run.trainer.parameters.flat.shape[1],
        "n_members": len(grid.members),
        "steps": run.trainer.n_steps,
        "timesteps": settings["timesteps"],
        "peak_memory_bytes": (
            torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
        ),
        **grid.choice(),
    }
    return Fitted(encoding, run.weights(), grid.history, facts)


def _encoded(
    settings: dict[str, Any], train: TrainingData, seed: int
) -> tuple[MixedEncoding, np.ndarray]:
    """Return the encoding and encoded rows: numbers, then codes, float32."""
    scaling = settings["scaling"]
    encoding = MixedEncoding.fit(
        train.rows,
        train.roles.features,
        scaling=scaling,
        derive=settings["derive"],
        seed=seed,
        within=train.within(scaling),
        spikes="zero" if settings["split_zeros"] else "none",
    )
    rows = encoding.matrix(
        train.rows,
        jitter_seed=seed if settings["jitter"] else None,
        within=train.within(scaling),
    )
    if rows.shape[1] == 0:
        raise UserError(
            "no feature has more than one value in the training rows, so there is nothing to "
            "model. Keep more rows in the scenario, or name other features in the card."
        )
    return encoding, rows
