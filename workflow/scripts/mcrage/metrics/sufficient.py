# SPDX-License-Identifier: MIT
"""What is known of every subgroup of an attribute; every metric of fairness is arithmetic on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mcrage.groups import GroupSchema
from mcrage.metrics import calibration, scores
from mcrage.metrics.confusion import confusion
from mcrage.metrics.names import ALL, OVERALL

BINARY_SCORES = {
    "auroc": scores.auroc,
    "auprc": scores.auprc,
    "brier": scores.brier,
    "log_loss": scores.log_loss,
    "calibration_in_the_large": calibration.calibration_in_the_large,
    "calibration_slope": calibration.calibration_slope,
    "calibration_error": calibration.calibration_error,
    "debiased_calibration_error": calibration.debiased_calibration_error,
}
MULTICLASS_SCORES = {name: BINARY_SCORES[name] for name in ("auroc", "brier", "log_loss")}


@dataclass(frozen=True)
class Parts:
    """One way to take rows apart.

    Attributes
    ----------
    attribute : str
        ``"overall"``, a sensitive attribute, or all of them joined by ``*``.
    subgroups : tuple of str
        ``"all"``, or the level(s), e.g. ``"SEX=F"``.
    part : ndarray of int64, shape (n,)
        The subgroup of each row.
    reference : int
        The subgroup that others are compared with.
    """

    attribute: str
    subgroups: tuple[str, ...]
    part: np.ndarray
    reference: int = 0


@dataclass(frozen=True)
class Sufficient:
    """The sufficient statistics of the L subgroups of one attribute.

    Attributes
    ----------
    parts : Parts
    counts : ndarray of int64, shape (L, K, K)
        Rows by subgroup, true level and predicted level.
    scores : mapping of str to ndarray of float64, shape (L,)
        What is taken from scores, without a threshold: `BINARY_SCORES` or `MULTICLASS_SCORES`.
    """

    parts: Parts
    counts: np.ndarray
    scores: Mapping[str, np.ndarray]

    @property
    def rows(self) -> np.ndarray:
        """Rows of each subgroup, int64 of shape (L,)."""
        return self.counts.sum(axis=(1, 2))

    @property
    def truths(self) -> np.ndarray:
        """Rows of each subgroup by true level, int64 of shape (L, K)."""
        return self.counts.sum(axis=2)

    @property
    def is_binary(self) -> bool:
        """Whether the target has two levels."""
        return self.counts.shape[-1] == 2


def parts(
    schema: GroupSchema, groups: np.ndarray, references: Mapping[str, str] | None = None
) -> Iterator[Parts]:
    """Yield the ways in which rows are judged: all, by each attribute, by all of them together.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
    references : mapping of str to str, optional
        Attribute to the level that others are compared with; the first level if left out. In
        intersections, the subgroup that has all of them.
    """
    yield Parts(OVERALL, (ALL,), np.zeros(len(groups), dtype=np.int64))
    attributes, digits = schema.columns[:-1], schema.indices_of(groups)
    chosen = []
    for column, levels, codes in zip(attributes, schema.levels, digits, strict=False):
        chosen.append(levels.index(references[column]) if column in (references or {}) else 0)
        yield Parts(column, tuple(f"{column}={level}" for level in levels), codes, chosen[-1])
    if len(attributes) > 1:
        yield Parts(
            "*".join(attributes),
            tuple(schema.subgroup_label(k) for k in range(schema.n_subgroups)),
            schema.subgroup_of(groups),
            int(np.ravel_multi_index(chosen, schema.shape[:-1], order="F")),
        )


def sufficient(
    split: Parts,
    y: np.ndarray,
    score: np.ndarray,
    decisions: np.ndarray,
    known: Mapping[str, np.ndarray] | None = None,
) -> Sufficient:
    """Count and sum what metrics need of each part.

    Parameters
    ----------
    split : Parts
    y : ndarray of int64, shape (n,)
        True level numbers.
    score : ndarray of float64, shape (n,) or (n, K)
    decisions : ndarray of int64, shape (n,)
        The level that each row is predicted to have.
    known : mapping of str to ndarray, optional
        What the scores of these parts give, where it is known from other decisions.
    """
    n_parts = len(split.subgroups)
    n_levels = 2 if score.ndim == 1 else score.shape[1]
    functions = BINARY_SCORES if n_levels == 2 else MULTICLASS_SCORES
    return Sufficient(
        split,
        confusion(y, decisions, n_levels, split.part, n_parts),
        known or {name: of(y, score, split.part, n_parts) for name, of in functions.items()},
    )
