# SPDX-License-Identifier: MIT
"""How a member and a step are chosen: by the rows a member draws, or by cross-validation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mcrage.diffusion.training import Member
from mcrage.errors import UserError

logger = logging.getLogger(__name__)

SETTING = (
    *("learning_rate", "condition_dropout", "weight_decay", "dropout"),
    *("batch_size", "noise_mean", "noise_std"),
)
"""What tells the settings of a grid apart: attributes of a member, columns of the curve."""

Scores = Callable[[Tensor, Sequence[Member]], list[float]]
"""Parameters of members (M, P), and the members -> the score of each."""


@dataclass(frozen=True)
class Scoring:
    """How members are scored, when the schedule says so.

    Attributes
    ----------
    column : {"validation_f1", "heldout_loss"}
        Of the curve that the scores go to.
    scores : callable
    """

    column: Literal["validation_f1", "heldout_loss"]
    scores: Scores


class Best:
    """The best member at its best step so far; at equal scores the earliest.

    Attributes
    ----------
    weights : Tensor of float32, shape (1, P), or None
        None before the first.
    score : float
    step, number : int
        When, and the member's number in the curve.
    """

    def __init__(self) -> None:
        self.weights: Tensor | None = None
        self.score = -np.inf
        self.step = self.number = 0

    def offer(
        self, scores: Sequence[float], weights: Tensor, step: int, numbers: Sequence[int]
    ) -> None:
        """Keep the best of these members, if it is better than what is kept.

        Raises
        ------
        UserError
            If no score is defined.
        """
        if np.isnan(scores).all():
            raise UserError(
                f"step {step}: no member could be judged, since the validation set has no "
                "positive row and none was predicted. Use a larger validation_fraction in the "
                "scenario, or selection: last."
            )
        place = int(np.nanargmax(scores))
        score, number = float(scores[place]), numbers[place]
        # Ensembles in turn are not in the order of steps.
        if score > self.score or (
            score == self.score and (step, number) < (self.step, self.number)
        ):
            self.weights = weights[place : place + 1].clone()
            self.score, self.step, self.number = score, step, number
            logger.info("step %d: best score so far %.4f", step, score)

    def state(self) -> dict[str, np.ndarray]:
        """Return named arrays; none before the first."""
        if self.weights is None:
            return {}
        place = np.array([self.step, self.number, self.score])
        return {"best.weights": self.weights.cpu().numpy(), "best.place": place}

    def restore(self, arrays: Mapping[str, np.ndarray], device: torch.device) -> None:
        """Continue from the result of `state`."""
        if "best.weights" in arrays:
            self.weights = torch.from_numpy(arrays["best.weights"].copy()).to(device)
            step, number, self.score = arrays["best.place"].tolist()
            self.step, self.number = int(step), int(number)


@dataclass(frozen=True)
class Chosen:
    """What cross-validation chose.

    Attributes
    ----------
    member : Member
        Of the grid, with the setting; of which fold does not matter.
    step : int
    loss, standard_error : float
        Mean of the held-out loss over folds, and the standard error of that mean.
    """

    member: Member
    step: int
    loss: float
    standard_error: float

    @property
    def told(self) -> str:
        """The setting, for the log; noise only where it is a member's own."""
        values = {name: getattr(self.member, name) for name in SETTING}
        return ", ".join(
            f"{name} {value if isinstance(value, int) else format(value, '.4g')}"
            for name, value in values.items()
            if value is not None
        )

    def facts(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "chosen_step": self.step,
            **{f"chosen_{name}": getattr(self.member, name) for name in SETTING},
            "chosen_heldout_loss": self.loss,
            "chosen_heldout_loss_standard_error": self.standard_error,
        }


def choose(curve: Mapping[str, Sequence], members: Sequence[Member]) -> Chosen:
    """Return the setting and step with the smallest held-out loss, averaged over folds.

    At equal losses the earliest step and the setting named first.

    Parameters
    ----------
    curve : mapping of str to sequence
        With member, step and heldout_loss; NaN where there was no snapshot.
    members : sequence of Member
        By their number in the curve; `Member.subset` is the fold.

    Raises
    ------
    UserError
        If every loss is infinite or NaN: all settings diverged.
    """
    settings = list(dict.fromkeys(_setting(member) for member in members))
    by_place: dict[tuple[int, int], list[float]] = {}
    for number, step, loss in zip(
        curve["member"], curve["step"], curve["heldout_loss"], strict=True
    ):
        if not np.isnan(loss):
            place = settings.index(_setting(members[number]))
            by_place.setdefault((step, place), []).append(loss)
    means = {key: float(np.mean(losses)) for key, losses in by_place.items()}
    finite = {key: mean for key, mean in means.items() if np.isfinite(mean)}
    if not finite:
        raise UserError(
            "cross-validation found no setting whose held-out loss is finite: every one diverged. "
            "Give smaller learning_rates, or a clip_norm."
        )
    step, place = min(finite, key=lambda key: (finite[key], key))
    losses = by_place[step, place]
    member = next(m for m in members if _setting(m) == settings[place])
    error = float(np.std(losses, ddof=1) / np.sqrt(len(losses)))
    return Chosen(member, step, finite[step, place], error)


def _setting(member: Member) -> tuple[float | None, ...]:
    return tuple(getattr(member, name) for name in SETTING)


def refit_members(chosen: Chosen, seeds: Sequence[int]) -> list[Member]:
    """Return a member a seed, of the setting chosen, that learns from all rows until the step.

    The step stays as it is though there are more rows than in a fold's training part: what limits
    it is how soon small groups are copied, and snapshots are farther apart than any correction.
    """
    return [replace(chosen.member, seed=seed, subset=None, steps=chosen.step) for seed in seeds]
