# SPDX-License-Identifier: MIT
"""An environment for each peer, made once with uv, and jobs run in it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
PYTHON = "3.11"  # the newest that the pins of all peers have wheels for
_DONE = "complete"
_ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
}


class PeerError(Exception):
    """Why a peer could not be run, in one line."""


def default_folder() -> Path:
    """Return where environments are kept: several gigabytes, so not in the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "mcrage-peers"


def interpreter(name: str | None, folder: Path) -> Path:
    """Return the Python of an environment, making it if it is not there.

    Parameters
    ----------
    name : str or None
        Of ``requirements-{name}.txt`` beside this file; None is the Python that runs this.
    folder : Path
        Where environments are kept. A change of the requirements makes a new one.

    Raises
    ------
    PeerError
        If uv fails, with the reason that it gave.
    """
    if name is None:
        return Path(sys.executable)
    requirements = FOLDER / f"requirements-{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    place = folder / f"{name}-{digest}"
    python = place / "bin" / "python"
    if (place / _DONE).exists():
        return python
    # What an earlier, broken attempt left.
    shutil.rmtree(place, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    _call([*uv, "venv", "--quiet", "--python", PYTHON, str(place)], {})
    _call([*uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)], {})
    (place / _DONE).touch()
    return python


def run_job(
    python: Path, runner: str, job: dict[str, Any], folder: Path, timeout: float
) -> dict[str, Any]:
    """Run a job; return what it cost, see `protocol`.

    Parameters
    ----------
    python : Path
    runner : str
        Name of a ``run_{runner}.py`` beside this file.
    job : dict
        Without ``rows`` and ``costs``.
    folder : Path
        Where the job, ``rows.parquet`` and ``costs.json`` are written; made.
    timeout : float
        Seconds.

    Raises
    ------
    PeerError
        If it fails or takes too long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, costs = folder / "job.json", folder / "costs.json"
    job = {**job, "rows": str(folder / "rows.parquet"), "costs": str(costs)}
    file.write_text(json.dumps(job))
    _call([str(python), str(FOLDER / f"run_{runner}.py"), str(file)], _ONE_THREAD, folder, timeout)
    return json.loads(costs.read_text())


def _call(
    command: list[str],
    environment: dict[str, str],
    folder: Path | None = None,
    timeout: float | None = None,
) -> None:
    with tempfile.TemporaryFile("w+") as output:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"stopped after {timeout:.0f} s; see --timeout") from None
        except OSError as error:
            raise PeerError(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            output.seek(0)
            raise PeerError(reason(output.read(), done.returncode))


def reason(output: str, status: int) -> str:
    """Return why a program failed, in one line, by what it printed last.

    uv frames its reason over several lines, of which the first says what is wrong; a Python
    program's last line does.
    """
    lines = [line.strip(" ×╰─▶├│") for line in output.splitlines() if line.strip(" ×╰─▶├│")]
    if not lines:
        return f"ended with status {status} and said nothing"
    traceback = any(line.startswith("Traceback") for line in lines)
    return (lines[-1] if traceback else " ".join(lines[-4:]))[:300]
