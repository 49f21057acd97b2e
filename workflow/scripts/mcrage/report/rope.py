# SPDX-License-Identifier: MIT
"""Whether a difference is large enough to matter: verdicts by the region of practical equivalence.

The margins were declared before the run (`margins` in the config). The probabilities are those of
the correlated Bayesian t-test; see `mcrage.statistics.paired.Paired.rope`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mcrage.figures.words import (
    EVERYONE,
    LOWER_IS_BETTER,
    NO_DIRECTION,
    attribute_words,
    capital,
    metric_name,
    treatment_name,
)
from mcrage.report.answer import LEADING_METRIC
from mcrage.report.fairness import GAPS
from mcrage.report.numbers import count, number
from mcrage.report.results import Results
from mcrage.report.tables import FEW_ROWS, OVERALL_METRICS, Entry, Table

SURE = 0.95
"""The probability from which on there is a verdict."""


def rope_tables(results: Results, baseline: str) -> list[Table]:
    """Return the verdicts on differences to a baseline: everyone, subgroups, gaps.

    Parameters
    ----------
    results : Results
    baseline : str

    Returns
    -------
    list of Table
        Empty with one replicate, which gives no probability.
    """
    names = [name for name in results.treatments if name != baseline]

    def table(title: str, cells: Mapping[tuple[str, str], str], of_gaps: bool) -> Table:
        found = results.gap_differences if of_gaps else results.differences
        told = {
            (name, *cell): found.get((baseline, name, *cell)) for name in names for cell in cells
        }
        margins = {
            cell: row["margin"] for name in names for cell in cells if (row := told[name, *cell])
        }
        alike = len(set(margins.values())) == 1
        heads = [
            words if alike or cell not in margins else f"{words} (±{number(margins[cell])})"
            for cell, words in cells.items()
        ]
        note = f"Margin: ±{number(next(iter(margins.values())))}." if alike else ""
        rows = tuple(
            (
                treatment_name(name),
                tuple(
                    _entry(told[name, *cell], np.inf if of_gaps else results.support.get(cell, 0))
                    for cell in cells
                ),
            )
            for name in names
        )
        return Table(title, tuple(heads), rows, note=note).upright()

    everyone = {
        (EVERYONE, metric): capital(metric_name(metric))
        for metric in OVERALL_METRICS
        if (EVERYONE, metric) in results.support
    }
    leading = {
        (
            who,
            LEADING_METRIC,
        ): f"{capital(words)} (n = {count(results.support[who, LEADING_METRIC])})"
        for who, words in results.subgroups.items()
        if (who, LEADING_METRIC) in results.support
    }
    tables = [table("Everyone", everyone, False)]
    if leading:
        tables.append(table(f"{metric_name(LEADING_METRIC)} of subgroups", leading, False))
    words = attribute_words(results.roles)
    for attribute in dict.fromkeys(attribute for _, attribute, _ in results.gaps):
        cells = {
            (attribute, gap): capital(metric_name(gap))
            for gap in GAPS
            if any((name, attribute, gap) in results.gaps for name in names)
        }
        if cells:
            tables.append(table(f"Gaps by {words.get(attribute, attribute)}", cells, True))
    return [
        one
        for one in tables
        if any(not e.kind.startswith("undefined") for _, entries in one.rows for e in entries)
    ]


def rope_verdict(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a verdict, and the probabilities that it is taken from; both empty without any.

    Parameters
    ----------
    row : mapping
        Of comparisons.parquet.

    Returns
    -------
    verdict : str
        "better" or "worse" ("higher" or "lower", where neither side is better), "equivalent", or
        "undecided" where none of the three has a probability of `SURE`.
    told : str
    """
    lower, within, higher = (
        float(row[f"probability_{side}"]) for side in ("lower", "within", "higher")
    )
    if np.isnan(within):
        return "", ""
    metric = row["metric"]
    if metric in NO_DIRECTION:
        sides = {"higher": higher, "lower": lower}
    elif metric in LOWER_IS_BETTER:
        sides = {"better": lower, "worse": higher}
    else:
        sides = {"better": higher, "worse": lower}
    chances = {**sides, "equivalent": within}
    found = next((word for word, chance in chances.items() if chance >= SURE), "undecided")
    first, second = sides
    told = (
        f"{first} {_percent(sides[first])}, within {_percent(within)}, "
        f"{second} {_percent(sides[second])}"
    )
    return found, told


def _entry(row: Mapping[str, Any] | None, support: float) -> Entry:
    few = " few" if support < FEW_ROWS else ""
    verdict, told = rope_verdict(row) if row else ("", "")
    if not verdict:
        return Entry("undefined", kind=f"undefined{few}")
    kinds = {"undecided": "unclear", "equivalent": "equivalent", "higher": "changed"}
    kind = kinds | {"lower": "changed"}
    return Entry(capital(verdict), told, kind=kind.get(verdict, verdict) + few)


def _percent(chance: float) -> str:
    """Return a probability that is told as sure only where it is."""
    if 0 < chance < 0.01:
        return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%"
    if 0.99 < chance < 1:
        return ">\N{NO-BREAK SPACE}99\N{NO-BREAK SPACE}%"
    return f"{100 * chance:.0f}\N{NO-BREAK SPACE}%"
