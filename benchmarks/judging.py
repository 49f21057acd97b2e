# SPDX-License-Identifier: MIT
"""What it takes to judge one treatment with six classifiers on Adult, besides fitting them.

    .venv/bin/python benchmarks/judging.py --mirror DIR

DIR holds adult/adult.data and adult/adult.test. Six classifiers are fitted on the official training
rows as they are and on group weights, and score the 16,281 test rows. Measured is what the
workflow then does for the one treatment: scoring, all metrics with their permutation nulls
(`mcrage.metrics.judge`), and the comparison with the baseline on these rows
(`mcrage.statistics.within`): 2,000 bootstrap draws, DeLong and McNemar, overall and in every
subgroup by sex, race and both. Fitting is told aside. On one thread but for fitting and scoring;
seconds of wall and of CPU time, since a busy machine shows in the first only. The aim is under a
minute on two cores.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

from adult import read_adult  # noqa: E402

from mcrage.classifiers.registry import fit  # noqa: E402
from mcrage.config.classifiers import KINDS  # noqa: E402
from mcrage.groups import GroupSchema  # noqa: E402
from mcrage.metrics.confusion import decide  # noqa: E402
from mcrage.metrics.judge import judge  # noqa: E402
from mcrage.statistics.within import Judged, compare_within  # noqa: E402

CLASSIFIERS = (
    *("random_forest", "decision_tree", "naive_bayes"),
    *("nearest_neighbours", "logistic_regression", "gradient_boosting"),
)
BASELINE, TREATMENT = "imbalanced", "group_weights"


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count what runs inside for a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        found = self.spent.setdefault(part, [0.0, 0.0])
        found[0] += time.perf_counter() - wall
        found[1] += time.process_time() - cpu


def measure(mirror: Path, n_draws: int, threads: int, n_rows: int | None) -> Clock:
    """Judge the treatment, and say what each part took."""
    adult, clock = read_adult(mirror, n_rows), Clock()
    schema = GroupSchema.of(adult.roles)
    groups = schema.index(adult.test)
    of_train = schema.index(adult.train)
    size = np.bincount(of_train, minlength=schema.n_groups)
    weights = {
        BASELINE: np.ones(len(of_train)),
        TREATMENT: len(of_train) / (np.sum(size > 0) * size[of_train]),
    }
    for name in CLASSIFIERS:
        settings = KINDS[name](kind=name).resolved({})
        judged = {}
        for treatment, own in weights.items():
            with clock.of("fitting (not counted)"):
                score = fit(settings, adult.train, own, adult.roles, seed=0, threads=threads)
            # The baseline's scores and metrics are a treatment's of their own.
            counted = treatment == TREATMENT
            with clock.of("scores" if counted else "the baseline's own (not counted)"):
                scores = score(adult.test)
            judged[treatment] = Judged(scores, {"0.5": decide(scores, 0.5)})
        with clock.of("metrics and their nulls"):
            judge(schema, groups, judged[TREATMENT].score)
        with clock.of("bootstrap, DeLong, McNemar"):
            compare_within(schema, groups, judged, [BASELINE], n_draws=n_draws, seed=0)
    return clock


def main() -> None:
    """Print seconds and shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mirror", type=Path, required=True, help="folder with adult/adult.data")
    parser.add_argument("--draws", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--threads", type=int, default=2, help="of fitting and scoring")
    parser.add_argument("--rows", type=int, help="of training; all if left out")
    options = parser.parse_args()
    clock = measure(options.mirror, options.draws, options.threads, options.rows)
    counted = {part: spent for part, spent in clock.spent.items() if "not counted" not in part}
    wall, cpu = (sum(spent[k] for spent in counted.values()) for k in (0, 1))
    print(f"{'part':36}{'wall s':>8}{'CPU s':>8}{'share of wall':>15}")
    for part, (own_wall, own_cpu) in clock.spent.items():
        share = f"{own_wall / wall:.0%}" if part in counted else ""
        print(f"{part:36}{own_wall:8.1f}{own_cpu:8.1f}{share:>15}")
    print(f"{'judging one treatment, 6 classifiers':36}{wall:8.1f}{cpu:8.1f}{'100%':>15}")


if __name__ == "__main__":
    main()
