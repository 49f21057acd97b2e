# SPDX-License-Identifier: MIT
"""Checkpoints: what is refused and why, and that going on from any step changes nothing."""

import json
import logging
import multiprocessing
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mcrage.checkpoint_folders import remove_checkpoints
from mcrage.diffusion.training import Trainer
from mcrage.generators import checkpoint as module
from mcrage.generators.checkpoint import Cadence, CheckpointFile
from mcrage.generators.registry import generator_class
from mcrage.interruption import Interrupted
from test_generators import data, mean_of_a
from test_generators import settings as small

ARRAYS = {"flat": np.arange(6.0).reshape(2, 3), "state": np.arange(9, dtype=np.uint8)}
NO_POINT = np.empty(0)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def never(arrays: dict) -> None:
    """Find nothing amiss."""


def refusals(caplog) -> list[str]:
    """Return the warnings since the last call."""
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    caplog.clear()
    return lines


@pytest.fixture
def saved(tmp_path) -> CheckpointFile:
    file = CheckpointFile(tmp_path / "checkpoints", "ward", "few", "0", "cddpm", key="ab12")
    assert file.load(never) is None
    assert file.save(ARRAYS | {"none": NO_POINT})
    return file


def test_it_comes_back_as_it_was(saved, caplog):
    arrays = saved.load(never)
    for name, array in (ARRAYS | {"none": NO_POINT}).items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert refusals(caplog) == []
    assert saved.path.parts[-5:] == ("ward", "few", "0", "cddpm", "ab12.safetensors")


def test_every_truncation_is_refused(saved, caplog):
    content = saved.path.read_bytes()
    for length in range(len(content)):
        saved.path.write_bytes(content[:length])
        assert saved.load(never) is None
        (line,) = refusals(caplog)
        assert line.startswith(f"checkpoint {saved.path} refused: ")
        assert line.endswith("; training starts over")


@shared_folder
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_refused(saved, caplog, place, bit):
    content = bytearray(saved.path.read_bytes())
    spoilt = content.copy()
    spoilt[int(place * len(content))] ^= 1 << bit
    try:
        saved.path.write_bytes(spoilt)
        assert saved.load(never) is None
        assert len(refusals(caplog)) == 1
    finally:
        saved.path.write_bytes(content)


@shared_folder
@given(content=st.binary(max_size=200))
def test_anything_else_is_refused(tmp_path, caplog, content):
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_bytes(content)
    assert file.load(never) is None
    assert len(refusals(caplog)) == 1


def test_a_model_and_a_folder_are_refused(tmp_path, caplog):
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    file.path.parent.mkdir()
    save_file({"weight": np.zeros(3)}, file.path)
    assert file.load(never) is None
    assert "not a checkpoint of this version of mcrage" in refusals(caplog)[0]
    file.path.unlink()
    file.path.mkdir()
    assert file.load(never) is None
    assert "damaged" in refusals(caplog)[0]


def test_another_fits_file_is_refused_by_its_name_and_by_its_content(saved, caplog):
    other = CheckpointFile(saved.path.parent, key="cd34")
    assert other.load(never) is None
    assert refusals(caplog) == [
        f"checkpoint {saved.path} refused: made with other settings, data or code"
    ]
    saved.path.rename(other.path)
    assert other.load(never) is None
    (line,) = refusals(caplog)
    assert "made with other settings, data or code; training starts over" in line


def test_what_the_fit_cannot_use_is_refused(saved, caplog):
    assert saved.load(lambda arrays: f"holds {len(arrays)} arrays") is None
    assert "refused: holds 3 arrays; training starts over" in refusals(caplog)[0]


