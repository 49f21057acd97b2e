# SPDX-License-Identifier: MIT
"""The profile for SLURM, without a cluster: its keys, and what would be submitted."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from project import ROOT, SMALL

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
PARTITIONS = ROOT / "profiles" / "slurm" / "partitions.yaml"
SCENARIO = "results/diabetes/keep_25_percent_of_sex_2"


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_snakemake_and_the_executor_know_every_key():
    known = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    assert read(PROFILE).keys() <= known


def test_nothing_of_the_default_profile_is_lost():
    # A profile of the workflow replaces it.
    default, slurm = read(ROOT / "profiles" / "default" / "config.yaml"), read(PROFILE)
    # There it is the cores of this machine, here the width of a job.
    assert default.pop("cores") == "all"
    assert {key: slurm.get(key) for key in default} == default


def test_every_value_has_its_reason():
    before = ""
    for line in PROFILE.read_text(encoding="utf-8").splitlines():
        if re.match(r"[a-z]", line) and not line.endswith(":"):
            assert before.startswith("#") or re.match(r"(slurm|seconds|cores)", before), line
        before = line


def test_what_is_known_to_go_wrong_is_avoided():
    profile = read(PROFILE)
    assert profile["slurm-status-command"] == "squeue"
    assert profile["slurm-requeue"]
    assert profile["retries"] >= 2
    assert "slurm-array-jobs" not in profile
    # A limit of `gpu` would be one of the whole cluster.
    assert "resources" not in profile
    assert "cpus_per_task" not in profile["default-resources"]
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        assert not re.search("retries: [1-9]", path.read_text()), path
    # SLURM forgets jobs that ended MinJobAge ago, usually 300 s; the executor wants three looks.
    assert 3 * profile["slurm-init-seconds-before-status-checks"] <= 60
    for rule in profile["set-resources"].values():
        assert "'" not in rule.get("slurm_extra", "")


def test_jobs_of_a_replicate_know_their_memory_before_their_inputs_exist():
    """They are submitted together: a size of what is yet to be made would be no number."""
    resources = read(PROFILE)["set-resources"]
    text = "".join(p.read_text() for p in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    grouped = [
        rule.partition(":")[0]
        for rule in text.split("\nrule ")[1:]
        if re.search(r'group:\s+("replicate"|sampling_group|rebalancing_group)', rule)
    ]
    assert len(grouped) == 7
    for rule in grouped:
        assert "size_mb" not in resources[rule]["mem_mb"], rule


def test_there_is_one_place_for_the_site():
    text = PROFILE.read_text()
    head = text[text.index("--- Your site") : text.index("--- What each stage")]
    assert "slurm_account" in head
    assert "slurm_account" not in text.replace(head, "")
    assert "slurm_partition" not in text
    assert read(PARTITIONS) == {"partitions": {}}


@pytest.mark.parametrize(
    ("resources", "partition"),
    [
        ({"mem_mb": 1000, "runtime": 10}, "standard"),
        ({"mem_mb": 6000, "runtime": 120, "gpu": 1}, "gpu"),
        ({"mem_mb": 6000, "runtime": 120, "gpu": 1, "gpu_model": "a100"}, "gpu"),
        ({"mem_mb": 6000, "runtime": 1440, "gpu": 0}, "standard"),
        ({"mem_mb": 1000, "runtime": 2000, "gpu": 1}, None),
    ],
)
def test_the_example_of_partitions_sends_jobs_where_they_fit(tmp_path, resources, partition):
    lines = PARTITIONS.read_text().splitlines()
    start = lines.index("# partitions:")
    example = "\n".join(line[2:] for line in lines[start:] if line.startswith("#"))
    (tmp_path / "partitions.yaml").write_text(example)
    known = read_partition_file(tmp_path / "partitions.yaml")
    job = SimpleNamespace(name="job", threads=1, resources=resources)
    quiet = SimpleNamespace(**dict.fromkeys(("debug", "info", "warning"), lambda text: None))
    assert get_best_partition(known, job, quiet) == partition


def test_where_jobs_run_and_on_what_reruns_nothing(finished):
    config = SMALL | {"gpu_missing": "cpu", "gpu_attempts": 2}
    assert finished.plan("--workflow-profile", "profiles/slurm", config=config) == {}


# --- what is submitted, to commands that only look like SLURM's ---------------------------------


class PretendedCluster:
    """Commands that note what is submitted, and let every job fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._command("sinfo", "echo 'standard*'")
        self._command("scontrol", "echo 'MinJobAge = 300 sec'")
        self._command("scancel", "true")
        # There is no accounting.
        self._command("sacct", "exit 1")
        self._command("sacctmgr", "exit 1")
        self._command("sbatch", f'printf "%s\\n" "$*" >> {folder}/lines; wc -l < {folder}/lines')
        # It does not answer at first, which makes the executor forget its jobs.
        self._command(
            "squeue",
            f"echo >> {folder}/asked; [ $(wc -l < {folder}/asked) -gt 7 ] || exit 1\n"
            f'seq $(wc -l < {folder}/lines) | sed "s/$/|FAILED/"',
        )

    def _command(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def lines(self, project, *arguments: str, config: dict = SMALL) -> list[str]:
        """Run Snakemake with the profile, and return the arguments of each sbatch."""
        done = project.run(
            *("--workflow-profile", "profiles/slurm", *arguments),
            *("--slurm-init-seconds-before-status-checks", "1"),
            *("--seconds-between-status-checks", "1"),
            config=config,
            environment={"PATH": f"{self.folder}:{os.environ['PATH']}"},
        )
        assert "At least one job did not complete successfully" in done.stdout, done.stdout[-5000:]
        assert done.returncode != 0
        noted = (self.folder / "lines").read_text().splitlines()
        return [line.partition(" --wrap=")[0] for line in noted if "--parsable" in line]


@pytest.fixture
def pretended(tmp_path) -> PretendedCluster:
    (tmp_path / "bin").mkdir()
    return PretendedCluster(tmp_path / "bin")


def flags(line: str) -> str:
    """What a submission asks for, without names and places."""
    return re.sub(r" -D \S+", "", line.partition("--comment ")[2].partition(" ")[2]).strip()


def test_a_training_asks_for_a_gpu_and_for_more_each_time(finished, pretended):
    model = f"{SCENARIO}/0/cddpm_tuned/model.json"
    (finished.folder / model).unlink(missing_ok=True)
    lines = pretended.lines(finished, model, config=SMALL | {"gpu_attempts": 2})
    asked = [
        f"-p standard -t {120 * attempt} --mem {6001 * attempt} --requeue{{}}--cpus-per-task=1 "
        "--signal=TERM@120"
        for attempt in (1, 2, 3, 4)
    ]
    on_gpu, on_cpu = " ", " --ntasks=1 "
    assert [flags(line) for line in lines] == [
        *(text.format(on_gpu) + " --gpus=1" for text in asked[:2]),
        *(text.format(on_cpu) for text in asked[2:]),
    ]
    for line in lines:
        assert "--job-name mcrage_" in line
        assert "results/logs/slurm/rule_train_generator/" in line


def test_smote_asks_for_no_gpu(finished, pretended):
    model = f"{SCENARIO}/0/smote/model.json"
    (finished.folder / model).unlink(missing_ok=True)
    lines = pretended.lines(finished, model, "--retries", "0")
    assert len(lines) == 1
    assert "gpu" not in flags(lines[0])


def test_the_small_stages_of_a_replicate_are_one_job(finished, pretended):
    for path in (finished.folder / SCENARIO / "1").glob("*/rebalanced.parquet"):
        path.unlink()
    (finished.folder / SCENARIO / "1" / "leakage.json").unlink()
    lines = pretended.lines(finished, f"{SCENARIO}/1/leakage.json", "--retries", "0")
    # What another generator is trained on is made before, and is all there is to submit now.
    assert [line.partition("--comment ")[2].split()[0] for line in lines] == [
        "rule_source_rebalance"
    ]
    config = {
        **SMALL,
        "experiment": SMALL["experiment"] | {"treatments": ["imbalanced", "smote"]},
        "figures": {"umap_treatments": [], "density_treatments": [], "roc_treatments": ["smote"]},
    }
    (pretended.folder / "lines").unlink()
    lines = pretended.lines(finished, f"{SCENARIO}/1/leakage.json", "--retries", "0", config=config)
    assert len(lines) == 1
    assert "rule_replicate_check_leakage_evaluate_rebalance" in lines[0]
    # Two of each at a time; the stages one after the other.
    assert re.fullmatch(
        r"-p standard -t 30 --mem 1[56]\d\d --requeue --ntasks=1 --cpus-per-task=2",
        flags(lines[0]),
    )
