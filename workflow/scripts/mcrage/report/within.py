# SPDX-License-Identifier: MIT
"""What the test rows of single replicates say: bootstrap intervals, DeLong, McNemar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.config.published import Published
from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, attribute_words, capital, metric_name, treatment_name
from mcrage.metrics.names import AGAINST, is_of_attribute
from mcrage.report.fairness import GAPS
from mcrage.report.numbers import count, difference, listing, p_value
from mcrage.report.results import Results
from mcrage.report.tables import FEW_ROWS, Entry, Table
from mcrage.statistics.exact import mcnemar

if TYPE_CHECKING:
    import pandas as pd

PAIR_METRICS = (
    "signed_statistical_parity_difference",
    "signed_disparate_impact",
    "signed_equal_opportunity_difference",
    "signed_average_odds_difference",
    "absolute_average_odds_difference",
    "absolute_equalised_odds_difference",
    "signed_auroc_difference",
)
METRICS = ("auroc", "accuracy", "balanced_accuracy", "f1", "brier")
_MOST_NAMED = 5
Key = tuple[str, str, str]
"""Treatment, subgroup (or of gaps between all of them the attribute), metric."""


@dataclass(frozen=True)
class Within:
    """The comparisons of one section with one baseline, within each replicate.

    Attributes
    ----------
    baseline : str
    replicate : int
        The one that is shown.
    shown : mapping of (treatment, subgroup, metric) to dict
        Rows of within_replicate.parquet of that replicate.
    every : mapping of (treatment, subgroup, metric) to list of dict
        Of all replicates.
    """

    baseline: str
    replicate: int
    shown: Mapping[Key, Mapping[str, Any]]
    every: Mapping[Key, Sequence[Mapping[str, Any]]]

    @classmethod
    def of(
        cls, table: "pd.DataFrame", results: Results, baseline: str, replicate: int
    ) -> "Within | None":
        """Take a section's rows of within_replicate.parquet; None if there are none."""
        own = table[
            (table["dataset"] == results.dataset)
            & (table["scenario"] == results.scenario)
            & (table["classifier"] == results.classifier)
            & (table["threshold"] == results.threshold)
            & (table["baseline"] == baseline)
        ]
        if own.empty:
            return None
        every: dict[Key, list[dict[str, Any]]] = {}
        for row in own.to_dict("records"):
            of_all = is_of_attribute(row["metric"]) and row["subgroup"] == EVERYONE
            who = row["attribute"] if of_all else row["subgroup"]
            every.setdefault((row["treatment"], who, row["metric"]), []).append(row)
        shown = {
            key: row for key, rows in every.items() for row in rows if row["replicate"] == replicate
        }
        return cls(baseline, replicate, shown, every)

    @property
    def n_replicates(self) -> int:
        """Number of replicates."""
        return max(map(len, self.every.values()))

    def disagreements(self, treatment: str) -> float:
        """Return the median share of test rows that just one of the two has right; NaN if none."""
        shares = [
            (row["rows_won"] + row["rows_lost"]) / row["support"]
            for row in self.every.get((treatment, EVERYONE, "accuracy"), ())
            if row["rows_won"] >= 0 and row["support"]
        ]
        return float(np.median(shares)) if shares else np.nan


def within_tables(within: Within, results: Results) -> list[Table]:
    """Return a table for everyone, a column per metric, and one per metric with the subgroups."""
    names = [name for name in results.treatments if name != within.baseline]
    everyone = Table(
        "Everyone",
        tuple(
            capital(metric_name(metric)) + (" (lower is better)" if metric == "brier" else "")
            for metric in METRICS
        ),
        tuple(
            (
                treatment_name(name),
                tuple(_entry(within, (name, EVERYONE, metric)) for metric in METRICS),
            )
            for name in names
        ),
    )
    tables = [everyone]
    for metric in METRICS:
        who = {
            subgroup: within.shown.get((names[0], subgroup, metric), {}).get("support", 0)
            for subgroup in results.subgroups
        }
        columns = tuple(
            f"{capital(results.subgroups[subgroup])} (n = {count(n)})"
            for subgroup, n in who.items()
        )
        rows = tuple(
            (treatment_name(name), tuple(_entry(within, (name, s, metric)) for s in who))
            for name in names
        )
        if columns:
            tables.append(Table(capital(metric_name(metric)), columns, rows).upright())
    return tables + _gap_tables(within, results, names)


