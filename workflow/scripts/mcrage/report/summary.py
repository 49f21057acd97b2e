# SPDX-License-Identifier: MIT
"""The short text that `make` prints at the end."""

import math

from mcrage.figures.differences import verdict
from mcrage.figures.words import EVERYONE, is_intersection, metric_name, treatment_name
from mcrage.report.answer import ONE_REPLICATE, headline
from mcrage.report.many_outcomes import short_note
from mcrage.report.numbers import count, number, signed
from mcrage.report.results import Results

_MAX_SUBGROUPS = 6
_MARKS = {"better": "*", "worse": "*", "changed": "*", "unclear": " "}


def summary_text(sections: list[Results], report: str) -> str:
    """Return a plain table per section: means, and differences to the first baseline.

    Parameters
    ----------
    sections : list of Results
        See `mcrage.report.results.split_results`.
    report : str
        Path of the report, named in the first line.

    Returns
    -------
    str
        Ends in a line break.
    """
    lines = [f"Report: {report}", ""]
    for results in sections:
        lines += [headline(results), ""]
        lines += _table(results)
        if told := short_note(results.roles.target):
            lines.append(told)
        lines.append("")
    compared = [results for results in sections if results.baselines]
    if any(results.n_replicates > 1 for results in compared):
        lines.append("In parentheses: difference to the baseline; *: its 95 % interval excludes 0.")
    elif compared:
        lines.append(f"In parentheses: difference to the baseline. {ONE_REPLICATE}")
    return "\n".join(lines) + "\n"


def _table(results: Results) -> list[str]:
    baseline = results.baselines[0] if results.baselines else None
    columns = [(EVERYONE, metric) for metric in ("accuracy", "f1", "auroc")]
    # A line of a terminal; the report has them all.
    shown = list(results.subgroups)
    if len(shown) > _MAX_SUBGROUPS:
        shown = [subgroup for subgroup in shown if not is_intersection(subgroup)]
    columns += [(subgroup, "auroc") for subgroup in shown[:_MAX_SUBGROUPS]]
    heads = [
        metric_name(metric) + ("" if who == EVERYONE else f", {results.subgroups[who]}")
        for who, metric in columns
    ]
    rows = [["treatment", *heads]]
    for treatment in results.treatments:
        texts = [treatment_name(treatment)]
        for who, metric in columns:
            texts.append(_entry(results, treatment, baseline, who, metric))
        rows.append(texts)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    if baseline:
        lines.append(f"baseline: {treatment_name(baseline)}")
    return lines


def _entry(results: Results, treatment: str, baseline: str | None, who: str, metric: str) -> str:
    values = [v for v in results.values.get((treatment, who, metric), ()) if not math.isnan(v)]
    if not values:
        return f"undefined (n = {count(results.support.get((who, metric), math.nan))})"
    text = number(sum(values) / len(values))
    row = results.differences.get((baseline, treatment, who, metric)) if baseline else None
    if row is None or math.isnan(row["mean_difference"]):
        return text
    return f"{text} ({signed(row['mean_difference'])}{_MARKS[verdict(row)]})"
