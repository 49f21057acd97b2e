# SPDX-License-Identifier: MIT
"""Killed at any moment, the training stage ends with the bytes of one never killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from conftest import make_table
from mcrage.config.generators import CddpmSettings
from mcrage.tables import read_json, write_json
from project import SMALL, Project
from resume_nursery import Nursery

SETTINGS = {
    "tuned": {"steps": 150, "width": 16, "depth": 1, "seeds": 2},
    "paper": {
        "steps": 150,
        "select_every_epochs": 12,
        "width": 16,
        "learning_rates": [1e-3, 1e-2],
        "condition_dropouts": [0.7],
    },
}
NAMES = {"dataset": "ward", "scenario": "few", "replicate": "0", "generator": "cddpm"}
KILLS = {"start": 3, "steps and checkpoints": 14, "outputs": 5}
# File operations from the first output to the end of the job; there are 31 of them.
FEWEST_EVENTS = 25
OUTPUTS = {"weights": "model.safetensors", "model": "model.json", "history": "history.parquet"}


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


class Stage:
    """One training job in a folder of its own."""

    def __init__(
        self, nursery: Nursery, folder: Path, data: Path, preset: str, generator: dict | None = None
    ) -> None:
        self.nursery, self.folder = nursery, folder
        judged = preset == "paper"
        small = generator or SETTINGS[preset]
        settings = {
            "generator": CddpmSettings(kind="cddpm", preset=preset, **small).resolved(),
            "threads": 1,
            "rare_groups": {"fewer_than": 1, "then": "back_off"},
        }
        if judged:
            settings["judge"] = {
                "kind": "random_forest",
                **{"n_trees": 3, "max_depth": None, "min_samples_split": 2, "min_samples_leaf": 1},
                "features": "raw",
                "attributes": True,
            }
        stage = {"settings": settings, "seeds": {"train": 5}, "code": "c0de", "versions": {}}
        self.checkpoints = folder / "checkpoints"
        self.job = {
            "input": {
                "train": str(data / "train.parquet"),
                "validation": str(data / "validation.parquet") if judged else [],
                "roles": str(data / "roles.json"),
                "learnt": [],
            },
            "output": {
                **{name: str(folder / "out" / file) for name, file in OUTPUTS.items()},
                "facts": str(folder / "facts" / "train_facts.json"),
            },
            "params": {
                "stage": stage,
                **{"device": {"device": "cpu"}, "checkpoints": str(self.checkpoints)},
            },
            "wildcards": NAMES,
            "log": str(folder / "train.log"),
        }
        folder.mkdir()

    def run(self, **request) -> int:
        self.forget_outputs()
        return self.nursery.run(job=self.job, **request)

    def forget_outputs(self) -> None:
        """Delete outputs, as Snakemake does before it runs a job again."""
        for path in self.job["output"].values():
            Path(path).unlink(missing_ok=True)

    def result(self) -> dict[str, bytes]:
        return {file: (self.folder / "out" / file).read_bytes() for file in OUTPUTS.values()}

    def facts(self) -> dict:
        return json.loads(Path(self.job["output"]["facts"]).read_text())

    def told(self) -> str:
        """What the last run logged, and printed."""
        log = Path(self.job["log"])
        return log.read_text() + Path(f"{log}.err").read_text()

    def kept_step(self) -> int:
        return int(load_file(self.checkpoint())["trainer.counts"][0])

    def checkpoint(self) -> Path:
        (path,) = self.checkpoints.joinpath(*NAMES.values()).iterdir()
        return path


@pytest.fixture(scope="module")
def data(tmp_path_factory, roles):
    folder = tmp_path_factory.mktemp("data")
    pq.write_table(make_table([30, 60, 15, 40]), folder / "train.parquet")
    pq.write_table(make_table([9, 9, 9, 9], seed=1, first_id=900), folder / "validation.parquet")
    write_json(roles.to_dict(), folder / "roles.json")
    return folder


@pytest.fixture(scope="module")
def undisturbed(nursery, data, tmp_path_factory):
    """The results of runs that nothing happened to."""
    results = {}
    for preset in SETTINGS:
        stage = Stage(nursery, tmp_path_factory.mktemp("whole") / preset, data, preset)
        assert stage.run() == 0, stage.told()
        assert stage.kept_step() == 150
        assert stage.facts()["resumptions"] == 0
        results[preset] = stage.result()
    return results


@pytest.fixture(params=list(SETTINGS))
def preset(request) -> str:
    return request.param


@pytest.fixture
def stage(nursery, data, tmp_path, preset) -> Stage:
    return Stage(nursery, tmp_path / "job", data, preset)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class Killer:
    """Starts attempts and ends each with SIGKILL, from outside and at a random time."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.progress = stage.folder / "progress"
        os.mkfifo(self.progress)
        self.in_a_write = 0

    def attempt(self, wanted: int, delay: float, **request) -> bool:
        """Kill an attempt some time after it took so many steps; return whether it was in time."""
        self.stage.forget_outputs()
        # Open for both ways, so that neither side waits for the other.
        pipe = os.open(self.progress, os.O_RDWR | os.O_NONBLOCK)
        try:
            child = self.stage.nursery.start(
                job=self.stage.job, progress=str(self.progress), cadence=True, **request
            )
            taken = 0
            while taken < wanted and is_alive(child):
                try:
                    taken += len(os.read(pipe, 4096))
                except BlockingIOError:
                    time.sleep(0.0005)
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed = self.stage.nursery.wait() == -signal.SIGKILL
            self.in_a_write += bool(list(self.stage.checkpoints.rglob("*.tmp")))
            return killed
        finally:
            os.close(pipe)