def _gap_tables(within: Within, results: Results, names: Sequence[str]) -> list[Table]:
    """Return a table of gaps for each attribute, and of two subgroups one with signs."""
    words, of_subgroups = attribute_words(results.roles), results.who
    whole = dict.fromkeys(who for _, who, metric in within.shown if metric in GAPS)
    pairs = list(dict.fromkeys(who for _, who, metric in within.shown if metric in PAIR_METRICS))
    by_attribute: dict[str, list[str]] = {}
    for pair in pairs:
        of = within.shown[next(key for key in within.shown if key[1] == pair)]["attribute"]
        by_attribute.setdefault(of, []).append(pair)
    wanted = [(who, f"Gaps by {words.get(who, who)}", GAPS) for who in whole]
    for pair, *more in by_attribute.values():
        own, reference = (of_subgroups.get(who, who) for who in pair.split(AGAINST, 1))
        if not more:
            wanted.append((pair, f"{capital(own)} against {reference}", PAIR_METRICS))
    tables = []
    for who, title, metrics in wanted:
        shown = [m for m in metrics if any(key[1:] == (who, m) for key in within.shown)]
        columns = tuple(
            f"{capital(metric_name(metric))} "
            f"(n = {count(within.shown[names[0], who, metric]['support'])})"
            for metric in shown
        )
        rows = tuple(
            (treatment_name(name), tuple(_entry(within, (name, who, m)) for m in shown))
            for name in names
        )
        tables.append(Table(title, columns, rows))
    return tables


def _entry(within: Within, key: Key) -> Entry:
    row = within.shown.get(key)
    if row is None or np.isnan(row["difference"]):
        return Entry(
            f"undefined (n = {count((row or {}).get('support', np.nan))})", kind="undefined"
        )
    told = [_tested(row, treatment_name(within.baseline))] if row["test"] else []
    rows = [one for one in within.every[key] if has_interval(one)]
    if len(rows) > 1:
        out = sum(verdict(one) != "unclear" for one in rows)
        told.append(f"leaves out 0 in {out} of {len(rows)} replicates")
    few = " few" if row["support"] < FEW_ROWS else ""
    return Entry(
        difference(row["difference"], row["ci_low"], row["ci_high"]),
        "; ".join(part for part in told if part),
        kind=verdict(row) + few,
    )


def _tested(row: Mapping[str, Any], baseline: str) -> str:
    p = p_value(row["p_value"])
    tested = f"{p}, {row['test']}" if p else ""
    if row["rows_won"] < 0:
        return tested
    rows = f"right for {count(row['rows_won'])} that {baseline} has wrong, wrong for "
    rows += f"{count(row['rows_lost'])} that it has right"
    return f"{rows} ({tested})" if tested else rows


def within_sentences(within: Within, results: Results) -> list[str]:
    """Return what can be said where there is one replicate, which has no other interval."""
    if within.n_replicates > 1:
        return []
    parts = []
    for name in results.tested[:_MOST_NAMED]:
        ranked = within.shown.get((name, EVERYONE, "auroc"))
        decided = within.shown.get((name, EVERYONE, "accuracy"))
        if not ranked or not decided or name == within.baseline:
            continue
        told = difference(ranked["difference"], ranked["ci_low"], ranked["ci_high"])
        tested = f" ({p_value(ranked['p_value'])})" if p_value(ranked["p_value"]) else ""
        rows = _tested(decided, treatment_name(within.baseline))
        parts.append(f"{treatment_name(name)} AUROC {told}{tested}, {rows}".strip(", "))
    if not parts:
        return []
    n = next(iter(within.shown.values()))["support"]
    return [
        f"On the {count(n)} test rows of this one replicate, against "
        f"“{treatment_name(within.baseline)}”: {'; '.join(parts)}. These intervals and tests say "
        "what other test rows would have given to the same trained classifiers, and nothing of "
        "another split, training or seed."
    ]


def paper_sentences(within: Within, papers: Sequence[Published]) -> list[str]:
    """Return how far differences of a paper's single split could be chance.

    A paper that prints accuracies on one test set tells how many rows a treatment has right more
    than its baseline, and not on how many the two disagree. That is taken from our replicates.
    """
    out = []
    for paper in papers:
        base = next((row for row in paper.rows if within.baseline in row.treatments), None)
        if base is None or "accuracy" not in base.values:
            continue
        told = []
        for row in paper.rows:
            names = [
                name for name in row.treatments if (name, EVERYONE, "accuracy") in within.every
            ]
            if row is base or not names or "accuracy" not in row.values:
                continue
            away = float(row.values["accuracy"]) - float(base.values["accuracy"])
            net = round(away * paper.n_test)
            share = within.disagreements(names[0])
            if np.isnan(share):
                continue
            # As many as there must be, and of the same parity.
            apart = max(abs(net), round(share * paper.n_test))
            apart += (apart - net) % 2
            p = float(mcnemar((apart + net) // 2, (apart - net) // 2).p_value)
            sign = "more" if net >= 0 else "fewer"
            told.append(
                f"{row.printed} {count(abs(net))} {sign} (they disagree about {count(apart)}, as "
                f"{treatment_name(names[0])} does here: {p_value(p)})"
            )
        if told:
            out.append(
                f"The paper ({paper.name}) judges {count(paper.n_test)} rows once. Against "
                f"{base.printed}, right are by {listing(told)}. McNemar's test of such numbers, "
                "which takes the training for given, so that chance has more say than this."
            )
    return out
