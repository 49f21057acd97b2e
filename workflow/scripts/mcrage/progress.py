# SPDX-License-Identifier: MIT
"""Progress of long work: a bar on a terminal, a line every so often in a log."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from mcrage.durations import duration

logger = logging.getLogger(__name__)

_LINE_EVERY_SECONDS = 15.0


class Progress:
    """Counts work done and says how fast it goes and how long it will take.

    Parameters
    ----------
    total : int
        Amount of work, in `unit`.
    label : str
        What is being done, e.g. ``"training cddpm"``.
    unit : str
        Plural name of one piece of work.
    start : int
        Amount that was done before.

    Examples
    --------
    >>> with Progress(2, "counting") as progress:
    ...     progress.update(1)
    ...     progress.update(1, loss=0.5)
    """

    def __init__(self, total: int, label: str, unit: str = "steps", start: int = 0) -> None:
        self.total = total
        self.label = label
        self.unit = unit
        self.done = self.start = start
        self._bar = None

    def __enter__(self) -> Self:
        """Start the clock, and a bar on a terminal."""
        self._started = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total,
                initial=self.start,
                desc=self.label,
                unit=f" {self.unit}",
                leave=False,
            )
        return self

    def update(self, amount: int, **facts: float) -> None:
        """Record that `amount` more was done; `facts` (loss, rows) are shown beside it."""
        self.done += amount
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in facts.items()})
            self._bar.update(amount)
        now = time.monotonic()
        if now - self._last_line >= _LINE_EVERY_SECONDS and self.done < self.total:
            self._last_line = now
            logger.info("%s", self.line(now - self._started, **facts))

    def line(self, elapsed: float, **facts: float) -> str:
        """Return the log line for `elapsed` seconds since the start."""
        rate = (self.done - self.start) / max(elapsed, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        told = "".join(f", {name} {value:.4g}" for name, value in facts.items())
        return (
            f"{self.label}: {self.done:,} of {self.total:,} {self.unit} "
            f"({rate:,.3g}/s, about {duration(left)} left{told})"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say how long it took, unless it failed."""
        if self._bar is not None:
            self._bar.close()
        elapsed = time.monotonic() - self._started
        if error is None:
            logger.info(
                "%s: %s %s in %s",
                self.label,
                f"{self.done - self.start:,}",
                self.unit,
                duration(elapsed),
            )
