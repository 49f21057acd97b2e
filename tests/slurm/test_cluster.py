# SPDX-License-Identifier: MIT
"""The workflow on a real SLURM cluster, with trainings that are killed. Run by make test-slurm."""

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from cluster import Cluster
from project import Project

pytestmark = pytest.mark.slurm

SCENARIO = "results/diabetes/keep_25_percent_of_sex_2"
LONGEST = 900  # seconds, after which a run is stuck; alone it takes a third of that

# Three trainings at once, each long enough to be killed in the middle of it.
STEPS = 20_000
CONFIG = {
    "experiment": {
        "replicates": 3,
        "treatments": ["imbalanced", "smote", "mcrage_tuned"],
    },
    "figures": {
        "umap_treatments": [],
        "density_treatments": [],
        "roc_treatments": ["mcrage_tuned"],
    },
    "generators": {"cddpm_tuned": {"steps": STEPS, "seeds": 2}},
    "classifiers": {"random_forest": {"n_trees": 30}},
    # The cluster's GPUs are files.
    "gpu_missing": "cpu",
}
# SLURM may tell a minute early: of one minute, that is before the training has begun.
MINUTES = 2
# The first two are told to end, the last one is not; see `undisturbed`.
AT_ITS_LIMIT, CANCELLED, ON_THE_DEAD_NODE = "2", "1", "0"
# Where SLURM puts a training as long as there is room.
FIRST_NODE = "gpu1"


@pytest.fixture(scope="module")
def cluster():
    # Not pytest's folder: the path of a socket may have 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="mcrage-slurm-") as folder,
        Cluster(Path(folder)) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("cluster"))


