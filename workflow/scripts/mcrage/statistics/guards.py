# SPDX-License-Identifier: MIT
"""Warnings beside comparisons: a gap that closed may be no good news."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mcrage.metrics.names import AGAINST, ALL, LOWER_IS_BETTER, OVERALL

USELESS, LEVELLED = "fair because useless", "levelled down"
UTILITIES = ("auroc", "balanced_accuracy")
"""Of everyone; falls in either make a smaller gap suspect."""
GAP_OF = {
    "worst_auroc_difference": "auroc",
    "worst_accuracy_difference": "accuracy",
    "worst_equal_opportunity_difference": "true_positive_rate",
}
"""Gaps in what every subgroup wants more of, and the metric that they are gaps of."""

_RUN = ["dataset", "scenario", "classifier", "threshold"]
_PAIR = [*_RUN, "treatment", "baseline"]


def cautions(comparisons: pd.DataFrame, means: pd.DataFrame, *, utility_loss: float) -> np.ndarray:
    """Return a warning for each comparison, empty for most.

    "fair because useless": a gap shrank, while AUROC or balanced accuracy of everyone fell by more
    than `utility_loss`: who tells nobody apart treats all alike. "levelled down": a gap closed more
    by the loss of the subgroup that was best off than by the gain of the one that was worst off
    (see `levelling`).

    Parameters
    ----------
    comparisons : DataFrame
        Of `mcrage.statistics.summary.compare`.
    means : DataFrame
        Of `mcrage.statistics.summary.summarise`.
    utility_loss : float

    Returns
    -------
    ndarray of object, shape (len(comparisons),)
    """
    out = np.full(len(comparisons), "", dtype=object)
    closed = (
        comparisons["metric"].isin([name for name in LOWER_IS_BETTER if _is_closing(name)])
        & (comparisons["subgroup"] == ALL)
        & (comparisons["attribute"] != OVERALL)
        & (comparisons["mean_difference"] < 0)
    ).to_numpy()
    if not closed.any():
        return out
    levelled = levelling(comparisons, means)
    flagged = levelled[levelled["levelled_down"]]
    places = pd.MultiIndex.from_frame(comparisons[[*_PAIR, "attribute", "metric"]])
    down = places.isin(pd.MultiIndex.from_frame(flagged[[*_PAIR, "attribute", "metric"]]))
    out[closed & down] = LEVELLED
    everyone = comparisons[
        (comparisons["attribute"] == OVERALL) & comparisons["metric"].isin(UTILITIES)
    ]
    worse = everyone[everyone["mean_difference"] < -utility_loss]
    useless = pd.MultiIndex.from_frame(comparisons[_PAIR]).isin(
        pd.MultiIndex.from_frame(worse[_PAIR])
    )
    out[closed & useless] = USELESS
    return out


def levelling(
    comparisons: pd.DataFrame, means: pd.DataFrame, metrics: Sequence[str] = tuple(GAP_OF)
) -> pd.DataFrame:
    """Tell for each gap who changed: the subgroup that the baseline serves best, or worst.

    Parameters
    ----------
    comparisons, means : DataFrame
        See `cautions`.
    metrics : sequence of str
        Gaps, keys of `GAP_OF`.

    Returns
    -------
    DataFrame
        dataset, scenario, classifier, threshold, treatment, baseline, attribute, metric (the gap),
        gap (mean difference of it), best_off and worst_off (subgroups under the baseline, by means
        over replicates), and for each of them its change with interval: best_change, best_low,
        best_high, worst_change, worst_low, worst_high. ``levelled_down``: the gap shrank, the best
        off lost, and lost more than the worst off gained.
    """
    own = means[
        means["metric"].isin([GAP_OF[name] for name in metrics])
        & (means["attribute"] != OVERALL)
        & ~means["subgroup"].str.contains(AGAINST, regex=False)
    ].dropna(subset="mean")
    keys = [*_RUN, "treatment", "attribute", "metric"]
    ordered = own.sort_values("mean", kind="stable")
    ends = ordered.groupby(keys, sort=False)["subgroup"].agg(worst_off="first", best_off="last")
    ends = ends.reset_index().rename(columns={"treatment": "baseline", "metric": "of"})
    gaps = comparisons[comparisons["metric"].isin(metrics) & (comparisons["subgroup"] == ALL)][
        [*_PAIR, "attribute", "metric", "mean_difference"]
    ].rename(columns={"mean_difference": "gap"})
    gaps["of"] = gaps["metric"].map(GAP_OF)
    out = gaps.merge(ends, on=[*_RUN, "baseline", "attribute", "of"])
    changes = comparisons[[*_PAIR, "attribute", "subgroup", "metric", "mean_difference",
                           "ci_low", "ci_high"]]  # fmt: skip
    for who in ("best", "worst"):
        named = changes.rename(
            columns={
                "subgroup": f"{who}_off",
                "metric": "of",
                "mean_difference": f"{who}_change",
                "ci_low": f"{who}_low",
                "ci_high": f"{who}_high",
            }
        )
        out = out.merge(named, on=[*_PAIR, "attribute", "of", f"{who}_off"], how="left")
    out["levelled_down"] = closed_by_loss(
        *(out[name].to_numpy(dtype=np.float64) for name in ("gap", "best_change", "worst_change"))
    )
    return out.drop(columns="of")


def closed_by_loss(
    gap: np.ndarray | float, best: np.ndarray | float, worst: np.ndarray | float
) -> np.ndarray:
    """Say whether a gap shrank, and the best off lost more than the worst off gained.

    Parameters
    ----------
    gap, best, worst : ndarray of float64, or float
        Changes of the gap, of the subgroup that was best off and of the one that was worst off;
        an undefined change of the latter is no gain.
    """
    gain = np.maximum(np.nan_to_num(worst, nan=0.0), 0.0)
    return (np.asarray(gap) < 0) & (np.asarray(best) < 0) & (-np.asarray(best) > gain)


def _is_closing(metric: str) -> bool:
    return metric.startswith(("worst_", "spread_", "between_group_")) and not metric.startswith(
        "worst_group_"
    )
