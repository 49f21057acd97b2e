# SPDX-License-Identifier: MIT
"""How long the diffusion generator learns, and when its members are scored on the way."""

import math
from dataclasses import dataclass
from typing import Any

from mcrage.diffusion.training import TrainingSettings


@dataclass(frozen=True)
class Schedule:
    """What the members of one batch size have in common.

    Attributes
    ----------
    training : TrainingSettings
    steps_per_epoch : int
    scored : tuple of int
        Steps, growing, at which members of the grid are scored.
    """

    training: TrainingSettings
    steps_per_epoch: int
    scored: tuple[int, ...] = ()

    def next_scored(self, step: int) -> int | None:
        """Return the first step after this one at which members are scored."""
        return next((due for due in self.scored if due > step), None)


def schedules(settings: dict[str, Any], n_rows: int) -> dict[int, Schedule]:
    """Return the schedule of every batch size of the grid.

    Parameters
    ----------
    settings : dict
        Of the generator.
    n_rows : int
        Of the training table.
    """
    return {size: _schedule(settings, n_rows, size) for size in settings["batch_sizes"]}


def _schedule(settings: dict[str, Any], n_rows: int, batch_size: int) -> Schedule:
    epoch = steps_per_epoch(n_rows, batch_size)
    training = training_settings(settings, n_rows, batch_size)
    scored: tuple[int, ...] = ()
    if settings["selection"] == "criterion":
        scored = every(settings["select_every_epochs"] * epoch, training.steps)
    elif settings["selection"] == "cross_validation":
        scored = snapshots(settings["snapshots"], training.steps)
    return Schedule(training, epoch, scored)


def training_settings(settings: dict[str, Any], n_rows: int, batch_size: int) -> TrainingSettings:
    """Return the trainer's settings; epochs become steps of whole batches."""
    steps = settings["steps"]
    if steps is None:
        steps = settings["epochs"] * steps_per_epoch(n_rows, batch_size)
    return TrainingSettings(
        steps=steps,
        decay=settings["rate_decay"],
        residual_weight_decay=settings["group_weight_decay"],
        # An average that is not used is not kept.
        ema_decay=settings["ema_decay"] if settings["use_ema"] else 0.0,
        **{
            name: settings[name]
            for name in (
                "group_exponent",
                "factor_dropout",
                "optimizer",
                "warmup_steps",
                "decay_rate",
                "decay_every",
                "clip_norm",
            )
        },
    )


def steps_per_epoch(n_rows: int, batch_size: int) -> int:
    """Return the number of batches that hold as many rows as the table, at least 1."""
    return math.ceil(n_rows / batch_size)


def every(interval: int, last: int) -> tuple[int, ...]:
    """Return the multiples of an interval up to the last step, and that."""
    return tuple(dict.fromkeys([*range(interval, last + 1, interval), last]))


def snapshots(n: int, last: int) -> tuple[int, ...]:
    """Return at most `n` steps at equal distances, of which the last is the last."""
    return tuple(sorted({max(1, round(last * place / n)) for place in range(1, n + 1)}))
