# SPDX-License-Identifier: MIT
"""Replicates that learn as one job: which, what each takes from it, and what runs again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from mcrage.config.load import load_config
from mcrage.errors import UserError
from mcrage.generators.learnt import keep, take
from mcrage.plan import Plan
from mcrage.provenance import KEY
from mcrage.tables import read_table
from project import ROOT, SMALL, Project, merge
from test_generators import fitted
from test_workflow import REPLICATE

BATCHES = "results/together/diabetes/keep_25_percent_of_sex_2"
TUNED = "cddpm_tuned/model.safetensors"
HISTORY = "cddpm_tuned/history.parquet"
# A network alike in all replicates: what a category has of its own differs with its rows.
ALIKE = {"generators": {"cddpm_tuned": {"categories": "one_hot"}}}


def small(replicates: int, together: int) -> dict:
    over = {"experiment": {"replicates": replicates}, "replicates_together": together}
    return merge(merge(SMALL, ALIKE), over)


def plan(replicates: int, together: int) -> Plan:
    whole = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Plan(load_config(merge(whole, small(replicates, together))), cards={})


def test_batches_are_the_same_with_more_replicates():
    few, many = plan(12, 5), plan(31, 5)
    assert few.batch_of("cddpm_tuned", "11") == many.batch_of("cddpm_tuned", "11") == "10-14"
    assert few.replicates_of("10-14") == ["10", "11"]
    assert many.replicates_of("10-14") == ["10", "11", "12", "13", "14"]
    assert many.batch_of("cddpm_paper", "30") == "30-34"
    assert few.batches() == ["0-4", "5-9", "10-14"]
    assert plan(12, 1).batches() == []


def test_only_what_can_learns_in_batches_and_only_if_asked():
    assert plan(12, 5).batch_of("smote", "0") is None
    assert plan(12, 1).batch_of("cddpm_tuned", "0") is None


@pytest.mark.parametrize("value", [0, 2.5, "all"])
def test_another_number_of_replicates_together_is_refused(value):
    with pytest.raises(UserError, match="replicates_together"):
        load_config({"replicates_together": value})


# --- what a replicate takes ---------------------------------------------------------------------


@pytest.fixture
def batch(tmp_path):
    generator = fitted("tuned")
    keep(tmp_path / "batch", "ab12", generator)
    (tmp_path / "out").mkdir()
    return generator


def test_what_is_taken_is_what_was_learnt(batch, tmp_path):
    history, facts = take(tmp_path / "batch", "ab12", tmp_path / "out")
    assert list(history) == list(batch.history)
    for name, values in batch.history.items():
        np.testing.assert_array_equal(history[name], values)
    assert facts == json.loads(json.dumps(batch.facts))
    batch.save(tmp_path)
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / file).read_bytes()


@pytest.mark.parametrize(
    "file", ["model.safetensors", "model.json", "history.parquet", "facts.json"]
)
@pytest.mark.parametrize("cut", [False, True])
def test_what_is_damaged_is_not_taken(batch, tmp_path, file, cut):
    path = tmp_path / "batch" / "ab12" / file
    path.write_bytes(path.read_bytes()[:-1]) if cut else path.unlink()
    with pytest.raises(UserError, match=rf"{file} is damaged: remove .*batch and run again"):
        take(tmp_path / "batch", "ab12", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_was_learnt_from_other_rows_is_not_taken(batch, tmp_path):
    with pytest.raises(UserError, match="no model of this replicate's rows and settings: remove"):
        take(tmp_path / "batch", "cd34", tmp_path / "out")


# --- through Snakemake --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Three replicates, learnt alone and in batches of two."""
    made = {}
    for together in (1, 2):
        made[together] = Project(tmp_path_factory.mktemp(f"together_{together}"))
        done = made[together].run(*models(3), config=small(3, together))
        assert done.returncode == 0, done.stdout
    return made


def models(replicates: int) -> list[str]:
    return [f"{REPLICATE.format(number)}/{TUNED}" for number in range(replicates)]


