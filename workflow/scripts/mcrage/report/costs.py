# SPDX-License-Identifier: MIT
"""What the run cost and what it ran on: the only part of the results with times in it."""

import csv
import json
import os
import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mcrage.durations import duration
from mcrage.report.numbers import count, memory

_LIBRARIES = (
    "snakemake", "torch", "scikit-learn", "imbalanced-learn", "numpy", "scipy", "pandas",
    "pyarrow", "matplotlib", "umap-learn",
)  # fmt: skip
_FACTS = "train_facts.json"


@dataclass(frozen=True)
class StageCost:
    """What all jobs of one stage took.

    Attributes
    ----------
    stage : str
    n_jobs : int
    total, longest : float
        Wall seconds.
    peak_memory : float
        MiB of resident memory of the largest job; NaN when not recorded.
    """

    stage: str
    n_jobs: int
    total: float
    longest: float
    peak_memory: float

    def told(self) -> list[str]:
        """Return the row of the table."""
        peak = "not recorded" if self.peak_memory != self.peak_memory else memory(self.peak_memory)
        longest = duration(self.longest)
        return [self.stage, count(self.n_jobs), duration(self.total), longest, peak]


def read_benchmark(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read one benchmark file of Snakemake, JSON lines or tab-separated, a row per repetition."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def files_of_run(folder: str | os.PathLike, names: Collection[str]) -> list[Path]:
    """Return the files under results/benchmarks that belong to one experiment.

    Parameters
    ----------
    folder : path-like
    names : collection of str
        Datasets, scenarios, replicates, generators, treatments and classifiers of the experiment,
        and the folders that all share; files of an earlier experiment lie under other names.
    """
    root = Path(folder)
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and set(path.relative_to(root).parts[:-1]) <= set(names)
    ]


def stage_costs(files: Iterable[Path]) -> list[StageCost]:
    """Add up benchmark files by the stage they are named after.

    Parameters
    ----------
    files : iterable of Path
        Files that are no benchmarks are passed over.

    Returns
    -------
    list of StageCost
        The longest in total first.
    """
    times: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}
    for path in sorted(path for path in files if path.suffix in (".jsonl", ".tsv")):
        stage = "download" if "download" in path.parts else path.stem.replace("_", " ")
        for row in read_benchmark(path):
            times.setdefault(stage, []).append(float(row["s"]))
            peaks.setdefault(stage, []).append(_float(row.get("max_rss")))
    costs = [
        StageCost(stage, len(taken), sum(taken), max(taken), _peak(peaks[stage]))
        for stage, taken in times.items()
    ]
    return sorted(costs, key=lambda cost: (-cost.total, cost.stage))


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):  # Snakemake writes NA or null for jobs too short to sample
        return float("nan")


def _peak(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    return max(known, default=float("nan"))


def generator_costs(files: Iterable[Path]) -> list[list[str]]:
    """Return a row per generator: fits, device, times, speed, parameters, GPU hours and memory.

    Of one that learnt from a part of its training rows (``max_rows``) the name says of how many.
    """
    by_name: dict[str, list[dict]] = {}
    for path in sorted(path for path in files if path.name == _FACTS):
        facts = json.loads(path.read_text(encoding="utf-8"))
        by_name.setdefault(path.parent.name, []).append(facts)
    rows = []
    for name, facts in by_name.items():
        devices = sorted({str(fact.get("device", "unknown")) for fact in facts})
        seconds = sorted(float(fact.get("seconds", 0.0)) for fact in facts)
        speed = [float(f["steps_per_second"]) for f in facts if f.get("steps_per_second")]
        parameters = max(int(fact.get("n_parameters", 0)) for fact in facts)
        gpu_seconds = sum(float(fact.get("gpu_seconds", 0.0)) for fact in facts)
        peak = max(float(fact.get("peak_memory_bytes") or 0) for fact in facts)
        rows.append(
            [
                name.replace("_", " ") + _part_told(facts),
                count(len(facts)),
                ", ".join(devices),
                _short(seconds[len(seconds) // 2]),
                f"{sum(speed) / len(speed):,.0f} steps/s" if speed else "no steps",
                count(parameters) if parameters else "none",
                f"{gpu_seconds / 3600:.2f} h" if gpu_seconds else "none",
                memory(peak / 2**20) if peak else "none",
            ]
        )
    return rows


def _part_told(facts: Iterable[dict]) -> str:
    """Return how many rows were learnt from, where they are a part: the longest table's."""
    parts = [fact["learnt_from"] for fact in facts if "learnt_from" in fact]
    if not parts:
        return ""
    most = max(parts, key=lambda part: part["of"])
    return f" (learnt from {count(most['rows'])} of {count(most['of'])} rows, max_rows)"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def machine_facts() -> dict[str, str]:
    """Return what the report was made with: machine, Python, library versions."""
    versions = []
    for library in _LIBRARIES:
        try:
            versions.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "Python": platform.python_version(),
        "libraries": ", ".join(versions),
    }