def write_profile(project: Project, **changes) -> str:
    """The profile as it is, made quick, for a cluster of small nodes."""
    profile = yaml.safe_load((project.folder / "profiles" / "slurm" / "config.yaml").read_text())
    partitions = {
        "cpu": {"max_runtime": 60, "max_mem_mb": 8000, "max_threads": 4},
        "gpu": {"max_runtime": 60, "max_mem_mb": 8000, "max_threads": 4, "max_gpu": 2},
    }
    folder = project.folder / "profiles" / "quick"
    folder.mkdir(exist_ok=True)
    (folder / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
    profile |= {
        "slurm-init-seconds-before-status-checks": 1,
        "seconds-between-status-checks": 1,
        "latency-wait": 5,
        # All that a node has: what is done one after the other adds up to a longer job.
        "cores": 4,
        **changes,
    }
    profile["set-resources"]["train_generator"] |= {
        "mem_mb": "1500 * attempt",
        # The first attempt of one replicate is told before its time is over.
        "runtime": f"{MINUTES} if wildcards.replicate == '{AT_ITS_LIMIT}' and attempt == 1 else 20",
        # The others keep away from the node that dies, which would cost them an attempt more.
        "slurm_extra": "'--signal=TERM@20' if wildcards.replicate == "
        f"'{ON_THE_DEAD_NODE}' else '--signal=TERM@20 --exclude={FIRST_NODE}'",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return "profiles/quick"


class Submitted:
    """A run of Snakemake that submits to the cluster; ended with the block at the latest."""

    def __init__(self, cluster: Cluster, project: Project, *arguments: str) -> None:
        self.printed = project.folder / "printed.txt"
        with self.printed.open("w") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=project.folder,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=cluster.environment,
                # It is interrupted alone, as by Ctrl-C in another terminal.
                start_new_session=True,
            )

    def __enter__(self):
        self._end = time.monotonic() + LONGEST
        return self

    def __exit__(self, *error) -> None:
        if self._process.poll() is None:
            self._process.send_signal(2)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def told(self) -> str:
        return self.printed.read_text()

    def until(self, happened, what: str):
        """Wait for something, and return it."""
        while not (found := happened()):
            assert self._process.poll() is None, f"ended before {what}: {self.told()[-6000:]}"
            assert time.monotonic() < self._end, f"waited in vain for {what}: {self.told()[-6000:]}"
            time.sleep(0.1)
        return found

    def ends(self) -> int:
        return self._process.wait(max(1, self._end - time.monotonic()))


def training_job(cluster: Cluster, replicate: str, *states: str) -> dict | None:
    """The newest job that trains the diffusion model of a replicate, if it is in such a state."""
    jobs = [job for job in cluster.jobs() if job["comment"].endswith(f"_{replicate}_cddpm_tuned")]
    newest = max(jobs, key=lambda job: int(job["id"]), default=None)
    return newest if newest and newest["state"] in states else None


def checkpoints(project: Project, replicate: str) -> list[Path]:
    return list((project.folder / "results" / "checkpoints").glob(f"*/*/{replicate}/*/*.safe*"))


def train_log(project: Project, replicate: str) -> Path:
    folder = project.folder / SCENARIO.replace("results", "results/logs")
    return folder / replicate / "cddpm_tuned" / "train.log"


def results(project: Project) -> dict[str, bytes]:
    root = project.folder / "results"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for ending in ("parquet", "safetensors", "json")
        for path in root.rglob(f"*.{ending}")
        if path.relative_to(root).parts[0] not in ("logs", "benchmarks")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    """What two replicates are on this machine alone, with nothing happening to them.

    Of the two trainings that are told to end, which is one thing to them, one is enough: they take
    minutes each.
    """
    project = Project(tmp_path_factory.mktemp("alone"))
    config = CONFIG | {"experiment": CONFIG["experiment"] | {"replicates": 2}}
    done = project.run("evaluation", "--quiet", "all", config=config)
    assert done.returncode == 0, done.stdout[-6000:]
    made = results(project)
    return {name: made[name] for name in made if re.match(SCENARIO[8:] + "/[01]/", name)}


@pytest.fixture(scope="module")
def disturbed(cluster, project) -> str:
    """The whole experiment on the cluster, and three trainings killed; what it printed."""
    profile = write_profile(project)
    config = project.write_config(**CONFIG)
    arguments = ("--workflow-profile", profile, "--configfile", config)
    with Submitted(cluster, project, *arguments) as run:
        # Not before its first steps, which the log does not tell of.
        run.until(lambda: checkpoints(project, CANCELLED), "the checkpoint of what is cancelled")
        job = run.until(
            lambda: training_job(cluster, CANCELLED, "RUNNING"), "the training to be cancelled"
        )
        assert cluster.ask("scancel", job["id"]) == ""
        run.until(
            lambda: "at step" in told_of(project, AT_ITS_LIMIT), "the training at its time limit"
        )
        run.until(lambda: checkpoints(project, ON_THE_DEAD_NODE), "a checkpoint")
        job = run.until(
            lambda: training_job(cluster, ON_THE_DEAD_NODE, "RUNNING"), "the training to be lost"
        )
        cluster.stop_node(job["node"])
        assert run.ends() == 0, run.told()[-6000:]
        lost = cluster.ask("scontrol", "show", "job", job["id"])
        assert "Restarts=1" in lost, lost
        cluster.start_node(job["node"])
        return run.told()


def told_of(project: Project, replicate: str) -> str:
    """What the failed attempts of a replicate's training printed."""
    folder = project.folder / "results" / "logs" / "slurm" / "rule_train_generator"
    return "".join(
        path.read_text(errors="replace") for path in folder.glob(f"*_{replicate}_cddpm_tuned/*.log")
    )


@pytest.mark.parametrize("replicate", [AT_ITS_LIMIT, CANCELLED])
def test_a_training_is_told_before_its_end_and_goes_on_in_the_next_attempt(
    disturbed, project, replicate
):
    stopped = re.search(
        rf"stopped by SIGTERM at step (\d+) of {STEPS}", told_of(project, replicate)
    )
    assert stopped
    # From a later one, if it also was on the node that died.
    log = train_log(project, replicate).read_text()
    continued = re.search(rf"continuing from step (\d+) of {STEPS}", log)
    assert continued
    assert int(continued[1]) >= int(stopped[1])


def test_a_training_on_a_node_that_died_goes_on_from_its_last_checkpoint(disturbed, project):
    assert "continuing from step" in train_log(project, ON_THE_DEAD_NODE).read_text()
    # SLURM queued it again by itself, so that it cost no retry.
    assert disturbed.count("Trying to restart job") == 2


def test_the_result_is_that_of_an_undisturbed_run(disturbed, project, undisturbed):
    found = results(project)
    assert {name.split("/")[2] for name in undisturbed} == {CANCELLED, ON_THE_DEAD_NODE}
    assert undisturbed.keys() <= found.keys()
    differing = [name for name, content in undisturbed.items() if found[name] != content]
    assert not differing
    assert len(undisturbed) > 40


def test_nothing_is_to_be_done_afterwards_on_the_cluster_or_here(disturbed, project):
    assert project.plan(config=CONFIG) == {}
    assert project.plan("--workflow-profile", "profiles/slurm", config=CONFIG) == {}


def test_what_was_submitted(disturbed, cluster):
    lines = cluster.submissions.read_text().splitlines()
    submitted = [re.sub(" --wrap=.*", "", line) for line in lines if "--parsable" in line]
    trainings = [line for line in submitted if line.count("cddpm_tuned") > 0]
    for line in submitted:
        for wanted in ("--job-name mcrage_", "--requeue", " -t ", " --mem ", "--export=ALL"):
            assert wanted in line
        assert "--array" not in line
        assert (" -p gpu " in line) == (" --gpus=1" in line) == (line in trainings)
    for line in trainings:
        assert "--signal=TERM@20" in line
        assert "--cpus-per-task=1" in line
    # Three, of which two were submitted again, with more of what they may have lacked.
    assert len(trainings) == 5
    limits = [re.search(r"-t (\d+) --mem (\d+)", line).groups() for line in trainings]
    assert sorted(limits) == [(str(MINUTES), "1500"), *[("20", "1500")] * 2, *[("20", "3000")] * 2]
    # A replicate waits once for its data, once for each model and once for all the rest. A job is
    # called after its group, or else after its rule.
    names = ("train_generator", "gather_fidelity", "gather_within_replicate")
    called = rf"--comment rule_({'|'.join(names)}|[a-z]+)"
    assert Counter(re.search(called, line)[1] for line in submitted) == {
        "dataset": 1,
        "data": 3,
        "train_generator": 3 + len(trainings),
        "replicate": 3,
        "gather_fidelity": 1,
        "gather_within_replicate": 1,
        "summarise": 1,
        "figures": 1,
        "report": 1,
    }


def test_a_job_without_its_gpu_fails_with_the_reason_and_then_trains_on_the_cpu(
    disturbed, cluster, project
):
    model = f"{SCENARIO}/0/cddpm_tuned/model.json"
    (project.folder / model).unlink()
    before = len(cluster.submissions.read_text().splitlines())
    shorter = {"cddpm_tuned": CONFIG["generators"]["cddpm_tuned"] | {"steps": 200}}
    config = CONFIG | {"gpu_missing": "fail", "gpu_attempts": 1, "generators": shorter}
    profile = write_profile(project)
    arguments = ("--workflow-profile", profile, "--configfile", project.write_config(**config))
    with Submitted(cluster, project, model, *arguments) as run:
        assert run.ends() == 0, run.told()[-6000:]
    failed, succeeded = cluster.submissions.read_text().splitlines()[before:]
    assert "--gpus=1" in failed
    assert "--gpus" not in succeeded
    assert "a GPU was asked for, and this job finds none: CUDA_VISIBLE_DEVICES is '" in run.told()
    assert "Traceback" not in train_log(project, "0").read_text()
