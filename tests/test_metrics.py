# SPDX-License-Identifier: MIT
"""Metrics against scikit-learn; undefined is NaN, with its support."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from mcrage.groups import GroupSchema
from mcrage.metrics import rates
from mcrage.metrics.calibration import (
    N_BINS,
    calibration_error,
    calibration_slope,
    debiased_calibration_error,
)
from mcrage.metrics.confusion import confusion
from mcrage.metrics.f1 import f1
from mcrage.metrics.judge import judge
from mcrage.metrics.names import LOWER_IS_BETTER, NO_DIRECTION, WORDS, is_aside
from mcrage.metrics.scores import auprc, auroc

TWO_ROWS = GroupSchema(("SEX", "y"), (("F", "M"), ("0", "1")))

rows = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1, allow_nan=False, width=32)),
    min_size=4,
    max_size=80,
)


def judged(schema, groups, score, **more):
    out = judge(schema, np.array(groups), np.array(score, dtype=float), **more)
    return {
        (subgroup, metric): (value, support)
        for subgroup, metric, value, support in zip(
            out["subgroup"], out["metric"], out["value"], out["support"], strict=True
        )
    }


def overall(schema, groups, score) -> dict[str, float]:
    out = judged(schema, groups, score)
    names = {metric for subgroup, metric in out if subgroup == "all"}
    return {name: out["all", name][0] for name in names}


@given(rows)
@settings(max_examples=20)
def test_metrics_are_scikit_learns(pairs):
    y = np.array([label for label, _ in pairs])
    score = np.array([value for _, value in pairs], dtype=np.float64)
    predicted = (score >= 0.5).astype(int)
    # One subgroup holds all rows, so that the attribute has none of its own gaps.
    ours = overall(TWO_ROWS, 2 * y, score)
    assert ours["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(y, predicted))
    assert ours["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(y, score, pos_label=1))
    assert ours["log_loss"] == pytest.approx(
        sklearn_metrics.log_loss(y, np.clip(score, 1e-15, 1 - 1e-15), labels=[0, 1]), rel=1e-4
    )
    assert ours["selection_rate"] == pytest.approx(predicted.mean())
    assert ours["calibration_in_the_large"] == pytest.approx(score.mean() - y.mean())
    if y.any() or predicted.any():
        assert ours["f1"] == pytest.approx(sklearn_metrics.f1_score(y, predicted))
        assert f1(y, score, 0.5) == ours["f1"]
    if len(set(y)) == 2:
        assert ours["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(y, score))
        assert ours["balanced_accuracy"] == pytest.approx(
            sklearn_metrics.balanced_accuracy_score(y, predicted)
        )
        # What the paper calls AUROC: from hard labels it is balanced accuracy.
        assert ours["balanced_accuracy"] == pytest.approx(
            sklearn_metrics.roc_auc_score(y, predicted)
        )
        assert ours["true_positive_rate"] == pytest.approx(
            sklearn_metrics.recall_score(y, predicted)
        )
        assert ours["false_positive_rate"] == pytest.approx(predicted[y == 0].mean())
    if y.any():
        assert ours["auprc"] == pytest.approx(sklearn_metrics.average_precision_score(y, score))


def test_ranks_in_many_parts_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    y, part = rng.integers(0, 2, 500), rng.integers(0, 4, 500)
    score = rng.integers(0, 12, 500) / 11  # ties
    part[part == 2] = 3  # nobody
    for of, theirs in ((auroc, sklearn_metrics.roc_auc_score),
                       (auprc, sklearn_metrics.average_precision_score)):  # fmt: skip
        found = of(y, score, part, 4)
        assert np.isnan(found[2])
        for k in (0, 1, 3):
            assert found[k] == pytest.approx(theirs(y[part == k], score[part == k]))


def test_more_than_two_levels_are_scikit_learns():
    rng = np.random.default_rng(0)
    schema = GroupSchema(("SEX", "y"), (("F", "M"), ("a", "b", "c", "d")))
    y, sex = rng.choice(4, 400, p=[0.5, 0.3, 0.15, 0.05]), rng.integers(0, 2, 400)
    score = rng.dirichlet(np.ones(4), 400) + 0.4 * np.eye(4)[y]
    score /= score.sum(axis=1, keepdims=True)
    predicted = score.argmax(axis=1)
    out = judged(schema, schema.index_of(np.stack([sex, y])), score)
    for subgroup, chosen in (("all", sex >= 0), ("SEX=F", sex == 0), ("SEX=M", sex == 1)):
        t, p, s = y[chosen], predicted[chosen], score[chosen]
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(t, p),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(t, p),
            "f1": sklearn_metrics.f1_score(t, p, average="macro"),
            "auroc": sklearn_metrics.roc_auc_score(t, s, multi_class="ovr", average="macro"),
            "log_loss": sklearn_metrics.log_loss(t, s),
            "brier": sklearn_metrics.brier_score_loss(t, s),
        }
        for name, value in expected.items():
            assert out[subgroup, name] == (pytest.approx(value), chosen.sum()), (subgroup, name)
    assert not {metric for _, metric in out} & {"selection_rate", "auprc", "theil_index"}
    assert f1(y, score, 0.5) == out["all", "f1"][0]


def test_a_level_that_a_subgroup_lacks_makes_its_means_over_levels_undefined():
    schema = GroupSchema(("SEX", "y"), (("F", "M"), ("a", "b", "c")))
    y, sex = np.array([0, 1, 2, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    score = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]] * 2)
    out = judged(schema, schema.index_of(np.stack([sex, y])), score)
    for metric in ("auroc", "balanced_accuracy"):
        assert out["SEX=F", metric] == (1.0, 3)
        assert np.isnan(out["SEX=M", metric][0])
        assert out["SEX=M", metric][1] == 3
    assert out["all", "worst_auroc_difference_subgroups_used"][0] == 1


def test_calibration_errors_are_what_their_bins_say():
    rng = np.random.default_rng(1)
    score = rng.random(900)
    y = (rng.random(900) < np.clip(score + 0.1, 0, 1)).astype(int)
    part = rng.integers(0, 2, 900)
    plain, debiased = (of(y, score, part, 2) for of in (calibration_error,
                                                       debiased_calibration_error))  # fmt: skip
    for k in (0, 1):
        error = square = 0.0
        s, t = score[part == k], y[part == k]
        for low in np.arange(N_BINS) / N_BINS:
            inside = (s >= low) & (s < low + 1 / N_BINS)
            gap, rate = s[inside].mean() - t[inside].mean(), t[inside].mean()
            error += inside.mean() * abs(gap)
            square += inside.mean() * (gap**2 - rate * (1 - rate) / (inside.sum() - 1))
        assert plain[k] == pytest.approx(error)
        assert debiased[k] == pytest.approx(np.sqrt(square))


def test_debiasing_takes_away_what_chance_gives_a_calibrated_score():
    rng = np.random.default_rng(2)
    score = rng.random((60, 200))
    y = (rng.random(score.shape) < score).astype(int)
    part = np.repeat(np.arange(60), 200)
    plain = calibration_error(y.ravel(), score.ravel(), part, 60)
    debiased = debiased_calibration_error(y.ravel(), score.ravel(), part, 60)
    assert plain.mean() > 0.06
    # The square is unbiased; its positive part is what the root is taken of.
    assert np.median(debiased) < 0.03


def test_calibration_slope_is_the_unpenalised_logistic_regression():
    rng = np.random.default_rng(3)
    score = np.clip(rng.beta(0.6, 0.9, 600), 1e-4, 1 - 1e-4)
    y = (rng.random(600) < 0.2 + 0.5 * score).astype(int)
    part = rng.integers(0, 3, 600)
    found = calibration_slope(y, score, part, 4)
    assert np.isnan(found[3])
    for k in range(3):
        logit = np.log(score / (1 - score))[part == k][:, None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(logit, y[part == k])
        assert found[k] == pytest.approx(model.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize(
    ("y", "score"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),  # separated
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
        ([1, 1, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_a_slope_that_does_not_exist_is_nan(y, score):
    assert np.isnan(calibration_slope(np.array(y), np.array(score), np.zeros(4, int), 1))[0]


def test_scores_of_0_and_1_have_finite_metrics_of_probability():
    out = overall(TWO_ROWS, [0, 2, 0, 2, 0, 2], [0.0, 1.0, 1.0, 0.0, 0.2, 0.9])
    assert np.isfinite([out["log_loss"], out["calibration_slope"]]).all()


def test_subgroups_are_judged_on_their_own_rows(schema):
    groups = [0, 0, 2, 2, 1, 1, 3, 3]
    score = [0.1, 0.2, 0.8, 0.9, 0.9, 0.8, 0.2, 0.1]
    out = judged(schema, groups, score)
    assert out["SEX=F", "auroc"] == (1.0, 4)
    assert out["SEX=M", "auroc"] == (0.0, 4)
    assert out["all", "accuracy"] == (0.5, 8)


def test_undefined_is_nan_with_its_denominator(schema):
    out = judged(schema, [0, 0, 1, 3], [0.1, 0.2, 0.3, 0.9])
    for metric in ("auroc", "balanced_accuracy", "auprc", "f1"):
        value, support = out["SEX=F", metric]
        assert np.isnan(value), metric
        assert support == 2
    assert np.isnan(out["SEX=F", "true_positive_rate"][0])
    assert out["SEX=F", "true_positive_rate"][1] == 0
    assert out["SEX=F", "false_positive_rate"] == (0.0, 2)


def test_an_empty_subgroup_is_kept(schema):
    out = judged(schema, [1, 3, 3], [0.1, 0.9, 0.4])
    assert all(
        np.isnan(value) and support == 0
        for (subgroup, _), (value, support) in out.items()
        if subgroup == "SEX=F"
    )


def test_no_row_at_all_is_undefined(schema):
    out = judged(schema, np.array([], dtype=int), [])
    assert all(support == 0 for _, support in out.values())


def test_intersections_stand_beside_the_single_attributes():
    schema = GroupSchema(("sex", "race", "y"), (("F", "M"), ("a", "b", "c"), ("0", "1")))
    rng = np.random.default_rng(0)
    groups = rng.integers(0, schema.n_groups, 500)
    out = judge(schema, groups, rng.random(500))
    kinds = set(zip(out["attribute"], out["subgroup"], strict=True))
    assert ("sex*race", "sex=M, race=c") in kinds
    assert ("race", "race=b") in kinds
    keys = zip(out["attribute"], out["subgroup"], out["metric"], strict=True)
    support = dict(zip(keys, out["support"], strict=True))
    for attribute in ("sex", "race", "sex*race"):
        assert (
            sum(n for (a, s, m), n in support.items() if a == attribute and m == "accuracy") == 500
        )
    # One row for each place: what tables are keyed by.
    assert len(support) == len(out["value"])


def test_every_metric_has_words_and_at_most_one_kind_of_direction():
    schema = GroupSchema(("sex", "y"), (("F", "M"), ("0", "1")))
    groups = np.array([0, 1, 2, 3] * 5)
    made = {m for m in judge(schema, groups, np.linspace(0, 1, 20))["metric"] if not is_aside(m)}
    assert made == set(WORDS)
    assert made >= LOWER_IS_BETTER | NO_DIRECTION
    assert not LOWER_IS_BETTER & NO_DIRECTION


def test_counts_are_scikit_learns_confusion_matrix():
    rng = np.random.default_rng(0)
    y, predicted, part = (rng.integers(0, k, 200) for k in (3, 3, 2))
    counts = confusion(y, predicted, 3, part, 2)
    for k in range(2):
        expected = sklearn_metrics.confusion_matrix(y[part == k], predicted[part == k])
        assert np.array_equal(counts[k], expected)
    assert rates.recalls(counts).shape == (2, 3)
