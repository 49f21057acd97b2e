# SPDX-License-Identifier: MIT
"""The names of metrics, in words and by kind: which side is better, and which are gaps.

Gaps come in two families, told by the name's start. ``signed_``: a subgroup less the reference one,
both named in the column subgroup ("SEX=F against SEX=M"). ``worst_``: over all subgroups of an
attribute, in subgroup "all". What only tells how to read another metric ends in one of `ASIDES`.
"""

OVERALL, ALL = "overall", "all"
"""The attribute of all rows, and the subgroup that is all of an attribute."""

AGAINST = " against "
"""Between the two subgroups of a signed gap."""

FEWEST_DATASETS, FEWEST_TREATMENTS = 5, 3
"""That ranks over datasets are worth something for."""

WORDS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "selection_rate": "selection rate",
    "calibration_in_the_large": "calibration in the large (mean score − rate)",
    "calibration_slope": "calibration slope",
    "calibration_error": "expected calibration error",
    "debiased_calibration_error": "debiased calibration error",
    "theil_index": "Theil index",
    "between_group_theil_index": "between-group Theil index",
    "worst_group_accuracy": "accuracy of the worst-off subgroup",
    "worst_group_balanced_accuracy": "balanced accuracy of the worst-off subgroup",
    "worst_group_auroc": "AUROC of the worst-off subgroup",
    "worst_group_brier": "Brier score of the worst-off subgroup",
    "worst_statistical_parity_difference": "largest gap in selection rate",
    "worst_disparate_impact": "smallest ratio of selection rates",
    "worst_equal_opportunity_difference": "largest gap in true positive rate",
    "worst_equalised_odds_difference": "largest gap in true or false positive rate",
    "worst_average_odds_difference": "mean of the largest gaps in true and false positive rate",
    "worst_accuracy_difference": "largest gap in accuracy",
    "worst_auroc_difference": "largest gap in AUROC",
    "spread_selection_rate": "spread of selection rates",
    "spread_true_positive_rate": "spread of true positive rates",
    "spread_false_positive_rate": "spread of false positive rates",
    "spread_accuracy": "spread of accuracies",
    "signed_statistical_parity_difference": "difference in selection rate",
    "signed_disparate_impact": "ratio of selection rates",
    "signed_equal_opportunity_difference": "difference in true positive rate",
    "signed_average_odds_difference": "average odds difference",
    "absolute_average_odds_difference": "absolute average odds difference",
    "absolute_equalised_odds_difference": "absolute equalised odds difference",
    "signed_accuracy_difference": "difference in accuracy",
    "signed_auroc_difference": "difference in AUROC",
    "btgan_parity_gap": "parity gap (Bt-GAN's sign)",
    "btgan_auroc_gap": "AUROC gap (Bt-GAN's sign)",
}

LOWER_IS_BETTER = frozenset(
    {
        "brier",
        "log_loss",
        "false_positive_rate",
        "calibration_error",
        "debiased_calibration_error",
        "theil_index",
        "between_group_theil_index",
        "worst_group_brier",
        "absolute_average_odds_difference",
        "absolute_equalised_odds_difference",
        *(
            name
            for name in WORDS
            if name.startswith("spread_")
            or (name.startswith("worst_") and name.endswith("_difference"))
        ),
    }
)
"""All others that have a better side are the better the higher."""

NO_DIRECTION = frozenset(
    {
        "selection_rate",
        "calibration_in_the_large",
        "calibration_slope",
        *(name for name in WORDS if name.startswith(("signed_", "btgan_"))),
    }
)
"""Best at a value in the middle, or neither side is better."""

NULL, NULL_P, USED = "_null", "_null_p_value", "_subgroups_used"
ASIDES = (NULL, NULL_P, USED)
"""Ends of names: expectation of a gap where there is none, the share of random gaps as large, and
from how many subgroups a gap was taken. They are never compared."""

CUT = "cut"
"""The score from which on rows are predicted positive, where a rule has one; never compared."""

_OF_SCORES = frozenset(
    {
        *("auroc", "auprc", "brier", "log_loss"),
        *(name for name in WORDS if "calibration" in name or "auroc" in name),
        "worst_group_brier",
    }
)

_GAP_STARTS = ("worst_", "signed_", "absolute_", "btgan_", "spread_", "between_group_")


def is_gap(metric: str) -> bool:
    """Say whether a metric compares subgroups; the worst-off subgroup's own value does not."""
    return metric.startswith(_GAP_STARTS) and not metric.startswith("worst_group_")


def is_of_attribute(metric: str) -> bool:
    """Say whether a metric is of an attribute as a whole, or of a pair of its subgroups."""
    return metric.startswith(_GAP_STARTS)


def is_of_scores(metric: str) -> bool:
    """Say whether a metric, or what tells how to read it, is the same whatever is decided."""
    for end in ASIDES:
        metric = metric.removesuffix(end)
    return metric in _OF_SCORES


def is_aside(metric: str) -> bool:
    """Say whether a metric only tells how to read another one."""
    return metric == CUT or metric.endswith(ASIDES)
