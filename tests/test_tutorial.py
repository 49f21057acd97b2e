# SPDX-License-Identifier: MIT
"""The tutorial's first command prints what docs/your-table.md says, where its table is at hand."""

import os
import re
from pathlib import Path

import pytest

from project import ROOT, Project

MIRROR = os.environ.get("MCRAGE_MIRROR")
TABLE = Path(MIRROR or "nowhere") / "eicu-demo" / "patient.csv.gz"
CONSOLE = re.compile(
    r"```console\n\$ \.venv/bin/snakemake init_dataset --config (.*?)\n```", re.DOTALL
)

CLOCK = re.compile(r"^[0-9:]{8} ")


def lines(text: str) -> list[str]:
    """Return what a text says, line by line, whatever the widths of columns and the wrapping."""
    told = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in told if line]


@pytest.mark.skipif(not TABLE.is_file(), reason="MCRAGE_MIRROR has no eicu-demo/patient.csv.gz")
def test_the_tutorial_shows_what_init_dataset_prints(tmp_path):
    shown = CONSOLE.search((ROOT / "docs" / "your-table.md").read_text())[1]
    words, _, expected = shown.replace("\\\n", " ").partition("\n")
    project = Project(tmp_path)
    (tmp_path / "patient.csv.gz").symlink_to(TABLE)
    made = project.run("init_dataset", "--quiet", "all", "--config", *words.split(), config=None)
    assert made.returncode == 0, made.stdout
    # In this order; Snakemake's own lines, the log's clock and its INFO are left out in the text.
    printed = iter(CLOCK.sub("", line) for line in lines(made.stdout))
    for line in lines(expected):
        assert line in printed, f"not printed, or not in this place: {line}"
