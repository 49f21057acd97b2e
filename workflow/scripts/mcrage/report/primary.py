# SPDX-License-Identifier: MIT
"""The verdict on the question that was declared before the run, in sentences with numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, capital, metric_name, treatment_name
from mcrage.metrics.names import is_of_attribute
from mcrage.metrics.rules import rule_name
from mcrage.report.numbers import difference, number, p_value
from mcrage.report.results import Results
from mcrage.report.rope import rope_verdict
from mcrage.statistics.paired import detectable_by, holm

_LEVEL = 0.05


def primary_verdict(
    results: Results, primary: Mapping[str, Any], sections: Sequence[Results] = ()
) -> list[str]:
    """Return a sentence that states the question, and one for each treatment that it is about.

    Parameters
    ----------
    results : Results
    primary : mapping
        metric, attribute, subgroup, classifier, treatment (None: all that are no controls),
        baseline and threshold; ``declared``, false where the experiment declares none.
    sections : sequence of Results
        All of the report, these among them. The question is asked once of each dataset and
        scenario, and Holm's correction is for all answers together.

    Returns
    -------
    list of str
        Empty for another classifier, or rule of decisions, than the declared one.
    """
    if not _is_asked(results, primary):
        return []
    rows = _rows(results, primary)
    who = (
        f"between subgroups of {primary['attribute']}"
        if is_of_attribute(primary["metric"])
        else f"for {results.who.get(primary['subgroup'], primary['subgroup'])}"
    )
    # Said of a question that somebody asked, not of the one that stands in for it.
    usual = "No question was declared (experiment.primary), so the usual one"
    start = "Declared before the run" if primary.get("declared", True) else usual
    asked = (
        f"{start}: {metric_name(primary['metric'])} {who}, against "
        f"“{treatment_name(primary['baseline'])}”"
    )
    if not rows:
        return [f"{asked}. It could not be computed; see the support in the tables."]
    # What was asked for is a family of its own, whatever else is run.
    places = [one for one in sections if _is_asked(one, primary)] or [results]
    answers = [(one, name, row) for one in places for name, row in _rows(one, primary).items()]
    adjusted = holm(np.array([row["p_value"] for *_, row in answers]))
    n_places = len({(one.dataset, one.scenario) for one, *_ in answers})
    family = f", Holm's correction for {len(rows)} treatments" if len(rows) > 1 else ""
    if n_places > 1:
        joined = " in each of" if len(rows) > 1 else ", Holm's correction for"
        family += f"{joined} {n_places} datasets and scenarios"
    told = [
        _sentence(name, {**row, "p_adjusted": p}, len(answers))
        for (one, name, row), p in zip(answers, adjusted.tolist(), strict=True)
        if one is results
    ]
    return [f"{asked}{family}.", *told]


def _is_asked(results: Results, primary: Mapping[str, Any]) -> bool:
    rule = rule_name(primary["threshold"], len(results.roles.target.levels))
    return (results.classifier, results.threshold) == (primary["classifier"], rule)


def _rows(results: Results, primary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    names = [primary["treatment"]] if primary["treatment"] else results.tested
    metric, baseline = primary["metric"], primary["baseline"]
    if is_of_attribute(metric):
        found = {
            name: results.gap_differences.get((baseline, name, primary["attribute"], metric))
            for name in names
        }
    else:
        subgroup = primary["subgroup"] or EVERYONE
        found = {
            name: results.differences.get((baseline, name, subgroup, metric)) for name in names
        }
    return {
        name: row
        for name, row in found.items()
        if row and row["mean_difference"] == row["mean_difference"]
    }


def _sentence(name: str, row: Mapping[str, Any], family: int) -> str:
    start = (
        f"{capital(treatment_name(name))}: "
        f"{difference(row['mean_difference'], row['ci_low'], row['ci_high'])}"
    )
    if not has_interval(row):
        return f"{start}; one replicate gives no interval and no verdict."
    found = f"{start} ({p_value(row['p_adjusted'])}), {_verdict(row)}"
    caution = f" Caution: {row['caution']}." if row.get("caution") else ""
    region, told = rope_verdict(row)
    if region:
        found += f"; by the margin of ±{number(row['margin'])} {region} ({told})"
    detectable = detectable_by(row["ci_low"], row["ci_high"], row["n_replicates"], family)
    return (
        f"{found}; the smallest difference that 80 of 100 such experiments would show is "
        f"{number(detectable)}.{caution}"
    )


def _verdict(row: Mapping[str, Any]) -> str:
    shown = verdict(row)
    if shown != "unclear" and row["p_adjusted"] < _LEVEL:
        return shown
    if row["p_equivalence"] < _LEVEL:
        return f"equivalent within ±{number(row['margin'])} ({p_value(row['p_equivalence'])})"
    if shown != "unclear":
        return "not shown after the correction"
    return "no difference could be shown, and equivalence neither"
