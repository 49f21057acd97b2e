# SPDX-License-Identifier: MIT
"""Killed jobs, killed runs, full disks, folders that take nothing, two runs at once."""

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from mcrage.lineage import result_files
from project import ASIDE, SMALL, Project

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "rules", "--cores", "2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
# Seconds that jobs last, where it is more than the third of a second of a small table.
LASTS = {
    "train_generator": 3.0,
    "sample_generator": 2.0,
    "evaluate": 1.0,
    "plot_umap": 3.0,
    "plot_densities": 2.0,
    "report": 1.5,
}
# Made from how long jobs took.
TIMED = {"results/report.html"}


class Run:
    """Snakemake at work in a process group of its own; what it prints goes to a file."""

    def __init__(self, project: Project, *arguments: str, config: dict = SMALL) -> None:
        self.printed = project.folder / "printed.txt"
        with self.printed.open("a") as file:
            self.process = subprocess.Popen(
                [*SNAKEMAKE, *arguments, "--configfile", project.write_config(**config)],
                cwd=project.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )

    def jobs(self) -> list[tuple[str, psutil.Process]]:
        """Rule and process of every script at work now."""
        found = []
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for child in children:
            try:
                words = child.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if len(words) == 2 and (name := re.search(r"scripts/tmp\w+\.(\w+)\.py$", words[1])):
                found.append((name[1], child))
        return found

    def kill(self) -> None:
        """Kill Snakemake and all its jobs."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> int:
        return self.process.wait()


class Killer(threading.Thread):
    """Kills one job of every rule, each at a random moment of its time."""

    def __init__(self, run: Run, killed: dict[str, int], seed: int) -> None:
        super().__init__(daemon=True)
        self.work, self.killed, self.random = run, killed, random.Random(seed)

    def run(self) -> None:
        due: dict[int, float] = {}
        while self.work.process.poll() is None:
            for rule, process in self.work.jobs():
                delay = self.random.uniform(0.0, LASTS.get(rule, 0.35))
                moment = due.setdefault(process.pid, time.monotonic() + delay)
                if rule not in self.killed and time.monotonic() >= moment:
                    try:
                        process.kill()
                    except psutil.NoSuchProcess:
                        continue
                    self.killed[rule] = process.pid
            time.sleep(0.03)


REPLICATE = "results/diabetes/keep_25_percent_of_sex_2/0"
STAGES_OF_A_REPLICATE = {
    *("download", "prepare", "describe", "balance", "split", "induce_imbalance", "check_groups"),
    *("train_generator", "sample_generator", "judge_synthetic", "rebalance", "evaluate"),
}


def stages(project: Project) -> set[str]:
    """Every rule with a script that an experiment runs."""
    scripts = (project.folder / "workflow" / "scripts").glob("*.py")
    return {path.stem for path in scripts} - ASIDE


def is_mended(project: Project, undisturbed: Project, *targets: str) -> None:
    """Nothing is left of what was killed, and every result is as in the other run."""
    done = project.run(*targets, "--quiet", "rules")
    # Whatever was not mended by a retry is mended by running the same command again.
    assert done.returncode == 0, done.stdout[-3000:]
    for path in result_files(project.folder):
        one, other = ((each.folder / path).read_bytes() for each in (undisturbed, project))
        assert path in TIMED or one == other, path
    assert [
        path for path in (project.folder / "results").rglob("*") if ".partial" in path.name
    ] == []
    assert not (project.folder / "results" / "checkpoints").exists()
    assert project.plan(*targets) == {}


def test_stages_of_a_replicate_and_the_run_killed_they_end_as_undisturbed(finished_run, tmp_path):
    """From nothing on, in another folder: equal seeds give equal bytes."""
    treatments = ("smote", "mcrage_paper", "mcrage_tuned")
    targets = [
        *(f"{REPLICATE}/{name}/random_forest/metrics.parquet" for name in treatments),
        *(f"{REPLICATE}/cddpm_tuned/fidelity.parquet", "results/diabetes/words.json"),
    ]
    project = Project(tmp_path)
    assert stages(project) & project.plan(*targets).keys() == STAGES_OF_A_REPLICATE
    killed: dict[str, int] = {}
    # Every kill costs its job one attempt; each rule is hit once in all.
    run = Run(project, *targets, "--retries", "1")
    Killer(run, killed, seed=1).start()
    while run.process.poll() is None and "sample_generator" not in killed:
        time.sleep(0.05)
    assert run.process.poll() is None, run.printed.read_text()[-3000:]
    run.kill()
    assert project.run("--unlock").returncode == 0

    run = Run(project, *targets, "--retries", "1")
    Killer(run, killed, seed=2).start()
    run.wait()
    print(f"killed: {', '.join(sorted(killed))}, and Snakemake itself")
    # A job may end before its moment comes.
    missed = STAGES_OF_A_REPLICATE - killed.keys()
    assert len(missed) <= 2, missed
    is_mended(project, finished_run, *targets)


# Compiled anew in each process, UMAP takes as long as all others together.
@pytest.mark.parametrize(
    "spared", [{"plot_umap"}, pytest.param(set(), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_stages_over_replicates_killed_they_end_as_undisturbed(finished_run, tmp_path, spared):
    """What a replicate's results are gathered, checked and shown by."""
    project = Project.at(tmp_path / "project")
    shutil.copytree(finished_run.folder, project.folder)
    for path in (project.folder / "results").iterdir():
        if path.is_file():
            path.unlink()
    for path in (project.folder / "results" / "figures").rglob("*.*"):
        if f"plot_{path.stem}" not in spared:
            path.unlink()
    for name in ("leakage.json", "within_replicate.parquet"):
        (project.folder / REPLICATE / name).unlink()
    rules = stages(project) - STAGES_OF_A_REPLICATE - spared
    assert stages(project) & project.plan().keys() == rules
    killed: dict[str, int] = {}
    run = Run(project, "--retries", "1")
    Killer(run, killed, seed=3).start()
    run.wait()
    print(f"killed: {', '.join(sorted(killed))}")
    assert len(rules - killed.keys()) <= 2, rules - killed.keys()
    is_mended(project, finished_run)
    assert list(result_files(project.folder)) == list(result_files(finished_run.folder))


