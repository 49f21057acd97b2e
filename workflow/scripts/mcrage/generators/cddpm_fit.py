# SPDX-License-Identifier: MIT
"""From training rows to the weights of the diffusion generator."""

import itertools
import logging
import math
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.schedule import diameter, timesteps_rule
from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.encoding import NumericEncoding
from mcrage.errors import UserError
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    TrainingData,
    standardised_within,
)
from mcrage.generators.cddpm_parts import Parts, check_device, device_name, make_parts
from mcrage.generators.cddpm_run import Judge, Run
from mcrage.groups import filling_plan, plan_rows

logger = logging.getLogger(__name__)

_MAX_ROWS_DIAMETER = 20_000


@dataclass(frozen=True)
class Fitted:
    """What a fit learnt and what it cost.

    Attributes
    ----------
    encoding : NumericEncoding
    timesteps : int or None
        T; None for continuous noise levels.
    weights : Tensor, shape (M, P)
        Of the members kept.
    history, facts : dict
        See `mcrage.generators.cddpm.CddpmGenerator`.
    """

    encoding: NumericEncoding
    timesteps: int | None
    weights: Tensor
    history: dict[str, list]
    facts: dict[str, Any]


def fit(
    settings: dict[str, Any],
    train: TrainingData,
    *,
    criterion: Criterion | None,
    seed: int,
    device: str,
    threads: int,
    checkpoint: Checkpoint | None,
) -> Fitted:
    """Learn from training rows; see `mcrage.generators.cddpm.CddpmGenerator.fit`."""
    place = check_device(device)
    _check(settings, train, criterion)
    torch.set_num_threads(threads)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    started = time.perf_counter()
    encoding = NumericEncoding.fit(
        train.features,
        train.roles.features,
        scaling=settings["scaling"],
        derive=settings["derive"],
        seed=seed,
        within=train.within(settings["scaling"]),
    )
    rows = encoding.transform(
        train.features,
        jitter_seed=seed if settings["jitter"] else None,
        within=train.within(settings["scaling"]),
    )
    timesteps = count_timesteps(settings, rows)
    parts = make_parts(settings, train.schema, encoding.n_modelled, timesteps, place)
    trainer = Trainer(
        parts.network,
        parts.condition,
        parts.process,
        torch.from_numpy(rows),
        torch.from_numpy(np.asarray(train.groups, dtype=np.int64)),
        make_members(settings, seed),
        training_settings(settings, len(rows)),
        place,
    )
    logger.info(
        "%d members of %d parameters, %d steps on %s",
        len(trainer.members),
        trainer.parameters.flat.shape[1],
        trainer.settings.steps,
        device_name(place),
    )
    judge = None
    if settings["selection"] == "criterion":
        judge = _judge(settings, parts, encoding, train, criterion, seed)
    epoch = steps_per_epoch(settings, len(rows))
    run = Run(
        trainer,
        epoch,
        averaged=settings["use_ema"],
        judge=judge,
        judge_every=settings["select_every_epochs"] * epoch,
        checkpoint=checkpoint,
        started=started,
    )
    run.run()
    facts = {
        "device": device_name(place),
        "seconds": run.costs.seconds,
        "gpu_seconds": run.costs.gpu_seconds,
        "steps_per_second": 1 / max(run.costs.seconds_per_step, 1e-9),
        "checkpoint_seconds": run.costs.checkpoint_seconds,
        "resumptions": run.costs.resumptions,
        "n_parameters": trainer.parameters.flat.shape[1],
        "n_members": len(trainer.members),
        "steps": trainer.n_steps,
        "timesteps": timesteps,
        "peak_memory_bytes": (
            torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
        ),
        **run.choice(),
    }
    return Fitted(encoding, timesteps, run.weights(), run.history, facts)


def _check(settings: dict[str, Any], train: TrainingData, criterion: Criterion | None) -> None:
    if settings["selection"] == "criterion" and criterion is None:
        raise UserError(
            "selection 'criterion' needs a validation set: set a validation share above 0, "
            "or selection 'last'."
        )
    empty = np.flatnonzero(train.counts == 0)
    if len(empty):
        raise UserError(
            f"group {train.schema.label(int(empty[0]))} has no training rows, so nothing can "
            "be learnt about it. Keep more rows in the scenario, or merge levels in the "
            "dataset card."
        )


def _judge(
    settings: dict[str, Any],
    parts: Parts,
    encoding: NumericEncoding,
    train: TrainingData,
    criterion: Criterion,
    seed: int,
) -> Judge:
    """Return a function that scores every member by the rows it draws for the filling plan."""
    # By name: only where drawn rows choose a checkpoint is the sampler part of training.
    draw_rows = import_module("mcrage.generators.cddpm_draw").draw_rows
    plan = plan_rows(filling_plan(train.counts))
    if len(plan) == 0:
        # A table that another treatment has filled lacks nothing; judge a copy of it.
        plan = np.sort(train.groups)

    def judge(weights: Tensor) -> list[float]:
        requests = np.broadcast_to(plan, (len(weights), len(plan)))
        drawn = draw_rows(settings, parts, weights, requests, seed)
        within = standardised_within(settings["scaling"], plan, train.schema)
        return [float(criterion(encoding.inverse(rows, within), plan)) for rows in drawn]

    return judge


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
