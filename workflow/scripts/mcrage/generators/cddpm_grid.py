# SPDX-License-Identifier: MIT
"""The members that learn for one generator: their settings, curve, scores, and what is chosen."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Member
from mcrage.generators.cddpm_schedule import Schedule
from mcrage.generators.cddpm_select import SETTING, Best, Chosen, Scoring, choose

logger = logging.getLogger(__name__)

CURVE = (
    *("step", "epoch", "member", "seed", *SETTING, "fold"),
    *("loss", "rate", "heldout_loss", "validation_f1"),
)
"""Columns of the curve; `fold` is -1 for members that learn from all rows, and noise is NaN where
it is the schedule's."""
_WHOLE = ("step", "member", "seed", "batch_size", "fold")
_CURVE_POINTS = 100


class Grid:
    """Members of one replicate, scored and chosen among each other, whoever trains beside them.

    Parameters
    ----------
    members : sequence of Member
    schedules : mapping of int to Schedule
        By batch size.
    scoring : Scoring, optional
        Scores the members; without one all are kept as they end. Scores that are losses choose a
        setting and a step, others the best member at its best step.
    refit : callable, optional
        The members trained afterwards on what was chosen; for losses.

    Attributes
    ----------
    members : list of Member
        Of the grid, and then those of the refit.
    numbers : list of int
        Of the members in training now.
    noted : int
        Step of the curve's last point, of the members in training now or last.
    best : Best
    """

    def __init__(
        self,
        members: Sequence[Member],
        schedules: Mapping[int, Schedule],
        *,
        scoring: Scoring | None = None,
        refit: Callable[[Chosen], list[Member]] | None = None,
    ) -> None:
        self._grid, self._schedules = list(members), schedules
        self.scoring, self.refit = scoring, refit
        self.begin()

    def begin(self) -> None:
        """Begin with the grid, and nothing known."""
        self.members = list(self._grid)
        self.numbers: list[int] = []
        self.noted = 0
        self.best = Best()
        self._curve: dict[str, list] = {name: [] for name in CURVE}
        self._chosen: Chosen | None = None

    def enter(self, numbers: Sequence[int]) -> Schedule:
        """Begin to train these members, all of one batch size; return their schedule."""
        self.numbers, self.noted = list(numbers), 0
        self._schedule = self._schedules[self._training[0].batch_size]
        own = [member.steps or self._schedule.training.steps for member in self._training]
        self._last = max(own)
        return self._schedule

    @property
    def _training(self) -> list[Member]:
        return [self.members[number] for number in self.numbers]

    @property
    def _is_scored(self) -> bool:
        """Whether the members in training are the grid's, and it is scored."""
        return self.scoring is not None and self.numbers[0] < len(self._grid)

    def next_stop(self, noted: int | None = None) -> int | None:
        """Return the step of the point of the curve after one, the last of all if left out."""
        noted = self.noted if noted is None else noted
        if noted >= self._last:
            return None
        interval = max(1, self._schedule.training.steps // _CURVE_POINTS)
        stops = [self._last, (noted // interval + 1) * interval]
        if self._is_scored:
            stops.append(self._schedule.next_scored(noted) or self._last)
        return min(stops)

    def score(self, weights: Callable[[], Tensor], step: int) -> list[float]:
        """Score the members in training where it is time to, and keep the best."""
        if not self._is_scored or step not in self._schedule.scored:
            return [np.nan] * len(self.numbers)
        own = weights()
        scores = self.scoring.scores(own, self._training)
        if self.scoring.column == "validation_f1":
            self.best.offer(scores, own, step, self.numbers)
        return scores

    def note(self, step: int, losses: list[float], scores: list[float], factor: float) -> None:
        """Add a point to the curve of each member in training; `factor` is of the rates."""
        self.noted = step
        columns = ("heldout_loss", "validation_f1")
        scored = [self.scoring is not None and self.scoring.column == name for name in columns]
        for number, member, loss, score in zip(
            self.numbers, self._training, losses, scores, strict=True
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

    def choose(self) -> None:
        """Choose a setting by the grid's losses, and add the members that are trained with it."""
        if self.refit is None or self._chosen is not None:
            return
        self._chosen = choose(self._curve, self._grid)
        self.members = [*self._grid, *self.refit(self._chosen)]
        logger.info(
            "cross-validation chose step %d of %s: held-out loss %.4f ± %.4f",
            self._chosen.step,
            self._chosen.told,
            self._chosen.loss,
            self._chosen.standard_error,
        )

    @property
    def kept(self) -> list[int]:
        """The members that are kept as they end; none if the best is kept."""
        if self.refit is not None:
            return [*range(len(self._grid), len(self.members))]
        return [*range(len(self.members))] if self.scoring is None else []

    def choice(self) -> dict[str, int | float | None]:
        """Return which member at which step was kept, or None for all of them at the end."""
        if self._chosen is not None:
            return {"chosen_member": None, **self._chosen.facts()}
        if self.best.weights is None:
            return {"chosen_member": None, "chosen_step": self.noted}
        member = self.members[self.best.number]
        return {
            "chosen_member": self.best.number,
            "chosen_step": self.best.step,
            **{f"chosen_{name}": getattr(member, name) for name in SETTING},
            "chosen_validation_f1": self.best.score,
        }

    @property
    def history(self) -> dict[str, list]:
        """The curve by step and member, whatever the grid was divided into; then the refit's."""
        step, member = (np.asarray(self._curve[name], dtype=int) for name in ("step", "member"))
        order = np.lexsort((member, step, member >= len(self._grid)))
        return {name: [values[place] for place in order] for name, values in self._curve.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Return the curve and the best so far, as named arrays."""
        curve = {f"history.{k}": np.asarray(v, dtype=np.float64) for k, v in self._curve.items()}
        return curve | self.best.state()

    def expected(self, arrays: Mapping[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
        """Return arrays of the names, types and shapes that a state of this grid can have.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            A state, by whose curve's length it goes.
        width : int
            Parameters of a member.
        """
        points = np.empty(arrays["history.step"].size)
        shapes = {f"history.{name}": points for name in CURVE}
        if self.scoring is not None and "best.weights" in arrays:
            shapes["best.weights"] = np.empty((1, width), np.float32)
            shapes["best.place"] = np.empty(3)
        return shapes

    def take_curve(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from the curve of a state."""
        for name in CURVE:
            values = arrays[f"history.{name}"].tolist()
            self._curve[name] = [int(value) for value in values] if name in _WHOLE else values

    def restore(self, arrays: Mapping[str, np.ndarray], device: torch.device) -> None:
        """Continue from the result of `state`."""
        self.take_curve(arrays)
        self.best.restore(arrays, device)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
