# SPDX-License-Identifier: MIT
"""The report's tables of gaps between subgroups."""

import numpy as np

from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import capital, metric_name, treatment_name
from mcrage.metrics.names import NULL, NULL_P
from mcrage.report.numbers import difference, number
from mcrage.report.results import Results
from mcrage.report.tables import Entry, Table

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
        the baseline with its interval and a caution, if there is one.
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
        if row.get("caution"):
            told.append(f"caution: {row['caution']}")
    return Entry(number(float(values.mean())), "; ".join(told), kind=kind)


def _known(results: Results, *key: str) -> np.ndarray:
    values = np.asarray(results.gaps.get(key, ()), dtype=np.float64)
    return values[~np.isnan(values)]
