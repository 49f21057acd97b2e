# SPDX-License-Identifier: MIT
"""Repairs of Snakemake and its SLURM executor."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from mcrage.snakemake_repairs import pause, spare_timers, watch_steadily


class Limiter:
    """A rate limiter with so many places left."""

    def __init__(self, free: int) -> None:
        self.free = free

    def get_free_jobs(self) -> int:
        return self.free


def make_scheduler(free: int):
    woken = threading.Semaphore(0)
    return SimpleNamespace(job_rate_limiter=Limiter(free), _open_jobs=woken)


def test_on_one_machine_there_is_no_limit():
    scheduler = make_scheduler(0)
    spare_timers(scheduler, limited=False)
    assert scheduler.job_rate_limiter is None


def test_on_a_cluster_one_timer_runs_at_a_time_and_only_when_the_limit_is_reached():
    scheduler = make_scheduler(1)
    spare_timers(scheduler, limited=True)
    before = threading.active_count()
    for _ in range(50):
        scheduler._schedule_reevalutation(60)
    assert threading.active_count() == before
    scheduler.job_rate_limiter.free = 0
    for _ in range(50):
        scheduler._schedule_reevalutation(0.01)
    assert threading.active_count() <= before + 1
    assert scheduler._open_jobs.acquire(timeout=30)
    scheduler._schedule_reevalutation(0.01)
    assert scheduler._open_jobs.acquire(timeout=30)
    assert not scheduler._open_jobs.acquire(blocking=False)


class Executor:
    """Looks after jobs as the SLURM executor does."""

    def __init__(self, answers: bool) -> None:
        self.answers = answers
        self.reported = []
        self._next_seconds_between_status_checks = 170

    @property
    def next_seconds_between_status_checks(self):
        return self._next_seconds_between_status_checks

    def report_job_success(self, job_info):
        self.reported.append(job_info)

    def report_job_error(self, job_info, msg=None, **options):
        self.reported.append(job_info)

    async def check_active_jobs(self, active_jobs):
        if not self.answers:
            return
        for job in active_jobs:
            if job == "done":
                self.report_job_success(job)
            elif job == "failed":
                self.report_job_error(job, msg="why")
            else:
                yield job


@pytest.mark.parametrize("answers", [True, False])
def test_no_job_is_forgotten(answers):
    executor = Executor(answers)
    watch_steadily(SimpleNamespace(_executor=executor), longest_pause=20)

    async def look(jobs: list) -> list:
        return [job async for job in executor.check_active_jobs(jobs)]

    jobs = ["runs", "done", "failed"]
    left = asyncio.run(look(jobs))
    assert left == (["runs"] if answers else jobs)
    executor.answers = True
    assert asyncio.run(look(left)) == ["runs"]
    assert executor.reported == ["done", "failed"]


def test_pauses_do_not_grow():
    executor = Executor(True)
    watch_steadily(SimpleNamespace(_executor=executor), longest_pause=20)
    assert executor.next_seconds_between_status_checks == 20
    executor.next_seconds_between_status_checks = 5
    assert executor.next_seconds_between_status_checks == 5


@pytest.mark.parametrize(("goes_on", "seconds"), [(False, 3600), (True, 0)])
def test_a_pause_ends_with_the_run_or_its_time(goes_on, seconds):
    executor = SimpleNamespace(wait=goes_on, next_seconds_between_status_checks=seconds)
    asyncio.run(asyncio.wait_for(pause(executor), timeout=60))


def test_a_local_executor_is_left_alone():
    executor = SimpleNamespace()
    watch_steadily(SimpleNamespace(_executor=executor), longest_pause=20)
    assert type(executor) is SimpleNamespace
