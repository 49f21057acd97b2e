# SPDX-License-Identifier: MIT
"""The rules by which scores become decisions: the column threshold of results/metrics.parquet."""

HALF = "0.5"
"""The level that is likelier; known before any row."""
TUNED = ("f1", "balanced_accuracy")
"""One cut for all rows: the one that is best by this metric on held-out training rows."""
PARITY = ("demographic_parity", "equalized_odds")
"""fairlearn's ThresholdOptimizer under this constraint: two cuts and a coin for each subgroup."""
RANDOMISED = "randomised"
"""Positive with the score as its chance."""
RULES = (HALF, *TUNED, *PARITY, RANDOMISED)
LIKELIEST = "likeliest"
"""What `HALF` is called where the target has more than two levels."""

UNDECIDED = -1
"""In the place of a decision where a rule is undefined."""

WORDS = {
    "f1": "decisions by the cut with the best F1 on held-out training rows",
    "balanced_accuracy": "decisions by the cut with the best balanced accuracy on held-out "
    "training rows",
    "demographic_parity": "decisions by subgroup with equal selection rates (ThresholdOptimizer)",
    "equalized_odds": "decisions by subgroup with equal true and false positive rates "
    "(ThresholdOptimizer)",
    "randomised": "decisions drawn with the score as their chance",
}
"""For the reader; `HALF` needs none."""


def needs_held_out(rule: str) -> bool:
    """Say whether a rule is fitted on scores of held-out training rows."""
    return rule in TUNED or rule in PARITY


def is_drawn(rule: str) -> bool:
    """Say whether a rule's decisions are random, and so need a seed."""
    return rule in PARITY or rule == RANDOMISED


def decided_by(rule: str) -> str:
    """Return in words how decisions are made."""
    return WORDS.get(rule, f"decisions at {rule}")


def rule_name(rule: str, n_levels: int) -> str:
    """Return a rule's name in results, which tells where the likeliest of many levels is taken."""
    return LIKELIEST if rule == HALF and n_levels > 2 else rule


def decision_column(rule: str) -> str:
    """Return the column of predictions.parquet that holds a rule's decisions."""
    return f"decision_{rule}"