def test_code_that_is_edited_during_a_run_makes_no_result(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "project")
    project = Project.at(tmp_path / "project")
    target = "results/diabetes/keep_25_percent_of_sex_2/0/smote/random_forest/metrics.parquet"
    code = project.folder / "workflow/scripts/mcrage/metrics/rates.py"
    as_planned = code.read_text()
    run = Run(project, target, "--forcerun", "rebalance")
    while not any(rule == "rebalance" for rule, _ in run.jobs()):
        assert run.process.poll() is None, run.printed.read_text()[-2000:]
        time.sleep(0.01)
    code.write_text(as_planned + "\n\nEDITED = 1\n")
    assert run.wait() != 0
    code.write_text(as_planned)
    told = run.printed.read_text()
    assert "ERROR evaluate: its code was changed after this run was planned" in told
    assert "Traceback" not in told
    assert project.run(target, "--quiet", "rules").returncode == 0
    assert (project.folder / target).read_bytes() == (finished_run.folder / target).read_bytes()


# --- disks --------------------------------------------------------------------------------------

MOUNTS = (
    subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
    ).returncode
    == 0
    if shutil.which("unshare")
    else False
)
needs_mounts = pytest.mark.skipif(not MOUNTS, reason="mounting in a namespace is not allowed here")


