# SPDX-License-Identifier: MIT
"""A run that is forked is what one that is started anew would be."""

import json
import re

import pytest

from project import SMALL, Project

# A workflow that tells what it sees of its process.
PROBE = """
import importlib.metadata, json, os, signal, sys, threading

told = {
    "path": sys.path,
    "arguments": sys.argv,
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "input": sys.stdin.read(),
    "files": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
    "terminals": [os.isatty(number) for number in range(3)],
    "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
    "threads": [thread.name for thread in threading.enumerate()],
    "signals": [str(signal.getsignal(number)).partition(" at ")[0] for number in (2, 13, 15)],
    "version": importlib.metadata.version("torch"),
    "project": [name for name in sys.modules if name.split(".")[0] in ("mcrage", "conftest")],
    "mask": os.umask(0o22),
    "main": sys.modules["__main__"].__file__,
    "rundir": workflow.rundir,
}
with open("told.json", "w") as file:
    json.dump(told, file)
print("printed")
print("an error", file=sys.stderr)

rule all:
    input: "there"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Snakefile").write_text(PROBE)
    (tmp_path / "there").write_text("")
    metadata = tmp_path / "site" / "torch-99.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 99.1\n")
    return tmp_path


def lines(printed: str) -> list[str]:
    """What is printed, but for its order and for what is a run's own."""
    own = r"  Date:|  Workflow ID:|Complete log| *\[\w{3} \w{3} "
    return sorted(line for line in printed.splitlines() if not re.match(own, line))


def test_a_forked_run_sees_and_prints_what_one_of_its_own_does(folder):
    project = Project.at(folder)
    seen = []
    for alone in (True, False):
        variables = {"PYTHONPATH": str(folder / "site"), "MINE": "1"}
        done = project.run("-n", config=None, environment=variables, alone=alone)
        told = json.loads((folder / "told.json").read_text())
        told["environment"].pop("PYTEST_CURRENT_TEST", None)
        seen.append((done.returncode, lines(done.stdout), told))
    assert seen[0] == seen[1]
    assert seen[0][2]["version"] == "99.1"
    assert {"printed", "an error"} <= set(seen[0][1])


def test_a_forked_run_leaves_nothing_to_the_next(folder):
    project = Project.at(folder)
    (folder / "Snakefile").write_text(
        "import os\nos.environ['LEFT'] = '1'\nos.chdir('site')\n1 / 0"
    )
    done = project.run("-n", config=None, environment={"PYTHONPATH": str(folder / "site")})
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    (folder / "Snakefile").write_text(PROBE)
    assert project.run("-n", config=None).returncode == 0
    told = json.loads((folder / "told.json").read_text())
    assert "LEFT" not in told["environment"]
    assert told["folder"] == str(folder)
    assert told["version"] != "99.1"


def test_a_forked_dry_run_of_the_project_is_one_of_its_own(tmp_path):
    project = Project(tmp_path)
    words = ("data", "-n", "--quiet", "rules")
    alone, forked = (project.run(*words, alone=alone) for alone in (True, False))
    assert alone.returncode == forked.returncode == 0
    assert lines(alone.stdout) == lines(forked.stdout)
    mistaken = SMALL | {"device": "gpu"}
    told = [project.run(config=mistaken, alone=alone) for alone in (True, False)]
    assert told[0].returncode == told[1].returncode != 0
    assert lines(told[0].stdout) == lines(told[1].stdout)
