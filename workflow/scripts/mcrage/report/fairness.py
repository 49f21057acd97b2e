# SPDX-License-Identifier: MIT
"""The report's tables of gaps between subgroups."""

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, capital, metric_name, treatment_name
from mcrage.metrics.names import NULL, NULL_P, is_gap, is_of_scores
from mcrage.report.numbers import difference, number
from mcrage.report.results import Results
from mcrage.report.tables import Entry, Table
from mcrage.statistics.guards import LEVELS, useless

GAPS = (
    "worst_statistical_parity_difference",
    "worst_equal_opportunity_difference",
    "worst_equalised_odds_difference",
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
        gap, in how many replicates a gap was larger than that (p < .05), and the change against
        the baseline with its interval and a caution, if there is one: of the comparison, or that
        the treatment, be it the baseline, is useless as it stands.
    """
    attributes = list(dict.fromkeys(attribute for _, attribute, _ in results.gaps))
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
            tables.append(Table(attribute, columns, rows))
    return tables


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
    kind = ""
    row = results.gap_differences.get((baseline, treatment, attribute, metric))
    if row and row["mean_difference"] == row["mean_difference"]:
        told.append(difference(row["mean_difference"], row["ci_low"], row["ci_high"]))
        kind = verdict(row) if has_interval(row) else "unclear"
    caution = (row or {}).get("caution") or _useless(results, treatment, metric)
    if caution:
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
