# SPDX-License-Identifier: MIT
"""The long table: every metric, overall, in every subgroup and between subgroups."""

from collections.abc import Callable, Mapping

import numpy as np

from mcrage.groups import GroupSchema
from mcrage.metrics import rates
from mcrage.metrics.f1 import f1_of
from mcrage.metrics.fairness import WORST_OF_COUNTS, signed, spreads, subgroups_used, worst
from mcrage.metrics.names import AGAINST, ALL, NULL, NULL_P, OVERALL, USED
from mcrage.metrics.null import null_of_auroc, null_of_counts
from mcrage.metrics.sufficient import Sufficient, parts, sufficient

OF_COUNTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": rates.accuracy,
    "f1": f1_of,
    "balanced_accuracy": rates.balanced_accuracy,
}
OF_TWO_LEVELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "true_positive_rate": rates.true_positive_rate,
    "false_positive_rate": rates.false_positive_rate,
    "selection_rate": rates.selection_rate,
}
_CONDITIONAL = {"true_positive_rate": 1, "false_positive_rate": 0}
_AUROC_GAP = "worst_auroc_difference"


class _Rows:
    """The long table while it grows."""

    def __init__(self) -> None:
        names = ("attribute", "subgroup", "metric", "value", "support")
        self.columns: dict[str, list] = {name: [] for name in names}

    def add(self, *values: object) -> None:
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)


def judge(
    schema: GroupSchema,
    groups: np.ndarray,
    score: np.ndarray,
    threshold: float = 0.5,
    references: Mapping[str, str] | None = None,
) -> dict[str, list]:
    """Compute every metric.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
        Groups of the test rows; they hold target and subgroup.
    score : ndarray of float64, shape (n,) or (n, K)
        Predicted probability of the positive level, or of each of K levels.
    threshold : float
        Scores at or above it are predicted positive; of several levels the likeliest is.
    references : mapping of str to str, optional
        Attribute to the level that others are compared with in ``signed_`` gaps; the first level
        of an attribute that is left out.

    Returns
    -------
    dict of str to list
        Columns attribute, subgroup, metric, value, support of the long table. Metrics of a
        subgroup; in subgroup "all" of an attribute those that compare its subgroups; in subgroup
        "a against b" those of a pair. An empty subgroup is kept, with NaN and support 0. Support
        is the number of rows in the denominator, of gaps that of the smallest subgroup used.
    """
    y = schema.target_of(groups)
    out = _Rows()
    for split in parts(schema, groups, references):
        statistics = sufficient(split, y, score, threshold)
        _of_subgroups(out, statistics)
        if split.attribute == OVERALL:
            if statistics.is_binary:
                index = float(rates.theil_index(statistics.counts)[0])
                out.add(OVERALL, ALL, "theil_index", index, int(statistics.rows[0]))
        else:
            _between_subgroups(out, statistics, y, score)
    return out.columns


def _of_subgroups(out: _Rows, statistics: Sufficient) -> None:
    functions = OF_COUNTS | (OF_TWO_LEVELS if statistics.is_binary else {})
    values = {name: of(statistics.counts) for name, of in functions.items()} | statistics.scores
    for number, subgroup in enumerate(statistics.parts.subgroups):
        for name, value in values.items():
            n = statistics.rows[number]
            if name in _CONDITIONAL:
                n = statistics.truths[number, _CONDITIONAL[name]]
            out.add(statistics.parts.attribute, subgroup, name, float(value[number]), int(n))


def _between_subgroups(
    out: _Rows, statistics: Sufficient, y: np.ndarray, score: np.ndarray
) -> None:
    split = statistics.parts
    found = worst(statistics)
    nulls = null_of_counts(statistics.counts)
    nulls[_AUROC_GAP] = null_of_auroc(
        y, score, split.part, len(split.subgroups), found[_AUROC_GAP][0]
    )
    for name, (value, n) in {**found, **spreads(statistics)}.items():
        out.add(split.attribute, ALL, name, value, n)
        if name in WORST_OF_COUNTS or name == _AUROC_GAP:
            expected, p_value = nulls[name]
            out.add(split.attribute, ALL, name + NULL, expected, n)
            out.add(split.attribute, ALL, name + NULL_P, p_value, n)
            used = float(subgroups_used(name, statistics))
            out.add(split.attribute, ALL, name + USED, used, n)
    reference = split.subgroups[split.reference]
    for number, subgroup in enumerate(split.subgroups):
        if number != split.reference:
            for name, (value, n) in signed(statistics, number).items():
                out.add(split.attribute, f"{subgroup}{AGAINST}{reference}", name, value, n)
