# SPDX-License-Identifier: MIT
"""One training run of the diffusion generator: curve, selection by a criterion, checkpoints."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Trainer
from mcrage.errors import UserError
from mcrage.generators.base import Checkpoint
from mcrage.generators.checkpoint import Cadence
from mcrage.interruption import Interrupted, Interruption
from mcrage.progress import Progress

logger = logging.getLogger(__name__)

CURVE = (
    "step",
    "epoch",
    "member",
    "seed",
    "learning_rate",
    "condition_dropout",
    "loss",
    "rate",
    "validation_f1",
)
_CURVE_POINTS = 100

Judge = Callable[[Tensor], list[float]]
"""Parameters of all members (M, P) -> the score of each."""


@dataclass
class Costs:
    """What a fit has cost, over all its attempts.

    Of an attempt that was killed only the time up to its last checkpoint is known.

    Attributes
    ----------
    started : float
        When this attempt began, by ``time.perf_counter``.
    on_gpu : bool
        Whether this attempt holds a GPU.
    earlier_seconds, earlier_gpu_seconds : float
        Of earlier attempts, and of those that held a GPU.
    step_seconds, checkpoint_seconds : float
        In steps, and in writing checkpoints.
    steps_timed : int
        Steps in `step_seconds`.
    resumptions : int
        Times that the fit was continued from a checkpoint.
    """

    started: float
    on_gpu: bool = False
    earlier_seconds: float = 0.0
    earlier_gpu_seconds: float = 0.0
    step_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    steps_timed: int = 0
    resumptions: int = 0

    @property
    def seconds(self) -> float:
        """Of all attempts up to now."""
        return self.earlier_seconds + self._present

    @property
    def gpu_seconds(self) -> float:
        """Of all attempts that held a GPU up to now."""
        return self.earlier_gpu_seconds + (self._present if self.on_gpu else 0.0)

    @property
    def _present(self) -> float:
        return time.perf_counter() - self.started

    @property
    def seconds_per_step(self) -> float:
        """0 before the first step."""
        return self.step_seconds / max(self.steps_timed, 1)

    def array(self) -> np.ndarray:
        """Return all that a later attempt adds to, float64 of shape (6,)."""
        return np.array(
            [
                *(self.seconds, self.gpu_seconds, self.step_seconds, self.checkpoint_seconds),
                *(self.steps_timed, self.resumptions),
            ],
            dtype=np.float64,
        )

    def add(self, earlier: np.ndarray) -> None:
        """Add what an earlier attempt's `array` says."""
        seconds, gpu_seconds, steps, checkpoints, timed, resumptions = earlier.tolist()
        self.earlier_seconds += seconds
        self.earlier_gpu_seconds += gpu_seconds
        self.step_seconds += steps
        self.checkpoint_seconds += checkpoints
        self.steps_timed += int(timed)
        self.resumptions += int(resumptions)


