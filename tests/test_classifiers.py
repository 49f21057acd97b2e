# SPDX-License-Identifier: MIT
"""Classifiers: every kind learns, takes weights, and shares across subgroups what it is told to."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from conftest import make_table
from mcrage.classifiers.design_matrix import DesignMatrix
from mcrage.classifiers.registry import CLASSIFIERS, fit_and_score
from mcrage.config.load import load_config
from mcrage.encoding.scaling import SubgroupScaling
from mcrage.errors import UserError
from mcrage.groups import GroupSchema

SMALL = {
    "random_forest": {"n_trees": 30, "min_samples_leaf": 5},
    "gradient_boosting": {"n_trees": 20, "learning_rate": 0.2},
    "kernel_logistic": {"n_components": 40},
    "perceptrons": {"n_models": 2, "epochs": 15},
}


def resolved(kind: str, **more) -> dict:
    config = load_config({"classifiers": {**default(), "x": {"kind": kind, **SMALL[kind], **more}}})
    return config.classifiers["x"].resolved(config.classifiers)


def default() -> dict:
    return {name: value.model_dump() for name, value in load_config({}).classifiers.items()}


def separated(counts, seed: int = 0) -> pa.Table:
    """Rows whose iron is two deviations higher where SOURCE=in, in both subgroups."""
    table = make_table(counts, seed)
    shift = 4.0 * (table["SOURCE"].to_numpy(zero_copy_only=False) == "in")
    iron = np.random.default_rng(seed + 1).normal(10, 2, table.num_rows) + shift
    return table.set_column(3, "iron", pa.array(iron))


def moved(table: pa.Table, scale: float, shift: float) -> pa.Table:
    """The same rows with women's iron in another unit."""
    iron = table["iron"].to_numpy()
    women = table["SEX"].to_numpy(zero_copy_only=False) == "F"
    return table.set_column(3, "iron", pa.array(np.where(women, scale * iron + shift, iron)))


def target(table: pa.Table, roles) -> np.ndarray:
    schema = GroupSchema.of(roles)
    return schema.target_of(schema.index(table))


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("features", ["raw", "within_subgroup", "both"])
def test_every_kind_learns_what_separates_the_outcomes(kind, features, roles):
    train, test = separated([60, 60, 60, 60]), separated([50, 50, 50, 50], seed=5)
    score = fit_and_score(resolved(kind, features=features), train, None, test, roles, seed=0)
    assert score.shape == (200,)
    assert 0.0 <= score.min() < score.max() <= 1.0
    # Two normals 2 deviations apart: Φ(√2) = .92 at best.
    assert roc_auc_score(target(test, roles), score) > 0.84


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_kind_takes_weights(kind, roles):
    train, test = separated([60, 60, 60, 60]), separated([50, 50, 50, 50], seed=5)
    weights = np.where(target(train, roles) == 1, 8.0, 1.0)
    plain, weighted = (
        fit_and_score(resolved(kind), train, w, test, roles, seed=0) for w in (None, weights)
    )
    assert weighted.mean() > plain.mean() + 0.1


def test_perceptrons_survive_a_batch_of_rows_left_out(roles):
    # Batches have 200 rows: the last one row alone, which bagging leaves out of some models.
    train = separated([50, 50, 50, 51])
    score = fit_and_score(resolved("perceptrons", n_models=8), train, None, train, roles, seed=0)
    assert np.isfinite(score).all()


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_one_outcome_alone_is_predicted_for_sure(kind, roles):
    train = make_table([0, 0, 9, 9])
    score = fit_and_score(resolved(kind), train, None, make_table([2, 2, 2, 2]), roles, seed=0)
    assert score.tolist() == [1.0] * 8
    train = make_table([9, 9, 9, 9])
    weights = 1.0 - target(train, roles)
    assert not fit_and_score(resolved(kind), train, weights, train, roles, seed=0).any()


