# SPDX-License-Identifier: MIT
"""The rows of each replicate, as the workflow makes them."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import yaml

from mcrage.datasets.roles import Roles, read_roles
from mcrage.groups import GroupSchema
from mcrage.tables import read_table
from peers.judging import GROUP
from project import ROOT, Project

# Dataset, scenario and experiment with a mirror, and without.
DOWNLOADED = ("patient-treatment", "keep_10_percent_of_women", "experiments/mcrage.yaml")
EMBEDDED = ("diabetes", "keep_25_percent_of_sex_2", "config.yaml")
TABLES = ("train", "validation", "original", "test")


@dataclass(frozen=True)
class Replicate:
    """Where the rows of a replicate are.

    Attributes
    ----------
    dataset, scenario : str
    number : int
    folder : Path
        With train, validation, original and test, Parquet.
    roles_file : Path
    """

    dataset: str
    scenario: str
    number: int
    folder: Path
    roles_file: Path

    def path(self, name: str) -> Path:
        """Return the file of a table."""
        return self.folder / f"{name}.parquet"

    def table(self, name: str) -> pa.Table:
        """Return a table as the workflow has it."""
        return read_table(self.path(name))

    @cached_property
    def roles(self) -> Roles:
        """The columns' roles."""
        return read_roles(self.roles_file)

    @cached_property
    def schema(self) -> GroupSchema:
        """The groups."""
        return GroupSchema.of(self.roles)

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table's features and, by label, ``group``: what a peer sees."""
        table = self.table(name)
        labels = [self.schema.label(int(group)) for group in self.schema.index(table)]
        frame = table.select(self.roles.feature_columns).to_pandas()
        return frame.assign(**{GROUP: labels})


def make_replicates(folder: Path, mirror: str | None, number: int) -> list[Replicate]:
    """Run the workflow up to the training rows in a copy of the project.

    Parameters
    ----------
    folder : Path
        To be made.
    mirror : str or None
        Folder with downloaded data; None takes the table that needs none.
    number : int

    Raises
    ------
    SystemExit
        With Snakemake's words if it fails, e.g. where the mirror lacks the file.
    """
    folder.mkdir(parents=True)
    project = Project(folder)
    dataset, scenario, experiment = DOWNLOADED if mirror else EMBEDDED
    # Relative, as Snakemake knows its targets.
    base = Path("results") / dataset / scenario
    targets = [str(base / str(n) / f"{table}.parquet") for n in range(number) for table in TABLES]
    settings = ["experiment={" + f"replicates: {number}" + "}"]
    if mirror:
        settings.append(f"mirror={Path(mirror).resolve()}")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", *targets, "--cores", "all", "--quiet", "all"),
            *("--configfile", str(ROOT / experiment), "--config", *settings),
        ],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the workflow could not make the training rows:\n{done.stdout[-2000:]}")
    roles = project.folder / "results" / dataset / "roles.json"
    return [
        Replicate(dataset, scenario, n, project.folder / base / str(n), roles)
        for n in range(number)
    ]


def paper_reduced() -> dict:
    """Return how far experiments/mcrage.yaml reduces the paper's preset."""
    text = (ROOT / DOWNLOADED[2]).read_text(encoding="utf-8")
    return yaml.safe_load(text)["generators"]["cddpm_paper"]
