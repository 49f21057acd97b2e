# SPDX-License-Identifier: MIT
"""Tables that many tests share."""

import fcntl
import os
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.groups import GroupSchema
from project import ROOT, Project

RECORDER = ROOT / "tests" / "recorder"

# No deadline: how long a machine takes is none of a test's business. `make test` draws the same
# examples each time, so that what fails fails for whoever looks; `make test-all` draws new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("new", deadline=None)
settings.load_profile(os.environ.get("MCRAGE_EXAMPLES", "same"))


WARD = Roles(
    dataset="ward",
    title="A ward",
    features=(
        Feature("age", "Age", "years", "integer", resolution=1.0, lower=0.0, upper=120.0),
        Feature("iron", "Iron", "mg/L", resolution=0.1),
    ),
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
    target=Target("SOURCE", "Care", ("out", "in"), ("out-care", "in-care")),
    columns=("age", "SEX", "iron", "SOURCE"),
)


@pytest.fixture(scope="session")
def roles() -> Roles:
    return WARD


@pytest.fixture
def schema(roles) -> GroupSchema:
    return GroupSchema.of(roles)


def make_table(counts, seed: int = 0, first_id: int = 0) -> pa.Table:
    """A ward with the given number of rows in each of the four groups, shuffled."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(4), counts))
    n = len(groups)
    return pa.table(
        {
            "row_id": pa.array(np.arange(first_id, first_id + n)),
            "age": pa.array(rng.integers(18, 90, n)),
            "SEX": pa.array(np.array(["F", "M"], dtype=object)[groups % 2], pa.string()),
            "iron": pa.array(np.round(rng.normal(10 + groups, 2), 1)),
            "SOURCE": pa.array(np.array(["out", "in"], dtype=object)[groups // 2], pa.string()),
        }
    )


@pytest.fixture
def table() -> pa.Table:
    return make_table([30, 40, 20, 50])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Project:
    """The small experiment, run once for all test processes. Not to be changed: see `finished`."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if base.name.startswith("pytest-") else base.parent) / "finished"
    printed = shared / "printed.txt"
    with (shared.parent / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            shutil.rmtree(shared, ignore_errors=True)
            records = shared / "records"
            records.mkdir(parents=True)
            recorder = {"PYTHONPATH": str(RECORDER), "MCRAGE_RECORDS": str(records)}
            done = Project(shared).run("--quiet", "rules", environment=recorder, alone=True)
            assert done.returncode == 0, done.stdout[-6000:]
            printed.write_text(done.stdout)
    return Project.at(shared)


@pytest.fixture(scope="module")
def finished(finished_run, tmp_path_factory) -> Project:
    """A copy of the finished small experiment with all its dates, for the tests of one file."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(finished_run.folder, folder)
    return Project.at(folder)
