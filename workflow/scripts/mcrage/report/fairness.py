# SPDX-License-Identifier: MIT
"""The report's tables of gaps between subgroups."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, attribute_words, capital, metric_name, treatment_name
from mcrage.metrics.names import NULL, NULL_P, is_gap, is_of_scores
from mcrage.report.numbers import difference, number
from mcrage.report.results import Results
from mcrage.report.tables import Entry, Table, detectable, mean_entry
from mcrage.statistics.guards import LEVELS, useless

SPREADS = {
    "worst_statistical_parity_difference": "spread_selection_rate",
    "worst_equal_opportunity_difference": "spread_true_positive_rate",
}
"""Gaps that a standard deviation over subgroups, less what chance gives, stands beside."""
THEIL, BETWEEN = "theil_index", "between_group_theil_index"
GAPS = (
    "worst_statistical_parity_difference",
    "worst_equal_opportunity_difference",
    "worst_equalised_odds_difference",
    "worst_average_odds_difference",
    "worst_auroc_difference",
    "worst_group_auroc",
)


def gap_tables(results: Results, baseline: str | None) -> list[Table]:
    """Return a table of gaps for each attribute, a row per treatment.

    Parameters
    ----------
    results : Results
    baseline : str or None
        What changes are told against.

    Returns
    -------
    list of Table
        Each entry has the mean over replicates; below it what chance alone gives where there is no
        gap, in how many replicates a gap was larger than that (p < .05), the bias-corrected spread
        over subgroups, and the change against the baseline with its interval and a caution, if
        there is one: of the comparison, or that the treatment, be it the baseline, is useless as
        it stands.
    """
    attributes = list(dict.fromkeys(attribute for _, attribute, _ in results.gaps))
    words = attribute_words(results.roles)
    tables = []
    for attribute in attributes:
        metrics = [
            metric
            for metric in GAPS
            if any((name, attribute, metric) in results.gaps for name in results.treatments)
        ]
        rows = tuple(
            (
                treatment_name(name),
                tuple(_entry(results, baseline, name, attribute, metric) for metric in metrics),
            )
            for name in results.treatments
        )
        if metrics:
            columns = tuple(capital(metric_name(metric)) for metric in metrics)
            title = capital(words.get(attribute, attribute))
            tables.append(Table(title, columns, rows, note=_many(results, attribute)))
    return tables


def theil_table(results: Results, baseline: str | None, test_to_train: float) -> Table | None:
    """Return the Theil index of everyone beside what of it lies between subgroups.

    Parameters
    ----------
    results : Results
    baseline : str or None
        What changes are told against.
    test_to_train : float
        See `mcrage.report.tables.mean_entry`.

    Returns
    -------
    Table or None
        None where there is none: with more than two outcomes.
    """
    if not any(metric == THEIL for _, _, metric in results.values):
        return None
    words = attribute_words(results.roles)
    attributes = dict.fromkeys(a for _, a, metric in results.gaps if metric == BETWEEN)
    rows = []
    for name in results.treatments:
        of = results.differences.get((baseline, name, EVERYONE, THEIL))
        values = results.values.get((name, EVERYONE, THEIL), np.array([]))
        support = results.support.get((EVERYONE, THEIL), np.nan)
        entries = [with_change(mean_entry(values, support, test_to_train), of)]
        for attribute in attributes:
            of = results.gap_differences.get((baseline, name, attribute, BETWEEN))
            values = results.gaps.get((name, attribute, BETWEEN), np.array([]))
            own = mean_entry(values, support, test_to_train)
            entries.append(with_change(own, of))
        rows.append((treatment_name(name), tuple(entries)))
    columns = (
        f"{capital(metric_name(THEIL))}, everyone (lower is better)",
        *(f"{capital(metric_name(BETWEEN))}, {words.get(a, a)}" for a in attributes),
    )
    return Table("Theil index: inequality of benefits", columns, tuple(rows))


def with_change(entry: Entry, row: Mapping[str, Any] | None, caution: str = "") -> Entry:
    """Return an entry with the change against the baseline below it, and a warning if any.

    Parameters
    ----------
    entry : Entry
        Of `mcrage.report.tables.mean_entry`.
    row : mapping or None
        Of comparisons.parquet; None for the baseline itself.
    caution : str
    """
    told, kind = [entry.small] if entry.small else [], entry.kind
    if row and row["mean_difference"] == row["mean_difference"]:
        change = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
        told.append(f"change {change}{detectable(row)}")
        kind = f"{verdict(row) if has_interval(row) else 'unclear'} {kind}".strip()
    if caution:
        told.append(f"caution: {caution}")
    return Entry(entry.text, "; ".join(told), kind=kind)


def caution_of(results: Results, row: Mapping[str, Any] | None, treatment: str, metric: str) -> str:
    """Return the warning about a gap: of its change, or that the treatment itself is useless."""
    return (row or {}).get("caution") or _useless(results, treatment, metric)


def _many(results: Results, attribute: str) -> str:
    """Say what the number of subgroups alone does to a largest gap."""
    of = [one for one in results.roles.sensitive if one.column == attribute]
    joined = "*".join(one.column for one in results.roles.sensitive) == attribute
    n = math.prod(len(one.levels) for one in (results.roles.sensitive if joined else of))
    if n < 3:
        return ""
    return (
        f"{n} subgroups: the largest of so many rates less the smallest grows with their number, "
        "and the more so the fewer people they hold, where all are treated alike, too. Go by what "
        "chance gives, which is of just these subgroups, and by the spread (standard deviation "
        "over subgroups less what chance gives), which does not grow so."
    )


def _entry(
    results: Results, baseline: str | None, treatment: str, attribute: str, metric: str
) -> Entry:
    values = _known(results, treatment, attribute, metric)
    if not len(values):
        return Entry("undefined", kind="undefined")
    told = []
    null = _known(results, treatment, attribute, metric + NULL)
    if len(null):
        p_values = _known(results, treatment, attribute, metric + NULL_P)
        told.append(
            f"by chance {number(float(null.mean()))}; beyond it in "
            f"{int((p_values < 0.05).sum())} of {len(p_values)}"
        )
    if len(spread := _known(results, treatment, attribute, SPREADS.get(metric, ""))):
        told.append(f"spread {number(float(spread.mean()))}")
    kind = ""
    row = results.gap_differences.get((baseline, treatment, attribute, metric))
    if row and row["mean_difference"] == row["mean_difference"]:
        change = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
        told.append(f"{change}{detectable(row)}")
        kind = verdict(row) if has_interval(row) else "unclear"
    if caution := caution_of(results, row, treatment, metric):
        told.append(f"caution: {caution}")
    return Entry(number(float(values.mean())), "; ".join(told), kind=kind)


def _useless(results: Results, treatment: str, metric: str) -> str:
    """Say why a gap of the treatment says nothing, whatever it is compared with."""
    if not is_gap(metric):
        return ""
    levels = []
    for name in LEVELS[:3]:
        values = np.asarray(results.values.get((treatment, EVERYONE, name), ()), dtype=np.float64)
        levels.append(float(np.nanmean(values)) if np.isfinite(values).any() else np.nan)
    # The support of a rate is its denominator.
    total, positive = (results.support.get((EVERYONE, name), np.nan) for name in LEVELS[2:])
    why = useless(*levels, positive / total, of_decisions=not is_of_scores(metric))
    return f"useless: {why}" if why else ""


def _known(results: Results, *key: str) -> np.ndarray:
    values = np.asarray(results.gaps.get(key, ()), dtype=np.float64)
    return values[~np.isnan(values)]
