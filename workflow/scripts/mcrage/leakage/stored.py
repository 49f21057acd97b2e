# SPDX-License-Identifier: MIT
"""A generator's stored model, beside the rows that it may have learnt from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.numeric import NumericEncoding
from mcrage.generators.base import TrainingData


@dataclass(frozen=True)
class StoredModel:
    """What the guard's checks of a model are given.

    Attributes
    ----------
    generator : str
    arrays, facts : mapping
        Of the stored model.
    train : TrainingData
        What it may have learnt from, rows that rare groups borrow among it.
    seed : int
        Of its training.
    """

    generator: str
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    train: TrainingData
    seed: int

    @cached_property
    def encoding_anew(self) -> NumericEncoding | MixedEncoding:
        """Its encoding, fitted on `train` as the stored one says that it was fitted."""
        facts, train = self.facts["encoding"], self.train
        if "options" in facts:
            return MixedEncoding.fit(
                train.rows,
                train.roles.features,
                **facts["options"],
                seed=self.seed,
                within=train.within(facts["options"]["scaling"]),
            )
        return NumericEncoding.fit(
            train.rows,
            train.roles.features,
            scaling=facts["scaling"],
            derive=len(facts["modelled"]) < len(facts["features"]),
            seed=self.seed,
            within=train.within(facts["scaling"]),
        )
