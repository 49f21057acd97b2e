# SPDX-License-Identifier: MIT
"""The answer in three sentences, written from the numbers and claiming no more than they show."""

from collections.abc import Mapping
from typing import Any

from mcrage.figures.differences import verdict
from mcrage.figures.words import EVERYONE, capital, metric_name, treatment_name
from mcrage.report.numbers import count, difference, listing
from mcrage.report.results import Results

LEADING_METRIC = "auroc"
ONE_REPLICATE = (
    "With one replicate there is no interval, so nothing can be claimed about any treatment: set "
    "experiment.replicates to 2 or more."
)
_MOST_NAMED = 5
_FEWEST_ROWS = 10  # below, nothing is claimed (see the limits in the report)


def question(results: Results) -> str:
    """Return what the experiment asks, in one sentence."""
    target = results.roles.target
    outcome = target.level_labels[1]
    if not target.is_binary:
        outcome = f"{len(target.levels)} outcomes: {listing(list(target.level_labels))}"
    return (
        f"Does rebalancing the training set make a {treatment_name(results.classifier)} better "
        f"at predicting {target.label.lower()} ({outcome}), for whom, and at whose cost?"
    )


def answer(results: Results, metric: str = LEADING_METRIC) -> list[str]:
    """Return three sentences: overall, by subgroup, and against the second baseline.

    Parameters
    ----------
    results : Results
    metric : str
        The metric that the answer goes by. AUROC needs no threshold, so a treatment cannot gain
        in it by moving one.

    Returns
    -------
    list of str
    """
    if results.n_replicates < 2 or not results.baselines:
        return [ONE_REPLICATE]
    baseline, *others = results.baselines
    sentences = [_overall(results, baseline, metric), _by_subgroup(results, baseline, metric)]
    if others:
        sentences.append(_against(results, others[0], metric))
    if ceiling := _ceiling(results, baseline, metric):
        sentences[-1] = f"{sentences[-1][:-1]}; {ceiling}."
    return sentences


def _rows(
    results: Results, baseline: str, subgroup: str, metric: str
) -> dict[str, Mapping[str, Any]]:
    """Return the differences of the tested treatments that can be judged, by treatment."""
    if results.support.get((subgroup, metric), 0) < _FEWEST_ROWS:
        return {}
    found = {
        name: results.differences.get((baseline, name, subgroup, metric))
        for name in results.tested
        if name != baseline
    }
    return {k: row for k, row in found.items() if row and row["ci_low"] == row["ci_low"]}


def _told(name: str, row: Mapping[str, Any]) -> str:
    numbers = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
    return f"{treatment_name(name)} {numbers}"


def _named(rows: Mapping[str, Mapping[str, Any]], wanted: str) -> list[str]:
    return [_told(name, row) for name, row in rows.items() if verdict(row) == wanted]


def _overall(results: Results, baseline: str, metric: str) -> str:
    rows = _rows(results, baseline, EVERYONE, metric)
    start = f"Against “{treatment_name(baseline)}”"
    if not rows:
        return f"{start}, no treatment could be judged by {metric_name(metric)}."
    n = f"{len(rows)} treatments" if len(rows) > 1 else "treatment"
    better, worse = _named(rows, "better"), _named(rows, "worse")
    if not better and not worse:
        largest = max(rows, key=lambda name: abs(rows[name]["mean_difference"]))
        return (
            f"{start}, no difference in {metric_name(metric)} could be shown for any of the {n}: "
            f"every 95 % interval includes 0 (largest mean difference: "
            f"{_told(largest, rows[largest])})."
        )
    parts = []
    if better:
        parts.append(f"{metric_name(metric)} for everyone rose with {listing(better)}")
    if worse:
        verb = "fell with" if better else f"{metric_name(metric)} for everyone fell with"
        parts.append(f"{verb} {listing(worse)}")
    unclear = len(rows) - len(better) - len(worse)
    rest = f"; no difference could be shown for the other {unclear}" if unclear else ""
    held = sum(row["p_adjusted"] < 0.05 for row in rows.values() if verdict(row) != "unclear")
    shown = len(better) + len(worse)
    holds = (
        "this holds"
        if held == shown
        else f"{held or 'none'} of these {shown} hold{'' if held > 1 else 's'}"
    )
    if shown == 1 and not held:
        holds = "this does not hold"
    return (
        f"{start}, {' and '.join(parts)}{rest} "
        f"({holds} after Holm's correction for the number of treatments)."
    )


def _by_subgroup(results: Results, baseline: str, metric: str) -> str:
    gained, lost, few = [], [], []
    for subgroup, words in results.subgroups.items():
        support = results.support.get((subgroup, metric), 0)
        if support < _FEWEST_ROWS:
            few.append(f"{words} (n = {count(support)})")
        rows = _rows(results, baseline, subgroup, metric)
        gained += [(words, told) for told in _named(rows, "better")]
        lost += [(words, told) for told in _named(rows, "worse")]
    aside = ""
    if len(few) > _MOST_NAMED:
        n = len(results.subgroups)
        aside = (
            f"; {len(few)} of {n} subgroups have fewer than {_FEWEST_ROWS} test rows to judge by"
        )
    elif few:
        aside = f"; too few test rows to judge {listing(few)}"
    if not gained and not lost:
        return f"By subgroup, no gain and no loss in {metric_name(metric)} could be shown{aside}."
    parts = [
        _grouped(gained, "gained") or "no subgroup could be shown to gain",
        _grouped(lost, "lost") or "no subgroup could be shown to lose",
    ]
    return f"By subgroup, {'; '.join(parts)}{aside}."


def _grouped(pairs: list[tuple[str, str]], verb: str) -> str:
    by_subgroup: dict[str, list[str]] = {}
    for words, told in pairs:
        by_subgroup.setdefault(words, []).append(told)
    told = [f"{who} {verb} with {listing(told)}" for who, told in by_subgroup.items()]
    if len(told) > _MOST_NAMED:
        more = len(told) - _MOST_NAMED
        told = [*told[:_MOST_NAMED], f"{more} more subgroup{'s' if more > 1 else ''} {verb}"]
    return "; ".join(told)


def _against(results: Results, baseline: str, metric: str) -> str:
    rows = _rows(results, baseline, EVERYONE, metric)
    better, worse = _named(rows, "better"), _named(rows, "worse")
    name = treatment_name(baseline)
    if not better and not worse:
        return f"Against “{name}”, no difference in {metric_name(metric)} could be shown."
    parts = [f"{listing(better)} did better"] if better else []
    parts += [f"{listing(worse)} did worse"] if worse else []
    unclear = len(rows) - len(better) - len(worse)
    rest = f", and no difference could be shown for the other {unclear}" if unclear else ""
    return f"Against “{name}”, {' and '.join(parts)}{rest}."


def _ceiling(results: Results, baseline: str, metric: str) -> str:
    row = results.differences.get((baseline, "original", EVERYONE, metric))
    if not row or row["ci_low"] != row["ci_low"]:
        return ""
    numbers = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
    return (
        f"having the removed real rows (“original”), which no user has, changes "
        f"{metric_name(metric)} by {numbers} against “{treatment_name(baseline)}”"
    )


def headline(results: Results) -> str:
    """Return where what follows holds: dataset, scenario, classifier, and rule but the first."""
    rule = "" if results.leads else f", {results.decided}"
    return capital(
        f"{results.roles.title}, {treatment_name(results.scenario)}, "
        f"{treatment_name(results.classifier)}, {results.n_replicates} "
        f"replicate{'s' if results.n_replicates > 1 else ''}{rule}"
    )
