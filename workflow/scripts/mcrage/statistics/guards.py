# SPDX-License-Identifier: MIT
"""Warnings beside comparisons: a gap that closed may be no good news."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mcrage.metrics.names import AGAINST, ALL, LOWER_IS_BETTER, OVERALL, is_gap, is_of_scores

USELESS, LEVELLED = "fair because useless", "levelled down"
BASELINE = "useless baseline"
UTILITIES = ("auroc", "balanced_accuracy")
"""Of everyone; falls in either make a smaller gap suspect."""
LEAST_AUROC = 0.6
SELECTED = 0.5, 2.0
"""Where the share predicted positive lies, over the share that is positive."""
STEEPEST = 5.0
"""A calibration slope above says that scores have collapsed: their logits vary less than a fifth of
what outcomes call for. Collapsed scores that don't even rank have an AUROC of about .5."""
LEVELS = ("auroc", "calibration_slope", "selection_rate", "true_positive_rate")
"""Metrics of everyone that `useless` goes by; of the last one only the number of positive rows."""
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
    than `utility_loss`, or the treatment's classifier is useless as it stands (see `useless`; then
    follows why): who tells nobody apart treats all alike. "levelled down": a gap closed more by the
    loss of the subgroup that was best off than by the gain of the one that was worst off (see
    `levelling`). "useless baseline": what a gap is compared with says nothing, whichever way the
    gap changed. The first that applies.

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
    gaps = (
        comparisons["metric"].map(is_gap).astype(bool) & (comparisons["attribute"] != OVERALL)
    ).to_numpy(dtype=bool)
    if not gaps.any():
        return out
    closed = gaps & _closed(comparisons, means)
    of_scores = comparisons["metric"].map(is_of_scores).to_numpy(dtype=bool)
    levels = useless_levels(means)
    for of_decisions in (False, True):
        here = of_scores != of_decisions
        for who, chosen, word in (
            ("baseline", gaps, BASELINE),
            ("treatment", closed, USELESS),
        ):
            runs = zip(*(comparisons[name] for name in [*_RUN, who]), strict=True)
            told = [levels.get(run, ("", ""))[of_decisions] for run in runs]
            for place in np.flatnonzero(chosen & here & (np.array(told, dtype=object) != "")):
                out[place] = f"{word}: {told[place]}"
    levelled = levelling(comparisons, means)
    flagged = levelled[levelled["levelled_down"]]
    places = pd.MultiIndex.from_frame(comparisons[[*_PAIR, "attribute", "metric"]])
    down = places.isin(pd.MultiIndex.from_frame(flagged[[*_PAIR, "attribute", "metric"]]))
    whole = (comparisons["subgroup"] == ALL).to_numpy()
    plain = ~pd.Series(out).str.startswith(USELESS).to_numpy(dtype=bool)
    out[closed & down & whole & plain] = LEVELLED
    everyone = comparisons[
        (comparisons["attribute"] == OVERALL) & comparisons["metric"].isin(UTILITIES)
    ]
    worse = everyone[everyone["mean_difference"] < -utility_loss]
    fell = pd.MultiIndex.from_frame(comparisons[_PAIR]).isin(pd.MultiIndex.from_frame(worse[_PAIR]))
    out[closed & fell & plain] = USELESS
    return out


def useless(
    auroc: float, slope: float, selected: float, positive: float, *, of_decisions: bool = True
) -> str:
    """Say why a classifier is of no use to anyone; empty where it is of some.

    Parameters
    ----------
    auroc, slope, selected : float
        AUROC, calibration slope and selection rate of everyone; what is undefined says nothing.
    positive : float
        Share of positive rows, in [0, 1].
    of_decisions : bool
        Whether how many are predicted positive matters; to what is of scores it doesn't.

    Returns
    -------
    str
        E.g. ``"AUROC of everyone 0.541"``.
    """
    why = []
    if auroc < LEAST_AUROC:
        why.append(f"AUROC of everyone {auroc:.3f}")
    if slope > STEEPEST:
        why.append(f"scores hardly vary (calibration slope {slope:.1f})")
    low, high = (factor * positive for factor in SELECTED)
    if of_decisions and (selected < low or selected > high):
        why.append(f"predicts {selected:.3f} positive where {positive:.3f} are")
    return ", ".join(why)


def useless_levels(means: pd.DataFrame) -> dict[tuple[str, ...], tuple[str, str]]:
    """Judge every treatment, baselines too, by its own level.

    Parameters
    ----------
    means : DataFrame
        Of `mcrage.statistics.summary.summarise`.

    Returns
    -------
    dict of (dataset, scenario, classifier, threshold, treatment) to (str, str)
        Why its scores are `useless`, and why its scores or decisions are.
    """
    everyone = means[
        (means["attribute"] == OVERALL) & (means["subgroup"] == ALL) & means["metric"].isin(LEVELS)
    ]
    out = {}
    for run, rows in everyone.groupby([*_RUN, "treatment"], sort=False):
        mean, n = (
            dict(zip(rows["metric"], rows[name], strict=True)) for name in ("mean", "support")
        )
        auroc, slope, selected = (mean.get(name, np.nan) for name in LEVELS[:3])
        # The support of a rate is its denominator.
        total = n.get("selection_rate", 0)
        positive = n.get("true_positive_rate", np.nan) / total if total else np.nan
        scores, decisions = (
            useless(auroc, slope, selected, positive, of_decisions=which) for which in (False, True)
        )
        out[run] = scores, decisions
    return out


def _closed(comparisons: pd.DataFrame, means: pd.DataFrame) -> np.ndarray:
    """Say for each comparison of a gap whether it came nearer to none."""
    metric, change = comparisons["metric"], comparisons["mean_difference"].to_numpy(np.float64)
    keys = [*_RUN, "attribute", "subgroup", "metric"]
    before = comparisons[[*keys, "baseline"]].merge(
        means[[*keys, "treatment", "mean"]].rename(columns={"treatment": "baseline"}),
        on=[*keys, "baseline"], how="left",
    )["mean"].to_numpy(np.float64)  # fmt: skip
    after = before + change
    # Ratios are as far from 1 as their logarithms from 0.
    ratios = metric.str.endswith("disparate_impact").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        far = [
            np.abs(np.where(ratios, np.log(np.maximum(value, 0)), value))
            for value in (before, after)
        ]
    lower = metric.isin(LOWER_IS_BETTER).to_numpy()
    return np.where(lower, change < 0, far[1] < far[0])


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