def test_an_ensemble_is_the_mean_of_its_members(roles):
    train, test = separated([40, 40, 40, 40]), separated([9, 9, 9, 9], seed=5)
    members = [resolved("random_forest"), resolved("kernel_logistic", features="both")]
    ensemble = {"kind": "ensemble", "members": members}
    scores = [fit_and_score(member, train, None, test, roles, seed=3) for member in members]
    found = fit_and_score(ensemble, train, None, test, roles, seed=3)
    np.testing.assert_allclose(found, np.mean(scores, axis=0))


def test_within_the_subgroup_a_unit_of_its_own_changes_nothing(roles):
    train, test = separated([400, 400, 400, 400]), separated([200, 200, 200, 200], seed=5)
    y, settings = target(test, roles), resolved("kernel_logistic", features="within_subgroup")
    score = fit_and_score(settings, train, None, test, roles, seed=0)
    other = fit_and_score(
        settings, moved(train, 3.0, 50.0), None, moved(test, 3.0, 50.0), roles, seed=0
    )
    # But for the five rows' worth of everyone's moments.
    assert abs(roc_auc_score(y, score) - roc_auc_score(y, other)) < 0.005


@pytest.mark.parametrize(
    ("features", "names"),
    [("raw", "raw"), ("within_subgroup", "standard"), ("both", "raw standard")],
)
def test_the_columns_that_a_classifier_sees(features, names, roles):
    train, test = separated([90, 80, 70, 60]), separated([5, 6, 7, 8], seed=5)
    design = DesignMatrix.fit(train, roles, features)
    for table in (train, test):
        part = design.of(table)
        n_columns = 2 * len(names.split()) + 1
        assert part.shape == (table.num_rows, n_columns)
        woman = table["SEX"].to_numpy(zero_copy_only=False) == "F"
        indicator = part[:, 2 if "raw" in names else 0]
        assert (indicator == ~woman).all()
        if "standard" in names and table is train:
            np.testing.assert_allclose(part[woman, -2:].mean(axis=0), 0.0, atol=0.05)
            np.testing.assert_allclose(part[woman, -2:].std(axis=0), 1.0, atol=0.05)


finite = st.floats(-1e6, 1e6, width=32)


@given(
    arrays(np.float64, (12, 2), elements=finite), arrays(np.int64, 12, elements=st.integers(0, 2))
)
def test_scaling_and_back_is_the_identity(rows, subgroups):
    scaling = SubgroupScaling.fit(rows, 0, subgroups)
    back = scaling.inverse(scaling.transform(rows, subgroups), subgroups)
    np.testing.assert_allclose(back, rows, rtol=1e-9, atol=1e-6)
    assert np.isfinite(scaling.means).all()
    assert (scaling.deviations > 0).all()


def test_large_subgroups_have_their_own_moments_and_empty_ones_those_of_all():
    rng = np.random.default_rng(0)
    subgroups = rng.integers(0, 2, 20_000)
    rows = rng.normal(3.0 * subgroups, 1.0 + subgroups)[:, None]
    scaling = SubgroupScaling.fit(rows, 0, subgroups)
    for subgroup in (0, 1):
        own = StandardScaler().fit(rows[subgroups == subgroup])
        np.testing.assert_allclose(scaling.means[subgroup], own.mean_, atol=2e-3)
        np.testing.assert_allclose(scaling.deviations[subgroup], own.scale_, rtol=2e-3)
    everyone = StandardScaler().fit(rows)
    np.testing.assert_allclose(scaling.means[2], everyone.mean_)
    np.testing.assert_allclose(scaling.deviations[2], everyone.scale_)


@pytest.mark.parametrize(
    ("classifier", "told"),
    [
        ({"kind": "ensemble", "members": ["random_forest", "svm"]}, "'svm' is not in classifiers"),
        ({"kind": "ensemble", "members": ["ensemble", "random_forest"]}, "itself an ensemble"),
        ({"kind": "ensemble", "members": ["random_forest"]}, "at least 2 items"),
        ({"kind": "gradient_boosting", "trees": 3}, "trees: unknown key"),
        ({"kind": "random_forest", "features": "all"}, "found 'all'"),
    ],
)  # fmt: skip
def test_wrong_classifiers_are_refused(classifier, told):
    with pytest.raises(UserError, match=told):
        load_config({"classifiers": {**default(), "e": classifier}})
