# SPDX-License-Identifier: MIT
"""A mixture model whose components all groups share, and whose weights are each group's own.

Within a component numbers are Gaussian and codes (levels, and whether a number is missing or zero)
are independent of each other and of the numbers: a latent class model (Lazarsfeld and Henry 1968)
beside a Gaussian mixture. What belongs together is learnt from all rows; a group says how often it
has which component, and one of few rows is drawn towards the groups with its level of the target,
as those are towards all rows. So there is no more to learn of a small group than its rows can tell.
A number in bands that are a sensitive attribute, such as an age, is drawn within the group's band.
"""

import os
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Self

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.encoding.mixed import MixedEncoding
from mcrage.generators.base import (
    Checkpoint,
    Criterion,
    Generator,
    TrainingData,
    standardised_within,
)
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)
from mcrage.generators.thinning import thinned, thinning_facts

KIND = "mixture"
_ENCODING = "encoding."
_COMPONENTS = "components."


class MixtureGenerator(Generator):
    """Gaussian and latent class mixture of all groups; see the module.

    Parameters
    ----------
    settings : dict
        ``MixtureSettings.resolved()``.

    Attributes
    ----------
    history, facts
        See `mcrage.generators.base.Generator`; facts tell the number of components and how every
        number that was tried did.
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
        """Choose the number of components on training rows alone, and fit it to all of them.

        Of a table of more than ``max_rows`` rows a part is learnt from; see
        `mcrage.generators.thinning.thinned`.
        """
        started = time.perf_counter()
        scaling = self.settings["scaling"]
        given, train = train, thinned(train, self.settings["max_rows"], seed)
        within = train.within(scaling)
        self._schema = train.schema
        self._encoding = MixedEncoding.fit(
            train.rows,
            train.roles.features,
            scaling=scaling,
            derive=self.settings["derive"],
            seed=seed,
            within=within,
        )
        numbers, codes = self._encoding.transform(train.rows, jitter_seed=seed, within=within)
        # By name, so that an edit of fitting draws nothing anew.
        found = import_module("mcrage.generators.mixture_fit").fit(
            numbers.astype(np.float64),
            codes,
            train,
            self.settings,
            states=self._encoding.states,
            cardinalities=self._encoding.cardinalities,
            seed=seed,
        )
        self._components = found.arrays
        self.facts = {
            "device": "cpu",
            **thinning_facts(given, train),
            "seconds": time.perf_counter() - started,
            "n_parameters": int(sum(array.size for array in found.arrays.values())),
            **found.facts,
        }
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group; see `mcrage.generators.base.Generator`."""
        # By name, so that an edit of drawing trains nothing anew.
        drawing = import_module("mcrage.generators.mixture_draw")
        scaling = self.settings["scaling"]
        limits = drawing.limits_of(self._encoding, self._schema, scaling)
        chunks = drawing.draw(self._components, self._encoding.cardinalities, plan, seed, limits)
        for numbers, codes, groups in chunks:
            within = standardised_within(scaling, groups, self._schema)
            yield self._encoding.inverse(numbers, codes, within), groups

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``model.safetensors`` and ``model.json``."""
        arrays, encoding = self._encoding.state()
        save_model(
            folder,
            {
                **{f"{_COMPONENTS}{name}": array for name, array in self._components.items()},
                **{f"{_ENCODING}{name}": array for name, array in arrays.items()},
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
            arrays_below(_ENCODING, arrays), facts["encoding"]
        )
        self._components = arrays_below(_COMPONENTS, arrays)
        return self
