# SPDX-License-Identifier: MIT
"""The folder that a run works in: may it be written to, and who else is at work in it."""

import json
import os
import socket
from datetime import datetime
from pathlib import Path

from mcrage.errors import UserError

# Snakemake removes this folder with its locks, so the note lives as long as they do.
HOLDER = Path(".snakemake", "locks", "holder.json")
_UNLOCK = (
    "take the lock off with `snakemake --unlock` and run snakemake again. Finished results are "
    "kept, and training goes on from its last checkpoint."
)


def require_writable(*folders: Path) -> None:
    """Refuse a folder that can't be written to, before any work.

    Parameters
    ----------
    *folders : Path
        Folders that a run makes when they are missing.

    Raises
    ------
    UserError
    """
    for folder in folders:
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
            raise UserError(
                f"{folder}: {place} is not a folder that you may write to (mounted read-only, or "
                "its permissions forbid it). Change that, or run in another folder: "
                "snakemake --directory FOLDER"
            )


def note_holder() -> None:
    """Write down who holds Snakemake's lock: this process."""
    if HOLDER.parent.is_dir():
        started = f"{datetime.now():%Y-%m-%d %H:%M}"
        told = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        HOLDER.write_text(json.dumps(told), encoding="utf-8")


def held_by() -> str:
    """Return who holds Snakemake's lock, and what to do about it."""
    try:
        told = json.loads(HOLDER.read_text(encoding="utf-8"))
        pid, host, started = told["pid"], told["host"], told["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return (
            f"{Path.cwd()}: another run works in this folder, or was killed and left its lock. If "
            f"none is running, {_UNLOCK}"
        )
    who = f"process {pid} on {host}, started {started}"
    if host != socket.gethostname():
        return (
            f"{Path.cwd()}: another run works in this folder ({who}), or did: from here it can't "
            f"be seen. If it is not running any more, {_UNLOCK}"
        )
    if _is_snakemake(pid):
        return (
            f"{Path.cwd()}: another run works in this folder ({who}); two at once would write the "
            "same files. Wait until it ends, stop it (Ctrl-C there), or run in another folder: "
            "snakemake --directory FOLDER"
        )
    return (
        f"{Path.cwd()}: an earlier run was killed here ({who}) and left its lock; it is not "
        f"running any more, so {_UNLOCK}"
    )


def _is_snakemake(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return b"snakemake" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        # No /proc here: a process of that number is there, and more can't be told.
        return True
