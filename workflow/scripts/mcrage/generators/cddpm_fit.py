# SPDX-License-Identifier: MIT
"""From training rows to the weights of the diffusion generator, of one or several replicates."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mcrage.diffusion.memory import device_limit, member_bytes, partition, table_bytes
from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.errors import told_of
from mcrage.generators.cddpm_learner import Learner, Replicate
from mcrage.generators.cddpm_parts import Parts
from mcrage.generators.cddpm_rows import RowEncoding
from mcrage.generators.cddpm_run import Run
from mcrage.generators.devices import check_device, device_name

logger = logging.getLogger(__name__)

_UNLIKE = "; replicates_together gains nothing here, unless the generator has categories: one_hot"


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


def fit_together(
    settings: dict[str, Any], replicates: Sequence[Replicate], *, device: str, threads: int
) -> list[Fitted]:
    """Learn from several replicates, as one ensemble where they fit together.

    Each ends as it would alone, up to the rounding of products. Those fit together that differ in
    nothing but their rows and seeds: neither in the width of their encoded rows, nor in their
    groups, the number of timesteps or the steps; others are trained one after the other.

    Parameters
    ----------
    settings : dict
        As of `mcrage.generators.cddpm.CddpmGenerator`.
    replicates : sequence of Replicate
    device : str
        As torch names it.
    threads : int
        For torch on the CPU.

    Returns
    -------
    list of Fitted
        In the order of the replicates. Where several were trained together, ``learnt_together``
        among the facts is their number, and the job's seconds are divided by it.

    Raises
    ------
    UserError
        If the device is not there, a group is empty or a criterion is missing.
    Interrupted
        If there is a checkpoint and the process was told to end.
    """
    place = check_device(device)
    torch.set_num_threads(threads)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    started = time.perf_counter()
    learners = []
    for replicate in replicates:
        with told_of(replicate.name):
            learners.append(Learner(settings, replicate, place))
    alike: dict[Any, list[int]] = {}
    for number, learner in enumerate(learners):
        alike.setdefault(learner.kind, []).append(number)
    if len(alike) > 1:
        logger.warning(
            "of %d replicates %s fit together, so these are trained one after the other%s",
            len(learners),
            " and ".join(str(len(numbers)) for numbers in alike.values()),
            _UNLIKE if settings["categories"] == "masked" and len(alike) == len(learners) else "",
        )
    fitted: dict[int, Fitted] = {}
    for numbers in alike.values():
        own = _trained(settings, [learners[number] for number in numbers], place, started)
        fitted |= dict(zip(numbers, own, strict=True))
        started = time.perf_counter()
    return [fitted[number] for number in range(len(learners))]


def _trained(
    settings: dict[str, Any], learners: list[Learner], place: torch.device, started: float
) -> list[Fitted]:
    """Train learners that fit together."""
    parts = learners[0].parts
    grids = [learner.grid() for learner in learners]
    heldout = sum(learner.heldout_bytes() for learner in learners)
    table = _Table(learners)
    divided = _partition(settings, parts, place, table.n_bytes + heldout)

    def make_trainer(members: list[tuple[int, Member]], shared: TrainingSettings) -> Trainer:
        placed = [replace(own, subset=table.subset(owner, own.subset)) for owner, own in members]
        return Trainer(
            *(parts.network, parts.condition, parts.process, table.rows, table.groups),
            *(placed, shared, place, table.subsets),
        )

    run = Run(
        make_trainer,
        grids,
        divided,
        averaged=settings["use_ema"],
        checkpoint=learners[0].replicate.checkpoint,
        started=started,
    )
    run.run()
    return [
        Fitted(
            learner.encoding,
            learner.timesteps,
            run.weights(number),
            grid.history,
            grid.choice(),
            _facts(run, number, grid.choice(), learner.timesteps),
        )
        for number, (learner, grid) in enumerate(zip(learners, grids, strict=True))
    ]


class _Table:
    """The rows of all learners, one after the other, and their subsets."""

    def __init__(self, learners: list[Learner]) -> None:
        parts = [(learner.rows, learner.groups) for learner in learners]
        self._alone = len(learners) == 1
        self.rows, self.groups = (
            parts[0] if self._alone else map(torch.cat, zip(*parts, strict=True))
        )
        # Of each learner its folds, and all of its rows where others' are beside them.
        self.subsets: list[Tensor] = []
        self._n_folds = len(learners[0].learnt)
        first = 0
        for learner in learners:
            self.subsets += [rows + first for rows in learner.learnt]
            if not self._alone:
                self.subsets.append(torch.arange(first, first + len(learner.rows)))
                first += len(learner.rows)
                # They are in the table now, and what is held out in the grid.
                del learner.rows, learner.groups
        folds = [rows for name, rows in enumerate(self.subsets) if self._is_fold(name)]
        self.n_bytes = table_bytes(self.rows, self.groups, folds or self.subsets)

    def _is_fold(self, name: int) -> bool:
        return name % (self._n_folds + 1) < self._n_folds if not self._alone else True

    def subset(self, owner: int, fold: int | None) -> int | None:
        """Return which subset a learner's fold is, or all of its rows."""
        if self._alone:
            return fold
        return owner * (self._n_folds + 1) + (self._n_folds if fold is None else fold)


def _facts(run: Run, number: int, choice: dict[str, Any], timesteps: int | None) -> dict[str, Any]:
    """Return what the training of one of a run's replicates was and cost."""
    place, costs, grid = run.trainer.device, run.costs, run.grids[number]
    shared = len(run.grids)
    return {
        "device": device_name(place),
        # Of a job of several each has its share, so that all add up to the job.
        **({"learnt_together": shared} if shared > 1 else {}),
        "seconds": costs.seconds / shared,
        "gpu_seconds": costs.gpu_seconds / shared,
        "steps_per_second": 1 / max(costs.seconds_per_step, 1e-9),
        "checkpoint_seconds": costs.checkpoint_seconds / shared,
        "resumptions": costs.resumptions,
        "n_parameters": run.trainer.parameters.flat.shape[1],
        "n_members": len(grid.members),
        "steps": grid.noted,
        "timesteps": timesteps,
        "peak_memory_bytes": (
            torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
        ),
        **choice,
    }


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