def jobs(project: Project, replicates: int, over: dict | None = None) -> dict[str, int]:
    config = merge(small(replicates, 2), over or {})
    return {
        name: count
        for name, count in project.plan(*models(replicates), config=config).items()
        if name.startswith("train")
    }


def another(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder / "other", copy_function=shutil.copy2)
    return Project.at(folder / "other")


def test_a_batch_gives_each_replicate_what_it_learns_alone(projects):
    for number, path in enumerate(models(3)):
        alone, together = (load_file(project.folder / path) for project in projects.values())
        assert alone.keys() == together.keys()
        for name, values in alone.items():
            np.testing.assert_allclose(together[name], values, atol=2e-5, rtol=1e-4)
        told = f"results/benchmarks/{REPLICATE.format(number).removeprefix('results/')}"
        facts = json.loads((projects[2].folder / told / "cddpm_tuned/train_facts.json").read_text())
        assert facts.get("learnt_together") == (2 if number < 2 else None)
        log = told.replace("benchmarks", "logs") + "/cddpm_tuned/train.log"
        assert "training cddpm" not in (projects[2].folder / log).read_text()


def test_the_models_come_from_their_own_rows_alone(projects):
    origin = json.loads(
        (projects[2].folder / REPLICATE.format(1) / "cddpm_tuned/model.json").read_text()
    )
    assert sorted(origin[KEY]["parents"]) == [
        "results/diabetes/keep_25_percent_of_sex_2/1/train.parquet",
        "results/diabetes/roles.json",
    ]


def test_more_or_fewer_replicates_train_only_the_batches_that_they_are_in(projects):
    assert jobs(projects[2], 3) == {}
    # Replicate 3 joins the batch of 2, which gets its model anew; 4 begins another.
    assert jobs(projects[2], 5) == {"train_together": 2, "train_generator": 3}
    assert jobs(projects[2], 1) == {"train_together": 1, "train_generator": 1}
    assert jobs(projects[2], 2) == {}


@pytest.mark.parametrize(
    "over",
    [{"generators": {"cddpm_tuned": {"steps": 33}}}, {"experiment": {"seed": 5}}],
    ids=["setting", "seed"],
)
def test_what_a_batch_learns_with_decides_what_follows(projects, over):
    assert jobs(projects[2], 3, over) == {"train_together": 2, "train_generator": 3}


def test_other_code_trains_batches_and_what_follows(projects, tmp_path):
    project = another(projects[2], tmp_path)
    path = project.folder / "workflow/scripts/mcrage/generators/cddpm_fit.py"
    path.write_text(path.read_text() + "\n_OTHER = 1\n")
    assert jobs(project, 3) == {"train_together": 2, "train_generator": 3}


def test_another_setting_makes_the_models_that_it_says(projects, tmp_path):
    project = another(projects[2], tmp_path)
    over = {"generators": {"cddpm_tuned": {"steps": 33}}}
    # What is asked for does not exist, and neither do the models of replicate 3, whose rows do.
    rows = f"{REPLICATE.format(3)}/train.parquet"
    assert project.run(rows, config=small(4, 2)).returncode == 0
    done = project.run(
        *models(4),
        f"{REPLICATE.format(0)}/cddpm_tuned/synthetic.parquet",
        config=merge(small(4, 2), over),
    )
    assert done.returncode == 0, done.stdout
    assert (project.folder / REPLICATE.format(0) / "cddpm_tuned/synthetic.parquet").exists()
    for number in range(4):
        history = read_table(project.folder / REPLICATE.format(number) / HISTORY)
        assert max(history["step"].to_pylist()) == 33


def test_a_lost_model_is_taken_again(projects):
    path = projects[2].folder / models(3)[0]
    before = path.read_bytes()
    path.unlink()
    assert jobs(projects[2], 3) == {"train_generator": 1}
    done = projects[2].run(*models(3), config=small(3, 2))
    assert done.returncode == 0, done.stdout
    assert path.read_bytes() == before