def die_writing(saved):
    """Be ended by the kernel in the middle of the file, when nothing can be tidied up."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    saved.save({"large": np.zeros(1000)})


def test_a_write_that_was_killed_leaves_the_last_file_and_its_rest_goes(saved):
    process = multiprocessing.get_context("fork").Process(target=die_writing, args=(saved,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    assert len(list(saved.path.parent.iterdir())) == 2
    assert saved.load(never) is not None
    assert [path.name for path in saved.path.parent.iterdir()] == ["ab12.safetensors"]


def test_removal_leaves_no_empty_folder_and_nothing_of_others(saved, tmp_path):
    other = CheckpointFile(tmp_path / "checkpoints", "ward", "few", "1", "cddpm", key="ef56")
    other.save(ARRAYS)
    root, names = tmp_path / "checkpoints", ("ward", "few", "0", "cddpm")
    remove_checkpoints(root, *names)
    assert not saved.path.parents[1].exists()
    assert other.load(never) is not None
    names = ("ward", "few", "1", "cddpm")
    remove_checkpoints(root, *names)
    assert list(tmp_path.iterdir()) == []
    remove_checkpoints(root, *names)
    assert tmp_path.exists()


def test_a_disk_that_takes_no_more_costs_the_checkpoint_only(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    file = CheckpointFile(tmp_path / "file", "cddpm", key="ab12")
    assert not file.save(ARRAYS)
    assert "not written" in refusals(caplog)[0]


def test_the_cadence_keeps_checkpoints_cheap_and_losses_small(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    cadence = Cadence(1_000_000)
    cadence.start(40)
    now += module._LEAST_SECONDS - 0.1
    assert not cadence.due(5000)
    now += 0.2
    assert cadence.due(5001)
    # Cheap: as often as is wanted. Dear: as often as its share allows.
    cadence.wrote(5001, seconds=0.001, seconds_per_step=0.01)
    assert cadence.steps == 1000
    cadence.wrote(5001, seconds=1.0, seconds_per_step=0.01)
    assert cadence.steps == 20_000
    assert not cadence.due(25_000)
    assert cadence.due(25_001)
    # A step that takes longer than all: after each, and never less.
    cadence.wrote(5001, seconds=0.001, seconds_per_step=100.0)
    assert cadence.steps == 1
    # Slow steps, or judging between them: time counts too.
    cadence.wrote(5001, seconds=0.001, seconds_per_step=0.01)
    assert not cadence.due(5002)
    now += module._USUAL_SECONDS + 0.1
    assert cadence.due(5002)


def fitted(name: str, *, override=None, **options):
    """Return a generator fitted on small data."""
    values = small(name) | (override or {})
    generator = generator_class("cddpm")(values)
    return generator.fit(data(), criterion=mean_of_a, seed=5, **options)


def stopped_at(step: int, name: str, file: CheckpointFile, **options) -> None:
    """Fit until a step, and stop there as a signal would."""
    original = Trainer.step

    def stepped(self) -> None:
        original(self)
        if self.n_steps == step:
            raise Interrupted(15)

    Trainer.step = stepped
    try:
        with pytest.raises(Interrupted, match=f"stopped by SIGTERM at step {step} of"):
            fitted(name, checkpoint=file, **options)
    finally:
        Trainer.step = original


@pytest.fixture(scope="module")
def whole() -> dict:
    return {name: fitted(name) for name in ("tuned", "paper")}


@settings(shared_folder, max_examples=12)
@given(name=st.sampled_from(["tuned", "paper"]), data=st.data())
def test_going_on_from_any_steps_changes_nothing(whole, tmp_path, name, data):
    expected = whole[name]
    total = expected.facts["steps"]
    steps = sorted(data.draw(st.sets(st.integers(1, total), min_size=1, max_size=3)))
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    for step in steps:
        stopped_at(step, name, file)
    resumed = fitted(name, checkpoint=file)
    remove_checkpoints(tmp_path, "cddpm")
    np.testing.assert_array_equal(resumed._weights.numpy(), expected._weights.numpy())
    np.testing.assert_equal(resumed.history, expected.history)
    chosen = [k for k in expected.facts if k.startswith("chosen")]
    assert [resumed.facts[k] for k in chosen] == [expected.facts[k] for k in chosen]
    assert resumed.facts["resumptions"] == len(steps)
    assert json.dumps(resumed.facts)


@pytest.mark.parametrize(
    ("name", "override", "reason"),
    [
        (
            "tuned",
            {"width": 8},
            "trainer.flat is float32 of shape (2, 1779), and this run's float32",
        ),
        ("tuned", {"seeds": 3}, "of a grid of 2 members, and this run's has 3"),
        ("tuned", {"steps": 20}, "at step 30 with a curve up to 29, which a run of 20 steps"),
        ("tuned", {"use_ema": False}, "holds other arrays than this run's (trainer.average)"),
    ],
)
def test_the_state_of_another_run_is_refused(tmp_path, caplog, name, override, reason):
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    stopped_at(30, "tuned", file)
    assert fitted(name, override=override, checkpoint=file).facts["resumptions"] == 0
    (line,) = refusals(caplog)
    assert reason in line
    assert Path(line.split()[1]) == file.path


@pytest.mark.parametrize("name", ["tuned", "paper"])
@pytest.mark.parametrize("often", [True, False])
def test_the_final_state_is_kept_and_written_once(whole, tmp_path, monkeypatch, name, often):
    if often:
        monkeypatch.setattr(Cadence, "due", lambda self, step: True)
    places = []

    class Noting(CheckpointFile):
        def save(self, arrays: dict) -> bool:
            noted = arrays["0.history.step"]
            places.append((int(arrays["trainer.counts"][0]), noted[-1] if noted.size else 0))
            return super().save(arrays)

    file = Noting(tmp_path, "cddpm", key="ab12")
    first = fitted(name, checkpoint=file)
    total = whole[name].facts["steps"]
    assert places[-1] == (total, total)
    assert places.count(places[-1]) == 1
    # Once more from there: no step, no judgement, no write, the same result.
    written = len(places)
    monkeypatch.setattr(Trainer, "step", None)
    again = fitted(name, checkpoint=file)
    assert len(places) == written
    np.testing.assert_array_equal(again._weights.numpy(), first._weights.numpy())
    np.testing.assert_equal(again.history, whole[name].history)
