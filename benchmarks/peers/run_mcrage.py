# SPDX-License-Identifier: MIT
"""Run one of mcrage's own generators as its peers are run; see `protocol`."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

import numpy as np
import pandas as pd
from protocol import GROUP, main

from mcrage.classifiers.validation import validation_f1
from mcrage.datasets.roles import read_roles
from mcrage.generators.base import TrainingData
from mcrage.generators.registry import generator_class, is_judged, needs
from mcrage.groups import GroupSchema
from mcrage.tables import read_table


class Mcrage:
    """A generator by its resolved settings."""

    def __init__(self, job: dict) -> None:
        self._job = job
        settings = job["settings"]
        # Like the peers' libraries, before the clock starts.
        for stage in ("train", "sample"):
            for module in needs(stage, settings).modules:
                import_module(module)
        self._generator = generator_class(settings["kind"])(settings)
        self._roles = read_roles(job["context"]["roles"])
        self._schema = GroupSchema.of(self._roles)
        self._numbers = {self._schema.label(k): k for k in range(self._schema.n_groups)}

    def fit(self, rows: pd.DataFrame) -> None:
        """Learn; the paper's criterion for checkpoints has the validation rows, as it must."""
        features = rows[self._roles.feature_columns].to_numpy(np.float64)
        groups = rows[GROUP].map(self._numbers).to_numpy(np.int64)
        job, criterion = self._job, None
        if is_judged(job["settings"]):
            tables = [read_table(job["context"][name]) for name in ("train", "validation")]
            options = {"seed": job["seed"], "threads": job["threads"]}
            criterion = validation_f1(job["context"]["classifier"], *tables, self._roles, **options)
        self._generator.fit(
            TrainingData(features, groups, self._schema, self._roles),
            criterion=criterion,
            seed=job["seed"],
            threads=job["threads"],
        )

    def draw(self, counts: dict[str, int]) -> pd.DataFrame:
        """Draw all groups in one call."""
        groups = np.repeat([self._numbers[label] for label in counts], list(counts.values()))
        drawn = self._generator.sample(groups, seed=self._job["seed"])
        frame = pd.DataFrame(drawn, columns=self._roles.feature_columns)
        return frame.assign(**{GROUP: [self._schema.label(int(group)) for group in groups]})


if __name__ == "__main__":
    main(Mcrage)
