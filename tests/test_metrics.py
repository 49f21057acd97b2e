# SPDX-License-Identifier: MIT
"""Metrics against scikit-learn and fairness toolkits' conventions; undefined is NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from mcrage.groups import GroupSchema
from mcrage.metrics.binary import METRICS, judge

rows = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1, allow_nan=False, width=32)),
    min_size=4,
    max_size=80,
)


@given(rows)
def test_metrics_are_scikit_learns(pairs):
    y = np.array([label for label, _ in pairs])
    score = np.array([value for _, value in pairs])
    predicted = (score >= 0.5).astype(int)
    ours = {name: function(y, score, 0.5) for name, function in METRICS.items()}
    assert ours["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(y, predicted))
    assert ours["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(y, score))
    assert ours["selection_rate"] == pytest.approx(predicted.mean())
    if y.any() or predicted.any():
        assert ours["f1"] == pytest.approx(sklearn_metrics.f1_score(y, predicted))
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


def judged(schema, groups, score):
    out = judge(schema, np.array(groups), np.array(score))
    return {
        (subgroup, metric): (value, support)
        for subgroup, metric, value, support in zip(
            out["subgroup"], out["metric"], out["value"], out["support"], strict=True
        )
    }


def test_subgroups_are_judged_on_their_own_rows(schema):
    groups = [0, 0, 2, 2, 1, 1, 3, 3]
    score = [0.1, 0.2, 0.8, 0.9, 0.9, 0.8, 0.2, 0.1]
    out = judged(schema, groups, score)
    assert out["SEX=F", "auroc"] == (1.0, 4)
    assert out["SEX=M", "auroc"] == (0.0, 4)
    assert out["all", "accuracy"] == (0.5, 8)


def test_undefined_is_nan_with_its_support(schema):
    out = judged(schema, [0, 0, 1, 3], [0.1, 0.2, 0.3, 0.9])
    for metric in ("auroc", "true_positive_rate", "balanced_accuracy", "auprc", "f1"):
        value, support = out["SEX=F", metric]
        assert np.isnan(value), metric
        assert support == 2
    assert out["SEX=F", "false_positive_rate"] == (0.0, 2)


def test_an_empty_subgroup_is_kept(schema):
    out = judged(schema, [1, 3, 3], [0.1, 0.9, 0.4])
    assert all(
        np.isnan(value) and support == 0
        for (subgroup, _), (value, support) in out.items()
        if subgroup == "SEX=F"
    )


def test_intersections_stand_beside_the_single_attributes():
    schema = GroupSchema(("sex", "race", "y"), (("F", "M"), ("a", "b", "c"), ("0", "1")))
    rng = np.random.default_rng(0)
    groups = rng.integers(0, schema.n_groups, 500)
    out = judge(schema, groups, rng.random(500))
    kinds = set(zip(out["attribute"], out["subgroup"], strict=True))
    assert ("sex*race", "sex=M, race=c") in kinds
    assert ("race", "race=b") in kinds
    keys = zip(out["attribute"], out["subgroup"], strict=True)
    support = dict(zip(keys, out["support"], strict=True))
    for attribute in ("sex", "race", "sex*race"):
        assert sum(n for (a, _), n in support.items() if a == attribute) == 500
