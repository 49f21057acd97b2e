# SPDX-License-Identifier: MIT
"""Run synthcity's plugin `ddpm` (TabDDPM), conditional on the group; see `protocol`."""

import numpy as np
import pandas as pd
import torch
from protocol import GROUP, main
from synthcity.plugins.core.dataloader import GenericDataLoader
from synthcity.plugins.generic.plugin_ddpm import TabDDPMPlugin


class Ddpm:
    """The group is the class that the plugin conditions on."""

    def __init__(self, job: dict) -> None:
        self._seed = job["seed"]
        self._labels = sorted(job["counts"])
        self._plugin = TabDDPMPlugin(
            is_classification=True,
            device=torch.device("cpu"),
            random_state=job["seed"],
            **job["settings"],
        )

    def fit(self, rows: pd.DataFrame) -> None:
        """Learn; the plugin takes classes as numbers from 0."""
        codes = rows[GROUP].map(self._labels.index)
        self._plugin.fit(GenericDataLoader(rows.assign(**{GROUP: codes}), target_column=GROUP))

    def draw(self, counts: dict[str, int]) -> pd.DataFrame:
        """Draw all groups in one call, as is fastest."""
        wanted = [counts[label] for label in self._labels]
        condition = np.repeat(np.arange(len(wanted)), wanted)
        drawn = self._plugin.generate(len(condition), cond=condition, random_state=self._seed)
        frame = drawn.dataframe()
        return frame.assign(**{GROUP: [self._labels[code] for code in frame[GROUP]]})


if __name__ == "__main__":
    main(Ddpm)
