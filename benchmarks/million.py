# SPDX-License-Identifier: MIT
"""Run a million rows of 50 mixed columns through Snakemake, whole, and tell memory and time.

    .venv/bin/python benchmarks/million.py                  # ten to thirty minutes of two cores
    .venv/bin/python benchmarks/million.py --rows 20000 --keep DIR

A made-up table (`mixed_table.py`) lies as a user's own CSV file beside a card of three lines, in a
copy of the project. The scenario is `natural`; the treatments are nothing, weights, a copula and
the diffusion model of `tuned_large` in a few steps, since how long a training takes does not depend
on the rows. The classifier is a single tree, and test rows are drawn 50 times for intervals. SMOTE
is left out, whose time grows with the square of the rows. All else is as it is: every stage, guard,
figure, and the report; `rebalanced.parquet` is written as CSV, too.

Peak memory is the largest that the kernel counted for a job's process, read twice a second; the
time is that of Snakemake's own records.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from threading import Thread

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

from mixed_table import write_raw  # noqa: E402
from workflow import print_rules  # noqa: E402

from mcrage.durations import duration  # noqa: E402
from project import Project  # noqa: E402

SCRIPT = re.compile(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py")
PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
CARD = {"path": "patients.csv", "target": "died", "sensitive": "sex"}
EXPERIMENT = {
    "experiment": {
        "title": "A million patients",
        "datasets": ["patients.yaml"],
        "scenarios": ["natural"],
        "treatments": ["imbalanced", "group_weights", "copula", "diffusion"],
        "classifiers": ["decision_tree"],
        "baselines": ["imbalanced"],
        "replicates": 1,
        "bootstrap": 50,
    },
    "generators": {
        "cddpm_short": {"kind": "cddpm", "preset": "tuned_large", "steps": 50, "sampling_steps": 4,
                        "category_steps": 4},
    },
    "treatments": {
        "copula": {"description": "Every group filled by a copula.", "generator": "copula"},
        "diffusion": {"description": "Every group filled by a diffusion model that was hardly "
                      "trained.", "generator": "cddpm_short"},
    },
    "figures": {
        "umap_treatments": ["copula", "diffusion"],
        "density_treatments": ["copula", "diffusion"],
        "roc_treatments": ["imbalanced", "copula", "diffusion"],
    },
    "rebalanced_csv": True,
}  # fmt: skip


class Peaks(Thread):
    """Takes note of the peak memory of scripts that Snakemake runs in a folder, in MiB by rule."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self.found = folder.resolve(), defaultdict(float)

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            for process in Path("/proc").glob("[0-9]*"):
                # Most are others', or gone by now.
                with suppress(OSError, ValueError, TypeError):
                    script = SCRIPT.search((process / "cmdline").read_text())[1]
                    # Rules' records are named like what they make.
                    rule = script.removesuffix("_generator")
                    if (process / "cwd").resolve().is_relative_to(self._folder):
                        peak = PEAK.search((process / "status").read_text())[1]
                        self.found[rule] = max(self.found[rule], int(peak) / 1024)
            time.sleep(0.5)


def main() -> None:
    """Make the table, run, and print the table by rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--cores", default="all")
    parser.add_argument("--keep", help="new folder to run in and keep, instead of a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        project = Project(folder)
        write_raw(folder / "patients.csv", arguments.rows)
        (folder / "patients.yaml").write_text(yaml.safe_dump(CARD))
        (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
        command = [sys.executable, "-m", "snakemake", "all", "--cores", arguments.cores]
        command += ["--quiet", "rules", "--configfile", "experiment.yaml"]
        peaks = Peaks(folder)
        peaks.start()
        started = time.monotonic()
        log = folder / "snakemake.log"
        with log.open("w") as file:
            done = subprocess.run(
                command, cwd=project.folder, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        wall = time.monotonic() - started
        print(f"{arguments.rows:,} rows, {duration(wall)} ({wall:.0f} s) of {os.cpu_count()} cores")
        print_rules(folder, peaks.found)
        for path in sorted((folder / "results").rglob("rebalanced.*")):
            print(f"{path.relative_to(folder)}: {path.stat().st_size / 2**20:,.0f} MiB")
        if done.returncode:
            sys.exit(f"snakemake failed:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    main()
