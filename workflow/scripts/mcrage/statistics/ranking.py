# SPDX-License-Identifier: MIT
"""Treatments ranked over datasets: for five or more, fewer say nothing about others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mcrage.metrics.names import (
    ALL,
    FEWEST_DATASETS,
    FEWEST_TREATMENTS,
    LOWER_IS_BETTER,
    OVERALL,
    is_of_attribute,
    is_of_scores,
)
from mcrage.metrics.rules import HALF, LIKELIEST
from mcrage.statistics.paired import ALPHA, holm

if TYPE_CHECKING:
    import pandas as pd

RANKED = (
    *("auroc", "balanced_accuracy", "brier"),
    *("worst_group_auroc", "worst_auroc_difference", "worst_equalised_odds_difference"),
)
"""Metrics of everyone, and of the subgroups of all sensitive attributes together."""


@dataclass(frozen=True)
class Ranking:
    """What a critical-difference figure shows.

    Attributes
    ----------
    names : tuple of str
        Treatments.
    ranks : ndarray of float64, shape (n_datasets, T)
        1 is best; ties share their ranks.
    mean_ranks : ndarray of float64, shape (T,)
    p_value : float
        Friedman's test that all treatments are alike.
    control : str
    p_values, p_adjusted : ndarray of float64, shape (T,)
        Wilcoxon's signed-rank test of each treatment against the control, and after Holm's
        correction; NaN for the control itself, 1 where no dataset differs.
    different : ndarray of bool, shape (T,)
        Whether a treatment differs from the control at 5 %, and Friedman's test allows to ask.
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    mean_ranks: np.ndarray
    p_value: float
    control: str
    p_values: np.ndarray
    p_adjusted: np.ndarray
    different: np.ndarray

    @property
    def critical_difference(self) -> float:
        """The least difference of mean ranks to the control at 5 % (Bonferroni-Dunn)."""
        n, t = self.ranks.shape
        return float(stats.norm.ppf(1 - ALPHA / (2 * (t - 1))) * np.sqrt(t * (t + 1) / (6 * n)))

    @property
    def least_p_value(self) -> float:
        """The least adjusted p-value that so few datasets can give, were all on one side.

        Of n signed ranks all of one sign have a chance of 2/2ⁿ, and Holm's correction counts the
        treatments.
        """
        n, t = self.ranks.shape
        return min(1.0, (t - 1) * 2.0 ** (1 - n))


def rank_by_rule(
    summary: "pd.DataFrame", treatments: Sequence[str], control: str, rule: str, *, leads: bool
) -> dict[str, Ranking]:
    """Rank treatments over the datasets of a scenario, where decisions are made by one rule.

    Parameters
    ----------
    summary : DataFrame
        Rows of results/summary.parquet of one scenario and classifier.
    treatments, control
        See `rank_all`.
    rule : str
        Of `mcrage.metrics.rules.RULES`.
    leads : bool
        Whether it is the experiment's first one: metrics of scores, which are the same by every
        rule, are ranked by it alone.
    """
    decided = summary["threshold"].replace(LIKELIEST, HALF) == rule
    metrics = [name for name in RANKED if leads or not is_of_scores(name)]
    return rank_all(summary[decided], treatments, control, metrics)


def rank_all(
    summary: "pd.DataFrame",
    treatments: Sequence[str],
    control: str,
    metrics: Sequence[str] = RANKED,
) -> dict[str, Ranking]:
    """Rank treatments over the datasets of a scenario, by each metric.

    Parameters
    ----------
    summary : DataFrame
        Rows of results/summary.parquet of one scenario, classifier and threshold.
    treatments : sequence of str
        Those that no user has left out.
    control : str
        One of them.
    metrics : sequence of str

    Returns
    -------
    dict of str to Ranking
        By metric; without those that cannot be ranked.
    """
    out = {}
    whole = summary[(summary["subgroup"] == ALL) & summary["treatment"].isin(treatments)]
    together = {
        dataset: max(
            (name for name in own["attribute"].unique() if name != OVERALL),
            key=lambda name: name.count("*"),
            default=None,
        )
        for dataset, own in whole.groupby("dataset", sort=False)
    }
    for metric in metrics:
        own = whole[whole["metric"] == metric]
        wanted = own["dataset"].map(together) if is_of_attribute(metric) else OVERALL
        table = own[own["attribute"] == wanted].pivot_table(
            index="dataset", columns="treatment", values="mean", dropna=False, sort=False
        )
        values = table.reindex(columns=list(treatments)).to_numpy(dtype=np.float64)
        found = rank(values, tuple(treatments), control, lower_is_better=metric in LOWER_IS_BETTER)
        if found is not None:
            out[metric] = found
    return out


def rank(
    values: np.ndarray, names: tuple[str, ...], control: str, *, lower_is_better: bool = False
) -> Ranking | None:
    """Rank treatments by their values on several datasets (Demšar 2006).

    Parameters
    ----------
    values : ndarray of float64, shape (n_datasets, T)
        Means over replicates; datasets with a NaN are left out.
    names : tuple of str
    control : str
        One of `names`.
    lower_is_better : bool

    Returns
    -------
    Ranking or None
        None with fewer than `FEWEST_DATASETS` datasets or `FEWEST_TREATMENTS` treatments.
    """
    known = values[~np.isnan(values).any(axis=1)]
    if len(known) < FEWEST_DATASETS or len(names) < FEWEST_TREATMENTS:
        return None
    better = known if lower_is_better else -known
    ranks = stats.rankdata(better, axis=1)
    alike = (ranks == ranks[:, :1]).all()
    p_value = 1.0 if alike else float(stats.friedmanchisquare(*known.T).pvalue)
    place = names.index(control)
    p_values = np.full(len(names), np.nan)
    for number in range(len(names)):
        if number != place:
            difference = known[:, number] - known[:, place]
            p_values[number] = (
                stats.wilcoxon(difference, zero_method="pratt").pvalue if difference.any() else 1.0
            )
    adjusted = holm(p_values)
    with np.errstate(invalid="ignore"):
        different = (adjusted < 0.05) & (p_value < 0.05)
    return Ranking(
        names, ranks, ranks.mean(axis=0), p_value, control, p_values, adjusted, different
    )
