# SPDX-License-Identifier: MIT
"""Classifiers: every kind learns, takes weights, and shares across subgroups what it is told to."""

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from conftest import make_table
from mcrage.classifiers.design_matrix import MAX_INDICATORS, DesignMatrix
from mcrage.classifiers.out_of_fold import log_loss, out_of_fold, real_folds
from mcrage.classifiers.registry import CLASSIFIERS, fit, fit_and_score
from mcrage.classifiers.teacher import soft_labels
from mcrage.config.load import load_config
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.encoding.scaling import SubgroupScaling
from mcrage.errors import UserError
from mcrage.figures.samples import once as each_once
from mcrage.groups import GroupSchema, filling_plan
from mcrage.rebalancing import rebalance

SMALL = {
    "random_forest": {"n_trees": 30, "min_samples_leaf": 5},
    "gradient_boosting": {"n_trees": 20, "learning_rate": 0.2},
    "kernel_logistic": {"n_components": 40},
    "perceptrons": {"n_models": 2, "epochs": 15},
    "logistic_regression": {},
    "decision_tree": {"max_depth": 3},
    "naive_bayes": {},
    "nearest_neighbours": {},
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
    ensemble = {"kind": "ensemble", "members": members, "shares": "equal"}
    scores = [fit_and_score(member, train, None, test, roles, seed=3) for member in members]
    found = fit_and_score(ensemble, train, None, test, roles, seed=3)
    np.testing.assert_allclose(found, np.mean(scores, axis=0))


def test_an_ensemble_weighted_by_held_out_rows_leaves_out_who_knows_nothing(roles):
    train, test = separated([200, 200, 200, 200]), separated([50, 50, 50, 50], seed=5)
    # A forest of stumps that may not split says how frequent the outcome is, and no more.
    blind = resolved("random_forest", n_trees=5, min_samples_split=2_000)
    members = [resolved("logistic_regression"), blind]
    weighted = {"kind": "ensemble", "members": members, "shares": "held_out"}
    found = fit(weighted, train, None, roles, seed=3)
    known, nothing = (fit(member, train, None, roles, seed=3) for member in members)
    assert np.ptp(nothing(test)) < 0.1
    scores = np.stack([known(test), nothing(test)], axis=1)
    shares = np.linalg.lstsq(scores, found(test), rcond=None)[0]
    assert shares[0] > 0.85
    np.testing.assert_allclose(scores @ shares, found(test), atol=1e-9)
    held = [one.held_out.scores for one in (known, nothing)]
    np.testing.assert_allclose(found.held_out.scores, np.stack(held, axis=1) @ shares, atol=1e-9)


def test_a_kernel_of_more_components_than_rows_takes_all_rows_and_says_nothing(roles):
    train, test = separated([9, 9, 9, 9]), separated([9, 9, 9, 9], seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more, all_rows = (
            fit_and_score(
                resolved("kernel_logistic", n_components=n), train, None, test, roles, seed=3
            )
            for n in (400, 36)
        )
    np.testing.assert_array_equal(more, all_rows)


@pytest.mark.parametrize("kind", ["kernel_logistic", "perceptrons"])
def test_a_long_tail_is_cut_unless_it_is_transformed(kind, roles):
    train = separated([60, 60, 60, 60])
    scores = (train["iron"].to_numpy() - 12) / 2.8
    train = train.set_column(3, "iron", pa.array(np.exp(scores)))
    # Of a lognormal, whose mean is 1.6 and deviation 2.2, both are four deviations above the mean.
    ends = train.slice(0, 1).set_column(3, "iron", pa.array([np.exp(2.4)]))
    farther = ends.set_column(3, "iron", pa.array([np.exp(2.8)]))
    for transform, told_apart in (("none", False), ("yeo_johnson", True)):
        score = fit(resolved(kind, transform=transform), train, None, roles, seed=0)
        assert (abs(score(ends) - score(farther))[0] > 1e-4) == told_apart


def test_a_column_that_is_nearly_constant_is_transformed_all_the_same(roles):
    train = separated([60, 60, 60, 60])
    iron = np.full(240, 12.0)
    iron[0] = 12.5
    train = train.set_column(3, "iron", pa.array(iron))
    far = train.slice(0, 2).set_column(3, "iron", pa.array([1e9, -1e9]))
    score = fit(resolved("kernel_logistic", transform="yeo_johnson"), train, None, roles, seed=0)
    assert np.isfinite(score(far)).all()


def bagged(**more) -> dict:
    return resolved("gradient_boosting", n_models=4, max_features=0.5, **more)


def test_bagged_boosting_learns_takes_weights_and_differs_by_seed(roles):
    train, test = separated([60, 60, 60, 60]), separated([50, 50, 50, 50], seed=5)
    weights = np.where(target(train, roles) == 1, 8.0, 1.0)
    plain, again, other, weighted = (
        fit_and_score(bagged(), train, w, test, roles, seed=seed)
        for w, seed in ((None, 0), (None, 0), (None, 1), (weights, 0))
    )
    assert roc_auc_score(target(test, roles), plain) > 0.84
    assert weighted.mean() > plain.mean() + 0.1
    np.testing.assert_array_equal(plain, again)
    assert (plain != other).any()


def test_the_shipped_ensemble_knows_how_frequent_the_outcome_is_in_each_subgroup(roles):
    """Members that don't see the subgroup are told its frequency by their recalibration."""
    config = load_config({})
    shipped = config.classifiers["ensemble"].resolved(config.classifiers)
    # Women 80 of 400 in, men 240 of 400, and in either the same difference in iron.
    train, test = separated([320, 80, 160, 240]), separated([320, 80, 160, 240], seed=5)
    women = pc.equal(test["SEX"], "F").to_numpy()
    y, score = target(test, roles), fit_and_score(shipped, train, None, test, roles, seed=0)
    for mask in (women, ~women):
        assert abs(score[mask].mean() - y[mask].mean()) < 0.05
        assert roc_auc_score(y[mask], score[mask]) > 0.84
    blind = [
        {**member, "recalibration": "none"}
        for member in shipped["members"]
        if not member.get("attributes", True)
    ]
    assert len(blind) == 2
    for member in blind:
        told = fit_and_score(member, train, None, test, roles, seed=0)
        assert abs(told[women].mean() - y[women].mean()) > 0.08


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
    scaling = SubgroupScaling.fit(rows.T, len(rows), subgroups)
    back = scaling.inverse(scaling.transform(rows, subgroups), subgroups)
    np.testing.assert_allclose(back, rows, rtol=1e-9, atol=1e-6)
    assert np.isfinite(scaling.means).all()
    assert (scaling.deviations > 0).all()


def test_large_subgroups_have_their_own_moments_and_empty_ones_those_of_all():
    rng = np.random.default_rng(0)
    subgroups = rng.integers(0, 2, 20_000)
    rows = rng.normal(3.0 * subgroups, 1.0 + subgroups)[:, None]
    scaling = SubgroupScaling.fit(rows.T, len(rows), subgroups)
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


MIXED = Roles(
    dataset="clinic",
    title="A clinic",
    features=(
        Feature("age", "Age", kind="integer"),
        Feature("iron", "Iron", missing="keep"),
        Feature("drug", "Drug", kind="category", levels=tuple("abcd"), missing="keep"),
        Feature("smokes", "Smokes", kind="category", levels=("false", "true")),
        Feature("stage", "Stage", kind="ordinal", levels=("i", "ii", "iii"), missing="impute"),
    ),
    sensitive=(
        Attribute("age", "Age", ("young", "old"), (), (-np.inf, 50.0, np.inf)),
        Attribute("race", "Race", ("x", "y", "z"), ()),
    ),
    target=Target("outcome", "Outcome", ("well", "ill", "dead"), ()),
    columns=("age", "iron", "drug", "smokes", "stage", "race", "outcome"),
)


def clinic(n: int, seed: int, drugs: str = "abc") -> pa.Table:
    """Patients whose outcome follows from drug and stage; some values are missing."""
    rng = np.random.default_rng(seed)
    drug, stage = rng.choice(list(drugs), n), rng.integers(0, 3, n)
    risk = 2.0 * (drug == "b") + stage + rng.normal(0, 0.5, n)
    gone = rng.random((3, n)) < 0.2
    return pa.table(
        {
            "age": pa.array(rng.integers(20, 90, n)),
            "iron": pa.array(rng.normal(10, 2, n), mask=gone[0]),
            "drug": pa.array(drug, mask=gone[1]),
            "smokes": pa.array(rng.random(n) < 0.3),
            "stage": pa.array(np.array(["i", "ii", "iii"])[stage], mask=gone[2]),
            "race": pa.array(rng.choice(list("xyz"), n)),
            "outcome": pa.array(np.array(["well", "ill", "dead"])[np.digitize(risk, [1, 3])]),
        }
    )


@pytest.mark.parametrize("native", [False, True])
def test_the_columns_of_a_mixed_table(native):
    train, test = clinic(200, 0), clinic(50, 1, drugs="abd")
    design = DesignMatrix.fit(train, MIXED, "raw", native=native)
    x, frame = design.of(test), test.to_pandas()
    known = train.to_pandas()
    median = np.median(known["iron"].dropna())
    missing_iron, missing_drug = frame["iron"].isna(), frame["drug"].isna()
    stage = frame["stage"].fillna(known["stage"].mode()[0]).map({"i": 0, "ii": 1, "iii": 2})
    # No training row has drug d: no column of its own, and not the missing value's.
    one_hot = OneHotEncoder(categories=[["a", "b", "c"]], handle_unknown="ignore")
    drug = one_hot.fit_transform(frame[["drug"]]).toarray()
    race = OneHotEncoder().fit_transform(frame[["race"]]).toarray()
    if native:
        code = frame["drug"].map({"a": 0, "b": 1, "c": 2, "d": 3}).to_numpy()
        expected = [frame["age"], frame["iron"], code]
    else:
        iron = frame["iron"].fillna(median)
        expected = [frame["age"], iron, missing_iron, *drug.T, missing_drug]
    expected += [frame["smokes"], stage, frame["age"] >= 50, *race.T]
    np.testing.assert_array_equal(x, np.column_stack(expected).astype(float))
    assert np.flatnonzero(design.categorical).tolist() == ([2] if native else [])
    unseen = DesignMatrix.fit(train, MIXED, "raw", native=native, attributes=False).of(test)
    assert unseen.shape[1] == x.shape[1] - 5


def test_bagged_boosting_takes_categories_as_they_are_and_missing_values():
    """One split of a category tells any of its levels from the others; of a number it can't."""
    ward = replace(MIXED, target=Target("outcome", "Outcome", ("well", "ill"), ()))
    rows = clinic(400, 0, drugs="abcd")
    odd = np.isin(rows["drug"].to_pylist(), ["b", "d"])
    rows = rows.set_column(6, "outcome", pa.array(np.where(odd, "ill", "well")))
    settings = bagged(n_trees=1, max_depth=1, learning_rate=1.0) | {"max_features": 1.0}
    score = fit_and_score(settings, rows, None, rows, ward, seed=0)
    known = rows["drug"].is_valid().to_numpy()
    assert score[known & odd].min() > 0.8 > 0.2 > score[known & ~odd].max()


def test_rare_levels_share_a_column():
    codes = [f"d{number}" for number in range(400)]
    drug = Feature("drug", "Drug", kind="category", levels=tuple(codes))
    roles = replace(MIXED, features=(MIXED.features[0], drug))
    drugs = np.repeat(codes, np.arange(400, 0, -1) // 40 + 1)
    train = clinic(len(drugs), 0).set_column(2, "drug", pa.array(drugs))
    indicators = DesignMatrix.fit(train, roles, "raw").of(train)
    assert indicators.shape[1] == 1 + MAX_INDICATORS + 4
    assert np.array_equal(indicators[:, 1:31].sum(axis=1), np.isin(drugs, codes[:30]))
    native = DesignMatrix.fit(train, roles, "raw", native=True)
    assert native.of(train)[:, native.categorical].max() == 254


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("features", ["raw", "both"])
def test_every_kind_learns_three_outcomes_of_a_mixed_table(kind, features):
    train, test = clinic(400, 0), clinic(300, 1)
    score = fit_and_score(resolved(kind, features=features), train, None, test, MIXED, seed=0)
    assert score.shape == (300, 3)
    np.testing.assert_allclose(score.sum(axis=1), 1.0)
    y = target(test, MIXED)
    assert roc_auc_score(y, score, multi_class="ovr") > 0.75


def test_an_outcome_that_no_training_row_has_is_never_expected():
    train = clinic(200, 0)
    train = train.filter(pc.not_equal(train["outcome"], "ill"))
    score = fit_and_score(resolved("decision_tree"), train, None, clinic(20, 1), MIXED, seed=0)
    assert not score[:, 1].any()
    np.testing.assert_allclose(score.sum(axis=1), 1.0)


def test_rows_with_every_outcome_weigh_as_one():
    train, schema = clinic(200, 0), GroupSchema.of(MIXED)
    synthetic = clinic(4000, 1).select([name for name in train.column_names])
    train = train.add_column(0, "row_id", pa.array(np.arange(200)))
    labels = soft_labels(resolved("decision_tree"), train, MIXED, seed=0)
    table, weights = rebalance(train, schema, synthetic=synthetic, labels=labels)
    plan = filling_plan(schema.counts(schema.index(train)))
    n_added = int(plan.sum())
    assert table.num_rows == 200 + 3 * n_added
    copies = weights["weight"].to_numpy()[200:].reshape(3, n_added)
    np.testing.assert_allclose(copies.sum(axis=0), 1.0)
    parts = [table.slice(200 + n_added * part, n_added) for part in range(3)]
    assert [set(part["outcome"].to_pylist()) for part in parts] == [{"dead"}, {"ill"}, {"well"}]
    np.testing.assert_allclose(copies.T[:, ::-1], labels(parts[0]))
    once = table.filter(each_once(table, 3))
    assert once.num_rows == 200 + n_added
    likeliest = np.array(["well", "ill", "dead"])[labels(parts[0]).argmax(axis=1)]
    assert sorted(once["outcome"].to_pylist()[200:]) == sorted(likeliest)


def repeated(table: pa.Table, times: int) -> tuple[pa.Table, np.ndarray]:
    """The rows of a table again and again, and which is which."""
    ids = np.tile(np.arange(table.num_rows), times)
    return table.take(ids), ids


def test_repetitions_share_a_fold_and_synthetic_rows_have_none(roles):
    table, ids = repeated(separated([10, 10, 10, 10]), 3)
    ids[-40:] = -1
    rows, of_row = real_folds(table, ids, roles, 4, seed=0)
    assert rows.tolist() == list(range(40))
    assert (of_row[ids < 0] == -1).all()
    assert all(len(set(of_row[ids == each])) == 1 for each in range(40))
    assert np.bincount(of_row[:40]).tolist() == [10] * 4
    clustered = table.append_column("patient", pa.array(np.arange(120) % 40 // 2))
    _, of_row = real_folds(clustered, ids, replace(roles, cluster=("patient",)), 4, seed=0)
    assert all(len(set(of_row[:40][[2 * each, 2 * each + 1]])) == 1 for each in range(20))


def test_held_out_scores_are_those_of_scikit_learn(roles):
    table = separated([40, 40, 40, 40])
    settings = resolved("logistic_regression")
    ids = np.arange(160)
    rows, scores = out_of_fold(fit, settings, table, None, ids, roles, folds=4, seed=0)
    _, of_row = real_folds(table, ids, roles, 4, seed=0)
    x, y = DesignMatrix.fit(table, roles, "raw").of(table), target(table, roles)
    model = CLASSIFIERS["logistic_regression"](settings, 0, 1)
    expected = cross_val_predict(model, x, y, cv=PredefinedSplit(of_row), method="predict_proba")
    assert rows.tolist() == list(range(160))
    np.testing.assert_allclose(scores, expected[:, 1])
    assert log_loss(y, scores) == pytest.approx(sklearn_log_loss(y, scores))


def test_a_grid_is_searched_by_rows_that_no_fit_saw(roles):
    """One neighbour is best for a row that stands in the table again, and worst for others."""
    table, ids = repeated(separated([50, 50, 50, 50]), 4)
    grid = {"n_neighbours": [1, 40]}
    settings = resolved("nearest_neighbours", grid=grid)
    test = separated([50, 50, 50, 50], seed=5)
    chosen = fit_and_score(settings, table, None, test, roles, seed=0, row_ids=ids)
    wide = fit_and_score(
        resolved("nearest_neighbours", n_neighbours=40), table, None, test, roles, seed=0
    )
    np.testing.assert_array_equal(chosen, wide)
    fooled = fit_and_score(settings, table, None, test, roles, seed=0)
    assert set(fooled) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"trees": [1]}, "grid.trees: not a setting of random_forest"),
        ({"n_trees": []}, "grid.n_trees: is empty"),
        ({"n_trees": [10, 0]}, "grid.n_trees: found 0"),
    ],
)
def test_wrong_grids_are_refused(grid, told):
    with pytest.raises(UserError, match=told):
        resolved("random_forest", grid=grid)
