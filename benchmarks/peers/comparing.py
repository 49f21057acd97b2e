# SPDX-License-Identifier: MIT
"""Who is compared, and one run after another: fit, draw, judge, fill, classify."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mcrage.classifiers.registry import fit_and_score
from mcrage.config.classifiers import RandomForest
from mcrage.config.generators import CddpmSettings, SmoteSettings
from mcrage.groups import filling_plan
from mcrage.metrics.judge import judge
from mcrage.rebalancing import rebalance, synthetic_table
from mcrage.seeds import derive
from peers.environments import PeerError, run_job
from peers.judging import GROUP, as_recorded, judge_rows
from peers.replicates import Replicate, paper_reduced

SEED = 2310
BASELINE = "imbalanced"
CLASSIFIER = RandomForest(kind="random_forest").resolved({})


@dataclass(frozen=True)
class Contestant:
    """A generator, and how it is called.

    Attributes
    ----------
    budget : str
        What it may spend, in words.
    settings : dict
    runner : str
        The ``run_{runner}.py`` that calls it.
    environment : str or None
        See `environments.interpreter`; None is our own.
    """

    budget: str
    settings: dict[str, Any] = field(repr=False)
    runner: str = "mcrage"
    environment: str | None = None


def _ours(settings: CddpmSettings | SmoteSettings) -> dict[str, Any]:
    resolved = settings.resolved()
    del resolved["trained_on"]
    return resolved


def _sdv(budget: str, **settings: Any) -> Contestant:
    return Contestant(budget, settings, "sdv", "sdv")


def _synthcity(budget: str, **settings: Any) -> Contestant:
    return Contestant(budget, settings, "synthcity", "synthcity")


# The first is what the others' costs are told in. A fifth of a peer's default training is about
# what leaves it near our own cost.
CONTESTANTS = {
    "mcrage-tuned": Contestant("default", _ours(CddpmSettings(kind="cddpm", preset="tuned"))),
    "mcrage-paper": Contestant(
        "reduced: 1 of 25 settings, 120 of 10 000 epochs",
        _ours(CddpmSettings(kind="cddpm", preset="paper", **paper_reduced())),
    ),
    "smote": Contestant("default", _ours(SmoteSettings(kind="smote"))),
    "ddpm": _synthcity("default: 1000 epochs, T = 1000"),
    "ddpm-reduced": _synthcity("200 epochs, T = 100", n_iter=200, num_timesteps=100),
    "tvae": _sdv("default: 300 epochs", model="tvae"),
    "tvae-reduced": _sdv("60 epochs", model="tvae", epochs=60),
    "tvae-by-group": _sdv("300 epochs a group", model="tvae", by_group=True),
    "ctgan": _sdv("default: 300 epochs", model="ctgan"),
    "ctgan-reduced": _sdv("60 epochs", model="ctgan", epochs=60),
    "ctgan-by-group": _sdv("300 epochs a group", model="ctgan", by_group=True),
}


class Comparison:
    """What all runs cost and gave.

    Parameters
    ----------
    replicate : Replicate
        Any; for its dataset and scenario.
    left_out : dict of str to str
        Contestants that can't be run, and why.

    Attributes
    ----------
    runs : list of dict
        One for each replicate and contestant: replicate, contestant, costs (see `protocol`),
        quality (see `judging.Quality`), or failure.
    metrics : list of dict
        Rows of the workflow's long table of metrics, controls among them.
    """

    def __init__(self, replicate: Replicate, left_out: dict[str, str]) -> None:
        self.dataset, self.scenario = replicate.dataset, replicate.scenario
        self.left_out = dict(left_out)
        self.runs: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.test_to_train = float("nan")

    def add_controls(self, replicate: Replicate) -> None:
        """Classify with the imbalanced rows and with the real ones before thinning.

        The latter are judged, too: what rows are like that are drawn from the true distribution.
        """
        test = replicate.frame("test")
        pool, thinned = replicate.table("original"), replicate.table("train")
        n_pool = pool.num_rows + replicate.table("validation").num_rows
        self.test_to_train = len(test) / n_pool
        for name, table in ((BASELINE, thinned), ("original", pool)):
            self._classify(replicate, name, rebalance(table, replicate.schema)[0])
        real = replicate.frame("original").sample(frac=1, random_state=SEED)
        quality = asdict(judge_rows(replicate.frame("train"), test, real, replicate.roles.features))
        # Many of them are training rows.
        quality["nearest_training_share"] = {}
        self.runs.append(
            {"replicate": replicate.number, "contestant": "original", "quality": quality}
        )

    def run(
        self, replicate: Replicate, name: str, python: Path, folder: Path, timeout: float
    ) -> float:
        """Let a contestant fit and draw, and judge its rows; return its seconds of CPU time.

        Raises
        ------
        PeerError
            If it fails, or drew too few rows of a group or rows that are none. What it cost is
            kept where it ended.
        """
        contestant = CONTESTANTS[name]
        counts = rows_to_draw(replicate, replicate.frame("test"))
        folder.mkdir(parents=True, exist_ok=True)
        replicate.frame("train").to_parquet(folder / "train.parquet")
        job = {
            "train": str(folder / "train.parquet"),
            "counts": counts,
            "settings": contestant.settings,
            "seed": derive(SEED, replicate.dataset, replicate.scenario, replicate.number, name),
            "threads": 1,
            "context": {
                "roles": str(replicate.roles_file),
                "train": str(replicate.path("train")),
                "validation": str(replicate.path("validation")),
                "classifier": CLASSIFIER,
            },
        }
        costs = run_job(python, contestant.runner, job, folder, timeout)
        self.add(replicate, name, costs, pd.read_parquet(folder / "rows.parquet"))
        return costs["train"]["cpu"] + costs["sample"]["cpu"]

    def add(
        self, replicate: Replicate, name: str, costs: dict[str, Any], drawn: pd.DataFrame
    ) -> None:
        """Judge the rows that a contestant drew; see `run`."""
        train, test = replicate.frame("train"), replicate.frame("test")
        run = {"replicate": replicate.number, "contestant": name, "costs": costs}
        failure = missing_rows(drawn, rows_to_draw(replicate, test))
        if failure is None:
            try:
                drawn = as_recorded(drawn, replicate.roles.features)
            except ValueError as error:
                failure = str(error)
        if failure:
            # What it cost is true all the same.
            self.runs.append(run | {"failure": failure})
            raise PeerError(failure)
        quality = judge_rows(train, test, drawn, replicate.roles.features)
        self.runs.append(run | {"quality": asdict(quality)})
        self._classify(replicate, name, filled(replicate, drawn))

    def failed(self, replicate: Replicate, name: str, failure: str) -> None:
        """Note a failure, unless `run` did."""
        key = (replicate.number, name)
        if key not in {(run["replicate"], run["contestant"]) for run in self.runs}:
            self.runs.append(
                {"replicate": replicate.number, "contestant": name, "failure": failure}
            )

    def _classify(self, replicate: Replicate, treatment: str, table: pa.Table) -> None:
        test = replicate.table("test")
        # The same for all treatments of a replicate, as in the workflow.
        seed = derive(SEED, replicate.dataset, replicate.scenario, replicate.number, "classifier")
        score = fit_and_score(CLASSIFIER, table, None, test, replicate.roles, seed=seed)
        judged = judge(replicate.schema, replicate.schema.index(test), score)
        context = {
            "dataset": replicate.dataset,
            "scenario": replicate.scenario,
            "replicate": replicate.number,
            "treatment": treatment,
            "classifier": "random_forest",
            "threshold": "0.5",
        }
        self.metrics += [
            {**context, **dict(zip(judged, row, strict=True))}
            for row in zip(*judged.values(), strict=True)
        ]


def rows_to_draw(replicate: Replicate, test: pd.DataFrame) -> dict[str, int]:
    """Return rows to draw by group: what the group lacks, and at least as many as are judged."""
    schema = replicate.schema
    lacking = filling_plan(schema.counts(schema.index(replicate.table("train"))))
    judged = test[GROUP].value_counts()
    return {
        label: max(int(lacking[group]), int(judged.get(label, 0)))
        for group, label in enumerate(map(schema.label, range(schema.n_groups)))
    }


def missing_rows(drawn: pd.DataFrame, counts: dict[str, int]) -> str | None:
    """Return which groups have too few rows, in one line, or None."""
    found = drawn[GROUP].value_counts()
    short = [
        f"{int(found.get(label, 0))} of {wanted} rows of {label}"
        for label, wanted in counts.items()
        if found.get(label, 0) < wanted
    ]
    return f"drew only {'; '.join(short)}" if short else None


def filled(replicate: Replicate, drawn: pd.DataFrame) -> pa.Table:
    """Return the training table with every group filled by a contestant's rows."""
    schema, train = replicate.schema, replicate.table("train")
    numbers = {schema.label(group): group for group in range(schema.n_groups)}
    columns = replicate.roles.feature_columns
    synthetic = synthetic_table(
        drawn[columns].to_numpy(np.float64),
        drawn[GROUP].map(numbers).to_numpy(np.int64),
        train,
        replicate.roles,
    )
    return rebalance(train, schema, synthetic=synthetic)[0]
