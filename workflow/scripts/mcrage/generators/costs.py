# SPDX-License-Identifier: MIT
"""What a fit has cost, over all its attempts."""

import time
from dataclasses import dataclass

import numpy as np


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
