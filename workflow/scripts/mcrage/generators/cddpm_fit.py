# SPDX-License-Identifier: MIT
"""From training rows to the weights of the diffusion generator."""

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.heldout import HeldOut
from mcrage.diffusion.memory import (
    device_limit,
    heldout_bytes,
    member_bytes,
    partition,
    table_bytes,
)
from mcrage.diffusion.schedule import diameter, timesteps_rule
from mcrage.diffusion.training import Member, Trainer
from mcrage.encoding.rows import parts_of
from mcrage.errors import UserError
from mcrage.folds import stratified_folds
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    TrainingData,
    standardised_within,
)
from mcrage.generators.cddpm_parts import Parts, make_parts
from mcrage.generators.cddpm_rows import RowEncoding, sort_by_group
from mcrage.generators.cddpm_run import Run
from mcrage.generators.cddpm_schedule import schedules
from mcrage.generators.cddpm_select import Scores, Scoring, refit_members
from mcrage.generators.devices import check_device, device_name
from mcrage.groups import filling_plan, plan_rows

logger = logging.getLogger(__name__)

_MAX_ROWS_DIAMETER = 20_000


@dataclass(frozen=True)
class Fitted:
    """What a fit learnt and what it cost.

    Attributes
    ----------
    encoding : RowEncoding
    timesteps : int or None
        T; None for continuous noise levels.
    weights : Tensor, shape (M, P)
        Of the members kept.
    history, choice, facts : dict
        See `mcrage.generators.cddpm.CddpmGenerator`.
    """

    encoding: RowEncoding
    timesteps: int | None
    weights: Tensor
    history: dict[str, list]
    choice: dict[str, Any]
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
    encoding = RowEncoding.fit(
        train.rows,
        train.roles.features,
        categories=settings["categories"],
        scaling=settings["scaling"],
        derive=settings["derive"],
        seed=seed,
        within=train.within(settings["scaling"]),
    )
    rows = encoding.transform(
        train.rows,
        jitter_seed=seed if settings["jitter"] else None,
        within=train.within(settings["scaling"]),
    )
    numbers = rows[:, : encoding.n_numbers] if encoding.has_codes else rows
    timesteps = count_timesteps(settings, numbers)
    parts = make_parts(settings, train.schema, encoding, timesteps, place)
    learnt, held = _folds(settings, train, seed)
    groups = np.asarray(train.groups, dtype=np.int64)
    if not held:
        groups = sort_by_group(rows, groups)
    data = (torch.from_numpy(rows), torch.from_numpy(groups))
    by_size = schedules(settings, len(rows))
    n_condition = parts.condition.n_factor_columns + parts.condition.n_residual_columns
    table = table_bytes(*data, max(1, len(learnt)), place)
    table += heldout_bytes(*data, held, n_condition)
    divided = _partition(settings, parts, place, table)
    scoring = None
    if settings["selection"] == "criterion":
        judge = _judge(settings, parts, encoding, train, criterion, seed)
        scoring = Scoring("validation_f1", judge)
    elif settings["selection"] == "cross_validation":
        losses = _heldout_losses(settings, parts, data, held, seed, place)
        scoring = Scoring("heldout_loss", losses)
    refit = None
    if held:
        seeds = range(seed, seed + settings["seeds"])
        refit = lambda chosen: refit_members(chosen, seeds)  # noqa: E731
    run = Run(
        lambda members, shared: Trainer(
            parts.network, parts.condition, parts.process, *data, members, shared, place, learnt
        ),
        make_members(settings, seed),
        divided,
        by_size,
        averaged=settings["use_ema"],
        scoring=scoring,
        refit=refit,
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
        "n_parameters": run.trainer.parameters.flat.shape[1],
        "n_members": run.n_members,
        "steps": run.trainer.n_steps,
        "timesteps": timesteps,
        "peak_memory_bytes": (
            torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
        ),
        **run.choice(),
    }
    return Fitted(encoding, timesteps, run.weights(), run.history, run.choice(), facts)


def _check(settings: dict[str, Any], train: TrainingData, criterion: Criterion | None) -> None:
    if settings["selection"] == "criterion" and criterion is None:
        raise UserError(
            "selection 'criterion' needs a validation set: set a validation share above 0, "
            "or selection 'last'."
        )
    empty = train.without_rows(train.groups)
    if len(empty):
        raise UserError(
            f"group {train.schema.label(int(empty[0]))} has no training rows, so nothing can "
            "be learnt about it. Keep more rows in the scenario, or merge levels in the "
            "dataset card."
        )


