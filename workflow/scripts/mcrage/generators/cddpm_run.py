# SPDX-License-Identifier: MIT
"""One training run of the diffusion generator: curve, selection by a criterion, checkpoints."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Trainer
from mcrage.errors import UserError
from mcrage.generators.storage import read_arrays, write_arrays
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
_CHECKPOINT_SECONDS = 60.0

Judge = Callable[[Tensor], list[float]]
"""Parameters of all members (M, P) -> the score of each."""


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
    checkpoint : path-like, optional
        File to continue from, and to write about once a minute. The caller deletes it.

    Attributes
    ----------
    history : dict of str to list
    seconds : float
        Spent in steps, since this process started.
    """

    def __init__(
        self,
        trainer: Trainer,
        steps_per_epoch: int,
        *,
        averaged: bool,
        judge: Judge | None = None,
        judge_every: int = 0,
        checkpoint: str | os.PathLike | None = None,
    ) -> None:
        self.trainer = trainer
        self.averaged = averaged
        self.history: dict[str, list] = {name: [] for name in CURVE}
        self.seconds = 0.0
        self.steps_timed = 0
        self._steps_per_epoch = steps_per_epoch
        self._judge, self._judge_every = judge, judge_every
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self._best: Tensor | None = None
        self._best_score = -np.inf
        self._best_place = (0, 0)

    def run(self) -> None:
        """Train to the last step, from a checkpoint when there is one."""
        total = self.trainer.settings.steps
        every = max(1, total // _CURVE_POINTS)
        if self._checkpoint is not None and self._checkpoint.exists():
            self._restore(read_arrays(self._checkpoint))
            logger.info("continuing from step %d of %d", self.trainer.n_steps, total)
        saved = time.monotonic()
        with Progress(total, "training cddpm") as progress:
            progress.update(self.trainer.n_steps)
            while self.trainer.n_steps < total:
                done = self.trainer.n_steps
                stop = min(total, (done // every + 1) * every)
                if self._judge is not None:
                    stop = min(stop, (done // self._judge_every + 1) * self._judge_every)
                started = time.perf_counter()
                for _ in range(stop - done):
                    self.trainer.step()
                losses = self.trainer.read_losses()
                self.seconds += time.perf_counter() - started
                self.steps_timed += stop - done
                judged = self._judge is not None and (
                    stop % self._judge_every == 0 or stop == total
                )
                scores = self._select() if judged else [np.nan] * len(losses)
                self._note(losses, scores)
                progress.update(stop - done, loss=float(np.mean(losses)))
                if self._checkpoint is not None and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    write_arrays(self.state(), self._checkpoint)
                    saved = time.monotonic()

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

    def _select(self) -> list[float]:
        weights = self.trainer.weights(averaged=self.averaged)
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
        if self._best is not None:
            arrays["best.weights"] = self._best.cpu().numpy()
            arrays["best.place"] = np.array([*self._best_place, self._best_score])
        return arrays

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
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
