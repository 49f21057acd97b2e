# SPDX-License-Identifier: MIT
"""The report's section about several datasets: ranks, where there are enough of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.figures.ranks import NOTHING_RANKED
from mcrage.figures.words import capital, metric_name, treatment_name
from mcrage.metrics.names import FEWEST_DATASETS
from mcrage.metrics.rules import decided_by
from mcrage.report.numbers import listing, number, p_value
from mcrage.report.tables import Entry, Table
from mcrage.statistics.paired import ALPHA
from mcrage.statistics.ranking import Ranking, rank_by_rule

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Across:
    """What several datasets say together, for one scenario, classifier and threshold.

    Attributes
    ----------
    scenario, classifier, threshold : str
    headline : str
    sentences : list of str
    table : Table or None
        Mean ranks; None where there are too few datasets.
    """

    scenario: str
    classifier: str
    threshold: str
    headline: str
    sentences: list[str]
    table: Table | None


def across_sections(summary: "pd.DataFrame", settings: Mapping[str, Any]) -> list[Across]:
    """Return a section for each scenario, classifier and threshold with two datasets or more.

    Parameters
    ----------
    summary : DataFrame
        results/summary.parquet.
    settings : mapping
        ``treatments``: those that are ranked, empty where there are too few datasets; ``control``;
        ``thresholds``, the rules for decisions. What is of scores alone is told by the first.
    """
    n = summary["dataset"].nunique()
    if n < 2:
        return []
    if n < FEWEST_DATASETS or not settings["treatments"]:
        told = f"{n} datasets: intervals for each dataset, and no ranks, which need "
        told += f"{FEWEST_DATASETS} datasets and three treatments that a user has."
        return [Across("", "", "", "", [told], None)]
    out = []
    rules = settings["thresholds"]
    for (scenario, classifier), own in summary.groupby(["scenario", "classifier"], sort=False):
        names = ", ".join(map(treatment_name, (scenario, classifier)))
        for rule in rules:
            rankings = rank_by_rule(
                own, settings["treatments"], settings["control"], rule, leads=rule == rules[0]
            )
            out.append(
                Across(
                    scenario,
                    classifier,
                    rule,
                    f"{capital(names)}, {decided_by(rule)}",
                    _sentences(rankings) if rankings else [NOTHING_RANKED],
                    _table(rankings) if rankings else None,
                )
            )
    return out


def _sentences(rankings: Mapping[str, Ranking]) -> list[str]:
    out = []
    for metric, ranking in rankings.items():
        place = ranking.names.index(ranking.control)
        better, worse = (
            [
                f"{treatment_name(ranking.names[k])} (mean rank {number(ranking.mean_ranks[k], 1)})"
                for k in np.flatnonzero(ranking.different & chosen)
            ]
            for chosen in (
                ranking.mean_ranks < ranking.mean_ranks[place],
                ranking.mean_ranks > ranking.mean_ranks[place],
            )
        )
        control = f"“{treatment_name(ranking.control)}” ({number(ranking.mean_ranks[place], 1)})"
        told = [f"better than {control}: {listing(better)}"] if better else []
        told += [f"worse than {control}: {listing(worse)}"] if worse else []
        found = "; ".join(told) or f"no treatment could be shown to differ from {control}"
        if ranking.least_p_value >= ALPHA:
            found = (
                f"whatever the ranks, so few datasets can show no treatment to differ (least "
                f"adjusted p-value of Wilcoxon's test: {number(ranking.least_p_value, 2)})"
            )
        out.append(
            f"{capital(metric_name(metric))}, {len(ranking.ranks)} datasets (Friedman "
            f"{p_value(ranking.p_value)}): {found}."
        )
    return out


def _table(rankings: Mapping[str, Ranking]) -> Table:
    names: Sequence[str] = next(iter(rankings.values())).names
    rows = []
    for number_, name in enumerate(names):
        entries = []
        for ranking in rankings.values():
            small = "control"
            if name != ranking.control:
                small = f"{p_value(float(ranking.p_adjusted[number_]))} adjusted"
            entries.append(Entry(number(float(ranking.mean_ranks[number_]), 2), small))
        rows.append((treatment_name(name), tuple(entries)))
    return Table("Mean ranks", tuple(capital(metric_name(m)) for m in rankings), tuple(rows))
