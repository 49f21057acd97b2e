# SPDX-License-Identifier: MIT
"""How subgroups differ: arithmetic on their sufficient statistics.

Two families (see `mcrage.metrics.names`): `signed` holds each subgroup against the declared
reference, with AIF360's sign (subgroup less reference); `worst` is over all subgroups, largest less
smallest as in fairlearn. Subgroups in which a rate is undefined are left out of the worst case and
make a signed gap NaN; how many were used is told beside it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from mcrage.metrics.confusion import ratio
from mcrage.metrics.rates import (
    accuracy,
    balanced_accuracy,
    false_positive_rate,
    prediction_rates,
    recalls,
    selection_rate,
    selection_rates,
    true_positive_rate,
)
from mcrage.metrics.sufficient import Sufficient

Gap = Callable[[np.ndarray], np.ndarray]


def spread(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Largest less smallest of the defined values; NaN unless two or more are."""
    defined = np.isfinite(values)
    high = np.max(np.where(defined, values, -np.inf), axis=axis)
    low = np.min(np.where(defined, values, np.inf), axis=axis)
    with np.errstate(invalid="ignore"):
        return np.where(defined.sum(axis=axis) > 1, high - low, np.nan)


def statistical_parity(counts: np.ndarray) -> np.ndarray:
    """Largest gap in selection rate, fairlearn's demographic_parity_difference.

    All functions of this kind take counts of shape (..., L, K, K) and return shape (...). With more
    than two levels the largest gap over levels.
    """
    return _largest(spread(selection_rates(counts), axis=-2))


def equal_opportunity(counts: np.ndarray) -> np.ndarray:
    """Largest gap in true positive rate; with more than two levels, in any level's recall."""
    gaps = spread(recalls(counts), axis=-2)
    return gaps[..., 1] if counts.shape[-1] == 2 else _largest(gaps)


def equalised_odds(counts: np.ndarray) -> np.ndarray:
    """Largest gap in how often any level is predicted to rows of any level.

    With two levels the larger of the gaps in true and in false positive rate, fairlearn's
    equalized_odds_difference. NaN unless all are defined.
    """
    return _odds_gaps(counts).max(axis=-1)


def average_odds(counts: np.ndarray) -> np.ndarray:
    """Mean over true levels of the largest gap; NaN unless all are defined.

    With two levels half the sum of the gaps in true and in false positive rate: fairlearn's
    equalized_odds_difference with agg="mean", and with two subgroups AIF360's
    average_abs_odds_difference.
    """
    return _odds_gaps(counts).mean(axis=-1)


def accuracy_gap(counts: np.ndarray) -> np.ndarray:
    """Largest gap in accuracy."""
    return spread(accuracy(counts))


WORST_OF_COUNTS: dict[str, Gap] = {
    "worst_statistical_parity_difference": statistical_parity,
    "worst_equal_opportunity_difference": equal_opportunity,
    "worst_equalised_odds_difference": equalised_odds,
    "worst_average_odds_difference": average_odds,
    "worst_accuracy_difference": accuracy_gap,
}
"""Gaps of decisions, each with its null beside it."""
OF_ALL_ROWS = ("worst_statistical_parity_difference", "worst_accuracy_difference")
"""Those that are not given the truth: other frequencies of the outcome make one by themselves."""


def worst(statistics: Sufficient) -> dict[str, tuple[float, int]]:
    """Return the worst-case family, without the nulls.

    Returns
    -------
    dict of str to (float, int)
        Metric to its value and its support: the smallest denominator among the subgroups used.
    """
    counts, rows = statistics.counts, statistics.rows
    out = {
        name: (float(of(counts)), smallest_denominator(name, statistics))
        for name, of in WORST_OF_COUNTS.items()
    }
    least = _least(rows)
    if statistics.is_binary:
        rates = selection_rate(counts)
        known = rates[np.isfinite(rates)]
        low_to_high = ratio(known.min(), known.max()) if len(known) > 1 else np.nan
        out["worst_disparate_impact"] = float(low_to_high), least
        out["between_group_theil_index"] = between_group_theil_index(counts), least
    auroc = statistics.scores["auroc"]
    judged = _least(rows[np.isfinite(auroc)])
    out["worst_auroc_difference"] = float(spread(auroc)), judged
    for name, values, worse in (
        ("accuracy", accuracy(counts), np.min),
        ("balanced_accuracy", balanced_accuracy(counts), np.min),
        ("auroc", auroc, np.min),
        ("brier", statistics.scores["brier"], np.max),
    ):
        known = np.isfinite(values)
        value = float(worse(values[known])) if known.any() else np.nan
        out[f"worst_group_{name}"] = value, _least(rows[known])
    return out


