# SPDX-License-Identifier: MIT
"""A generator from another package: that of docs/library.md, in Python and by Snakemake."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import pytest
import yaml

from mcrage import plugins as module
from mcrage.errors import UserError
from project import ROOT, Project

CHAPTER = (ROOT / "docs" / "library.md").read_text().split("## A generator of your own")[1]
LIBRARY = ROOT / "workflow" / "scripts"


def block(language: str, place: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", CHAPTER, re.DOTALL)[place]


@pytest.fixture
def site(tmp_path):
    """What installing the package of the documentation leaves."""
    told = tomllib.loads(block("toml"))
    points = told["project"]["entry-points"]["mcrage.generators"]
    folder = tmp_path / "site"
    facts = folder / "my_generators-0.1.dist-info"
    facts.mkdir(parents=True)
    (folder / f"{told['tool']['setuptools']['py-modules'][0]}.py").write_text(block("python"))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-generators\nVersion: 0.1\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (facts / "entry_points.txt").write_text("\n".join(["[mcrage.generators]", *lines, ""]))
    return folder


def variables(*paths) -> dict[str, str]:
    more = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([*map(str, paths), more]).strip(os.pathsep)}


def python(*words: str, paths, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, **variables(*paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False,
        **options,
    )  # fmt: skip


def test_the_sampler_draws_with_it(site):
    code = f"""
import numpy as np, pandas as pd
from mcrage import MCRAGE
rng = np.random.default_rng(0)
sex = rng.choice(["F", "M"], 200, p=[.2, .8])
X = pd.DataFrame({{"sex": sex, "age": rng.integers(20, 80, 200)}})
y = rng.choice(["alive", "died"], 200, p=[.7, .3])
X_more, y_more = {block("python", 1).strip()}
print(len(set(pd.crosstab(X_more.sex, y_more).to_numpy().ravel())), X_more.age.dtype)
try:
    MCRAGE(generator={{"kind": "jitter", "widht": 1}}).fit_resample(X[["age"]], y)
except ValueError as error:
    print(error)
"""
    done = python("-c", code, paths=[site, LIBRARY])
    assert done.returncode == 0, done.stderr[-3000:]
    sizes, problem = done.stdout.splitlines()
    assert sizes == "1 int64"
    assert "widht: unknown key (did you mean 'width'?)" in problem


def test_it_keeps_the_contract_that_all_kinds_are_held_to(site):
    file = str(ROOT / "tests" / "test_generator_contract.py")
    words = ("-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-k", "jitter", file)
    done = python(*words, paths=[site], cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\b(2[5-9]|[3-9]\d) passed", done.stdout), done.stdout


def test_the_workflow_compares_it_and_an_edit_of_it_trains_it_anew(site, tmp_path):
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    config = yaml.safe_load(block("yaml")) | {
        "experiment": {
            "treatments": ["imbalanced", "jitter"],
            "baselines": ["imbalanced"],
            "replicates": 1,
        },
        "figures": {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")},
    }
    options = {"config": config, "environment": variables(site), "alone": True}
    done = project.run("--quiet", "rules", **options)
    assert done.returncode == 0, done.stdout[-5000:]
    page = (project.folder / "results" / "report.html").read_text()
    assert "Every group filled with rows of its own and noise." in page
    assert project.plan(**options) == {}
    file = site / "my_generators.py"
    file.write_text(file.read_text() + "\n# A comment.\n")
    assert project.plan(**options) == {}
    file.write_text(file.read_text().replace("[seed, group, 1]", "[seed, group, 2]"))
    plan = project.plan(**options)
    assert {"train_generator", "sample_generator", "evaluate"} <= plan.keys()
    assert not {"prepare", "split", "induce_imbalance"} & plan.keys()


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({"jitter": "nothing_of_this_name:Jitter"}, "No module named .* mend the package"),
        ({"jitter": "mcrage.errors:Jitter"}, "has no attribute 'Jitter'"),
        ({"jitter": "mcrage.errors:UserError"}, "attribute Settings has to be a class of Plugin"),
        ({"mine": "test_plugins:Misnamed"}, r"need the field kind: Literal\['mine'\]"),
    ],
)
def test_what_is_no_generator_is_told_by_its_entry_point(monkeypatch, points, said):
    found = [EntryPoint(name, value, module.GROUP) for name, value in points.items()]
    monkeypatch.setattr(module, "entry_points", lambda group: found)
    with pytest.raises(UserError, match=f"entry point '{next(iter(points))} = .*{said}"):
        module.plugins.__wrapped__()


def test_a_kind_that_two_packages_give_is_refused(monkeypatch):
    found = [EntryPoint("jitter", f"{name}:Jitter", module.GROUP) for name in ("one", "two")]
    monkeypatch.setattr(module, "entry_points", lambda group: found)
    with pytest.raises(UserError, match=r"several installed packages.*one:Jitter, two:Jitter"):
        module.plugins.__wrapped__()


class Misnamed:
    """A generator whose settings are of another kind than its entry point says."""

    from mcrage.config.generators_shared import PluginSettings as Settings
