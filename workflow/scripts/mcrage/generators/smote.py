# SPDX-License-Identifier: MIT
"""SMOTE (Chawla et al. 2002) with the group as label: rows between neighbours of one group.

Numbers lie between two neighbours. Of a table with levels or missing values too it is SMOTENC: a
level, and whether a number is missing, is what most neighbours have; of a table without numbers it
is SMOTEN, whose neighbours are those by the value difference metric. All three are of the paper of
2002, in the hands of imbalanced-learn.
"""

import os
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Self

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.numeric import NumericEncoding
from mcrage.generators.base import Checkpoint, Criterion, Generator, TrainingData
from mcrage.generators.storage import (
    load_model,
    save_model,
    schema_facts,
    schema_from,
)
from mcrage.generators.thinning import thinned, thinning_facts

KIND = "smote"
_ENCODING = "encoding."


class SmoteGenerator(Generator):
    """imbalanced-learn's SMOTE, SMOTENC or SMOTEN on standardised features, as their types ask.

    Rows are rounded as recorded.

    As published it interpolates every column, so that columns which follow from others do so no
    longer; ``derive`` interpolates the others and recomputes these.

    MCRAGE's notebook leaves SEX out of its SMOTE and hands the forest more rows than MCRAGE
    gets; here both treatments see the same columns and rows.

    Parameters
    ----------
    settings : dict
        ``SmoteSettings.resolved()``, to fit also without ``k_neighbors``.

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
        """Keep the training rows; nothing else is used, since nothing is iterated.

        Of a table of more than ``max_rows`` rows a part is kept; see
        `mcrage.generators.thinning.thinned`.
        """
        started = time.perf_counter()
        given, train = train, thinned(train, self.settings["max_rows"], seed)
        self._schema = train.schema
        features, derive = train.roles.features, self.settings["derive"]
        if all(feature.is_numeric and feature.missing == "none" for feature in features):
            self._encoding = NumericEncoding.fit(
                train.rows, features, scaling="standard", derive=derive
            )
            self._rows, self._codes = self._encoding.transform(train.rows), None
        else:
            # Zeros are numbers as any others, as SMOTENC is published.
            self._encoding = MixedEncoding.fit(
                train.rows,
                features,
                scaling="standard",
                derive=derive,
                seed=seed,
                within=train.within("standard"),
                spikes="none",
            )
            self._rows, self._codes = self._encoding.transform(train.rows)
        self._groups = np.asarray(train.groups, dtype=np.int64)
        self.facts = {
            "device": "cpu",
            **thinning_facts(given, train),
            "seconds": time.perf_counter() - started,
            "n_parameters": 0,
        }
        return self

    def draw(
        self, plan: np.ndarray, *, seed: int, device: str = "cpu"
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw so many rows of each group; see `mcrage.generators.base.Generator`.

        Raises
        ------
        UserError
            If a group asked for has no more rows than neighbours are wanted.
        """
        # By name, so that an edit of drawing does not train anew.
        chunks = import_module("mcrage.generators.smote_draw").draw_groups(
            self._rows,
            self._codes,
            self._groups,
            plan,
            schema=self._schema,
            k_neighbors=self.settings["k_neighbors"],
            seed=seed,
        )
        return ((self._encoding.inverse(*encoded), groups) for *encoded, groups in chunks)

    def save(self, folder: str | os.PathLike) -> None:
        """Write the training rows as ``model.safetensors``, and ``model.json``."""
        arrays, encoding = self._encoding.state()
        save_model(
            folder,
            {
                "rows": self._rows,
                "groups": self._groups,
                **({} if self._codes is None else {"codes": self._codes}),
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
        self._rows, self._groups = arrays.pop("rows"), arrays.pop("groups")
        self._codes = arrays.pop("codes", None)
        encoding = NumericEncoding if self._codes is None else MixedEncoding
        self._encoding = encoding.from_state(arrays_below(_ENCODING, arrays), facts["encoding"])
        return self