def signed_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gaps of decisions of one subgroup against another.

    Parameters
    ----------
    counts : ndarray of int64 or float64, shape (..., 2, K, K)
        Of the subgroup, and of the reference.

    Returns
    -------
    dict of str to ndarray of float64, shape (...)
        By metric; NaN where a rate of either is undefined.
    """
    accuracies = accuracy(counts)
    out = {"signed_accuracy_difference": accuracies[..., 0] - accuracies[..., 1]}
    if counts.shape[-1] == 2:
        chosen, hits = selection_rate(counts), true_positive_rate(counts)
        alarms = false_positive_rate(counts)
        opportunity, alarm = hits[..., 0] - hits[..., 1], alarms[..., 0] - alarms[..., 1]
        out |= {
            "signed_statistical_parity_difference": chosen[..., 0] - chosen[..., 1],
            "signed_disparate_impact": ratio(chosen[..., 0], chosen[..., 1]),
            "signed_equal_opportunity_difference": opportunity,
            "signed_average_odds_difference": (alarm + opportunity) / 2,
            "absolute_average_odds_difference": (np.abs(alarm) + np.abs(opportunity)) / 2,
            "absolute_equalised_odds_difference": np.maximum(np.abs(alarm), np.abs(opportunity)),
            "btgan_parity_gap": chosen[..., 1] - chosen[..., 0],
        }
    return out


def signed(statistics: Sufficient, subgroup: int) -> dict[str, tuple[float, int]]:
    """Return the gaps of one subgroup against the reference.

    Parameters
    ----------
    statistics : Sufficient
    subgroup : int

    Returns
    -------
    dict of str to (float, int)
        Metric to its value and its support: the smaller denominator of the two subgroups.
    """
    pair = [subgroup, statistics.parts.reference]
    truths = statistics.truths[pair]
    least = int(statistics.rows[pair].min())
    auroc = statistics.scores["auroc"][pair]
    values = signed_of_counts(statistics.counts[pair]) | {
        "signed_auroc_difference": auroc[0] - auroc[1],
        "btgan_auroc_gap": auroc[1] - auroc[0],
    }
    # Of rates of rows with one outcome, these are the rows.
    fewest = {name: int(truths.min()) for name in values if name.endswith("_odds_difference")}
    if statistics.is_binary:
        fewest["signed_equal_opportunity_difference"] = int(truths[:, 1].min())
    return {name: (float(value), fewest.get(name, least)) for name, value in values.items()}


def between_group_theil_index(counts: np.ndarray) -> float:
    """Theil index of benefits that are each subgroup's mean benefit; two levels, 0 is ideal.

    What `mcrage.metrics.rates.theil_index` cannot tell of groups. Benefits are ŷ − y + 1.

    Parameters
    ----------
    counts : ndarray of int64, shape (L, 2, 2)
    """
    n = counts.sum(axis=(-1, -2))
    benefit = ratio(counts[:, 0, 1] - counts[:, 1, 0], n) + 1
    used = n > 0
    if not used.any():
        return np.nan
    mean = np.average(benefit[used], weights=n[used])
    if mean <= 0:
        return np.nan
    share = benefit[used] / mean
    # x ln x is 0 where x is.
    terms = np.where(share > 0, share * np.log(np.where(share > 0, share, 1.0)), 0.0)
    return float(np.average(terms, weights=n[used]))


def corrected_spread(rates: np.ndarray, n: np.ndarray) -> float:
    """Return the standard deviation of subgroups' rates less what chance alone gives.

    √max(0, σ̂²) with σ̂² = Var(r̂) − mean[r̂(1−r̂)/(n−1)] over subgroups (Lum, Zhang & Bower 2022).
    Differences of largest and smallest rate, and plain standard deviations, are biased upwards.

    Parameters
    ----------
    rates : ndarray of float64, shape (L,)
    n : ndarray of int64, shape (L,)
        Their denominators; those below 2 are left out.
    """
    used = (n > 1) & np.isfinite(rates)
    if used.sum() < 2:
        return np.nan
    rates, n = rates[used], n[used]
    chance = np.mean(rates * (1 - rates) / (n - 1))
    return float(np.sqrt(max(0.0, rates.var(ddof=1) - chance)))


def spreads(statistics: Sufficient) -> dict[str, tuple[float, int]]:
    """Return bias-corrected spreads, with the smallest denominator used as support."""
    counts, rows, truths = statistics.counts, statistics.rows, statistics.truths
    rates: Mapping[str, tuple[np.ndarray, np.ndarray]] = {"accuracy": (accuracy(counts), rows)}
    if statistics.is_binary:
        rates |= {
            "selection_rate": (selection_rate(counts), rows),
            "true_positive_rate": (true_positive_rate(counts), truths[:, 1]),
            "false_positive_rate": (false_positive_rate(counts), truths[:, 0]),
        }
    return {
        f"spread_{name}": (corrected_spread(values, n), _least(n[n > 1]))
        for name, (values, n) in rates.items()
    }


def smallest_denominator(metric: str, statistics: Sufficient) -> int:
    """Return the smallest denominator of the rates that a worst-case gap was taken from."""
    return _least(_denominators(metric, statistics))


def subgroups_used(metric: str, statistics: Sufficient) -> int:
    """Return how many subgroups a worst-case gap could be taken from, of every rate in it."""
    if metric == "worst_auroc_difference":
        return int(np.isfinite(statistics.scores["auroc"]).sum())
    denominators = _denominators(metric, statistics)
    return int((denominators.reshape(len(denominators), -1) > 0).all(axis=1).sum())


def _denominators(metric: str, statistics: Sufficient) -> np.ndarray:
    if metric in ("worst_statistical_parity_difference", "worst_accuracy_difference"):
        return statistics.rows
    only_positive = metric == "worst_equal_opportunity_difference" and statistics.is_binary
    return statistics.truths[:, 1] if only_positive else statistics.truths


def _odds_gaps(counts: np.ndarray) -> np.ndarray:
    """Return for each true level the largest gap in any level's prediction, shape (..., K)."""
    return _largest(spread(prediction_rates(counts), axis=-3))


def _largest(gaps: np.ndarray) -> np.ndarray:
    return gaps.max(axis=-1)


def _least(n: np.ndarray) -> int:
    """Return the smallest denominator that is not 0; 0 if there is none."""
    n = n[n > 0]
    return int(n.min()) if n.size else 0