def run_after(project: Project, prepare: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run snakemake where `prepare`, shell commands, has mounted something."""
    command = [*SNAKEMAKE, *arguments, "--configfile", project.write_config(**SMALL)]
    return subprocess.run(
        ["unshare", "-rm", "sh", "-ec", f"{prepare}; cd .; exec {shlex.join(command)}"],
        cwd=project.folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@needs_mounts
def test_a_full_disk_ends_in_a_clear_message(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "results").mkdir()
    done = run_after(project, "mount -t tmpfs -o size=160k none results", "data")
    assert done.returncode != 0
    assert re.search(r"ERROR \w+: results/diabetes/.*: the disk is full; free some", done.stdout)
    assert "Finished results are kept" in done.stdout
    assert "Traceback" not in done.stdout
    assert "defect of mcrage" not in done.stdout


@needs_mounts
@pytest.mark.parametrize(
    ("prepare", "place"),
    [
        ("mount -t tmpfs -o ro none results", "results"),
        ("mount --bind . . && mount -o remount,ro,bind . && cd $PWD", ".snakemake"),
    ],
)
def test_a_folder_that_takes_nothing_ends_in_a_clear_message(tmp_path, prepare, place):
    project = Project(tmp_path)
    (tmp_path / "results").mkdir()
    done = run_after(project, prepare, "data")
    assert done.returncode != 0
    assert f"{place}: " in done.stdout
    assert "is not a folder that you may write to" in done.stdout
    assert "snakemake --directory FOLDER" in done.stdout
    assert "Traceback" not in done.stdout


# --- two runs at once ---------------------------------------------------------------------------


def test_two_runs_at_once_and_what_a_killed_run_leaves(tmp_path):
    project = Project(tmp_path)
    long = {**SMALL, "generators": {"cddpm_tuned": {"steps": 10**7}}}
    target = "results/diabetes/keep_25_percent_of_sex_2/0/cddpm_tuned/model.json"
    first = Run(project, target, config=long)
    try:
        while not any(rule == "train_generator" for rule, _ in first.jobs()):
            assert first.process.poll() is None, first.printed.read_text()
            time.sleep(0.05)
        second = project.run(target, config=long)
        assert second.returncode != 0
        assert f"another run works in this folder (process {first.process.pid}" in second.stdout
        assert "snakemake --directory FOLDER" in second.stdout
        assert "Traceback" not in second.stdout
        # To look is allowed.
        assert project.run("-n", target, config=long).returncode == 0
    finally:
        first.kill()
    third = project.run(target)
    assert third.returncode != 0
    assert f"an earlier run was killed here (process {first.process.pid}" in third.stdout
    assert "snakemake --unlock" in third.stdout
    assert project.run("--unlock").returncode == 0
    assert project.run(target, "--quiet", "rules").returncode == 0


def test_a_lock_of_another_machine_is_told_as_such(tmp_path, monkeypatch):
    from mcrage import working_folder

    monkeypatch.chdir(tmp_path)
    working_folder.HOLDER.parent.mkdir(parents=True)
    working_folder.note_holder()
    # This process is there, but is no Snakemake: its number was given to another since.
    assert f"was killed here (process {os.getpid()} " in working_folder.held_by()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert "from here it can't be seen" in working_folder.held_by()
    working_folder.HOLDER.unlink()
    assert "If none is running" in working_folder.held_by()


def test_a_folder_may_be_missing_but_not_a_file(tmp_path):
    from mcrage.errors import UserError
    from mcrage.working_folder import require_writable

    require_writable(tmp_path / "new" / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder that you may write to"):
        require_writable(tmp_path / "file")


def test_a_disk_error_names_the_result_and_not_the_temporary(tmp_path):
    import errno

    from mcrage.errors import refused_by_disk
    from mcrage.tables import atomic_output

    with pytest.raises(OSError, match="No space") as caught, atomic_output(tmp_path / "a.parquet"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refused_by_disk(caught.value, "x").startswith(f"{tmp_path / 'a.parquet'}: the disk is")
    assert refused_by_disk(OSError(errno.EIO, "I/O error"), "x") is None
    assert list(Path(tmp_path).iterdir()) == []
