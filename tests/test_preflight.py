# SPDX-License-Identifier: MIT
"""What a run would do and cost, told before it."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mcrage import preflight
from mcrage.preflight import Experience, Job, cluster_problems, parse_jobs, told
from project import SMALL, Project

DRY_RUN = """
Building DAG of jobs...
[Tue Nov 24 15:22:06 2026]
localrule download:
    output: resources/downloads/a/a.csv
    benchmark: results/benchmarks/a/download/a.csv.jsonl
    resources: tmpdir=/tmp
group job data:
    rule train_generator:
        output: results/a/s/1/cddpm/model.safetensors, results/a/s/1/cddpm/model.json
        benchmark: results/benchmarks/a/s/1/cddpm/train.jsonl
        resources: tmpdir=/tmp, mem_mb=<TBD>, gpu=1, slurm_extra=--signal=TERM@120
localrule all:
    input: results/report.html
    jobid: 0
Job stats:
"""


def test_jobs_are_read_from_a_dry_run():
    assert parse_jobs(DRY_RUN) == [
        Job(
            "download",
            ("resources/downloads/a/a.csv",),
            "results/benchmarks/a/download/a.csv.jsonl",
        ),
        Job(
            "train_generator",
            ("results/a/s/1/cddpm/model.safetensors", "results/a/s/1/cddpm/model.json"),
            "results/benchmarks/a/s/1/cddpm/train.jsonl",
            gpus=1,
        ),
    ]


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A folder with what an earlier run left."""
    monkeypatch.chdir(tmp_path)

    def add(path: str, content: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)

    for replicate, seconds in ((0, 3600), (1, 7200)):
        add(
            f"results/benchmarks/a/s/{replicate}/cddpm/train.jsonl",
            json.dumps({"s": 9000.0, "cpu_time": seconds}) + "\n",
        )
        add(
            f"results/benchmarks/a/s/{replicate}/cddpm/train_facts.json",
            json.dumps({"gpu_seconds": 2 * seconds}),
        )
        add(f"results/a/s/{replicate}/cddpm/model.json", "x" * 1000)
    # Too short for Snakemake to have sampled it.
    add("results/benchmarks/a/s/0/split.jsonl", json.dumps({"s": 36.0, "cpu_time": 0}) + "\n")
    add("results/benchmarks/a/s/1/split.jsonl", '{"s": 3')
    return tmp_path


def train(replicate: int, generator: str = "cddpm") -> Job:
    return Job(
        "train_generator",
        (f"results/a/s/{replicate}/{generator}/model.json",),
        f"results/benchmarks/a/s/{replicate}/{generator}/train.jsonl",
        gpus=1,
    )


def experience(folder, on_gpu: bool = True) -> Experience:
    return Experience(folder / "results" / "benchmarks", folder / "results", on_gpu=on_gpu)


def test_a_job_costs_what_it_did_or_what_like_ones_did(earlier):
    # Relative, as a dry run names files.
    known = experience(Path("."))
    assert known.cpu_seconds(train(1)) == 7200
    assert known.cpu_seconds(train(5)) == 5400
    assert known.gpu_seconds(train(5)) == 10800
    assert known.size(train(5)) == 1000
    assert known.cpu_seconds(Job("split", (), "results/benchmarks/a/s/7/split.jsonl")) == 36
    assert known.cpu_seconds(Job("report", (), "results/benchmarks/report.jsonl")) is None


def test_a_batch_costs_what_its_replicates_shared(earlier):
    for facts in earlier.rglob("train_facts.json"):
        facts.write_text('{"gpu_seconds": 100, "learnt_together": 4}')
    batch = "results/together/a/s/0-3/cddpm"
    benchmark = earlier / "results/benchmarks/a/s/0-3/cddpm/train_together.jsonl"
    for number, path in enumerate((Path(batch) / "ab12/x", Path(batch) / "cd34/x")):
        (earlier / path).parent.mkdir(parents=True)
        (earlier / path).write_bytes(b"0" * (10 + number))
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text('{"s": 50, "cpu_time": 40}\n')
    known = experience(Path("."))
    for name in ("0-3", "4-7"):
        outputs = (batch.replace("0-3", name),)
        told_of = f"results/benchmarks/a/s/{name}/cddpm/train_together.jsonl"
        job = Job("train_together", outputs, told_of, 1)
        assert known.cpu_seconds(job) == 40
        assert known.gpu_seconds(job) == 400
        assert known.size(job) == 21
    assert known.gpu_seconds(replace(train(5), gpus=0)) == 0