def _folds(
    settings: dict[str, Any], train: TrainingData, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the rows learnt from and those held out, a fold each; none without folds."""
    if settings["selection"] != "cross_validation":
        return [], []
    n_folds = settings["folds"]
    folds = stratified_folds(train.groups, n_folds, seed, train.clusters)
    learnt, held = [], []
    for fold in range(n_folds):
        left_out = folds == fold
        empty = train.without_rows(train.groups[~left_out])
        if len(empty) or not left_out.any():
            told = f"leaves no row of group {train.schema.label(int(empty[0]))} to learn from"
            raise UserError(
                f"selection 'cross_validation': fold {fold + 1} of {n_folds} "
                f"{told if len(empty) else 'holds no row out'}. Keep more rows in the scenario, "
                "give fewer folds, or merge levels in the dataset card."
            )
        learnt.append(torch.from_numpy(np.flatnonzero(~left_out)))
        held.append(torch.from_numpy(np.flatnonzero(left_out)))
    return learnt, held


def _heldout_losses(
    settings: dict[str, Any],
    parts: Parts,
    data: tuple[Tensor, Tensor],
    held: Sequence[Tensor],
    seed: int,
    place: torch.device,
) -> Scores:
    """Return the function that gives every member's loss on the rows of its fold.

    Rows are encoded once, by a scaler that knows all training rows, those of the fold too: their
    moments are a fact that all settings share, so it shifts losses and favours none. The losses
    choose, and are no estimate of what new rows would have.
    """
    # Without gradients, twice as many rows take no more than a batch does, which is reckoned with.
    chunk = 2 * min(settings["batch_sizes"])
    heldout = HeldOut(
        *(parts.network, parts.condition, parts.process, *data, held),
        seed=seed,
        chunk_rows=chunk,
        device=place,
    )
    return lambda weights, members: heldout.losses(weights, [m.subset for m in members])


def _judge(
    settings: dict[str, Any],
    parts: Parts,
    encoding: RowEncoding,
    train: TrainingData,
    criterion: Criterion,
    seed: int,
) -> Scores:
    """Return a function that scores every member by the rows it draws for the filling plan."""
    # By name: only where drawn rows choose a checkpoint is the sampler part of training.
    draw_rows = import_module("mcrage.generators.cddpm_draw").draw_rows
    gaps = filling_plan(train.own_counts)
    gaps[list(train.left)] = 0
    plan = plan_rows(gaps)
    if len(plan) == 0:
        # A table that another treatment has filled lacks nothing; judge a copy of it.
        plan = np.sort(train.groups)

    within = standardised_within(settings["scaling"], plan, train.schema)

    def judge(weights: Tensor, members: Sequence[Member]) -> list[float]:
        scores = []
        for own in weights.split(1):
            # One at a time: all start from the same noise, whichever ensemble they are of.
            (rows,) = draw_rows(settings, parts, own, plan[None], seed)
            scores.append(float(criterion(encoding.inverse(rows, within), plan)))
        return scores

    return judge


def _partition(
    settings: dict[str, Any], parts: Parts, place: torch.device, table: int
) -> Callable[[list[Member]], list[list[int]]]:
    """Return what divides members into ensembles that fit the device, and says so."""
    averaged = settings["ema_decay"] > 0 and settings["use_ema"]
    limit = device_limit(place, settings["max_memory_gib"])

    def bytes_of(member: Member) -> int:
        return member_bytes(parts.network, member.batch_size, averaged=averaged)

    def divided(members: list[Member]) -> list[list[int]]:
        ensembles = partition(members, bytes_of, limit, table)
        largest = max(sum(bytes_of(members[i]) for i in places) for places in ensembles)
        logger.info(
            "%d members of %d parameters on %s: %.0f MiB at a time and %.0f MiB for the table, of "
            "%.0f MiB allowed%s",
            len(members),
            sum(parameter.size for parameter in parts.network.parameters),
            device_name(place),
            largest / 2**20,
            table / 2**20,
            limit / 2**20,
            f", as {len(ensembles)} ensembles in turn" if len(ensembles) > 1 else "",
        )
        if table + largest > limit:
            logger.warning(
                "the table and one member take more than is allowed, which no splitting mends: "
                "raise max_memory_gib, learn from fewer rows, or take smaller batch_sizes or width"
            )
        return ensembles

    return divided


def count_timesteps(settings: dict[str, Any], rows: np.ndarray) -> int | None:
    """Return T: as given, by the paper's rule, or None for continuous noise levels.

    Parameters
    ----------
    settings : dict
    rows : ndarray of float32, shape (n, d)
        Encoded training rows, without codes.
    """
    if settings["target"] == "edm":
        return None
    if settings["timesteps"] != "auto":
        return settings["timesteps"]
    if len(rows) > _MAX_ROWS_DIAMETER:
        # The diameter joins rows far from the centre, so only the farthest are compared.
        centre = rows.mean(axis=0)
        distances = np.concatenate(
            [np.square(rows[part] - centre).sum(axis=1) for part in parts_of(len(rows))]
        )
        rows = rows[np.argsort(-distances, kind="stable")[:_MAX_ROWS_DIAMETER]]
    diam = diameter(torch.from_numpy(rows))
    n_timesteps = timesteps_rule(settings["beta_max"], diam)
    logger.info("timesteps by the paper's rule: diameter %.4g gives %d", diam, n_timesteps)
    return n_timesteps


def make_members(settings: dict[str, Any], seed: int) -> list[Member]:
    """Return the grid's settings times the seeds, or times the folds.

    Each setting meets the same seeds. With folds all members have one seed, so that settings
    differ by nothing else; the seeds are those of the members refitted.
    """
    if settings["selection"] == "cross_validation":
        replicas = [(seed, fold) for fold in range(settings["folds"])]
    else:
        replicas = [(seed + place, None) for place in range(settings["seeds"])]
    # The noise of a schedule is no member's own.
    noise = ("noise_means", "noise_stds") if settings["target"] == "edm" else ()
    names = ("learning_rates", "condition_dropouts", "weight_decays", "dropouts", "batch_sizes")
    grid = itertools.product(replicas, *(settings[name] for name in (*names, *noise)))
    return [Member(own, *setting, subset=fold) for (own, fold), *setting in grid]
