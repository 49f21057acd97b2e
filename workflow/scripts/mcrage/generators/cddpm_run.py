# SPDX-License-Identifier: MIT
"""A training run of the diffusion generator: ensembles in turn, curve, choice, checkpoints."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Member, Trainer, TrainingSettings
from mcrage.generators.base import Checkpoint
from mcrage.generators.cddpm_schedule import Schedule
from mcrage.generators.cddpm_select import SETTING, Best, Chosen, Scoring, choose
from mcrage.generators.checkpoint import Cadence, unlike
from mcrage.generators.costs import Costs
from mcrage.interruption import Interrupted, Interruption
from mcrage.progress import Progress

logger = logging.getLogger(__name__)

CURVE = (
    *("step", "epoch", "member", "seed", *SETTING, "fold"),
    *("loss", "rate", "heldout_loss", "validation_f1"),
)
"""Columns of the curve; `fold` is -1 for members that learn from all rows, and noise is NaN where
it is the schedule's."""
_WHOLE = ("step", "member", "seed", "batch_size", "fold")
_CURVE_POINTS = 100

MakeTrainer = Callable[[list[Member], TrainingSettings], Trainer]
Partition = Callable[[list[Member]], list[list[int]]]
"""Members -> places of those that are trained at once, for each ensemble in turn."""


