# SPDX-License-Identifier: MIT
"""Which device a job works on, with stand-ins for GPUs."""

import ctypes
import os
import subprocess
import sys

import pytest

from mcrage import accelerator
from mcrage.accelerator import device_for, given_device, lease, visible_gpus
from mcrage.errors import UserError


@pytest.mark.parametrize(
    ("device", "gpus", "scheduled", "missing", "expected"),
    [
        # On one machine: whichever there is, unless the config says which.
        ("auto", None, False, "fail", "auto"),
        ("auto", 1, False, "fail", "auto"),
        ("cuda", 1, False, "fail", "cuda"),
        ("cpu", None, False, "fail", "cpu"),
        # A generator that gains nothing by a GPU, or an attempt after the last on one.
        ("auto", 0, False, "fail", "cpu"),
        ("cuda", 0, True, "fail", "cpu"),
        # On a cluster: what was asked for, and the CPU in its place only if the config allows it.
        ("auto", 1, True, "fail", "cuda"),
        ("auto", 1, True, "cpu", "auto"),
        ("cuda", 1, True, "fail", "cuda"),
        ("auto", None, True, "fail", "cpu"),
        ("cuda", None, True, "fail", "cpu"),
    ],
)
def test_the_device_is_what_was_asked_for(device, gpus, scheduled, missing, expected):
    assert device_for(device, gpus, scheduled=scheduled, missing=missing) == expected


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """A function that gives this machine so many GPUs."""
    monkeypatch.setattr(accelerator.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

    def give(number: int) -> None:
        monkeypatch.setattr(accelerator.ctypes, "CDLL", lambda name: None)
        counted = subprocess.CompletedProcess([], 0, stdout=f"{number}\n")
        monkeypatch.setattr(accelerator.subprocess, "run", lambda *a, **k: counted)

    return give


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]),
        ("", []),
    ],
)
def test_only_what_was_given_is_seen(gpus, monkeypatch, given, names):
    gpus(len(names))
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == names


def test_what_the_driver_does_not_know_is_not_there(gpus, monkeypatch):
    gpus(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,7")
    assert visible_gpus() == ["0"]


def test_the_counting_process_counts_as_this_one_does():
    counted = subprocess.run(
        [sys.executable, accelerator.__file__],
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(accelerator.__file__))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(counted.stdout) == accelerator.count_gpus()


def test_a_job_that_needs_a_gpu_and_finds_none_says_what_it_was_given(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with (
        pytest.raises(UserError, match=r"finds none: CUDA_VISIBLE_DEVICES is '0'.*SLURM job 17"),
        given_device("auto", gpus=1, scheduled=True, missing="fail"),
    ):
        pass


def test_without_a_gpu_auto_is_the_cpu(gpus, monkeypatch):
    gpus(0)
    with given_device("auto") as device:
        assert device == "cpu"
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError))
    with given_device("auto", gpus=1, scheduled=True, missing="cpu") as device:
        assert device == "cpu"


def test_the_process_sees_one_gpu_alone(gpus, monkeypatch):
    gpus(2)
    with given_device("auto") as device:
        assert device == "cuda"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        # What another process of this machine would be given.
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with given_device("cuda"):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_jobs_spread_evenly_and_a_free_gpu_is_taken_first(tmp_path):
    names = ["0", "1"]
    with lease(names, tmp_path) as first, lease(names, tmp_path) as second:
        assert (first, second) == ("0", "1")
        with lease(names, tmp_path) as third, lease(names, tmp_path) as fourth:
            assert {third, fourth} == {"0", "1"}
    with lease(names, tmp_path) as again:
        assert again == "0"


def test_a_process_that_was_killed_holds_no_gpu(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from mcrage.accelerator import lease\n"
        f"with lease(['0', '1'], Path({str(tmp_path)!r})) as name: print(name, flush=True); "
        "time.sleep(600)"
    )
    scripts = os.path.dirname(os.path.dirname(accelerator.__file__))
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": scripts},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline().strip() == "0"
    with lease(["0", "1"], tmp_path) as name:
        assert name == "1"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with lease(["0", "1"], tmp_path) as name:
        assert name == "0"
