# SPDX-License-Identifier: MIT
"""What a run would do and cost, and what would stop it, before it is started.

The jobs are those of a dry run; costs are those of like jobs of earlier runs, by their benchmarks.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_QUIET = {"progress", "rules", "host", "reason", "all"}
_ENTRY = re.compile(r"^ *(?:local)?rule (\w+):$")
_FACT = re.compile(r"^ *(output|benchmark|resources): (.+)$")
_GPUS = re.compile(r"\bgpu=(\d+)")
_PROFILE = re.compile(r"^Using (?:workflow specific )?profiles? (.+?) for setting", re.MULTILINE)
_LEAST_MIN_JOB_AGE = 60


@dataclass(frozen=True)
class Job:
    """One job of a dry run.

    Attributes
    ----------
    rule : str
    outputs : tuple of str
    benchmark : str or None
        Paths, relative to the working folder.
    gpus : int
        That it asks for.
    """

    rule: str
    outputs: tuple[str, ...] = ()
    benchmark: str | None = None
    gpus: int = 0


@dataclass(frozen=True)
class DryRun:
    """What a dry run said.

    Attributes
    ----------
    jobs : list of Job
    profiles : list of str
        In force.
    error : str or None
        Why there is no plan.
    """

    jobs: list[Job]
    profiles: list[str]
    error: str | None


def dry_run(arguments: Sequence[str], target: str = "preflight") -> DryRun:
    """Ask Snakemake what it would run with these arguments.

    Parameters
    ----------
    arguments : sequence of str
        Of the command that asks.
    target : str
        What it asks for, which is left out.
    """
    command = [sys.executable, "-m", "snakemake", *_without(arguments, target)]
    command += ["--dry-run", "--nolock", "--nocolor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    profiles = [name for found in _PROFILE.findall(text) for name in found.split(" and ")]
    if done.returncode:
        last = [line for line in text.strip().splitlines() if line.strip()][-6:]
        return DryRun([], profiles, "\n".join(last))
    return DryRun(parse_jobs(text), profiles, None)


def _without(arguments: Sequence[str], target: str) -> list[str]:
    kept: list[str] = []
    quiet = False
    for argument in arguments:
        quiet = argument in ("--quiet", "-q") or (quiet and argument in _QUIET)
        if argument != target and not quiet:
            kept.append(argument)
    return kept


def parse_jobs(text: str) -> list[Job]:
    """Return the jobs that a dry run lists; target rules, which do nothing, are left out."""
    jobs: list[Job] = []
    rule: str | None = None
    facts: dict[str, str] = {}
    for line in [*text.splitlines(), "rule end:"]:
        if entry := _ENTRY.match(line):
            if rule is not None and "output" in facts:
                outputs = tuple(facts["output"].split(", "))
                gpus = _GPUS.search(facts.get("resources", ""))
                count = int(gpus[1]) if gpus else 0
                jobs.append(Job(rule, outputs, facts.get("benchmark"), count))
            rule, facts = entry[1], {}
        elif fact := _FACT.match(line):
            facts.setdefault(fact[1], fact[2])
    return jobs


_BATCH = "train_together.jsonl"


class Experience:
    """What jobs of earlier runs cost.

    Parameters
    ----------
    benchmarks, results : Path
        Folders of Snakemake's benchmarks, with the facts of trainings, and of results.
    on_gpu : bool
        Whether jobs that ask for a GPU are going to get one.
    """

    def __init__(self, benchmarks: Path, results: Path, *, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._cpu: dict[tuple[str, ...], list[float]] = {}
        self._gpu: dict[tuple[str, ...], list[float]] = {}
        self._bytes: dict[tuple[str, ...], list[float]] = {}
        for path in sorted(benchmarks.rglob("*.jsonl")):
            seconds = [_cpu_seconds(row) for row in _rows(path)]
            facts = path.with_name("train_facts.json")
            trained = path.name == "train.jsonl" and facts.is_file()
            known = json.loads(facts.read_text()) if trained else {}
            gpu, shared = float(known.get("gpu_seconds", 0.0)), known.get("learnt_together")
            for key in _keys(path.as_posix()):
                self._cpu.setdefault(key, []).extend(seconds)
                if path.name != _BATCH:
                    self._gpu.setdefault(key, []).append(0.0 if shared else gpu)
            if shared:
                # The job that had the GPU is the batch's, of which each replicate has a share.
                for key in _keys(path.with_name(_BATCH).as_posix()):
                    self._gpu.setdefault(key, []).append(gpu * shared)
        for path in results.rglob("*"):
            if path.is_file():
                for key in _keys(path.as_posix()):
                    self._bytes.setdefault(key, []).append(path.stat().st_size)
        for folder in results.glob("together/*/*/*/*"):
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            for key in _keys(folder.as_posix()):
                self._bytes.setdefault(key, []).append(size)

    def cpu_seconds(self, job: Job) -> float | None:
        """Return the mean of this job, or else of like ones; None: there were none."""
        return _mean(self._cpu, job.benchmark)

    def gpu_seconds(self, job: Job) -> float | None:
        """Return the same of the time with a GPU; None too if it never had one and now will."""
        seconds = _mean(self._gpu, job.benchmark)
        return None if self._on_gpu and job.gpus and not seconds else seconds

    def size(self, job: Job) -> float | None:
        """Return the bytes that a job writes."""
        sizes = [_mean(self._bytes, path) for path in job.outputs]
        return None if None in sizes else sum(sizes)


def _keys(path: str) -> list[tuple[str, ...]]:
    """Return what a path is like, the likest first: itself, one of the same folder and name, ..."""
    parts = Path(path).parts
    return [parts, ("", *parts[-2:]), ("", parts[-1])]


def _mean(known: Mapping[tuple[str, ...], list[float]], path: str | None) -> float | None:
    if path is None:
        return 0.0
    for key in _keys(path):
        if values := known.get(key):
            return sum(values) / len(values)
    return None


def _rows(path: Path) -> list[dict]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except ValueError:
        # Of a job that was killed while it wrote.
        return []


def _cpu_seconds(row: Mapping) -> float:
    """Snakemake has no CPU time of a job too short for a sample, or says 0."""
    try:
        return float(row["cpu_time"]) or float(row["s"])
    except (KeyError, TypeError, ValueError):
        return float(row["s"])


def told(jobs: Iterable[Job], experience: Experience) -> str:
    """Return the table of jobs by rule with what they are expected to cost."""
    by_rule: dict[str, list[Job]] = {}
    for job in jobs:
        by_rule.setdefault(job.rule, []).append(job)
    everything = [job for group in by_rule.values() for job in group]
    rows = [
        (name, f"{len(group):,}", _hours(group, experience.cpu_seconds),
         _hours(group, experience.gpu_seconds), _size(group, experience))
        for name, group in [*by_rule.items(), ("total", everything)]
    ]  # fmt: skip
    head = ("rule", "jobs", "CPU hours", "GPU hours", "disk")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    )


def _hours(jobs: list[Job], seconds) -> str:
    known = [value for value in map(seconds, jobs) if value is not None]
    hours = sum(known) / 3600
    text = "< 0.01" if 0 < hours < 0.01 else f"{hours:.2f}"
    return _at_least(text if hours else "none", len(known), len(jobs))


def _size(jobs: list[Job], experience: Experience) -> str:
    known = [value for value in map(experience.size, jobs) if value is not None]
    return _at_least(f"{sum(known) / 1e6:,.1f} MB", len(known), len(jobs))


def _at_least(text: str, n_known: int, n: int) -> str:
    if n_known == 0 and n:
        return "unknown"
    return text if n_known == n else f"{text} + unknown"


def total_bytes(jobs: Iterable[Job], experience: Experience) -> float:
    """Return what jobs of known size write together."""
    return sum(size for job in jobs if (size := experience.size(job)) is not None)


def free_bytes(folder: Path) -> int:
    """Return the room on a folder's disk; of the folder that it will be made in, if it is not."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def cluster_problems(partition_file: str | None, jobs: Iterable[Job] = ()) -> list[str]:
    """Return what would stop jobs from being submitted to SLURM, from running there, or watched.

    Parameters
    ----------
    partition_file : str or None
        Of the profile.
    jobs : iterable of Job
        That are to be submitted.
    """
    missing = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if missing:
        return [
            f"no {', '.join(missing)} here: start Snakemake on a machine that submits to the "
            "cluster, its login node"
        ]
    asked = _ask("scontrol", "show", "config")
    if asked is None:
        return ["SLURM does not answer (scontrol show config); ask again later, or your site"]
    problems = []
    age = re.search(r"MinJobAge\s*=\s*(\d+)", asked)
    if age and int(age[1]) < _LEAST_MIN_JOB_AGE:
        problems.append(
            f"SLURM forgets jobs {age[1]} s after their end (MinJobAge), before they are looked "
            f"at; set slurm-init-seconds-before-status-checks to {max(1, int(age[1]) // 3)} in the "
            "profile"
        )
    if partition_file:
        names = yaml.safe_load(Path(partition_file).read_text(encoding="utf-8"))["partitions"]
        known = (_ask("sinfo", "--noheader", "--format=%R") or "").split()
        problems += [
            f"{partition_file}: '{name}' is no partition of this cluster; there are: "
            f"{', '.join(known)}"
            for name in names or {}
            if name not in known
        ]
        if names:
            problems += _without_gpus(partition_file, names, jobs)
    return problems


def _without_gpus(file: str, partitions: Mapping[str, Mapping], jobs: Iterable[Job]) -> list[str]:
    """Tell of jobs that ask for more GPUs than any partition is said to have.

    They would go to the cluster's default partition, and wait there or be refused.
    """
    asked = [job.gpus for job in jobs if job.gpus]
    most = max(int((limits or {}).get("max_gpu", 0)) for limits in partitions.values())
    lacking = [gpus for gpus in asked if gpus > most]
    if not lacking:
        return []
    return [
        f"{file}: {len(lacking):,} jobs ask for {max(lacking)} GPU, and no partition there has as "
        f"many; give the one that does its max_gpu: {max(lacking)} (a partition without max_gpu is "
        "given no training), or set device: cpu in the config"
    ]


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def profiles_told(profiles: Sequence[str], cluster: bool) -> str:
    """Return which profiles are in force, and where jobs run."""
    names = ", ".join(profiles) or os.environ.get("SNAKEMAKE_PROFILE") or "none"
    return f"{names}; jobs run {'on the cluster' if cluster else 'on this machine'}"
