# SPDX-License-Identifier: MIT
"""Each subgroup against the declared reference: the signed family of gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.figures.words import attribute_words, capital, subgroup_words, treatment_name
from mcrage.metrics.names import AGAINST
from mcrage.report.fairness import caution_of, with_change
from mcrage.report.numbers import count
from mcrage.report.results import Results
from mcrage.report.tables import Entry, Table, mean_entry
from mcrage.statistics.paired import corrected_interval, ratio_of

if TYPE_CHECKING:
    import pandas as pd

SIGNED = {
    "signed_statistical_parity_difference": "Statistical parity difference, {own} − {reference}",
    "signed_disparate_impact": "Disparate impact, {own} ÷ {reference}",
    "signed_equal_opportunity_difference": "Equal opportunity difference, {own} − {reference}",
    "signed_average_odds_difference": "Average odds difference, {own} − {reference}",
    "absolute_average_odds_difference": "Absolute average odds difference (lower is better)",
    "absolute_equalised_odds_difference": "Equalised odds difference, absolute (lower is better)",
    "btgan_parity_gap": "Parity gap with Bt-GAN's sign, {reference} − {own}",
    "btgan_auroc_gap": "AUROC gap with Bt-GAN's sign, {reference} − {own}",
}
"""Metrics, and the heads of their columns."""
MOST_PAIRS = 10
"""Of an attribute that are shown."""


@dataclass(frozen=True)
class SignedGaps:
    """The subgroups of one attribute against its reference.

    Attributes
    ----------
    title : str
    tables : list of Table
        One for each other subgroup, a row per treatment.
    left_out : str
        Which subgroups have no table; empty where all have one.
    """

    title: str
    tables: list[Table]
    left_out: str = ""


def signed_tables(results: Results, baseline: str | None, test_to_train: float) -> list[SignedGaps]:
    """Return the signed gaps of each attribute, and of all of them together.

    Parameters
    ----------
    results : Results
    baseline : str or None
        What changes are told against.
    test_to_train : float
        See `mcrage.report.tables.mean_entry`.

    Returns
    -------
    list of SignedGaps
        Each entry has the mean over replicates with its interval, and the change against the
        baseline with its own. The numbers of rows in the heads are those of the smaller of the two
        subgroups that a rate is of.
    """
    words, of_subgroups = attribute_words(results.roles), subgroup_words(results.roles)
    by_attribute: dict[str, list[str]] = {}
    for pair, attribute in results.pair_attributes.items():
        by_attribute.setdefault(attribute, []).append(pair)
    out = []
    for attribute, pairs in by_attribute.items():
        shown = _largest(results, pairs)
        tables = []
        for pair in shown:
            own, reference = (of_subgroups.get(who, who) for who in pair.split(AGAINST, 1))
            tables.append(_table(results, baseline, test_to_train, pair, own, reference))
        title = f"{capital(words.get(attribute, attribute))}: against {reference}"
        left_out = ""
        if len(shown) < len(pairs):
            left_out = (
                f"The {len(shown)} of {len(pairs)} subgroups with the most test rows; all are in "
                "signed_gaps.csv below."
            )
        out.append(SignedGaps(title, tables, left_out))
    return out


def _largest(results: Results, pairs: Sequence[str]) -> list[str]:
    """Return the pairs with the most rows, in their own order."""
    rows = {pair: results.pair_support.get((pair, "btgan_auroc_gap"), 0.0) for pair in pairs}
    kept = sorted(pairs, key=lambda pair: -rows[pair])[:MOST_PAIRS]
    return [pair for pair in pairs if pair in kept]


def _table(
    results: Results,
    baseline: str | None,
    test_to_train: float,
    pair: str,
    own: str,
    reference: str,
) -> Table:
    metrics = [metric for metric in SIGNED if (pair, metric) in results.pair_support]
    # "men, Black" is one subgroup.
    named = {
        key: f"({words})" if ", " in words else words
        for key, words in (("own", own), ("reference", reference))
    }
    columns = tuple(
        f"{SIGNED[metric].format(**named)} (n = {count(results.pair_support[pair, metric])})"
        for metric in metrics
    )
    rows = tuple(
        (
            treatment_name(name),
            tuple(_entry(results, baseline, test_to_train, name, pair, m) for m in metrics),
        )
        for name in results.treatments
    )
    return Table(f"{capital(own)} against {reference}, the reference", columns, rows)


def _entry(
    results: Results,
    baseline: str | None,
    test_to_train: float,
    treatment: str,
    pair: str,
    metric: str,
) -> Entry:
    row = results.pair_differences.get((baseline, treatment, pair, metric))
    values = results.pairs.get((treatment, pair, metric), np.array([]))
    entry = mean_entry(values, results.pair_support[pair, metric], test_to_train)
    if entry.kind.startswith("undefined"):
        return entry
    return with_change(entry, row, caution_of(results, row, treatment, metric))


def signed_frame(sections: Sequence[Results], test_to_train: Mapping[str, float]) -> "pd.DataFrame":
    """Return the signed gaps of all sections as one table, to download.

    Parameters
    ----------
    sections : sequence of Results
    test_to_train : mapping of str to float
        See `mcrage.statistics.paired.ratio_of`.

    Returns
    -------
    DataFrame
        dataset, scenario, classifier, threshold, attribute, subgroup, reference, metric, treatment,
        n_replicates (with a defined value), mean, ci_low, ci_high, support, baseline (the first),
        and against it change, change_low and change_high; what is against others is in
        results/comparisons.parquet. Undefined is NaN, with its support.
    """
    import pandas as pd

    rows = []
    for results in sections:
        ratio = ratio_of(test_to_train, results.dataset, results.scenario)
        first = next(iter(results.baselines), None)
        for (treatment, pair, metric), values in results.pairs.items():
            if metric not in SIGNED:
                continue
            own, _, reference = pair.partition(AGAINST)
            known = values[np.isfinite(values)]
            low, high, _ = corrected_interval(known, ratio)
            change = results.pair_differences.get((first, treatment, pair, metric), {})
            rows.append(
                {
                    **{"dataset": results.dataset, "scenario": results.scenario},
                    **{"classifier": results.classifier, "threshold": results.threshold},
                    **{"attribute": results.pair_attributes[pair], "subgroup": own},
                    **{"reference": reference, "metric": metric, "treatment": treatment},
                    **{"n_replicates": len(known)},
                    **{"mean": known.mean() if len(known) else np.nan},
                    **{"ci_low": low, "ci_high": high},
                    **{"support": results.pair_support[pair, metric], "baseline": first},
                    **{"change": change.get("mean_difference", np.nan)},
                    **{"change_low": change.get("ci_low", np.nan)},
                    **{"change_high": change.get("ci_high", np.nan)},
                }
            )
    return pd.DataFrame(rows)