def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(
    stage, preset, undisturbed, record_property
):
    killer = Killer(stage, seed=1)
    draw = killer.random
    landed = dict.fromkeys(KILLS, 0)
    # Before the first step: imports are done, so this is reading, encoding and restoring.
    while landed["start"] < KILLS["start"]:
        landed["start"] += killer.attempt(0, draw.uniform(0, 0.05))
    # A few steps an attempt, so that all together stay below the whole; then up to the time that
    # a step and its checkpoint take.
    while landed["steps and checkpoints"] < KILLS["steps and checkpoints"]:
        wanted = draw.randint(1, 12)
        landed["steps and checkpoints"] += killer.attempt(wanted, draw.uniform(0, 0.01))
    # From the first output to the last, at one of its file operations.
    while landed["outputs"] < KILLS["outputs"]:
        event = draw.randint(1, FEWEST_EVENTS)
        landed["outputs"] += stage.run(cadence=True, kill_at_event=event) == -signal.SIGKILL
    assert stage.run() == 0, stage.told()
    record_property("kills survived", landed)
    print(
        f"{preset}: survived kills {landed}, {killer.in_a_write} of them in the middle of writing "
        f"a checkpoint; continued {stage.facts()['resumptions']} times"
    )
    assert sum(landed.values()) >= 20, landed
    assert stage.result() == undisturbed[preset]
    assert stage.kept_step() == 150


@pytest.mark.parametrize("preset", ["tuned"])
def test_killed_at_every_file_operation_after_training_it_ends_with_the_same_bytes(
    stage, preset, undisturbed
):
    event, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        event += 1
        code = stage.run(cadence=True, kill_at_event=event)
        if 1 < event <= FEWEST_EVENTS:
            # Nothing is trained twice for want of an output.
            assert "continuing from step 150 of 150" in stage.told()
    assert code == 0, stage.told()
    assert event > FEWEST_EVENTS
    assert stage.result() == undisturbed[preset]
    assert stage.kept_step() == 150


