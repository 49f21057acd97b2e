# SPDX-License-Identifier: MIT
"""SMOTE (Chawla et al. 2002) with the group as label: rows between neighbours of one group."""

import logging
import os
import time
from typing import Any, Self

import numpy as np

from mcrage.encoding import NumericEncoding
from mcrage.errors import UserError
from mcrage.generators.base import Criterion, TrainingData
from mcrage.generators.storage import load_model, save_model, schema_facts, schema_from

logger = logging.getLogger(__name__)

KIND = "smote"


class SmoteGenerator:
    """imbalanced-learn's SMOTE on standardised features; rows are rounded as recorded.

    MCRAGE's notebook leaves SEX out of its SMOTE and hands the forest more rows than MCRAGE
    gets; here both treatments see the same columns and rows.

    Parameters
    ----------
    settings : dict
        ``SmoteSettings.resolved()``.

    Attributes
    ----------
    history, facts
        See `mcrage.generators.base.Generator`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.history: dict[str, list] = {}
        self.facts: dict[str, Any] = {}

    def fit(
        self,
        train: TrainingData,
        *,
        criterion: Criterion | None = None,
        seed: int,
        device: str = "cpu",
        threads: int = 1,
        checkpoint: str | os.PathLike | None = None,
    ) -> Self:
        """Keep the training rows; nothing else is used, since nothing is iterated."""
        started = time.perf_counter()
        self._schema = train.schema
        self._encoding = NumericEncoding.fit(
            train.features, train.roles.features, scaling="standard", derive=False
        )
        self._rows = self._encoding.transform(train.features)
        self._groups = np.asarray(train.groups, dtype=np.int64)
        self.facts = {"device": "cpu", "seconds": time.perf_counter() - started, "n_parameters": 0}
        return self

    def sample(self, groups: np.ndarray, *, seed: int, device: str = "cpu") -> np.ndarray:
        """Draw one row for each entry of `groups`; see `mcrage.generators.base.Generator`.

        Raises
        ------
        UserError
            If a group asked for has no more rows than neighbours are wanted.
        """
        from imblearn.over_sampling import SMOTE

        groups = np.asarray(groups, dtype=np.int64)
        if len(groups) == 0:
            return np.empty((0, len(self._encoding.features)))
        present = self._schema.counts(self._groups)
        wanted = self._schema.counts(groups)
        self._check(present, wanted)
        # imbalanced-learn takes final counts and puts the new rows after those it was given.
        strategy = {int(k): int(present[k] + wanted[k]) for k in np.flatnonzero(wanted)}
        sampler = SMOTE(
            sampling_strategy=strategy,
            k_neighbors=self.settings["k_neighbors"],
            random_state=seed % 2**32,
        )
        rows, labels = sampler.fit_resample(self._rows, self._groups)
        drawn, labels = rows[len(self._rows) :], labels[len(self._rows) :]
        # Both orders are stable, so the i-th row drawn for a group goes to its i-th request.
        out = np.empty_like(drawn)
        out[np.argsort(groups, kind="stable")] = drawn[np.argsort(labels, kind="stable")]
        return self._encoding.inverse(out)

    def _check(self, present: np.ndarray, wanted: np.ndarray) -> None:
        neighbours = self.settings["k_neighbors"]
        for group in np.flatnonzero(wanted):
            if present[group] <= neighbours:
                raise UserError(
                    f"SMOTE: group {self._schema.label(group)} has {present[group]} training rows; "
                    f"k_neighbors = {neighbours} needs at least {neighbours + 1}. Lower "
                    "k_neighbors, keep more rows in the scenario, or use a generator that shares "
                    "strength across groups (cddpm)."
                )

    def save(self, folder: str | os.PathLike) -> None:
        """Write the training rows as ``model.safetensors``, and ``model.json``."""
        arrays, encoding = self._encoding.state()
        save_model(
            folder,
            {
                "rows": self._rows,
                "groups": self._groups,
                **{f"encoding.{name}": array for name, array in arrays.items()},
            },
            {
                "kind": KIND,
                "settings": self.settings,
                "schema": schema_facts(self._schema),
                "encoding": encoding,
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Read what `save` wrote."""
        arrays, facts = load_model(folder, KIND)
        self = cls(facts["settings"])
        self._schema = schema_from(facts["schema"])
        self._rows, self._groups = arrays.pop("rows"), arrays.pop("groups")
        self._encoding = NumericEncoding.from_state(
            {name.removeprefix("encoding."): array for name, array in arrays.items()},
            facts["encoding"],
        )
        return self
