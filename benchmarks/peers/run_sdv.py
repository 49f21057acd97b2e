# SPDX-License-Identifier: MIT
"""Run SDV's TVAE or CTGAN, rows of a group by its conditional sampling; see `protocol`.

SDV is under the Business Source License 1.1: called here as any user may, for comparison only.
"""

import warnings

import pandas as pd
from protocol import GROUP, main
from sdv.metadata import Metadata
from sdv.sampling import Condition
from sdv.single_table import CTGANSynthesizer, TVAESynthesizer

SYNTHESIZERS = {"tvae": TVAESynthesizer, "ctgan": CTGANSynthesizer}
TABLE = "rows"


class Sdv:
    """One model of all groups or, with the setting ``by_group``, one of each group.

    A single TVAE seldom or never draws a rare group, and SDV then finds no row to keep; a model
    for each group is what its users do about it.
    """

    def __init__(self, job: dict) -> None:
        settings = dict(job["settings"])
        self._kind = SYNTHESIZERS[settings.pop("model")]
        self._by_group = settings.pop("by_group", False)
        self._settings = settings

    def _fit(self, rows: pd.DataFrame) -> CTGANSynthesizer | TVAESynthesizer:
        columns = {
            name: {"sdtype": "categorical" if name == GROUP else "numerical"} for name in rows
        }
        metadata = Metadata.load_from_dict({"tables": {TABLE: {"columns": columns}}})
        model = self._kind(metadata, enable_gpu=False, **self._settings)
        model.fit({TABLE: rows})
        return model

    def fit(self, rows: pd.DataFrame) -> None:
        """Learn; the group is a column like the others."""
        if self._by_group:
            self._models = {label: self._fit(part) for label, part in rows.groupby(GROUP)}
        else:
            self._model = self._fit(rows)

    def draw(self, counts: dict[str, int]) -> pd.DataFrame:
        """Draw the groups; SDV warns of those that it couldn't."""
        wanted = {label: count for label, count in counts.items() if count}
        if self._by_group:
            drawn = [_frame(self._models[label].sample(count)) for label, count in wanted.items()]
            return pd.concat(drawn)
        conditions = [Condition({GROUP: label}, num_rows=n) for label, n in wanted.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return _frame(self._model.sample_from_conditions(conditions))


def _frame(drawn: pd.DataFrame | dict[str, pd.DataFrame]) -> pd.DataFrame:
    return drawn[TABLE] if isinstance(drawn, dict) else drawn


if __name__ == "__main__":
    main(Sdv)
