# SPDX-License-Identifier: MIT
"""A CART synthesiser (Reiter 2005; synthpop, Nowok, Raab and Dibben 2016): column after column.

Each column has a decision tree of those before it and of the group's attributes and target. A row
goes down the tree and takes the value of a random training row of its leaf: values are copied,
rows are not. Missing values are values as any others, drawn with their leaf's rate. Columns with a
formula are recomputed. Groups share all trees, whose splits part them where rows bear it out.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any, Self

import numpy as np

from mcrage.datasets.roles import features_from
from mcrage.encoding.arrays import arrays_below
from mcrage.generators.base import Checkpoint, Criterion, Generator, TrainingData
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)
from mcrage.generators.thinning import thinned, thinning_facts

KIND = "cart"


class CartGenerator(Generator):
    """Decision trees, column after column; see the module.

    Parameters
    ----------
    settings : dict
        ``CartSettings.resolved()``, to fit also without ``smooth``.

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
        """Grow a tree for each column, and keep the training rows whose values leaves give.

        Of a table of more than ``max_rows`` rows a part is learnt from and kept; see
        `mcrage.generators.thinning.thinned`.
        """
        started = time.perf_counter()
        given, train = train, thinned(train, self.settings["max_rows"], seed)
        self._schema, self._features = train.schema, train.roles.features
        self._rows = np.ascontiguousarray(train.features)
        self._groups = np.asarray(train.groups, dtype=np.int64)
        # By name, so that an edit of growing draws nothing anew.
        self._trees = import_module("mcrage.generators.cart_fit").grow(
            self._rows,
            self._groups,
            self._features,
            self._schema,
            derive=self.settings["derive"],
            min_leaf=self.settings["min_leaf"],
            seed=seed,
        )
        self.facts = {
            "device": "cpu",
            **thinning_facts(given, train),
            "seconds": time.perf_counter() - started,
            "n_parameters": int(
                sum(len(x) for name, x in self._trees.items() if name.endswith("feature"))
            ),
        }
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group; see `mcrage.generators.base.Generator`."""
        # By name, so that an edit of drawing trains nothing anew.
        return import_module("mcrage.generators.cart_draw").draw(
            self._rows,
            self._trees,
            self._features,
            self._schema,
            plan,
            derive=self.settings["derive"],
            smooth=self.settings["smooth"],
            seed=seed,
        )

    def save(self, folder: str | os.PathLike) -> None:
        """Write trees and training rows as ``model.safetensors``, and ``model.json``."""
        save_model(
            folder,
            {
                "rows": self._rows,
                "groups": self._groups,
                **{f"trees.{name}": array for name, array in self._trees.items()},
            },
            {
                "kind": KIND,
                "settings": self.settings,
                "schema": schema_facts(self._schema),
                "features": [asdict(feature) for feature in self._features],
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike, sampling: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; see `mcrage.generators.base.Generator`."""
        arrays, facts = load_model(folder, KIND)
        self = cls({**facts["settings"], **sampling})
        self._schema = schema_from(facts["schema"])
        self._features = features_from(facts["features"])
        self._rows, self._groups = arrays["rows"], arrays["groups"]
        self._trees = arrays_below("trees.", arrays)
        return self
