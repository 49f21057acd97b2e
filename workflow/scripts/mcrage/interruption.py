# SPDX-License-Identifier: MIT
"""SIGTERM and SIGINT as an exception at a moment of one's choosing.

Schedulers send SIGTERM before they kill, a terminal sends SIGINT. Work that can be continued
stops between two of its steps and saves itself; all other work may be left at any line.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# One request may arrive twice: SLURM signals a step, and srun passes its own signal on to it.
_SAME_REQUEST_SECONDS = 1.0


class Interrupted(SystemExit):
    """The process was told to end; it exits with 128 + the signal's number, as shells expect.

    Parameters
    ----------
    signum : int

    Attributes
    ----------
    where : str
        What the log should say of where the work stopped.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum
        self.where = ""

    def __str__(self) -> str:
        """Say which signal it was."""
        return f"stopped by {signal.Signals(self.signum).name}{self.where}"


class Interruption:
    """Holds SIGTERM and SIGINT back until they are asked for.

    A second signal, a second or more after the first, kills at once. Signals that are ignored
    stay so (a job in the background of a shell), and outside the main thread nothing is held back,
    since Python cannot. Interruptions may be nested; the inner one has the signals.

    Parameters
    ----------
    enabled : bool
        Whether to do anything.

    Examples
    --------
    >>> with Interruption() as interruption:
    ...     for step in range(3):
    ...         interruption.check()  # raises Interrupted if a signal came
    ...     with interruption.at_once():
    ...         pass  # here a signal raises wherever it comes
    """

    _latest = -math.inf  # of the process: a repetition may meet another Interruption

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._at_once = False
        self._signum: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        if self._enabled:
            for signum in SIGNALS:
                if signal.getsignal(signum) != signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back, and honour one that nobody has asked for."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        if error is None:
            self.check()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - Interruption._latest < _SAME_REQUEST_SECONDS:
            return
        Interruption._latest = now
        if self._signum is None:
            self._signum = signum
            if self._at_once:
                raise Interrupted(signum)
        else:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self._signum is not None:
            raise Interrupted(self._signum)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise `Interrupted` wherever in this block a signal comes."""
        self._at_once = True
        try:
            self.check()
            yield
        finally:
            self._at_once = False
        # An exception raised in a callback, such as a finaliser, is swallowed by Python.
        self.check()
