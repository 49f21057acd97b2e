# SPDX-License-Identifier: MIT
"""The report's tables, as text ready for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.config.published import Published
from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, capital, metric_name, treatment_name
from mcrage.report.numbers import count, difference, interval, number, p_value
from mcrage.report.results import Results
from mcrage.statistics.paired import corrected_interval

OVERALL_METRICS = ("accuracy", "f1", "balanced_accuracy", "auroc", "auprc", "brier")
SUBGROUP_METRICS = (
    "accuracy", "f1", "balanced_accuracy", "auroc", "auprc", "brier",
    "true_positive_rate", "false_positive_rate", "selection_rate",
    "calibration_in_the_large", "calibration_slope", "debiased_calibration_error",
)  # fmt: skip
FEW_ROWS = 30
MAX_COLUMNS = 8


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes
    ----------
    text, small : str
        The number, and what stands smaller below it.
    published : str
        The paper's value, or empty.
    kind : str
        A word for its looks: "", "better", "worse", "changed", "unclear" or "undefined", with
        " few" when fewer than 30 test rows are behind it.
    """

    text: str
    small: str = ""
    published: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with one row per treatment, or per subgroup where there are many.

    Attributes
    ----------
    first : str
        What the rows are, for the head of their names; empty: what the page says.
    note : str
        How to read this one, above it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    first: str = ""
    note: str = ""

    def upright(self) -> "Table":
        """Return it with more rows than columns: long tables scroll down, not aside."""
        if len(self.columns) <= MAX_COLUMNS:
            return self
        names = tuple(name for name, _ in self.rows)
        entries = zip(*(entries for _, entries in self.rows), strict=True)
        return Table(
            *(self.title, names, tuple(zip(self.columns, entries, strict=True))),
            first="Subgroup",
            note=self.note,
        )


def mean_entry(values: np.ndarray, support: float, test_to_train: float) -> Entry:
    """Return mean ± sd over replicates, and the 95 % interval of the mean.

    Parameters
    ----------
    values : ndarray of float, shape (k,)
        One per replicate.
    support : float
        Mean number of test rows.
    test_to_train : float
        For the correction of Nadeau and Bengio: replicates resample the same rows.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    few = " few" if support < FEW_ROWS else ""
    if not len(known):
        return Entry(f"undefined (n = {count(support)})", kind=f"undefined{few}")
    if len(known) == 1:
        return Entry(number(float(known[0])), "one replicate", kind=few.strip())
    low, high, _ = corrected_interval(known, test_to_train)
    small = interval(low, high)
    if len(known) < len(values):
        small += f", {len(known)} of {len(values)} replicates"
    text = f"{number(float(known.mean()))} ± {number(float(known.std(ddof=1)))}"
    return Entry(text, small, kind=few.strip())


def overall_table(
    results: Results, test_to_train: float, published: Sequence[Published] = ()
) -> Table:
    """Return Table 1: every treatment by the metrics for everyone, the paper's values beside.

    Parameters
    ----------
    results : Results
    test_to_train : float
    published : sequence of Published
        Only those that apply are used.
    """
    papers = [
        paper
        for paper in published
        if paper.applies_to(results.dataset, results.scenario, results.classifier)
    ]
    metrics = [m for m in OVERALL_METRICS if any(k[1:] == (EVERYONE, m) for k in results.values)]
    rows = []
    for treatment in results.treatments:
        entries = []
        for metric in metrics:
            entry = _mean(results, treatment, EVERYONE, metric, test_to_train)
            told = [
                f"{paper.name if len(papers) > 1 else 'paper'}: {value}"
                for paper in papers
                if (value := paper.beside(treatment, metric)) is not None
            ]
            entries.append(Entry(entry.text, entry.small, ", ".join(told), entry.kind))
        rows.append((treatment_name(treatment), tuple(entries)))
    columns = tuple(
        capital(metric_name(metric)) + (" (lower is better)" if metric == "brier" else "")
        for metric in metrics
    )
    return Table("For everyone", columns, tuple(rows))


def subgroup_tables(results: Results, test_to_train: float) -> list[Table]:
    """Return a table per metric, with a column per subgroup."""
    tables = []
    for metric in SUBGROUP_METRICS:
        who = [s for s in results.subgroups if (s, metric) in results.support]
        if not who:
            continue
        columns = tuple(
            f"{capital(results.subgroups[s])} (n = {count(results.support[s, metric])})"
            for s in who
        )
        rows = tuple(
            (
                treatment_name(treatment),
                tuple(_mean(results, treatment, s, metric, test_to_train) for s in who),
            )
            for treatment in results.treatments
        )
        tables.append(Table(capital(metric_name(metric)), columns, rows).upright())
    return tables


def difference_tables(results: Results, baseline: str) -> list[Table]:
    """Return a table per metric with the differences to a baseline, a column per subgroup."""
    tables = []
    for metric in dict.fromkeys((*OVERALL_METRICS, *SUBGROUP_METRICS)):
        who = {
            subgroup: words
            for subgroup, words in results.who.items()
            if any(
                (baseline, t, subgroup, metric) in results.differences for t in results.treatments
            )
        }
        if not who:
            continue
        rows = tuple(
            (
                treatment_name(treatment),
                tuple(
                    difference_entry(
                        results.differences.get((baseline, treatment, subgroup, metric)),
                        results.support.get((subgroup, metric), float("nan")),
                    )
                    for subgroup in who
                ),
            )
            for treatment in results.treatments
            if treatment != baseline
        )
        columns = tuple(
            f"{capital(words)} (n = {count(results.support[subgroup, metric])})"
            for subgroup, words in who.items()
        )
        tables.append(Table(capital(metric_name(metric)), columns, rows).upright())
    return tables


def difference_entry(row: Mapping | None, support: float, *, with_tests: bool = True) -> Entry:
    """Return one difference with its interval; below it p after Holm's correction and more."""
    few = " few" if support < FEW_ROWS else ""
    if row is None or row["mean_difference"] != row["mean_difference"]:
        return Entry(f"undefined (n = {count(support)})", kind=f"undefined{few}")
    text = difference(row["mean_difference"], row["ci_low"], row["ci_high"])
    if not has_interval(row):
        return Entry(text, "one replicate: no interval", kind=f"unclear{few}")
    if not with_tests:
        return Entry(text, kind=f"{verdict(row)}{few}")
    small = f"{p_value(row['p_adjusted'])} adjusted{detectable(row)}"
    return Entry(text, small, kind=f"{verdict(row)}{few}")


def detectable(row: Mapping) -> str:
    """Return the smallest detectable difference of a comparison, to stand behind it, if any."""
    found = row.get("detectable_difference", float("nan"))
    return f"; detectable {number(found)}" if found == found else ""


def _mean(
    results: Results, treatment: str, subgroup: str, metric: str, test_to_train: float
) -> Entry:
    values = results.values.get((treatment, subgroup, metric), np.array([]))
    support = results.support.get((subgroup, metric), float("nan"))
    return mean_entry(values, support, test_to_train)