class Run:
    """Drives a trainer to the end of its budget.

    Parameters
    ----------
    trainer : Trainer
    steps_per_epoch : int
        For the curve.
    averaged : bool
        Keep and judge the moving average of the parameters instead of the last ones.
    judge : callable, optional
        Scores all members; without one all members are kept as they end.
    judge_every : int
        Steps between two judgements.
    checkpoint : Checkpoint, optional
        To continue from, and to write now and then and when the process is told to end.
    started : float, optional
        When the fit began, by ``time.perf_counter``; now if left out.

    Attributes
    ----------
    history : dict of str to list
    costs : Costs
    """

    def __init__(
        self,
        trainer: Trainer,
        steps_per_epoch: int,
        *,
        averaged: bool,
        judge: Judge | None = None,
        judge_every: int = 0,
        checkpoint: Checkpoint | None = None,
        started: float | None = None,
    ) -> None:
        self.trainer = trainer
        self.averaged = averaged
        self.history: dict[str, list] = {name: [] for name in CURVE}
        began = time.perf_counter() if started is None else started
        self.costs = Costs(began, on_gpu=trainer.average.is_cuda)
        self._steps_per_epoch = steps_per_epoch
        self._judge, self._judge_every = judge, judge_every
        self._checkpoint = checkpoint
        # Parameters, their average and two moments make up nearly all of it.
        self._cadence = Cadence(4 * trainer.average.nbytes)
        self._best: Tensor | None = None
        self._best_score = -np.inf
        self._best_place = (0, 0)

    @property
    def _noted(self) -> int:
        """Step of the last point of the curve."""
        return self.history["step"][-1] if self.history["step"] else 0

    def _next_stop(self, noted: int) -> int:
        """Return the step of the point of the curve after `noted`."""
        total = self.trainer.settings.steps
        every = max(1, total // _CURVE_POINTS)
        stop = min(total, (noted // every + 1) * every)
        if self._judge is not None:
            stop = min(stop, (noted // self._judge_every + 1) * self._judge_every)
        return stop

    def _is_judged(self, step: int) -> bool:
        if self._judge is None:
            return False
        return step % self._judge_every == 0 or step == self.trainer.settings.steps

    def run(self) -> None:
        """Train to the last step, from a checkpoint when there is one.

        Raises
        ------
        Interrupted
            If there is a checkpoint to write and the process was told to end, after writing it.
        """
        total = self.trainer.settings.steps
        self._resume()
        self._cadence.start(self.trainer.n_steps)
        with (
            Progress(total, "training cddpm", start=self.trainer.n_steps) as progress,
            Interruption(enabled=self._checkpoint is not None) as interruption,
        ):
            try:
                while self._noted < total:
                    before = self.trainer.n_steps
                    self._advance(self._next_stop(self._noted), interruption)
                    scores = self._scores(interruption)
                    losses = self.trainer.read_losses()
                    self._note(losses, scores)
                    progress.update(self.trainer.n_steps - before, loss=float(np.mean(losses)))
                    if self._is_due():
                        self._save()
                    interruption.check()
            except Interrupted as stop:
                stop.where = f" at step {self.trainer.n_steps} of {total}"
                if self._save():
                    stop.where += "; the next run continues from there"
                raise

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

    def _save(self) -> bool:
        started = time.perf_counter()
        saved = self._checkpoint.save(self.state())
        seconds = time.perf_counter() - started
        self.costs.checkpoint_seconds += seconds
        self._cadence.wrote(self.trainer.n_steps, seconds, self.costs.seconds_per_step)
        return saved

    def _resume(self) -> None:
        if self._checkpoint is None:
            return
        arrays = self._checkpoint.load(self.misfit)
        if arrays is not None:
            self.restore(arrays)
            self.costs.resumptions += 1
            logger.info(
                "continuing from step %d of %d", self.trainer.n_steps, self.trainer.settings.steps
            )

    def weights(self) -> Tensor:
        """Return the parameters kept: the best member's (1, P), or all members' (M, P)."""
        if self._best is not None:
            return self._best
        return self.trainer.weights(averaged=self.averaged).detach().clone()

    def choice(self) -> dict[str, int | float | None]:
        """Return which member at which step was kept, or None for all of them at the end."""
        if self._best is None:
            return {"chosen_member": None, "chosen_step": self.trainer.n_steps}
        step, place = self._best_place
        member = self.trainer.members[place]
        return {
            "chosen_member": place,
            "chosen_step": step,
            "chosen_learning_rate": member.learning_rate,
            "chosen_condition_dropout": member.condition_dropout,
            "chosen_validation_f1": self._best_score,
        }

    def _scores(self, interruption: Interruption) -> list[float]:
        """Judge all members where it is time to, and keep the best."""
        if not self._is_judged(self.trainer.n_steps):
            return [np.nan] * len(self.trainer.members)
        weights = self.trainer.weights(averaged=self.averaged)
        # Judging takes long and changes nothing, so it is left at once and done again.
        with interruption.at_once():
            scores = self._judge(weights)
        if np.isnan(scores).all():
            raise UserError(
                f"step {self.trainer.n_steps}: no member could be judged, since the validation set "
                "has no positive row and none was predicted. Use a larger validation_fraction in "
                "the scenario, or selection: last."
            )
        place = int(np.nanargmax(scores))
        if scores[place] > self._best_score:
            self._best_score = float(scores[place])
            self._best_place = (self.trainer.n_steps, place)
            self._best = weights[place : place + 1].detach().clone()
            logger.info("step %d: best score so far %.4f", self.trainer.n_steps, scores[place])
        return scores

    def _note(self, losses: list[float], scores: list[float]) -> None:
        step = self.trainer.n_steps
        factor = self.trainer.rate_factor(step - 1)
        for place, member in enumerate(self.trainer.members):
            row = (
                step,
                step / self._steps_per_epoch,
                place,
                member.seed,
                member.learning_rate,
                member.condition_dropout,
                losses[place],
                member.learning_rate * factor,
                scores[place],
            )
            for name, value in zip(CURVE, row, strict=True):
                self.history[name].append(value)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is needed to go on, as named arrays."""
        arrays = {f"trainer.{k}": v.numpy() for k, v in self.trainer.state().items()}
        arrays |= {f"history.{k}": np.asarray(v, dtype=np.float64) for k, v in self.history.items()}
        arrays["costs"] = self.costs.array()
        if self._best is not None:
            arrays["best.weights"] = self._best.cpu().numpy()
            arrays["best.place"] = np.array([*self._best_place, self._best_score])
        return arrays

    def misfit(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Return why arrays cannot be a state of this run, or None if they can."""
        expected = self.state()
        if self._judge is not None and "best.weights" in arrays:
            expected["best.weights"] = self.trainer.average[:1].cpu().numpy()
            expected["best.place"] = np.empty(3)
        if differing := sorted(set(arrays) ^ set(expected)):
            return f"holds other arrays than this run's ({', '.join(differing)})"
        n_points = arrays["history.step"].size
        for name, wanted in expected.items():
            shape = (n_points,) if name.startswith("history.") else wanted.shape
            found = arrays[name]
            if (found.dtype, found.shape) != (wanted.dtype, shape):
                return (
                    f"{name} is {found.dtype} of shape {found.shape}, and this run's "
                    f"{wanted.dtype} of shape {shape}"
                )
        step = int(arrays["trainer.counts"][0])
        noted = int(arrays["history.step"][-1]) if n_points else 0
        if not 0 <= noted <= step <= self.trainer.settings.steps or step > self._next_stop(noted):
            return (
                f"at step {step} with a curve up to {noted}, which a run of "
                f"{self.trainer.settings.steps} steps never is"
            )
        return None

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from the result of `state`."""
        state = {
            name.removeprefix("trainer."): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith("trainer.")
        }
        self.trainer.restore(state)
        for name in CURVE:
            values = arrays[f"history.{name}"].tolist()
            whole = name in ("step", "member", "seed")
            self.history[name] = [int(value) for value in values] if whole else values
        if "best.weights" in arrays:
            device = self.trainer.average.device
            self._best = torch.from_numpy(arrays["best.weights"].copy()).to(device)
            step, place, score = arrays["best.place"].tolist()
            self._best_place, self._best_score = (int(step), int(place)), score
        self.costs.add(arrays["costs"])
