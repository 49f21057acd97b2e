# SPDX-License-Identifier: MIT
"""Which device a job works on: what it asked for, what it was given, and a GPU of its own.

Is there a GPU? is asked of the driver, since importing torch takes seconds.
"""

import ctypes
import fcntl
import itertools
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mcrage.errors import UserError

logger = logging.getLogger(__name__)

_LIBRARY = "libcuda.so.1"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def count_gpus() -> int:
    """Return the number of CUDA devices that the driver shows to this process, 0 without one.

    The driver reads CUDA_VISIBLE_DEVICES once: what is set after this call has no effect on this
    process.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def require(device: str) -> None:
    """Refuse to start when a GPU is asked for and absent.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    UserError
    """
    if device == "cuda" and not count_gpus():
        raise UserError(
            "config: device: is 'cuda', but the driver shows no GPU on this machine. Set device "
            "to 'auto' or 'cpu', or run where there is a GPU (nvidia-smi lists them)."
        )


def device_for(device: str, gpus: int | None, *, scheduled: bool, missing: str) -> str:
    """Return where a job is to work: on the CPU, on a GPU or not at all, or whichever there is.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        The config's.
    gpus : int or None
        How many the job asks for (its resource ``gpu``); None: it asks for none, and may take one
        that this machine has.
    scheduled : bool
        Whether a cluster gave the job what it asked for.
    missing : {"fail", "cpu"}
        The config's ``gpu_missing``.

    Returns
    -------
    {"cpu", "cuda", "auto"}
    """
    if scheduled and gpus is None:
        # What a node has beside the job's allocation is somebody else's.
        gpus = 0
    if device == "cpu" or gpus == 0:
        return "cpu"
    if scheduled and missing == "fail":
        return "cuda"
    return device


@contextmanager
def given_device(
    device: str, *, gpus: int | None = None, scheduled: bool = False, missing: str = "fail"
) -> Iterator[str]:
    """Give a device for as long as the block lasts; to be entered before torch is imported.

    On a machine with several GPUs that nobody assigns, the process gets one of its own, or the one
    that the fewest jobs of this user share.

    Parameters
    ----------
    device, gpus, scheduled, missing
        See `device_for`.

    Yields
    ------
    str
        As torch names it: "cpu" or "cuda".

    Raises
    ------
    UserError
        If it has to be a GPU and there is none.
    """
    device = device_for(device, gpus, scheduled=scheduled, missing=missing)
    if device == "cpu":
        yield "cpu"
        return
    names = visible_gpus()
    if not names:
        if device == "cuda":
            raise UserError(
                f"a GPU was asked for, and this job finds none: {_found(os.environ)}. Look for the "
                "driver with nvidia-smi; if the job was given none, see `partitions` in "
                "docs/cluster.md. To train on the CPU instead, set gpu_missing: cpu (or "
                "device: cpu) in the config."
            )
        logger.info("no GPU here, so on the CPU")
        yield "cpu"
        return
    before = os.environ.get(_VISIBLE)
    with lease(names) as name:
        os.environ[_VISIBLE] = name
        logger.info("on GPU %s of %s", name, ", ".join(names))
        try:
            yield "cuda"
        finally:
            if before is None:
                del os.environ[_VISIBLE]
            else:
                os.environ[_VISIBLE] = before


def _found(environment: Mapping[str, str]) -> str:
    given = environment.get(_VISIBLE)
    shown = "is not set" if given is None else f"is '{given}'"
    job = environment.get("SLURM_JOB_ID")
    where = f"SLURM job {job} on {os.uname().nodename}" if job else os.uname().nodename
    return f"{_VISIBLE} {shown} and the driver shows no GPU ({where})"


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them.

    A process of its own counts them, so that the present one can still be given one of them.
    """
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    # Numbers as nvidia-smi has them, in this process and in the one that counts.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    scripts = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mcrage.accelerator"],
        env={**os.environ, "PYTHONPATH": scripts},
        capture_output=True,
        text=True,
        check=False,
    )
    count = int(done.stdout.strip() or 0) if done.returncode == 0 else 0
    given = os.environ.get(_VISIBLE)
    if given is None:
        return [str(number) for number in range(count)]
    # The driver stops at the first name that it does not know.
    return [name.strip() for name in given.split(",")][:count]


@contextmanager
def lease(names: list[str], folder: Path | None = None) -> Iterator[str]:
    """Hold one of several GPUs: a free one, or else one that the fewest hold.

    By locks on files, which the system takes off when a process ends, however it does.

    Parameters
    ----------
    names : list of str
        In the order of preference.
    folder : Path, optional
        Where the locks are; one for each user of this machine if left out.

    Yields
    ------
    str
        The name of the GPU.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with lease(["0", "1"], Path(folder)) as a, lease(["0", "1"], Path(folder)) as b:
    ...         print(a, b)
    0 1
    """
    folder = folder or Path(tempfile.gettempdir()) / f"mcrage-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Everybody's first place, then everybody's second: so jobs spread evenly.
    places = ((place, name) for place in itertools.count() for name in names)
    for place, name in places:
        file = _locked(folder / f"{name.replace('/', '_')}.{place}")
        if file is not None:
            break
    with file:
        yield name


def _locked(path: Path) -> IO | None:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


if __name__ == "__main__":
    print(count_gpus())
