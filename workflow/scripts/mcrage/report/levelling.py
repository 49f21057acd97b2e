# SPDX-License-Identifier: MIT
"""Who gains and who loses where a gap between subgroups changes: levelling down told apart."""

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import capital, metric_name, treatment_name
from mcrage.report.numbers import count, difference, number
from mcrage.report.results import Results
from mcrage.report.tables import Entry, Table, difference_entry
from mcrage.statistics.guards import GAP_OF, closed_by_loss

_FEWEST = 10  # test rows below which a subgroup is neither the best nor the worst off


def levelling_tables(results: Results, baseline: str) -> list[Table]:
    """Return a table for each attribute and metric: each subgroup's change, and the gap's.

    Parameters
    ----------
    results : Results
    baseline : str
        What changes are told against: plain training (ERM).

    Returns
    -------
    list of Table
        Columns are subgroups, from the one that the baseline serves worst to the one that it serves
        best, and the gap; the last is marked where the gap shrank by the loss of the best off.
    """
    tables = []
    attributes: dict[str, list[str]] = {}
    for (base, _, subgroup, _), row in results.differences.items():
        own = attributes.setdefault(row["attribute"], [])
        if base == baseline and subgroup in results.subgroups and subgroup not in own:
            own.append(subgroup)
    for gap, metric in GAP_OF.items():
        for attribute, subgroups in attributes.items():
            level = {
                subgroup: _level(results, baseline, subgroup, metric) for subgroup in subgroups
            }
            order = sorted((s for s in subgroups if not np.isnan(level[s])), key=level.__getitem__)
            if len(order) < 2:
                continue
            columns = [
                f"{capital(results.subgroups[s])} ({number(level[s])}, "
                f"n = {count(results.support[s, metric])})"
                for s in order
            ]
            rows = []
            for name in results.treatments:
                told = (baseline, name, attribute, gap)
                if name == baseline or told not in results.gap_differences:
                    continue
                entries = [
                    difference_entry(
                        results.differences.get((baseline, name, s, metric)),
                        results.support[s, metric],
                        with_tests=False,
                    )
                    for s in order
                ]
                entries.append(_gap(results, baseline, name, attribute, gap, order))
                rows.append((treatment_name(name), tuple(entries)))
            if not rows:
                continue
            title = f"{capital(metric_name(metric))} by {attribute}"
            told = (*columns, capital(metric_name(gap)))
            tables.append(Table(title, told, tuple(rows)).upright())
    return tables


def _level(results: Results, baseline: str, subgroup: str, metric: str) -> float:
    values = np.asarray(results.values.get((baseline, subgroup, metric), ()), dtype=np.float64)
    known = values[~np.isnan(values)]
    few = results.support.get((subgroup, metric), 0) < _FEWEST
    return float(known.mean()) if len(known) and not few else np.nan


def _gap(
    results: Results, baseline: str, treatment: str, attribute: str, gap: str, order: list[str]
) -> Entry:
    row = results.gap_differences.get((baseline, treatment, attribute, gap))
    if row is None or np.isnan(row["mean_difference"]):
        return Entry("undefined", kind="undefined")
    worst, best = (
        results.differences.get((baseline, treatment, who, GAP_OF[gap]), {}).get(
            "mean_difference", np.nan
        )
        for who in (order[0], order[-1])
    )
    told = ""
    if row["mean_difference"] < 0:
        told = (
            "levelled down: it shrank because the best off lost"
            if closed_by_loss(row["mean_difference"], best, worst)
            else "shrank by what the worst off gained"
            if worst > 0
            else ""
        )
    kind = verdict(row) if has_interval(row) else "unclear"
    text = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
    return Entry(text, told, kind="levelled" if told.startswith("levelled") else kind)
