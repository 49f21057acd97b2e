# SPDX-License-Identifier: MIT
"""The long table: every metric, overall, in every subgroup and between subgroups."""

from collections.abc import Callable, Mapping

import numpy as np

from mcrage.groups import GroupSchema
from mcrage.metrics import rates
from mcrage.metrics.confusion import decide
from mcrage.metrics.f1 import f1_of
from mcrage.metrics.fairness import WORST_OF_COUNTS, signed, spreads, subgroups_used, worst
from mcrage.metrics.names import AGAINST, ALL, CUT, NULL, NULL_P, OVERALL, USED, is_of_scores
from mcrage.metrics.null import null_of_auroc, null_of_counts
from mcrage.metrics.rules import UNDECIDED, rule_name
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

Known = dict[str, tuple[Mapping[str, np.ndarray], tuple[float, float] | None]]
"""By attribute: metrics of scores, and the gap in AUROC that chance gives."""


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
    decisions: np.ndarray | None = None,
    references: Mapping[str, str] | None = None,
    known: Known | None = None,
) -> dict[str, list]:
    """Compute every metric of one rule's decisions.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
        Groups of the test rows; they hold target and subgroup.
    score : ndarray of float64, shape (n,) or (n, K)
        Predicted probability of the positive level, or of each of K levels.
    decisions : ndarray of int64, shape (n,), optional
        The level that each row is predicted to have; the likelier, or likeliest, one if left out.
        `UNDECIDED` in any row: metrics of decisions are NaN, those of scores as they are.
    references : mapping of str to str, optional
        Attribute to the level that others are compared with in ``signed_`` gaps; the first level
        of an attribute that is left out.
    known : dict, optional
        Where what scores alone give is kept for the next decisions about the same rows.

    Returns
    -------
    dict of str to list
        Columns attribute, subgroup, metric, value, support of the long table. Metrics of a
        subgroup; in subgroup "all" of an attribute those that compare its subgroups; in subgroup
        "a against b" those of a pair. An empty subgroup is kept, with NaN and support 0. Support
        is the number of rows in the denominator, of gaps that of the smallest subgroup used.
    """
    y = schema.target_of(groups)
    decisions = decide(score, 0.5) if decisions is None else decisions
    undecided = bool(np.any(decisions == UNDECIDED))
    if undecided:
        decisions = np.zeros(len(y), dtype=np.int64)
    known = {} if known is None else known
    out = _Rows()
    for split in parts(schema, groups, references):
        scores, ranked = known.get(split.attribute, (None, None))
        statistics = sufficient(split, y, score, decisions, scores)
        _of_subgroups(out, statistics)
        if split.attribute == OVERALL:
            if statistics.is_binary:
                index = float(rates.theil_index(statistics.counts)[0])
                out.add(OVERALL, ALL, "theil_index", index, int(statistics.rows[0]))
        else:
            ranked = _between_subgroups(out, statistics, y, score, ranked)
        known[split.attribute] = statistics.scores, ranked
    if undecided:
        out.columns["value"] = [
            value if is_of_scores(metric) else np.nan
            for metric, value in zip(out.columns["metric"], out.columns["value"], strict=True)
        ]
    return out.columns


def judge_rules(
    schema: GroupSchema,
    groups: np.ndarray,
    score: np.ndarray,
    decisions: Mapping[str, np.ndarray],
    cuts: Mapping[str, tuple[float, int]],
    references: Mapping[str, str] | None = None,
) -> dict[str, list]:
    """Compute every metric under every rule.

    What is of scores alone is the same under all of them, and repeated, so that each rule's part of
    the table is whole.

    Parameters
    ----------
    schema, groups, score, references
        See `judge`.
    decisions : mapping of str to ndarray of int64, shape (n,)
        By rule.
    cuts : mapping of str to (float, int)
        The cut of each rule that has a tuned one, and how many held-out training rows chose it.

    Returns
    -------
    dict of str to list
        Column threshold, the rule's name, and those of `judge`; after a rule's metrics its cut.
    """
    known: Known = {}
    out: dict[str, list] = {}
    for rule, decided in decisions.items():
        judged = judge(schema, groups, score, decided, references, known)
        if rule in cuts:
            for name, value in zip(judged, (OVERALL, ALL, CUT, *cuts[rule]), strict=True):
                judged[name].append(value)
        named = [rule_name(rule, schema.shape[-1])] * len(judged["metric"])
        for name, column in ({"threshold": named} | judged).items():
            out.setdefault(name, []).extend(column)
    return out


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
    out: _Rows,
    statistics: Sufficient,
    y: np.ndarray,
    score: np.ndarray,
    ranked: tuple[float, float] | None,
) -> tuple[float, float]:
    """Add the gaps; return what the gap in AUROC is by chance, which no decision changes."""
    split = statistics.parts
    found = worst(statistics)
    nulls = null_of_counts(statistics.counts)
    nulls[_AUROC_GAP] = ranked or null_of_auroc(
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
    return nulls[_AUROC_GAP]
