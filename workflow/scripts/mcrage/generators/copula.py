# SPDX-License-Identifier: MIT
"""A Gaussian copula with one correlation for all groups and margins of main effects.

Every column (of encoded numbers, of levels, of what is missing or zero) is a monotone function of a
standard normal latent variable, and latent variables are correlated alike in all groups. What
differs between groups are margins. A margin's parent is a main-effects model: attributes and target
each add their own shift to the normal scores of a number, or to the shares of levels, and nothing
else. A group's own quantiles and shares weigh as its rows do, the parent as `prior_rows`: a group
of no row has the margins that its attributes and target let expect, one of many has its own.
"""

import os
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Self

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.encoding.mixed import MixedEncoding
from mcrage.generators.base import Checkpoint, Criterion, Generator, TrainingData
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)

KIND = "copula"


class CopulaGenerator(Generator):
    """Main-effects Gaussian copula; see the module.

    Parameters
    ----------
    settings : dict
        ``CopulaSettings.resolved()``.

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
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Estimate margins and the correlation; nothing is iterated."""
        started = time.perf_counter()
        self._schema = train.schema
        self._encoding = MixedEncoding.fit(
            train.rows,
            train.roles.features,
            scaling="quantile",
            derive=self.settings["derive"],
            seed=seed,
            within=train.within("quantile"),
        )
        numbers, codes = self._encoding.compact(train.rows)
        # By name, so that an edit of fitting draws nothing anew.
        self._margins = import_module("mcrage.generators.copula_fit").fit(
            numbers,
            codes,
            np.asarray(train.groups, dtype=np.int64),
            train.schema,
            states=self._encoding.states,
            cardinalities=self._encoding.cardinalities,
            prior_rows=self.settings["prior_rows"],
        )
        self.facts = {
            "device": "cpu",
            "seconds": time.perf_counter() - started,
            "n_parameters": int(sum(array.size for array in self._margins.values())),
        }
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group; see `mcrage.generators.base.Generator`."""
        # By name, so that an edit of drawing trains nothing anew.
        chunks = import_module("mcrage.generators.copula_draw").draw(
            self._margins, self._encoding.cardinalities, plan, seed
        )
        return (
            (self._encoding.inverse(numbers, codes), groups) for numbers, codes, groups in chunks
        )

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``."""
        arrays, encoding = self._encoding.state()
        save_model(
            folder,
            {
                **{f"margins.{name}": array for name, array in self._margins.items()},
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
    def load(cls, folder: str | os.PathLike, sampling: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; see `mcrage.generators.base.Generator`."""
        arrays, facts = load_model(folder, KIND)
        self = cls({**facts["settings"], **sampling})
        self._schema = schema_from(facts["schema"])
        self._encoding = MixedEncoding.from_state(
            arrays_below("encoding.", arrays), facts["encoding"]
        )
        self._margins = arrays_below("margins.", arrays)
        return self