def test_done_but_not_noted_it_takes_no_step_again(stage, preset, undisturbed):
    assert stage.run() == 0, stage.told()
    # Its outputs are deleted, as Snakemake does with those of a job that it has not seen to end.
    assert stage.run(step=150, signal=signal.SIGKILL) == 0, stage.told()
    assert "continuing from step 150 of 150" in stage.told()
    assert stage.facts()["resumptions"] == 1
    assert stage.result() == undisturbed[preset]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_writes_a_checkpoint_and_continues_from_there(
    stage, preset, undisturbed, signum
):
    assert stage.run(step=37, signal=signum) == 128 + signum
    told = stage.told()
    assert f"stopped by {signum.name} at step 37 of 150; the next run continues from there" in told
    assert "Traceback" not in told
    assert stage.kept_step() == 37
    assert stage.run() == 0, stage.told()
    assert "continuing from step 37 of 150" in stage.told()
    assert stage.result() == undisturbed[preset]
    facts = stage.facts()
    assert facts["resumptions"] == 1
    assert facts["seconds"] > 0
    assert stage.kept_step() == 150


@pytest.mark.parametrize("preset", ["paper"])
@pytest.mark.parametrize("judged", [1, 6, 14])
def test_told_to_end_while_it_judges_it_judges_again(stage, preset, undisturbed, judged):
    assert stage.run(judged=judged, signal=signal.SIGTERM) == 143
    # Two members after every 12 epochs of 2 steps, and at the last.
    step = min(24 * -(-judged // 2), 150)
    assert f"stopped by SIGTERM at step {step} of 150" in stage.told()
    assert stage.run() == 0, stage.told()
    assert stage.result() == undisturbed[preset]


@pytest.mark.parametrize("preset", ["tuned"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncate", "damaged"),
        ("flip", "damaged"),
        ("foreign", "not a checkpoint of this version of mcrage"),
        ("other key", "made with other settings, data or code"),
    ],
)
def test_a_checkpoint_that_is_not_this_runs_is_refused_and_training_starts_over(
    stage, preset, undisturbed, damage, reason
):
    assert stage.run(step=90, signal=signal.SIGTERM) == 143
    path = stage.checkpoint()
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "foreign":
        save_file({"weight": np.zeros((3, 2))}, path)
    else:
        path.write_bytes(content.replace(path.stem.encode(), b"0" * len(path.stem)))
    assert stage.run() == 0, stage.told()
    lines = [line for line in stage.told().splitlines() if "WARNING" in line]
    # Once in the log and once on the terminal.
    assert len(lines) == 2
    assert f"{path} refused: {reason}" in lines[0]
    assert lines[0].endswith("training starts over")
    assert "continuing from" not in stage.told()
    assert stage.facts()["resumptions"] == 0
    assert stage.result() == undisturbed[preset]
    assert stage.kept_step() == 150


@pytest.mark.parametrize("preset", ["paper"])
@pytest.mark.parametrize("changed", ["seeds", "code", "versions", "train", "validation", "roles"])
def test_a_checkpoint_of_other_params_or_data_is_refused(nursery, data, tmp_path, changed, preset):
    stage = Stage(nursery, tmp_path / "job", data, preset)
    assert stage.run(step=90, signal=signal.SIGTERM) == 143
    outdated = stage.checkpoint()
    params = {"seeds": {"train": 6}, "code": "c0de2", "versions": {"torch": "99"}}
    if changed in params:
        stage.job["params"]["stage"][changed] = params[changed]
    else:
        path = Path(stage.job["input"][changed])
        stage.job["input"][changed] = str(tmp_path / path.name)
        if changed == "roles":
            value = read_json(path)
            value["features"][0]["resolution"] = 2.0
            write_json(value, tmp_path / path.name)
        else:
            table = pq.read_table(path)
            pq.write_table(table.slice(1), tmp_path / path.name)
    assert stage.run() == 0, stage.told()
    assert f"{outdated} refused: made with other settings, data or code" in stage.told()
    assert "continuing from" not in stage.told()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_what_the_params_say_whatever_snakemake_grants(
    nursery, data, tmp_path, threads
):
    # One wide member: here the bits depend on the number of threads.
    wide = {"steps": 40, "width": 256, "seeds": 1, "warmup_steps": 0, "use_ema": False}
    whole = Stage(nursery, tmp_path / "whole", data, "tuned", generator=wide)
    resumed = Stage(nursery, tmp_path / "resumed", data, "tuned", generator=wide)
    for stage in (whole, resumed):
        stage.job["params"]["stage"]["settings"]["threads"] = threads
    whole.job["threads"], resumed.job["threads"] = threads, 3 - threads
    assert whole.run() == 0, whole.told()
    assert resumed.run(step=4, signal=signal.SIGTERM) == 143
    resumed.job["threads"] = threads
    assert resumed.run() == 0, resumed.told()
    assert "continuing from step 4" in resumed.told()
    assert resumed.result() == whole.result()


def test_snakemake_continues_a_training_that_it_tries_again(tmp_path):
    project = Project(tmp_path)
    config = {**SMALL, "generators": {"cddpm_tuned": {"steps": 2000, "seeds": 1}}}
    folder = "results/{}diabetes/keep_25_percent_of_sex_2/0/cddpm_tuned/{}"
    log = tmp_path / folder.format("logs/", "train.log")
    command = [sys.executable, "-m", "snakemake", folder.format("", "model.json")]
    command += ["--cores", "2", "--quiet", "rules", "--retries", "1"]
    command += ["--configfile", project.write_config(**config)]
    with (tmp_path / "printed").open("w") as printed:
        run = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        while run.poll() is None and not (log.exists() and "members of" in log.read_text()):
            time.sleep(0.05)
        time.sleep(1.0)  # The training has begun to learn, and lasts for several seconds.
        assert run.poll() is None, (tmp_path / "printed").read_text()
        for child in psutil.Process(run.pid).children(recursive=True):
            if any("train_generator" in word for word in child.cmdline()[1:2]):
                child.send_signal(signal.SIGTERM)
        code = run.wait()
    told = (tmp_path / "printed").read_text()
    assert code == 0, told
    assert "returned non-zero exit status 143" in told
    assert "Traceback" not in told
    assert "continuing from step" in log.read_text()
    assert not (tmp_path / "results" / "checkpoints").exists()


def test_a_run_killed_between_a_trainings_end_and_its_note_trains_nothing_again(tmp_path):
    project = Project(tmp_path)
    config = {**SMALL, "generators": {"cddpm_tuned": {"steps": 300, "seeds": 1, "width": 64}}}
    names = "diabetes/keep_25_percent_of_sex_2/0/cddpm_tuned"
    model, log = f"results/{names}/model.json", tmp_path / "results" / "logs" / names / "train.log"
    facts = tmp_path / "results" / "benchmarks" / names / "train_facts.json"
    # The script does not end, so that Snakemake can't notice before it is killed.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, sys, time\n"
        "if sys.argv and sys.argv[0].endswith('.train_generator.py'):\n"
        "    atexit.register(time.sleep, 600)\n"
    )
    command = [sys.executable, "-m", "snakemake", model, "--cores", "2", "--quiet", "rules"]
    command += ["--configfile", project.write_config(**config)]
    with (tmp_path / "printed").open("w") as printed:
        run = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path / "site")},
            start_new_session=True,
        )
        while run.poll() is None and not facts.exists():
            time.sleep(0.05)
        assert run.poll() is None, (tmp_path / "printed").read_text()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    before = (tmp_path / model).read_bytes()
    assert project.run("--unlock").returncode == 0
    done = project.run(model, "--quiet", "rules", config=config)
    assert done.returncode == 0, done.stdout
    assert "continuing from step 300 of 300" in log.read_text()
    assert (tmp_path / model).read_bytes() == before
    assert not (tmp_path / "results" / "checkpoints").exists()
