# SPDX-License-Identifier: MIT
"""What every runner does: read a job, fit, draw, and write the rows and what they cost.

A runner is started as ``python run_NAME.py job.json`` by its own environment's Python, so nothing
but the standard library, numpy and pandas is imported here. The job holds

- ``train``: Parquet file of the training rows: the features, and the column ``group``;
- ``counts``: rows to draw, by group;
- ``settings``: what the peer is called with;
- ``seed``, ``threads``;
- ``rows``, ``costs``: where drawn rows (Parquet) and costs (JSON) are written;
- ``context``: paths that only mcrage's own runner reads.
"""

import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

GROUP = "group"


class Peer(Protocol):
    """A generator as a runner wraps it; called with the job."""

    def fit(self, rows: pd.DataFrame) -> None:
        """Learn from rows whose column ``group`` is the condition."""

    def draw(self, counts: dict[str, int]) -> pd.DataFrame:
        """Return rows with the same columns, `counts` of each group, or fewer where it can't."""


def peak_memory() -> int:
    """Return the most memory this process has had, in bytes.

    Linux hands a parent's peak on to `getrusage` of a new process, so its own record is asked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Clock:
    """Seconds since it was made: wall time, and the CPU time of all threads."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return ``wall`` and ``cpu``."""
        return {
            "wall": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
        }


def set_seeds(seed: int, threads: int) -> None:
    """Seed all generators of random numbers that are loaded, and limit torch's threads."""
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)


def main(kind: type) -> None:
    """Run the job that the command line names."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    rows = pd.read_parquet(job["train"])
    peer: Peer = kind(job)
    set_seeds(job["seed"], job["threads"])
    imported = peak_memory()
    clock = Clock()
    peer.fit(rows)
    trained = clock.read()
    clock = Clock()
    drawn = peer.draw(job["counts"])
    sampled = clock.read()
    drawn[[*rows.columns]].reset_index(drop=True).to_parquet(job["rows"])
    costs = {
        "train": trained,
        "sample": sampled,
        "rows": len(drawn),
        "peak_memory_bytes": peak_memory(),
        "imported_memory_bytes": imported,
    }
    Path(job["costs"]).write_text(json.dumps(costs))