class Run:
    """Trains a grid of members, as many at once as fit, and keeps what was chosen of them.

    Parameters
    ----------
    make_trainer : callable
        Makes the trainer of an ensemble.
    members : sequence of Member
        The grid.
    partition : callable
        Divides members into ensembles that are trained one after the other, each of one batch
        size.
    schedules : mapping of int to Schedule
        By batch size.
    averaged : bool
        Keep and score the moving average of the parameters instead of the last ones.
    scoring : Scoring, optional
        Scores the grid; without one all members are kept as they end. Scores that are losses
        choose a setting and a step, others the best member at its best step.
    refit : callable, optional
        The members trained after the grid on what was chosen; for losses.
    checkpoint : Checkpoint, optional
        To continue from, and to write now and then and when the process is told to end.
    started : float, optional
        When the fit began, by ``time.perf_counter``; now if left out.
    label : str
        For the progress.

    Attributes
    ----------
    trainer : Trainer
        Of the present ensemble.
    costs : Costs
    """

    def __init__(
        self,
        make_trainer: MakeTrainer,
        members: Sequence[Member],
        partition: Partition,
        schedules: Mapping[int, Schedule],
        *,
        averaged: bool,
        scoring: Scoring | None = None,
        refit: Callable[[Chosen], list[Member]] | None = None,
        checkpoint: Checkpoint | None = None,
        started: float | None = None,
        label: str = "training cddpm",
    ) -> None:
        self._make_trainer, self._partition = make_trainer, partition
        self._grid = list(members)
        self._grid_parts = partition(self._grid)
        self._schedules, self._label = schedules, label
        self.averaged = averaged
        self._scoring, self._refit, self._checkpoint = scoring, refit, checkpoint
        self._begin()
        began = time.perf_counter() if started is None else started
        self.costs = Costs(began, on_gpu=self.trainer.average.is_cuda)
        # Parameters, their average and two moments make up nearly all of it.
        self._cadence = Cadence(4 * self.trainer.average.nbytes)
        # Part, step, and last point of the curve, of the state that the checkpoint holds.
        self._kept: tuple[int, int, int] | None = None
        # Weights of the ensembles before the present one, where all are kept.
        self._done: list[Tensor] = []
        self._best = Best()

    @property
    def _in_grid(self) -> bool:
        return self._part < len(self._grid_parts)

    @property
    def _keeps_all(self) -> bool:
        """Whether the members of the present ensemble are kept as they end."""
        return self._scoring is None or not self._in_grid

    @property
    def _place(self) -> tuple[int, int, int]:
        return (self._part, self.trainer.n_steps, self._noted)

    def _begin(self) -> None:
        """Begin with the first ensemble of the grid, and nothing known."""
        self._members, self._parts = list(self._grid), list(self._grid_parts)
        self._curve: dict[str, list] = {name: [] for name in CURVE}
        self._chosen: Chosen | None = None
        self._enter(0)

    def _enter(self, part: int) -> None:
        """Begin with an ensemble."""
        self._part, self._noted = part, 0
        self._numbers = self._parts[part]
        members = [self._members[number] for number in self._numbers]
        self._schedule = self._schedules[members[0].batch_size]
        self.trainer = self._make_trainer(members, self._schedule.training)

    def _choose(self) -> None:
        """Choose a setting by the grid's losses, and add the members that are trained with it."""
        if self._refit is None or self._chosen is not None:
            return
        self._chosen = choose(self._curve, self._grid)
        added = self._refit(self._chosen)
        first = len(self._grid)
        self._members = [*self._grid, *added]
        parts = [[first + place for place in part] for part in self._partition(added)]
        self._parts = [*self._grid_parts, *parts]
        logger.info(
            "cross-validation chose step %d of %s: held-out loss %.4f ± %.4f",
            self._chosen.step,
            self._chosen.told,
            self._chosen.loss,
            self._chosen.standard_error,
        )

    def _next_stop(self, noted: int) -> int:
        """Return the step of the point of the curve after `noted`."""
        interval = max(1, self._schedule.training.steps // _CURVE_POINTS)
        stops = [self.trainer.last_step, (noted // interval + 1) * interval]
        if self._scoring is not None and self._in_grid:
            stops.append(self._schedule.next_scored(noted) or self.trainer.last_step)
        return min(stops)

    def run(self) -> None:
        """Train to the last step, from a checkpoint when there is one, and keep the final state.

        Raises
        ------
        Interrupted
            If there is a checkpoint to write and the process was told to end, after writing it.
        """
        self._resume()
        with Interruption(enabled=self._checkpoint is not None) as interruption:
            try:
                self._run_part(interruption)
                while self._advance_part():
                    self._run_part(interruption)
                if self._checkpoint is not None:
                    self._keep()
                interruption.check()
            except Interrupted as stop:
                stop.where = f" at step {self.trainer.n_steps} of {self.trainer.last_step}"
                if len(self._parts) > 1 or self._refit:
                    stop.where += f" of {self._told_part()}"
                if self._keep():
                    stop.where += "; the next run continues from there"
                raise

    def _told_part(self) -> str:
        if self._refit is not None and not self._in_grid:
            return "the refit"
        if len(self._grid_parts) == 1:
            return "the grid"
        return f"ensemble {self._part + 1} of {len(self._grid_parts)}"

    def _advance_part(self) -> bool:
        """Go on to the next ensemble; return whether there is one."""
        if self._part + 1 == len(self._grid_parts):
            self._choose()
        if self._part + 1 == len(self._parts):
            return False
        if self._keeps_all:
            self._done.append(self.trainer.weights(averaged=self.averaged).cpu().clone())
        self._enter(self._part + 1)
        return True

    def _run_part(self, interruption: Interruption) -> None:
        last = self.trainer.last_step
        self._cadence.start(self.trainer.n_steps)
        label = self._label
        if len(self._parts) > 1 or self._refit:
            label += f", {self._told_part()}"
        with Progress(last, label, start=self.trainer.n_steps) as progress:
            while self._noted < last:
                before = self.trainer.n_steps
                self._advance(self._next_stop(self._noted), interruption)
                scores = self._scores(interruption)
                losses = self.trainer.read_losses()
                self._note(losses, scores)
                progress.update(self.trainer.n_steps - before, loss=float(np.nanmean(losses)))
                if self._is_due():
                    self._save()
                interruption.check()

    def _advance(self, stop: int, interruption: Interruption) -> None:
        """Take the steps up to a point of the curve, which may be none after a kill."""
        while self.trainer.n_steps < stop:
            started, before = time.perf_counter(), self.trainer.n_steps
            try:
                while self.trainer.n_steps < stop:
                    self.trainer.step()
                    interruption.check()
                    if self._is_due():
                        break
            finally:
                if self.trainer.average.is_cuda:
                    torch.cuda.synchronize(self.trainer.average.device)
                self.costs.step_seconds += time.perf_counter() - started
                self.costs.steps_timed += self.trainer.n_steps - before
            if self._is_due():
                self._save()

    def _is_due(self) -> bool:
        return self._checkpoint is not None and self._cadence.due(self.trainer.n_steps)

    def _keep(self) -> bool:
        """Return whether the checkpoint holds the present state, after writing it if need be."""
        return self._kept == self._place or self._save()

    def _save(self) -> bool:
        started = time.perf_counter()
        saved = self._checkpoint.save(self.state())
        if saved:
            self._kept = self._place
        seconds = time.perf_counter() - started
        self.costs.checkpoint_seconds += seconds
        self._cadence.wrote(self.trainer.n_steps, seconds, self.costs.seconds_per_step)
        return saved

    def _resume(self) -> None:
        if self._checkpoint is None:
            return
        arrays = self._checkpoint.load(self.misfit)
        if arrays is None:
            # Looking at one that was refused may have gone to another ensemble.
            self._begin()
            return
        self.restore(arrays)
        self._kept = self._place
        self.costs.resumptions += 1
        logger.info("continuing from step %d of %d", self.trainer.n_steps, self.trainer.last_step)

    def weights(self) -> Tensor:
        """Return the parameters kept: the best member's (1, P), or all members' (M, P)."""
        if self._best.weights is not None:
            return self._best.weights
        last = self.trainer.weights(averaged=self.averaged).clone()
        return torch.cat([*(part.to(last.device) for part in self._done), last])

    @property
    def n_members(self) -> int:
        """Number of members trained, in all ensembles."""
        return len(self._members)

    def choice(self) -> dict[str, int | float | None]:
        """Return which member at which step was kept, or None for all of them at the end."""
        if self._chosen is not None:
            return {"chosen_member": None, **self._chosen.facts()}
        if self._best.weights is None:
            return {"chosen_member": None, "chosen_step": self.trainer.n_steps}
        member = self._members[self._best.number]
        return {
            "chosen_member": self._best.number,
            "chosen_step": self._best.step,
            **{f"chosen_{name}": getattr(member, name) for name in SETTING},
            "chosen_validation_f1": self._best.score,
        }

    def _scores(self, interruption: Interruption) -> list[float]:
        """Score all members where it is time to, and keep the best."""
        step, scoring = self.trainer.n_steps, self._scoring
        if scoring is None or not self._in_grid or step not in self._schedule.scored:
            return [np.nan] * len(self.trainer.members)
        weights = self.trainer.weights(averaged=self.averaged)
        # Scoring takes long and changes nothing, so it is left at once and done again.
        with interruption.at_once():
            scores = scoring.scores(weights, self.trainer.members)
        if scoring.column == "validation_f1":
            self._best.offer(scores, weights, self.trainer.n_steps, self._numbers)
        return scores

    def _note(self, losses: list[float], scores: list[float]) -> None:
        step = self._noted = self.trainer.n_steps
        factor = self.trainer.rate_factor(step - 1)
        columns = ("heldout_loss", "validation_f1")
        scored = [self._scoring is not None and self._scoring.column == name for name in columns]
        for number, member, loss, score in zip(
            self._numbers, self.trainer.members, losses, scores, strict=True
        ):
            if np.isnan(loss) and member.steps is not None and member.steps < step:
                # It had stopped before the last point.
                continue
            row = (
                *(step, step / self._schedule.steps_per_epoch, number, member.seed),
                *(_number(getattr(member, name)) for name in SETTING),
                *(-1 if member.subset is None else member.subset, loss),
                member.learning_rate * factor,
                *(score if here else np.nan for here in scored),
            )
            for name, value in zip(CURVE, row, strict=True):
                self._curve[name].append(value)

    @property
    def history(self) -> dict[str, list]:
        """The curve by step and member, whatever the grid was divided into; then the refit's."""
        step, member = (np.asarray(self._curve[name], dtype=int) for name in ("step", "member"))
        order = np.lexsort((member, step, member >= len(self._grid)))
        return {name: [values[place] for place in order] for name, values in self._curve.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is needed to go on, as named arrays."""
        arrays = {f"trainer.{k}": v.numpy() for k, v in self.trainer.state().items()}
        arrays |= {f"history.{k}": np.asarray(v, dtype=np.float64) for k, v in self._curve.items()}
        arrays["place"] = np.array([self._part, self._noted, len(self._grid)])
        arrays["costs"] = self.costs.array()
        if self._done:
            arrays["done"] = torch.cat(self._done).numpy()
        return arrays | self._best.state()

    def misfit(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Return why arrays cannot be a state of this run, or None if they can."""
        if missing := {"place", *(f"history.{name}" for name in CURVE)} - set(arrays):
            return f"lacks arrays of this run ({', '.join(sorted(missing))})"
        part, noted, n_grid = arrays["place"].tolist()
        if n_grid != len(self._grid):
            return f"of a grid of {n_grid} members, and this run's has {len(self._grid)}"
        if part >= len(self._grid_parts) and self._refit is not None:
            self._take_curve(arrays)
            self._choose()
        if not 0 <= part < len(self._parts):
            return f"of ensemble {part + 1}, and this run has {len(self._parts)}"
        if part != self._part:
            self._enter(part)
        expected = self.state()
        if self._scoring is not None and "best.weights" in arrays:
            expected["best.weights"] = self.trainer.average[:1].cpu().numpy()
            expected["best.place"] = np.empty(3)
        if n_done := self._n_done(part):
            expected["done"] = np.empty((n_done, self.trainer.average.shape[1]), np.float32)
        for name in CURVE:
            expected[f"history.{name}"] = np.empty(arrays["history.step"].size)
        if reason := unlike(arrays, expected):
            return reason
        step = int(arrays["trainer.counts"][0])
        last = self.trainer.last_step
        if not 0 <= noted <= step <= last or step > self._next_stop(noted):
            return (
                f"at step {step} with a curve up to {noted}, which a run of {last} steps never is"
            )
        return None

    def _n_done(self, part: int) -> int:
        """Return how many members' weights are kept of the ensembles before this one."""
        first = 0 if self._scoring is None else len(self._grid_parts)
        return sum(len(numbers) for numbers in self._parts[first:part])

    def _take_curve(self, arrays: dict[str, np.ndarray]) -> None:
        for name in CURVE:
            values = arrays[f"history.{name}"].tolist()
            self._curve[name] = [int(value) for value in values] if name in _WHOLE else values

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from the result of `state`, which `misfit` has found to be one of this run."""
        state = {
            name.removeprefix("trainer."): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith("trainer.")
        }
        self.trainer.restore(state)
        self._noted = int(arrays["place"][1])
        self._take_curve(arrays)
        if "done" in arrays:
            self._done = [torch.from_numpy(arrays["done"].copy())]
        self._best.restore(arrays, self.trainer.device)
        self.costs.add(arrays["costs"])


def _number(value: float | None) -> float:
    return np.nan if value is None else value
