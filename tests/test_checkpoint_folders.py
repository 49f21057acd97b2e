# SPDX-License-Identifier: MIT
"""Checkpoints go when Snakemake has noted the training, and not a moment before."""

import pytest

from mcrage.checkpoint_folders import sweep_checkpoints
from mcrage.lineage import record

PLACE = "{dataset}/{scenario}/{replicate}/{generator}"
OUTPUTS = [f"results/{PLACE}/model.json", f"results/benchmarks/{PLACE}/facts.json"]
NAMES = {"dataset": "ward", "scenario": "few", "replicate": "0", "generator": "cddpm"}


@pytest.fixture
def training(tmp_path):
    """Every output and every record of one training, and its checkpoint."""
    made = {"checkpoint": tmp_path / "checkpoints" / PLACE.format(**NAMES) / "ab12.safetensors"}
    for number, pattern in enumerate(OUTPUTS):
        path = pattern.format(**NAMES)
        made[f"output {number}"] = tmp_path / path
        made[f"record {number}"] = record(tmp_path, "metadata", path)
    for path in made.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return made


def test_a_noted_training_needs_none(training, tmp_path):
    other = tmp_path / "checkpoints" / PLACE.format(**{**NAMES, "replicate": "1"})
    other.mkdir(parents=True)
    sweep_checkpoints(tmp_path, "checkpoints", OUTPUTS)
    assert not training["checkpoint"].parents[1].exists()
    assert other.exists()
    other.rmdir()
    sweep_checkpoints(tmp_path, "nothing", OUTPUTS)


@pytest.mark.parametrize("lacking", ["output 0", "output 1", "record 0", "record 1"])
def test_a_training_that_is_not_noted_keeps_its_own(training, tmp_path, lacking):
    training[lacking].unlink()
    sweep_checkpoints(tmp_path, "checkpoints", OUTPUTS)
    assert training["checkpoint"].exists()


@pytest.mark.parametrize("pattern", OUTPUTS)
def test_the_record_of_an_earlier_job_is_no_note(training, tmp_path, pattern):
    mark = record(tmp_path, "incomplete", pattern.format(**NAMES))
    mark.parent.mkdir(parents=True)
    mark.write_text("")
    sweep_checkpoints(tmp_path, "checkpoints", OUTPUTS)
    assert training["checkpoint"].exists()


@pytest.mark.parametrize("noted", [False, True])
def test_a_batch_keeps_its_own_until_its_models_are_noted(training, tmp_path, noted):
    batch = {**NAMES, "batch": "0-9"}
    made = "results/together/{dataset}/{scenario}/{batch}/{generator}"
    checkpoint = tmp_path / "checkpoints" / PLACE.format(**{**NAMES, "replicate": "0-9"})
    checkpoint.mkdir(parents=True)
    (tmp_path / made.format(**batch)).mkdir(parents=True)
    if noted:
        mark = record(tmp_path, "metadata", made.format(**batch))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text("")
    sweep_checkpoints(tmp_path, "checkpoints", OUTPUTS, [made])
    assert checkpoint.exists() != noted
    assert not training["checkpoint"].exists()
