# SPDX-License-Identifier: MIT
"""Measure what checkpoints cost: their size, what writing one takes, the share of training time.

    .venv/bin/python benchmarks/checkpoints.py               # on this machine, one thread
    .venv/bin/python benchmarks/checkpoints.py --device cuda --steps 400

Trains, on made-up rows of the size of patient-treatment, `tuned` as configured and `paper` with its
full width and grid (for some steps, and without judging, which would make the share smaller).
Writes are forced now and then to measure them; the share is then that of the cadence that follows
from a step's and a write's cost. Times of a noisy machine: read the shares.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

from mcrage.config.generators import CddpmSettings  # noqa: E402
from mcrage.generators import checkpoint as module  # noqa: E402
from mcrage.generators.registry import generator_class  # noqa: E402
from test_generators import data  # noqa: E402

GROUPS = (90, 900, 60, 740)
WRITES = 5


class Measured(module.CheckpointFile):
    """A checkpoint file that notes what each write takes."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, "benchmark", key="benchmark")
        self.seconds: list[float] = []
        self.size = 0

    def save(self, arrays: dict) -> bool:
        """Write, and note time and size."""
        started = time.perf_counter()
        saved = super().save(arrays)
        self.seconds.append(time.perf_counter() - started)
        self.size = self.path.stat().st_size
        return saved


def train(settings: dict, folder: str, device: str) -> tuple[dict, Measured]:
    """Fit; return the facts, and the file with what its writes took."""
    file = Measured(folder)
    generator = generator_class("cddpm")(settings)
    generator.fit(data(GROUPS), seed=0, device=device, threads=1, checkpoint=file)
    return generator.facts, file


class Forced(module.Cadence):
    """A checkpoint every so many steps."""

    every = 1

    def due(self, step: int) -> bool:
        """Return whether this step is one of them."""
        return step - self._last_step >= self.every


def tell(name: str, facts: dict, file: Measured) -> None:
    """Print what the cadence makes of the costs."""
    steps = facts["steps_per_second"]
    # With the state's copying to the CPU, which the file does not see.
    cost = facts["checkpoint_seconds"] / len(file.seconds)
    cadence = module.Cadence(file.size)
    cadence.wrote(0, cost, 1 / steps)
    interval = cadence.steps / steps
    print(
        f"{name}: {facts['n_members']} members of {facts['n_parameters']:,} parameters on "
        f"{facts['device']}\n"
        f"  a checkpoint: {file.size / 1e6:,.1f} MB; {cost:.3f} s a write, of which the file "
        f"{statistics.mean(file.seconds):.3f} s (longest {max(file.seconds):.3f} s)\n"
        f"  a step: {1 / steps:.4f} s; written every {cadence.steps:,} steps ({interval:.0f} s)\n"
        f"  share of training time: {cost / (cost + interval):.2%}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu (one thread) or cuda")
    parser.add_argument("--steps", type=int, default=60, help="of the paper's preset")
    parser.add_argument("--folder", help="where to write; a temporary folder if left out")
    arguments = parser.parse_args()
    tuned = CddpmSettings(kind="cddpm", preset="tuned").resolved()
    paper = CddpmSettings(kind="cddpm", preset="paper", steps=arguments.steps).resolved()
    paper["selection"] = "last"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        facts, file = train(tuned, folder, arguments.device)
        print(
            f"tuned as it runs: {len(file.seconds)} checkpoints in {facts['seconds']:.1f} s took "
            f"{facts['checkpoint_seconds']:.3f} s, "
            f"{facts['checkpoint_seconds'] / facts['seconds']:.2%} of the time"
        )
        file.remove()
        import mcrage.generators.cddpm_run as run

        run.Cadence = Forced
        for name, settings in (("tuned", tuned), ("paper", paper)):
            Forced.every = settings["steps"] // WRITES
            facts, file = train(settings, folder, arguments.device)
            tell(name, facts, file)
            file.remove()


if __name__ == "__main__":
    main()
