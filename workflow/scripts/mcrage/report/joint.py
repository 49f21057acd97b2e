# SPDX-License-Identifier: MIT
"""The report's table of all remedies, whether they change rows, the classifier or the decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import (
    attribute_words,
    capital,
    metric_name,
    subgroup_words,
    treatment_name,
)
from mcrage.metrics.names import ALL, LOWER_IS_BETTER, OVERALL, is_of_attribute
from mcrage.metrics.rules import HALF, LIKELIEST
from mcrage.report.detectable import detectable_tables
from mcrage.report.levelling import levelling_tables
from mcrage.report.numbers import count, difference, number, p_value
from mcrage.report.results import Results
from mcrage.report.rope import rope_tables
from mcrage.report.tables import FEW_ROWS, Entry, Table
from mcrage.statistics.guards import GAP_OF
from mcrage.statistics.joint import Remedy

if TYPE_CHECKING:
    import pandas as pd

    from mcrage.datasets.roles import Roles

OF_EVERYONE = ("auroc", "balanced_accuracy", "f1", "brier")
OF_SUBGROUPS = "auroc"
OF_ATTRIBUTE = (
    "worst_group_auroc",
    "worst_auroc_difference",
    "worst_equalised_odds_difference",
    "worst_statistical_parity_difference",
)
MOST_SUBGROUPS = 4
"""That have columns of their own; of more the worst-off stands for them."""

RULES = {
    "f1": "cut tuned for F1",
    "balanced_accuracy": "cut tuned for balanced accuracy",
    "demographic_parity": "cuts by subgroup, equal selection rates",
    "equalized_odds": "cuts by subgroup, equal true and false positive rates",
    "randomised": "decisions drawn with the score as their chance",
}
SAME_SCORES = "the same scores, another rule"

Where = tuple[str, str, str]
"""Metric, attribute, subgroup."""


@dataclass(frozen=True)
class Joint:
    """All remedies of one dataset under one scenario.

    Attributes
    ----------
    headline : str
    tables : list of Table
        One for each attribute, a row per remedy; everyone's metrics stand in each.
    levelling : list of Table
        See `mcrage.report.levelling.levelling_tables`, of remedies.
    rope : list of Table
        See `mcrage.report.rope.rope_tables`, of remedies.
    detectable : list of Table
        See `mcrage.report.detectable.detectable_tables`, of remedies.
    """

    headline: str
    tables: list[Table]
    levelling: list[Table] = field(default_factory=list)
    rope: list[Table] = field(default_factory=list)
    detectable: list[Table] = field(default_factory=list)


def remedy_name(remedy: Remedy, plain: Remedy, *, binary: bool = True) -> str:
    """Return a remedy in words: what it departs from plain training in.

    Of more than two outcomes (not `binary`) there is one rule: the likeliest is taken.

    >>> plain = Remedy("imbalanced", "random_forest", "0.5")
    >>> remedy_name(plain, plain)
    'imbalanced, random forest, cut at 0.5'
    >>> remedy_name(plain._replace(classifier="group_dro", threshold="f1"), plain)
    'group dro, cut tuned for F1'
    """
    rule = RULES.get(remedy.threshold, f"cut at {remedy.threshold}")
    rule = rule if binary else "the likeliest outcome"
    told = (treatment_name(remedy.treatment), treatment_name(remedy.classifier), rule)
    own = [words for words, one, other in zip(told, remedy, plain, strict=True) if one != other]
    return ", ".join(own or told)


def shown_of(comparisons: "pd.DataFrame") -> "pd.DataFrame":
    """Return the comparisons that tables of remedies show, of all subgroups."""
    metrics = {*OF_EVERYONE, OF_SUBGROUPS, *OF_ATTRIBUTE, *GAP_OF, *GAP_OF.values()}
    return comparisons[comparisons["metric"].isin(metrics)]


def joint_sections(
    summary: "pd.DataFrame",
    comparisons: "pd.DataFrame",
    remedies: Sequence[Remedy],
    roles: Mapping[str, "Roles"],
) -> list[Joint]:
    """Return the tables of each dataset and scenario.

    Parameters
    ----------
    summary : DataFrame
        results/summary.parquet.
    comparisons : DataFrame
        Of `mcrage.statistics.joint.compare_remedies`.
    remedies : sequence of Remedy
        The rows, plain training first; those without a run are left out.
    roles : mapping of str to Roles
        By dataset.

    Returns
    -------
    list of Joint
        In each entry the mean over replicates, below it the difference to plain training with its
        interval, and where this leaves out 0 the p-value after Holm's correction.
    """
    out = []
    for (dataset, scenario), part in shown_of(summary).groupby(["dataset", "scenario"], sort=False):
        means = _by_remedy(part)
        here = comparisons[
            (comparisons["dataset"] == dataset) & (comparisons["scenario"] == scenario)
        ]
        differences = _by_remedy(shown_of(here))
        rows = [one for one in remedies if one in means]
        tables = []
        for title, columns in _columns(means, roles[dataset]):
            entries = tuple(
                (
                    capital(remedy_name(one, remedies[0], binary=roles[dataset].target.is_binary)),
                    tuple(
                        _entry(
                            means[one].get(where),
                            differences.get(one, {}).get(where),
                            is_plain=one == remedies[0],
                        )
                        for where in columns
                    ),
                )
                for one in rows
            )
            tables.append(Table(title, tuple(columns.values()), entries, first="Remedy"))
        headline = f"{roles[dataset].title}, {treatment_name(scenario)}"
        own = _as_results(means, differences, rows, roles[dataset])
        plain = own.treatments[0]
        told = levelling_tables(own, plain), rope_tables(own, plain)
        found = detectable_tables(own, plain)
        out.append(Joint(headline, tables, *(_first(some) for some in told), detectable=found))
    return out


def _first(tables: Sequence[Table]) -> list[Table]:
    return [replace(one, first=one.first or "Remedy") for one in tables]


def _as_results(
    means: Mapping[Remedy, Mapping[Where, Mapping[str, Any]]],
    differences: Mapping[Remedy, Mapping[Where, Mapping[str, Any]]],
    remedies: Sequence[Remedy],
    roles: "Roles",
) -> Results:
    """Return remedies as if each were a treatment, named by what it departs in; means alone."""
    plain = remedies[0]
    names = {one: capital(remedy_name(one, plain)) for one in remedies}
    first = next(iter(means[plain].values()))
    values, gaps, support = {}, {}, {}
    for one, name in names.items():
        for (metric, attribute, subgroup), row in means[one].items():
            if not is_of_attribute(metric):
                values[name, subgroup, metric] = np.array([row["mean"]])
                support.setdefault((subgroup, metric), row["support"])
            elif subgroup == ALL:
                gaps[name, attribute, metric] = np.array([row["mean"]])
    changes: dict[bool, dict[tuple[str, str, str, str], Mapping[str, Any]]] = {True: {}, False: {}}
    for one in remedies[1:]:
        for (metric, attribute, subgroup), row in differences.get(one, {}).items():
            of_gap = is_of_attribute(metric)
            who = attribute if of_gap else subgroup
            changes[of_gap][names[plain], names[one], who, metric] = row
    return Results(
        *(roles.dataset, str(first["scenario"]), plain.classifier, plain.threshold, roles),
        treatments=tuple(names.values()),
        values=values,
        support=support,
        differences=changes[False],
        gaps=gaps,
        gap_differences=changes[True],
    )


def _by_remedy(table: "pd.DataFrame") -> dict[Remedy, dict[Where, Mapping[str, Any]]]:
    found: dict[Remedy, dict[Where, Mapping[str, Any]]] = {}
    for row in table.to_dict("records"):
        rule = HALF if row["threshold"] == LIKELIEST else row["threshold"]
        one = Remedy(row["treatment"], row["classifier"], rule)
        found.setdefault(one, {})[row["metric"], row["attribute"], row["subgroup"]] = row
    return found


def _columns(
    means: Mapping[Remedy, Mapping[Where, Mapping[str, Any]]], roles: "Roles"
) -> list[tuple[str, dict[Where, str]]]:
    """Return for each attribute the columns of its table, and what their heads say."""
    known: dict[Where, Mapping[str, Any]] = {}
    for rows in means.values():
        known |= rows
    words, of_subgroups = attribute_words(roles), subgroup_words(roles)
    everyone = [(metric, OVERALL, ALL) for metric in OF_EVERYONE]
    out = []
    attributes = dict.fromkeys(attribute for _, attribute, _ in known if attribute != OVERALL)
    for attribute in attributes or [OVERALL]:
        mine = [
            where
            for where in known
            if where[0] == OF_SUBGROUPS and where[1] == attribute and where[2] in of_subgroups
        ]
        worst, *gaps = [(metric, attribute, ALL) for metric in OF_ATTRIBUTE]
        few = mine if attribute != OVERALL and len(mine) <= MOST_SUBGROUPS else []
        columns = {}
        for where in (*everyone, worst, *few, *gaps):
            if where not in known:
                continue
            head = capital(metric_name(where[0]))
            if where in few:
                n = count(known[where]["support"])
                head += f", {of_subgroups[where[2]]} (n = {n})"
            columns[where] = head + (" (lower is better)" if where[0] in LOWER_IS_BETTER else "")
        title = words.get(attribute, attribute) if attribute != OVERALL else "everyone"
        out.append((capital(title), columns))
    return out


def _entry(
    mean: Mapping[str, Any] | None, row: Mapping[str, Any] | None, *, is_plain: bool
) -> Entry:
    if mean is None or np.isnan(mean["mean"]):
        return Entry("undefined", kind="undefined")
    few = " few" if mean["support"] < FEW_ROWS else ""
    text = number(mean["mean"])
    if is_plain:
        return Entry(text, kind=few.strip())
    if row is None:
        return Entry(text, SAME_SCORES, kind=few.strip())
    if np.isnan(row["mean_difference"]):
        return Entry(text, "no difference is defined", kind=f"undefined{few}")
    small = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
    if not has_interval(row):
        return Entry(text, small, kind=f"unclear{few}")
    found = verdict(row)
    if found != "unclear":
        small += f"; {p_value(row['p_adjusted'])} adjusted"
    return Entry(text, small, kind=f"{found}{few}")
