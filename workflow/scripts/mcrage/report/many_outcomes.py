# SPDX-License-Identifier: MIT
"""What metrics mean where the target has more than two outcomes, and which there are none of."""

from mcrage.datasets.roles import Target
from mcrage.figures.words import metric_name
from mcrage.report.numbers import listing

FOR_TWO_OUTCOMES = (
    *("true_positive_rate", "false_positive_rate", "selection_rate", "auprc"),
    *("calibration_in_the_large", "calibration_slope"),
    *("calibration_error", "debiased_calibration_error"),
    *("theil_index", "between_group_theil_index", "worst_disparate_impact"),
    *("spread_selection_rate", "spread_true_positive_rate", "spread_false_positive_rate"),
    *("signed_statistical_parity_difference", "signed_disparate_impact"),
    *("signed_equal_opportunity_difference", "signed_average_odds_difference"),
    *("absolute_average_odds_difference", "absolute_equalised_odds_difference"),
    "btgan_parity_gap",
)
"""Metrics that `mcrage.metrics.judge.judge` has of two levels alone."""


def note(target: Target) -> str:
    """Return what the reader of tables has to know; nothing where there are two outcomes.

    Parameters
    ----------
    target : Target

    Returns
    -------
    str
        Some sentences.
    """
    if target.is_binary:
        return ""
    absent = listing([metric_name(metric) for metric in FOR_TWO_OUTCOMES])
    return (
        f"{target.label} has {len(target.levels)} outcomes. A row is predicted to have the "
        "likeliest one. F1 and balanced accuracy are means over the outcomes (macro), AUROC is the "
        "mean of each outcome against all others, and the Brier score is summed over them, so from "
        "0 to 2. Gaps in selection rate, in true positive and in false positive rate are the "
        "largest over the outcomes. Defined for two outcomes alone, and so in no table here: "
        f"{absent}; DeLong's test; and, of the warnings of a useless classifier, those by its "
        "calibration slope and by how many it predicts positive."
    )


def short_note(target: Target) -> str:
    """Return the same in a line for the terminal."""
    if target.is_binary:
        return ""
    return (
        f"{target.label} has {len(target.levels)} outcomes: F1 is their mean (macro), AUROC the "
        "mean of each against the others."
    )
