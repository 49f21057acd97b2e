# SPDX-License-Identifier: MIT
"""One replicate's training rows, encoded, and all that it takes to learn from them."""

import itertools
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.heldout import HeldOut
from mcrage.diffusion.memory import heldout_bytes
from mcrage.diffusion.schedule import diameter, timesteps_rule
from mcrage.diffusion.training import Member
from mcrage.encoding.rows import parts_of
from mcrage.errors import UserError
from mcrage.folds import stratified_folds
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    TrainingData,
    standardised_within,
)
from mcrage.generators.cddpm_grid import Grid
from mcrage.generators.cddpm_parts import Parts, make_parts
from mcrage.generators.cddpm_rows import RowEncoding, sort_by_group
from mcrage.generators.cddpm_schedule import schedules
from mcrage.generators.cddpm_select import Scores, Scoring, refit_members
from mcrage.groups import filling_plan, plan_rows

logger = logging.getLogger(__name__)

_MAX_ROWS_DIAMETER = 20_000


@dataclass(frozen=True)
class Replicate:
    """What one generator learns from.

    Attributes
    ----------
    train : TrainingData
    seed : int
        Of weights, batches and noise.
    criterion : callable, optional
        Needed by ``selection: criterion``.
    checkpoint : Checkpoint, optional
        Of this replicate and those that learn together with it, if it is their first.
    name : str
        By which errors name it; "": not at all.
    """

    train: TrainingData
    seed: int
    criterion: Criterion | None = field(default=None, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)
    name: str = ""


class Learner:
    """A replicate, its rows encoded.

    Parameters
    ----------
    settings : dict
        Of the generator.
    replicate : Replicate
    place : torch.device

    Attributes
    ----------
    replicate : Replicate
    encoding : RowEncoding
    timesteps : int or None
        T; None for continuous noise levels.
    parts : Parts
    rows, groups : Tensor, shapes (n, d), (n,)
    learnt, held : list of Tensor
        Rows learnt from and those held out, a fold each; none without folds.

    Raises
    ------
    UserError
        If a group is empty, in a fold too, or the criterion is missing.
    """

    def __init__(self, settings: dict[str, Any], replicate: Replicate, place: torch.device) -> None:
        train, seed = replicate.train, replicate.seed
        _check(settings, train, replicate.criterion)
        self._settings, self.replicate, self._place = settings, replicate, place
        self.encoding = RowEncoding.fit(
            train.rows,
            train.roles.features,
            categories=settings["categories"],
            scaling=settings["scaling"],
            derive=settings["derive"],
            seed=seed,
            within=train.within(settings["scaling"]),
        )
        rows = self.encoding.transform(
            train.rows,
            jitter_seed=seed if settings["jitter"] else None,
            within=train.within(settings["scaling"]),
        )
        numbers = rows[:, : self.encoding.n_numbers] if self.encoding.has_codes else rows
        self.timesteps = count_timesteps(settings, numbers)
        self.parts = make_parts(settings, train.schema, self.encoding, self.timesteps, place)
        self.learnt, self.held = _folds(settings, train, seed)
        groups = np.asarray(train.groups, dtype=np.int64)
        if not self.held:
            groups = sort_by_group(rows, groups)
        self.rows, self.groups = torch.from_numpy(rows), torch.from_numpy(groups)
        self._schedules = schedules(settings, len(rows))

    @property
    def kind(self) -> Hashable:
        """What those that learn together have in common: shapes, constants and schedule."""
        # How often there is each code is a constant of the process of codes.
        mixed = self.encoding.mixed if self.encoding.has_codes else None
        codes = mixed and (mixed.n_numbers, str(mixed.code_counts), str(mixed.states))
        own = [(size, each.training, each.scored) for size, each in self._schedules.items()]
        shape = self.replicate.train.schema.shape
        return self.parts.network.parameters, self.timesteps, shape, codes, tuple(own)

    def heldout_bytes(self) -> int:
        """Return what the rows held out will take, in bytes."""
        condition = self.parts.condition
        n_condition = condition.n_factor_columns + condition.n_residual_columns
        return heldout_bytes(self.rows, self.groups, self.held, n_condition)

    def grid(self) -> Grid:
        """Return the members, and how they are chosen; rows held out are taken now."""
        settings, seed = self._settings, self.replicate.seed
        scoring = refit = None
        if settings["selection"] == "criterion":
            judge = _judge(settings, self.parts, self.encoding, self.replicate)
            scoring = Scoring("validation_f1", judge)
        elif settings["selection"] == "cross_validation":
            data = (self.rows, self.groups)
            losses = _heldout_losses(settings, self.parts, data, self.held, seed, self._place)
            scoring = Scoring("heldout_loss", losses)
            seeds = range(seed, seed + settings["seeds"])
            refit = partial(refit_members, seeds=seeds)
        members = make_members(settings, seed)
        return Grid(members, self._schedules, scoring=scoring, refit=refit)


def _check(settings: dict[str, Any], train: TrainingData, criterion: Criterion | None) -> None:
    if settings["selection"] == "criterion" and criterion is None:
        raise UserError(
            "selection 'criterion' needs a validation set: set a validation share above 0, "
            "or selection 'last'."
        )
    train.check_groups()


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
    replicate: Replicate,
) -> Scores:
    """Return a function that scores every member by the rows it draws for the filling plan."""
    # By name: only where drawn rows choose a checkpoint is the sampler part of training.
    draw_rows = import_module("mcrage.generators.cddpm_draw").draw_rows
    train = replicate.train
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
            (rows,) = draw_rows(settings, parts, own, plan[None], replicate.seed)
            scores.append(float(replicate.criterion(encoding.inverse(rows, within), plan)))
        return scores

    return judge


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
    names = ("learning_rates", "condition_dropouts", "weight_decays", "dropouts", "batch_sizes")
    # Noise is a member's own unless it is a schedule's.
    lists = [settings[name] or [None] for name in (*names, "noise_means", "noise_stds")]
    grid = itertools.product(replicas, *lists)
    return [Member(own, *setting, subset=fold) for (own, fold), *setting in grid]
