# SPDX-License-Identifier: MIT
"""Decisions from scores by each rule, fitted on held-out training rows where it is fitted at all.

The rules are those of `mcrage.metrics.rules`. A cut is one number for all rows. ThresholdOptimizer
(Hardt, Price & Srebro 2016, in fairlearn) has for each subgroup two cuts and the chance of either,
so it needs the sensitive attributes of who is judged, and tosses a coin for some of them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcrage.classifiers.out_of_fold import HeldOut
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import decide, ratio
from mcrage.metrics.rules import HALF, PARITY, RANDOMISED, TUNED, UNDECIDED

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decisions:
    """What was decided about test rows.

    Attributes
    ----------
    by_rule : dict of str to ndarray of int64, shape (n,)
        `UNDECIDED` in all rows where a rule is undefined.
    cuts : dict of str to (float, int)
        Of the rules with a tuned cut: it, NaN if undefined, and how many held-out rows chose it.
    """

    by_rule: dict[str, np.ndarray]
    cuts: dict[str, tuple[float, int]]


def decide_by_rules(
    rules: Sequence[str],
    score: np.ndarray,
    groups: np.ndarray,
    schema: GroupSchema,
    held_out: Callable[[], HeldOut],
    seed: int,
) -> Decisions:
    """Decide about test rows by each rule.

    Parameters
    ----------
    rules : sequence of str
        Of `mcrage.metrics.rules.RULES`.
    score : ndarray of float64, shape (n,) or (n, K)
    groups : ndarray of int64, shape (n,)
        Of the test rows. Only their subgroups are used, never their outcomes.
    schema : GroupSchema
    held_out : callable
        Gives held-out scores of training rows; called only where a rule needs them.
    seed : int
        Of what is drawn; each rule draws from a stream of its own.

    Raises
    ------
    UserError
        If the target has more than two levels and a rule is for two.
    """
    found = Decisions({}, {})
    for rule in rules:
        if rule == HALF:
            found.by_rule[rule] = decide(score, 0.5)
            continue
        if score.ndim == 2:
            raise UserError(
                f"experiment.thresholds: found '{rule}', which is for a target of two levels; "
                f"this one has {score.shape[1]}, of which the likeliest is taken. Leave '{rule}' "
                f"out (allowed: '{HALF}')."
            )
        source = np.random.default_rng([seed, rules_stream(rule)])
        if rule == RANDOMISED:
            found.by_rule[rule] = (score > source.random(len(score))).astype(np.int64)
        elif rule in TUNED:
            held = held_out()
            y = schema.target_of(held.groups)
            cut = best_cut(rule, y, held.scores)
            undecided = np.full(len(score), UNDECIDED)
            found.cuts[rule] = cut, len(y)
            found.by_rule[rule] = undecided if np.isnan(cut) else decide(score, cut)
            logger.info("%s: a cut of %.6g, by %d held-out training rows", rule, cut, len(y))
        else:
            subgroup = schema.subgroup_of(groups)
            found.by_rule[rule] = decide_by_parity(
                rule, held_out(), score, subgroup, schema, int(source.integers(2**31))
            )
    return found


def rules_stream(rule: str) -> int:
    """Return the number of a rule's stream of random numbers: another rule moves none."""
    return (*PARITY, *TUNED, RANDOMISED).index(rule)


def f1_at(hits: np.ndarray, taken: np.ndarray, up: int, down: int) -> np.ndarray:
    """Return F1 where `taken` rows are predicted positive, `hits` of them rightly."""
    return ratio(2 * hits, taken + up)


def balanced_accuracy_at(hits: np.ndarray, taken: np.ndarray, up: int, down: int) -> np.ndarray:
    """Return the mean of sensitivity and specificity; see `f1_at`."""
    return 0.5 * (ratio(hits, up) + ratio(down - (taken - hits), down))


_METRICS: Mapping[str, Callable[..., np.ndarray]] = {
    "f1": f1_at,
    "balanced_accuracy": balanced_accuracy_at,
}


def best_cut(metric: str, y: np.ndarray, score: np.ndarray) -> float:
    """Return the cut with the best metric.

    Parameters
    ----------
    metric : {"f1", "balanced_accuracy"}
    y : ndarray of int64, shape (n,)
        0 or 1.
    score : ndarray of float64, shape (n,)

    Returns
    -------
    float
        Midway between two neighbouring scores, 0 where all rows and infinity where none are to be
        positive; of equally good ones that nearest to 0.5. NaN without rows of either outcome, for
        which neither metric tells cuts apart.
    """
    up = int(np.sum(y == 1))
    down = len(y) - up
    if not up or not down:
        logger.warning(
            "%s: no cut, since held-out training rows have one outcome (%d positive, %d negative)",
            metric,
            up,
            down,
        )
        return float("nan")
    order = np.argsort(-score, kind="stable")
    falling, hit = score[order], y[order] == 1
    # Rows of one score are predicted alike: cuts lie behind the last of them.
    last = np.append(np.flatnonzero(np.diff(falling)), len(y) - 1)
    taken = np.append(0, last + 1)
    hits = np.append(0, np.cumsum(hit)[last])
    lowest = falling[last]
    below = lowest[1:]
    between = below + (lowest[:-1] - below) / 2
    # Neighbouring numbers have none between them; a score at the cut counts as above it.
    between = np.where(between > below, between, lowest[:-1])
    cuts = np.concatenate([[np.inf], between, [0.0]])
    value = _METRICS[metric](hits, taken, up, down)
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def decide_by_parity(
    constraint: str,
    held: HeldOut,
    score: np.ndarray,
    subgroup: np.ndarray,
    schema: GroupSchema,
    seed: int,
) -> np.ndarray:
    """Decide by fairlearn's ThresholdOptimizer, with accuracy for its objective (its default).

    Parameters
    ----------
    constraint : {"demographic_parity", "equalized_odds"}
    held : HeldOut
        What it is fitted on.
    score : ndarray of float64, shape (n,)
    subgroup : ndarray of int64, shape (n,)
    schema : GroupSchema
    seed : int

    Returns
    -------
    ndarray of int64, shape (n,)
        `UNDECIDED` in all rows if a judged subgroup, or any that it is fitted on, lacks held-out
        rows of an outcome: it then has no curve to move along.
    """
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator

    class Scores(BaseEstimator):
        """A fitted classifier, to fairlearn, whose rows are their scores."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Scores":
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x[:, 0]

        def __sklearn_is_fitted__(self) -> bool:
            return True

    y, known = schema.target_of(held.groups), schema.subgroup_of(held.groups)
    judged = np.union1d(np.unique(subgroup), np.unique(known))
    lacking = [number for number in judged if len(np.unique(y[known == number])) < 2]
    if lacking:
        logger.warning(
            "%s: undefined, since there are no held-out training rows of both outcomes in %s",
            constraint,
            "; ".join(schema.subgroup_label(number) for number in lacking),
        )
        return np.full(len(score), UNDECIDED)
    optimizer = ThresholdOptimizer(
        estimator=Scores(), constraints=constraint, prefit=True, predict_method="predict"
    )
    optimizer.fit(held.scores[:, None], y, sensitive_features=known)
    decided = optimizer.predict(score[:, None], sensitive_features=subgroup, random_state=seed)
    return np.asarray(decided, dtype=np.int64)
