# SPDX-License-Identifier: MIT
"""Where a killed fit continues from: one file, written atomically and checked on load.

The file says what it belongs to (a key made of params, data and code) and holds a checksum of its
content, so that a file that is truncated, damaged, foreign or outdated is refused.
"""

import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

_FORMAT = "mcrage checkpoint 1"
_SUFFIX = ".safetensors"
_UNFINISHED = ".tmp"

# Checkpoints may cost this share of the time; where they cost less, there is one every ten seconds.
_SHARE = 0.005
_LEAST_SECONDS = 10.0
_USUAL_SECONDS = 60.0
_GUESSED_BYTES_PER_SECOND = 500e6


class _RefusedError(Exception):
    """Why a file is not continued from."""


class CheckpointFile:
    """The checkpoint of one fit, in a folder of its own.

    Not an output of its rule, since Snakemake deletes outputs before a retry; who removes it says
    `mcrage.checkpoint_folders`.

    Parameters
    ----------
    root : path-like
        Folder of all checkpoints.
    *names : str
        Folders below it, of which the last belongs to this fit alone.
    key : str
        Hexadecimal digest of all that decides the result of the fit.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, root: str | os.PathLike, *names: str, key: str) -> None:
        self._root = Path(root)
        self._key = key
        self.path = self._root.joinpath(*names, key + _SUFFIX)

    def load(
        self, misfit: Callable[[dict[str, np.ndarray]], str | None]
    ) -> dict[str, np.ndarray] | None:
        """Return what `save` wrote, or None; say why a file that is there is refused.

        Parameters
        ----------
        misfit : callable
            Says why arrays are not a state of the present fit; None: they are.
        """
        for path in sorted(self.path.parent.glob("*")):
            if path.suffix == _UNFINISHED:
                # Of a process that was killed while it wrote.
                shutil.rmtree(path, ignore_errors=True)
            elif path != self.path:
                self._refuse(path, "made with other settings, data or code")
        if not self.path.exists():
            return None
        try:
            arrays = self._read()
            if reason := misfit(arrays):
                raise _RefusedError(reason)
        except _RefusedError as error:
            self._refuse(self.path, f"{error}; training starts over")
            return None
        return arrays

    @staticmethod
    def _refuse(path: Path, reason: str) -> None:
        logger.warning("checkpoint %s refused: %s", path, reason)

    def _read(self) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="numpy") as file:
                told = file.metadata() or {}
                if told.get("format") != _FORMAT:
                    raise _RefusedError("not a checkpoint of this version of mcrage")
                if told.get("key") != self._key:
                    raise _RefusedError("made with other settings, data or code")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise _RefusedError(f"damaged ({error})") from None
        if told.get("sha256") != _checksum(arrays):
            raise _RefusedError("damaged (its content does not have the checksum that it states)")
        return arrays

    def save(self, arrays: dict[str, np.ndarray]) -> bool:
        """Write named arrays in place of the file; return whether that worked.

        A disk that is full costs the checkpoint and not the fit: that is logged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        told = {"format": _FORMAT, "key": self._key, "sha256": _checksum(arrays)}
        # A name of its own: a lost node's process may still be writing. A folder: safetensors
        # itself writes under a name that it makes up, beside the one it was given.
        place = self.path.with_name(f"{secrets.token_hex(8)}{_UNFINISHED}")
        temporary = place / self.path.name
        try:
            place.mkdir(parents=True)
            save_file(arrays, temporary, told)
            with temporary.open("rb") as file:
                # Else a machine that goes down could leave the name without the content.
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except (OSError, SafetensorError) as error:
            logger.warning("checkpoint %s not written: %s; training goes on", self.path, error)
            return False
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return True


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def unlike(arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> str | None:
    """Return how arrays differ from those expected, in name, type or shape, or None."""
    if differing := sorted(set(arrays) ^ set(expected)):
        return f"holds other arrays than this run's ({', '.join(differing)})"
    for name, wanted in expected.items():
        found = arrays[name]
        if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
            return (
                f"{name} is {found.dtype} of shape {found.shape}, and this run's "
                f"{wanted.dtype} of shape {wanted.shape}"
            )
    return None


class Cadence:
    """How many steps lie between two checkpoints, from what a step and a checkpoint cost.

    Checkpoints take half a percent of the time at most; a killed run loses the work of a minute at
    most, or of 200 times what writing takes, if that is longer. Results do not depend on it.

    Parameters
    ----------
    n_bytes : int
        Size of a checkpoint, which a first guess of its cost goes by.

    Attributes
    ----------
    steps : int or None
        Between two checkpoints; None before the first, for which only time counts.
    """

    def __init__(self, n_bytes: int) -> None:
        self.steps: int | None = None
        self._seconds = _seconds_between(n_bytes / _GUESSED_BYTES_PER_SECOND)
        self.start(0)

    def start(self, step: int) -> None:
        """Count from this step and from now on."""
        self._last_step, self._last_time = step, time.monotonic()

    def due(self, step: int) -> bool:
        """Return whether a checkpoint should be written after this step."""
        if self.steps is not None and step - self._last_step >= self.steps:
            return True
        # Judging lies between steps, and steps become slower on a busy machine.
        longest = self._seconds if self.steps is None else max(self._seconds, _USUAL_SECONDS)
        return time.monotonic() - self._last_time >= longest

    def wrote(self, step: int, seconds: float, seconds_per_step: float) -> None:
        """Set the number of steps anew, after a checkpoint that took so long."""
        self._seconds = _seconds_between(seconds)
        self.steps = max(1, round(self._seconds / max(seconds_per_step, 1e-9)))
        self.start(step)


def _seconds_between(cost: float) -> float:
    return max(_LEAST_SECONDS, cost / _SHARE)
