# SPDX-License-Identifier: MIT
"""Measure the workflow as a user runs it: wall time, start-up of a job, peak memory.

    .venv/bin/python benchmarks/workflow.py    # the default experiment
    .venv/bin/python benchmarks/workflow.py --configfile experiments/mcrage.yaml --mirror DIR

Runs Snakemake on a fresh copy of the project in a temporary folder, on all cores, and prints a
table by rule. These machines are noisy: read times as shares of one run, not across runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

from mcrage.durations import duration  # noqa: E402
from project import Project  # noqa: E402


def run(folder: Path, configfile: str | None, mirror: str | None) -> float:
    """Run everything in a copy of the project; return the wall time in seconds."""
    project = Project(folder)
    command = [sys.executable, "-m", "snakemake", "all", "--cores", "all", "--quiet", "rules"]
    if configfile:
        command += ["--configfile", str(Path(configfile).resolve())]
    if mirror:
        command += ["--config", f"mirror={Path(mirror).resolve()}"]
    started = time.monotonic()
    log = folder / "snakemake.log"
    with log.open("w") as file:
        done = subprocess.run(
            command, cwd=project.folder, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        sys.exit(f"snakemake failed:\n{log.read_text()[-3000:]}")
    return time.monotonic() - started


def rules(folder: Path) -> dict[str, list[dict]]:
    """Return Snakemake's own benchmark records by rule."""
    records = defaultdict(list)
    for path in sorted((folder / "results" / "benchmarks").rglob("*.jsonl")):
        name = "download" if "download" in path.parts else path.stem
        name = "plot_differences" if name.startswith("plot_differences") else name
        records[name] += [json.loads(line) for line in path.read_text().splitlines()]
    return records


def print_rules(folder: Path, peaks: dict[str, float] | None = None) -> None:
    """Print time and peak memory by rule, of a run in a folder; memory as given, where it is."""
    table = rules(folder)
    total = sum(record["s"] for records in table.values() for record in records)
    cpu = sum(float(r["cpu_time"] or 0) for records in table.values() for r in records)
    print(f"CPU time of all jobs: {duration(cpu)} ({cpu:.0f} s)")
    print(f"{'rule':<24}{'jobs':>6}{'mean s':>9}{'share':>8}{'peak MB':>9}")
    for name, records in sorted(table.items(), key=lambda item: -sum(r["s"] for r in item[1])):
        seconds = [record["s"] for record in records]
        # Jobs shorter than Snakemake's sampling interval have no memory record.
        memory = [float(r["max_rss"]) for r in records if isinstance(r["max_rss"], int | float)]
        if peaks:
            memory = [peaks.get(name, float("nan"))]
        print(
            f"{name:<24}{len(records):>6}{statistics.mean(seconds):>9.2f}"
            f"{sum(seconds) / total:>8.1%}{max(memory, default=float('nan')):>9.0f}"
        )


def start_up(script: str, repeats: int = 3) -> float:
    """Return the median seconds from starting Python to a script's `main`, imports included."""
    code = f"import sys; sys.path.insert(0, '.'); import {script}"
    times = []
    for _ in range(repeats):
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT / "workflow" / "scripts",
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
        )
        times.append(time.monotonic() - started)
    return statistics.median(times)


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", help="an experiment; the default one when left out")
    parser.add_argument("--mirror", help="folder with downloaded data")
    parser.add_argument("--keep", help="new folder to run in and keep, instead of a temporary one")
    parser.add_argument("--results", help="an earlier run's project folder, instead of a new run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.results or arguments.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not arguments.results:
            wall = run(folder, arguments.configfile, arguments.mirror)
            print(f"wall time on {os.cpu_count()} cores: {duration(wall)} ({wall:.0f} s)")
        print_rules(folder)
    print("\nstart-up of a job, seconds from starting Python to main, imports included:")
    for script in sorted(p.stem for p in (ROOT / "workflow" / "scripts").glob("*.py")):
        print(f"  {script:<24}{start_up(script):.2f}")


if __name__ == "__main__":
    main()
