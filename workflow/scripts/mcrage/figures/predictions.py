# SPDX-License-Identifier: MIT
"""Predictions of test rows as figures take them, and the subgroups that they have panels for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.figures.words import capital, subgroup_name
from mcrage.tables import ROW_ID, read_table

_MAX_SUBGROUPS = 8


@dataclass(frozen=True)
class Predictions:
    """What a classifier said about the test rows of one replicate.

    Attributes
    ----------
    subgroup : ndarray of int64, shape (n,)
    y : ndarray of int8, shape (n,)
        The target's level; of two, 1 is the positive one.
    score : ndarray of float64, shape (n,) or (n, K)
        The probability of the positive level, or of each of more than two.
    row_id : ndarray of int64, shape (n,), optional
        The same for the same person in every replicate.
    """

    subgroup: np.ndarray
    y: np.ndarray
    score: np.ndarray
    row_id: np.ndarray | None = None

    @classmethod
    def of(cls, table: pa.Table) -> "Predictions":
        """Take predictions.parquet, where scores of more than two levels are lists."""
        subgroup, y, score = (
            table.column(name).combine_chunks() for name in ("subgroup", "y", "score")
        )
        scores = score.to_numpy(zero_copy_only=False)
        if scores.dtype == object:
            scores = np.stack(list(scores)) if len(scores) else np.empty((0, 0))
        known = ROW_ID in table.column_names
        row_id = table.column(ROW_ID).to_numpy() if known else None
        return cls(subgroup.to_numpy(), y.to_numpy(), scores, row_id)

    def take(self, rows: np.ndarray) -> "Predictions":
        """Return the given rows, by number or by mask."""
        row_id = None if self.row_id is None else self.row_id[rows]
        return Predictions(self.subgroup[rows], self.y[rows], self.score[rows], row_id)

    def against_the_rest(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return outcome (0 or 1) and score of each level that is not everyone's or nobody's."""
        if self.score.ndim == 1:
            pairs = [(self.y == 1, self.score)]
        else:
            pairs = [(self.y == k, self.score[:, k]) for k in range(self.score.shape[1])]
        return [(y.astype(np.int8), score) for y, score in pairs if len(np.unique(y)) == 2]


def read_predictions(
    settings: Mapping[str, Any], paths: Sequence[str]
) -> dict[str, list[Predictions]]:
    """Read the predictions of each treatment, one per replicate.

    Parameters
    ----------
    settings : mapping
        ``treatments``, their names; ``n_replicates``.
    paths : sequence of path-like
        Treatment by treatment.
    """
    names = [name for name in settings["treatments"] for _ in range(settings["n_replicates"])]
    predictions: dict[str, list[Predictions]] = {}
    for name, path in zip(names, paths, strict=True):
        table = read_table(path, [ROW_ID, "subgroup", "y", "score"])
        predictions.setdefault(name, []).append(Predictions.of(table))
    return predictions


def within(
    predictions: Mapping[str, Sequence[Predictions]], subgroups: np.ndarray
) -> dict[str, list[Predictions]]:
    """Return each treatment's predictions of the rows of some subgroups."""
    return {
        treatment: [
            replicate.take(np.isin(replicate.subgroup, subgroups)) for replicate in replicates
        ]
        for treatment, replicates in predictions.items()
    }


def mean_count(counts: Sequence[int]) -> str:
    """Return in words how many rows there are in a replicate."""
    mean = float(np.mean(counts))
    return f"{mean:,.0f}" if min(counts) == max(counts) else f"about {mean:,.0f}"


def subgroup_panels(roles: Roles) -> list[tuple[str, np.ndarray]]:
    """Return the title of each panel and its subgroups: everyone, and each subgroup.

    With more than eight subgroups, one for each level of each sensitive attribute.
    """
    shape = [len(attribute.levels) for attribute in roles.sensitive]
    everyone = np.arange(int(np.prod(shape)))
    panels = [("Everyone", everyone)]
    if 1 < len(everyone) <= _MAX_SUBGROUPS:
        panels += [(capital(subgroup_name(roles, k)), everyone[k : k + 1]) for k in everyone]
    elif len(everyone) > 1:
        digits = np.unravel_index(everyone, shape, order="F")
        panels += [
            (capital(label), everyone[own == level])
            for attribute, own in zip(roles.sensitive, digits, strict=True)
            for level, label in enumerate(attribute.level_labels)
        ]
    return panels
