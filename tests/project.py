# SPDX-License-Identifier: MIT
"""A copy of the project in a folder of its own, and Snakemake run in it."""

import atexit
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path

import yaml

from snakemake_nursery import Nursery

ROOT = Path(__file__).resolve().parents[1]
PARTS = ["Snakefile", "config.yaml", "workflow", "resources", "profiles", "envs"]

# Scripts of commands and of what is asked for by itself, which the small experiment does not run.
ASIDE = {*("lineage", "preflight", "init_dataset"), *("export_csv", "plot_ranks", "train_together")}

# The whole experiment in small: every kind of generator and treatment, and seconds to train.
SMALL = {
    "experiment": {
        "replicates": 2,
        "thresholds": ["0.5", "f1"],
        "treatments": [
            "original",
            "imbalanced",
            "group_weights",
            "target_oversampling",
            "smote",
            "mcrage_paper",
            "mcrage_tuned",
            "mcrage_smote",
        ],
    },
    "generators": {
        "cddpm_paper": {
            "learning_rates": [1e-4, 3e-4],
            "condition_dropouts": [0.75],
            "width": 64,
            "epochs": 4,
            "select_every_epochs": 2,
        },
        "cddpm_tuned": {"steps": 60, "seeds": 2, "memorising": "drop"},
        "cddpm_after_smote": {"steps": 60, "seeds": 2},
    },
    "treatments": {
        "target_oversampling": {"fill": [0.5]},
        "mcrage_tuned": {"labels": "teacher"},
    },
    "classifiers": {
        "random_forest": {"n_trees": 30},
        "teacher": {"kind": "kernel_logistic", "features": "both", "n_components": 20},
    },
}


def merge(base: dict, over: dict) -> dict:
    """Lay config sections over others, as Snakemake does with config files."""
    out = deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if both else value
    return out


@cache
def _nursery() -> Nursery:
    """One for each test process."""
    nursery = Nursery()
    atexit.register(nursery.close)
    return nursery


class Project:
    """The repository's files copied to a folder, so that tests may change them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(
                    source,
                    folder / part,
                    ignore=shutil.ignore_patterns("__pycache__", "downloads"),
                )
            else:
                shutil.copy(source, folder / part)

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """A copy that is already there."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def write_config(self, **sections) -> str:
        path = self.folder / "small.yaml"
        path.write_text(yaml.safe_dump(sections), encoding="utf-8")
        return path.name

    def run(
        self,
        *arguments: str,
        config: dict | None = SMALL,
        environment: dict[str, str] | None = None,
        alone: bool = False,
    ) -> subprocess.CompletedProcess:
        """Run snakemake; give what it printed in `stdout`.

        Parameters
        ----------
        *arguments : str
        config : dict, optional
        environment : dict of str to str, optional
            Variables beside those of this process.
        alone : bool
            Started as a user starts it, not forked from a process that has imported Snakemake.
        """
        words = ["--cores", "2", *arguments]
        if config is not None:
            words += ["--configfile", self.write_config(**config)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **(environment or {})}
        if not alone:
            code, printed = _nursery().run(words, self.folder, variables)
            return subprocess.CompletedProcess(words, code, printed)
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            check=False,
        )

    def plan(self, *arguments: str, **options) -> dict[str, int]:
        """Return the number of jobs of each rule in a dry run."""
        done = self.run(*arguments, "-n", "--quiet", "rules", **options)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        table = done.stdout.split("Job stats:")[1].split("\n\n")[0]
        return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