def test_gpu_hours_are_unknown_where_only_the_cpu_was_tried(earlier):
    for facts in earlier.rglob("train_facts.json"):
        facts.write_text("{}")
    assert experience(earlier).gpu_seconds(train(5)) is None
    assert experience(earlier, on_gpu=False).gpu_seconds(train(5)) == 0


def test_the_table_says_what_is_unknown(earlier):
    jobs = [train(5), train(6), Job("report", ("results/report.html",), "b/report.jsonl")]
    assert told(jobs, experience(earlier)).splitlines() == [
        "rule             jobs       CPU hours       GPU hours              disk",
        "train_generator     2            3.00            6.00            0.0 MB",
        "report              1         unknown         unknown           unknown",
        "total               3  3.00 + unknown  6.00 + unknown  0.0 MB + unknown",
    ]


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        ({}, "no sbatch, squeue, scontrol here"),
        ({"scontrol": "exit 1"}, "SLURM does not answer"),
        (
            {"scontrol": "echo 'MinJobAge   = 30 sec'", "sinfo": "echo fast"},
            "checks to 10 in the profile",
        ),
        (
            {"scontrol": "echo 'MinJobAge = 300 sec'", "sinfo": "echo standard"},
            "'fast' is no partition of this cluster; there are: standard",
        ),
        ({"scontrol": "echo 'MinJobAge = 300 sec'", "sinfo": "echo standard; echo fast"}, None),
    ],
)
def test_what_would_keep_jobs_from_a_cluster(tmp_path, monkeypatch, commands, problem):
    programs = {**({"sbatch": "true", "squeue": "true"} if commands else {}), **commands}
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "partitions.yaml").write_text("partitions: {fast: {max_gpu: 1}}")
    monkeypatch.setenv("PATH", str(tmp_path))
    problems = cluster_problems(str(tmp_path / "partitions.yaml"))
    if problem is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert problem in problems[0]


@pytest.mark.parametrize(
    ("partitions", "lacking"),
    [
        ({}, False),
        ({"fast": {"max_gpu": 1}, "slow": {"max_runtime": 10}}, False),
        ({"fast": {"max_runtime": 10}, "slow": None}, True),
        ({"fast": {"max_gpu": 0}}, True),
    ],
)
def test_a_training_needs_a_partition_with_a_gpu(tmp_path, monkeypatch, partitions, lacking):
    answers = {"sbatch": "", "squeue": "", "scontrol": "MinJobAge = 300 sec", "sinfo": "fast slow"}
    for name, answer in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {answer}\n")
        (tmp_path / name).chmod(0o755)
    file = tmp_path / "partitions.yaml"
    file.write_text(json.dumps({"partitions": partitions}))
    monkeypatch.setenv("PATH", str(tmp_path))
    problems = cluster_problems(str(file), [train(0), train(1), Job("split")])
    assert len(problems) == lacking
    if lacking:
        assert f"{file}: 2 jobs ask for 1 GPU" in problems[0]
        assert "max_gpu: 1" in problems[0]
    assert cluster_problems(str(file), [Job("split")]) == []


def test_options_of_the_command_count_for_its_plan():
    arguments = ["preflight", "--quiet", "rules", "--cores", "2", "--configfile", "my.yaml"]
    assert preflight._without(arguments, "preflight") == [
        *("--cores", "2", "--configfile", "my.yaml")
    ]


def test_it_tells_of_a_run_that_is_still_to_come(tmp_path):
    done = Project(tmp_path).run("preflight", "--quiet", "rules")
    assert done.returncode == 0, done.stdout
    assert "train_generator" in done.stdout
    assert "unknown" in done.stdout
    assert "profiles/default; jobs run on this machine" in done.stdout
    assert "Nothing that can be seen from here would stop the run." in done.stdout
    assert not (tmp_path / "results" / "diabetes").exists()


def test_it_ends_with_what_would_stop_the_run_and_says_so_once(tmp_path):
    done = Project(tmp_path).run(
        *("preflight", "--workflow-profile", "profiles/slurm", "--retries", "2"),
        environment={"PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin"},
        config=SMALL,
    )
    if "SLURM does not answer" not in done.stdout:
        assert "no sbatch, squeue, scontrol here" in done.stdout
    assert done.returncode != 0
    assert done.stdout.count("localrule preflight:") == 1
    assert "Traceback" not in done.stdout
