# SPDX-License-Identifier: MIT
"""What the experiment could have found: the smallest detectable differences."""

from collections.abc import Iterable

import numpy as np

from mcrage.figures.words import capital, metric_name
from mcrage.report.fairness import GAPS
from mcrage.report.numbers import count, number
from mcrage.report.results import Results
from mcrage.report.tables import OVERALL_METRICS, Entry, Table


def detectable_tables(results: Results, baseline: str) -> list[Table]:
    """Return the smallest differences to a baseline that 80 of 100 such experiments would show.

    Parameters
    ----------
    results : Results
    baseline : str

    Returns
    -------
    list of Table
        Of metrics of everyone and of each subgroup, and of gaps; medians over treatments with
        their range below. Empty with one replicate.
    """
    names = [name for name in results.tested if name != baseline]
    metrics = [
        metric for metric in OVERALL_METRICS if any(m == metric for *_, m in results.differences)
    ]
    of_rows = [
        (
            f"{capital(words)} (n = {count(results.support.get((who, 'accuracy'), np.nan))})",
            tuple(
                _entry(results.differences.get((baseline, name, who, metric)) for name in names)
                for metric in metrics
            ),
        )
        for who, words in results.who.items()
    ]
    attributes = list(dict.fromkeys(attribute for _, attribute, _ in results.gaps))
    gaps = [gap for gap in GAPS if any(m == gap for *_, m in results.gap_differences)]
    of_gaps = [
        (
            attribute,
            tuple(
                _entry(
                    results.gap_differences.get((baseline, name, attribute, gap)) for name in names
                )
                for gap in gaps
            ),
        )
        for attribute in attributes
    ]
    tables = [
        Table("Metrics", tuple(capital(metric_name(m)) for m in metrics), tuple(of_rows), "Who"),
        Table("Gaps", tuple(capital(metric_name(m)) for m in gaps), tuple(of_gaps), "Attribute"),
    ]
    return [
        table
        for table in tables
        if any(entry.kind != "undefined" for _, entries in table.rows for entry in entries)
    ]


def _entry(rows: Iterable) -> Entry:
    found = np.array([row["detectable_difference"] for row in rows if row], dtype=np.float64)
    # Equal differences in all replicates are no measure of how they vary.
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        return Entry("undefined", kind="undefined")
    alone = len(found) == 1 or found.min() == found.max()
    small = "" if alone else f"{number(found.min())} to {number(found.max())}"
    return Entry(number(float(np.median(found))), small)
