# SPDX-License-Identifier: MIT
"""Repairs of Snakemake 9.27 and its SLURM executor 2.8, at the start of a run.

Each leaves a Snakemake alone that does not have what it mends.
"""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator
from typing import Any


def spare_timers(scheduler: Any, *, limited: bool) -> None:
    """Keep Snakemake's own work from growing with the square of the number of jobs.

    Each scheduling pass of a rate-limited run starts a timer, and each timer starts a pass: every
    finished job adds a chain that never ends, which took 20 % of all CPU time of a run of 673 jobs.

    Parameters
    ----------
    scheduler : JobScheduler
    limited : bool
        Whether to keep the limit, as a cluster's controller wants. Nothing needs one where jobs
        run on this machine.
    """
    if getattr(scheduler, "job_rate_limiter", None) is None:
        return
    if limited:
        scheduler._schedule_reevalutation = OneTimer(scheduler)
    else:
        scheduler.job_rate_limiter = None


class OneTimer:
    """Wakes a scheduler once jobs may be submitted again, if none may be now.

    Parameters
    ----------
    scheduler : JobScheduler
    """

    def __init__(self, scheduler: Any) -> None:
        self._limiter = scheduler.job_rate_limiter
        self._wake = scheduler._open_jobs.release
        self._pending = threading.Lock()

    def __call__(self, delay: float) -> None:
        """Wake it after `delay` seconds, unless that is not needed or is on its way."""
        if self._limiter.get_free_jobs() or not self._pending.acquire(blocking=False):
            return
        timer = threading.Timer(delay, self._ring)
        timer.daemon = True
        timer.start()

    def _ring(self) -> None:
        self._pending.release()
        self._wake()


def end_pauses_early() -> None:
    """Let a run on a cluster end when it has ended, not after the pause until the next look."""
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    RemoteExecutor.sleep = pause


async def pause(executor: Any) -> None:
    """Wait until an executor is to look after its jobs again, or is done."""
    end = time.monotonic() + executor.next_seconds_between_status_checks
    while executor.wait and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 0.5))


def watch_steadily(scheduler: Any, *, longest_pause: float) -> None:
    """Have a cluster's jobs looked after until each is known to have ended.

    The SLURM executor asks for the state of its jobs ever more seldom, up to every three minutes,
    while none ends; and it forgets them all when SLURM does not answer, so that Snakemake waits
    for ever. It also ends in a traceback where SLURM's accounting is not installed.

    Parameters
    ----------
    scheduler : JobScheduler
    longest_pause : float
        Seconds between two looks.
    """
    executor = getattr(scheduler, "_executor", None)
    if hasattr(executor, "check_active_jobs"):
        executor.__class__ = _steady(type(executor), longest_pause)


def _steady(executor: type, longest_pause: float) -> type:
    class Steady(executor):
        """An executor that neither tires nor forgets."""

        @property
        def next_seconds_between_status_checks(self) -> float:
            return min(longest_pause, super().next_seconds_between_status_checks)

        @next_seconds_between_status_checks.setter
        def next_seconds_between_status_checks(self, value: float) -> None:
            self._next_seconds_between_status_checks = value

        async def check_active_jobs(self, active_jobs: list) -> AsyncIterator:
            self._ended = set()
            kept = set()
            async for job in super().check_active_jobs(active_jobs):
                kept.add(id(job))
                yield job
            for job in active_jobs:
                if id(job) not in kept | self._ended:
                    yield job

        def shutdown(self) -> None:
            if shutil.which("sacct") is None:
                # It would be asked for a report, and the run end in a traceback.
                self.workflow.executor_settings.efficiency_report = False
            super().shutdown()

        def report_job_success(self, job_info: Any) -> None:
            self._note(job_info)
            super().report_job_success(job_info)

        def report_job_error(self, job_info: Any, *args: Any, **options: Any) -> None:
            self._note(job_info)
            super().report_job_error(job_info, *args, **options)

        def _note(self, job_info: Any) -> None:
            # Submissions that fail are reported from other threads, before the first look.
            self.__dict__.setdefault("_ended", set()).add(id(job_info))

    return Steady
