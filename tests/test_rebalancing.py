# SPDX-License-Identifier: MIT
"""Treatments: filled groups, weights and repeated rows."""

import logging
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from sklearn.utils.class_weight import compute_sample_weight

from conftest import WARD, make_table
from mcrage.classifiers.registry import fit_and_score
from mcrage.classifiers.teacher import soft_labels
from mcrage.config.treatments import Treatment
from mcrage.errors import UserError
from mcrage.groups import GroupSchema, shared_filling_plan
from mcrage.rebalancing import (
    equal_weights,
    rebalance,
    repeated_rows,
    reweighing,
    row_weights,
    rows_to_add,
    synthetic_table,
)

COUNTS = [30, 40, 20, 50]


def drawn(table, counts) -> pa.Table:
    groups = np.repeat(np.arange(4), counts)
    features = np.column_stack([np.arange(len(groups)) + 0.4, np.full(len(groups), 7.25)])
    return synthetic_table(features, groups, table, WARD)


def test_nothing_is_done_without_a_treatment(table, schema):
    rebalanced, weights = rebalance(table, schema)
    assert rebalanced.drop_columns(["is_synthetic"]).equals(table.drop_columns(["row_id"]))
    assert weights["row_id"].to_pylist() == table["row_id"].to_pylist()
    assert set(weights["weight"].to_pylist()) == {1.0}


def test_synthetic_rows_fill_every_group(table, schema):
    synthetic = drawn(table, [20, 10, 30, 0])
    rebalanced, weights = rebalance(table, schema, synthetic=synthetic)
    assert schema.counts(schema.index(rebalanced)).tolist() == [50] * 4
    flags = rebalanced["is_synthetic"].to_numpy()
    assert flags.sum() == 60
    assert not flags[:140].any()
    assert [row is None for row in weights["row_id"].to_pylist()] == flags.tolist()
    assert rebalanced.column_names == ["age", "SEX", "iron", "SOURCE", "is_synthetic"]
    assert rebalanced.schema.field("age").type == table.schema.field("age").type


def test_a_partial_fill_uses_a_part_of_the_rows(table, schema):
    synthetic = drawn(table, [20, 10, 30, 0])
    rebalanced, _ = rebalance(table, schema, synthetic=synthetic, fill=0.5)
    assert schema.counts(schema.index(rebalanced)).tolist() == [40, 45, 35, 50]


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=60),
    st.floats(0.01, 2),
    st.floats(0.01, 2),
    st.integers(0, 9),
)
def test_a_smaller_dose_repeats_a_part_of_what_a_larger_one_does(strata, one, other, seed):
    strata = np.array(strata)
    small, large = (
        Counter(repeated_rows(strata, seed, dose).tolist()) for dose in sorted((one, other))
    )
    assert small <= large
    gaps = np.bincount(strata).max() - np.bincount(strata)[np.unique(strata)]
    assert large.total() == sum(int(gap * max(one, other) + 1e-9) for gap in gaps)


def test_a_smaller_dose_adds_a_part_of_the_synthetic_rows(table, schema):
    synthetic = drawn(table, [40, 20, 60, 0])
    ages = [
        set(rebalance(table, schema, synthetic=synthetic, fill=dose)[0]["age"].to_pylist()[140:])
        for dose in (0.25, 0.5, 1, 2)
    ]
    assert all(small < large for small, large in pairwise(ages))
    assert [len(rows) for rows in ages] == [14, 30, 60, 120]


def test_subgroups_are_filled_and_keep_their_share_of_outcomes(table, schema):
    # 30 and 20 women, 40 and 50 men: 40 women lack, 60 % of them with the first outcome.
    plan = rows_to_add(np.array(COUNTS), schema, by="subgroup", size=1.0, fill=1.0)
    assert plan.tolist() == [24, 0, 16, 0]
    larger = rows_to_add(np.array(COUNTS), schema, by="subgroup", size=2.0, fill=1.0)
    assert larger.tolist() == [78, 40, 52, 50]
    rebalanced, _ = rebalance(
        table, schema, synthetic=drawn(table, larger), fill_by="subgroup", size=2.0
    )
    subgroups = schema.subgroup_of(schema.index(rebalanced))
    assert np.bincount(subgroups).tolist() == [180, 180]


@given(
    st.lists(st.integers(0, 400), min_size=6, max_size=6),
    st.sampled_from([1, 2, 3]),
    st.floats(1, 5),
    st.floats(0.01, 2),
)
def test_filled_subgroups_end_as_large_as_asked_but_for_part_rows(counts, n_subgroups, size, fill):
    counts = np.array(counts)
    subgroups = np.arange(len(counts)) % n_subgroups
    plan = shared_filling_plan(counts, subgroups, fill, size)
    rows, added = (x.reshape(-1, n_subgroups).sum(axis=0) for x in (counts, plan))
    wanted = (size * rows.max() - rows) * fill
    present = rows > 0
    assert (plan >= 0).all()
    assert not added[~present].any()
    assert (added[present] <= wanted[present] + 1e-6).all()
    assert (added[present] > wanted[present] - len(counts) // n_subgroups - 1).all()
    larger = shared_filling_plan(counts, subgroups, 2.0, size)
    assert (larger >= plan).all()


def test_soft_labels_weigh_a_row_with_either_outcome_as_likely_as_it_is(table, schema):
    synthetic = drawn(table, [20, 10, 30, 0])
    likely = np.linspace(0, 1, 60)
    asked = []

    def labels(rows):
        asked.append(rows)
        return likely

    rebalanced, weights = rebalance(table, schema, synthetic=synthetic, labels=labels)
    assert asked[0].num_rows == 60
    features = ["age", "iron", "SEX"]
    positive, negative = rebalanced.slice(140, 60), rebalanced.slice(200, 60)
    assert positive.select(features).equals(negative.select(features))
    assert set(positive["SOURCE"].to_pylist()) == {"in"}
    assert set(negative["SOURCE"].to_pylist()) == {"out"}
    assert rebalanced.slice(0, 140)["label_weight"].to_pylist() == [1.0] * 140
    np.testing.assert_allclose(positive["label_weight"].to_numpy(), likely)
    np.testing.assert_allclose(negative["label_weight"].to_numpy(), 1 - likely)
    assert weights["weight"].equals(rebalanced["label_weight"])
    assert rebalanced["is_synthetic"].to_numpy().sum() == weights["row_id"].null_count == 120
    assert rebalanced.schema.field("SOURCE").type == table.schema.field("SOURCE").type


@pytest.mark.parametrize("by", ["group", "subgroup", "target", "reweighing"])
def test_weights_balance_what_soft_labels_weigh(table, schema, by):
    """As if each labelled row stood in the table as often as it weighs."""
    likely = np.round(np.linspace(0, 1, 60), 1)
    plan = {"synthetic": drawn(table, [20, 10, 30, 0]), "labels": lambda rows: likely}
    rebalanced, weights = rebalance(table, schema, **plan, weights=by)
    plain, _ = rebalance(table, schema, **plan)
    # What a row is likely to be stays as it is; what it is fitted with is the product.
    assert rebalanced.equals(plain)
    mass = rebalanced["label_weight"].to_numpy()
    groups = schema.index(rebalanced)
    repeated = np.repeat(groups, np.rint(10 * mass).astype(int))
    oracle = row_weights(repeated, schema, by)
    per_row = dict(zip(repeated.tolist(), oracle.tolist(), strict=True))
    expected = [m * per_row[group] for m, group in zip(mass, groups, strict=True)]
    np.testing.assert_allclose(weights["weight"].to_numpy(), expected)
    totals = np.bincount(groups, weights["weight"].to_numpy())
    if by == "group":
        np.testing.assert_allclose(totals, mass.sum() / 4)
    assert np.isclose(totals.sum(), mass.sum())


def test_a_label_that_no_row_has_weighs_nothing(table, schema):
    alike = table.filter(schema.index(table) == 0)
    plan = {"synthetic": drawn(table, [30, 0, 0, 0]), "fill_by": "rows", "rows": 30}
    plan["labels"] = lambda rows: np.zeros(len(rows))
    for by in ("group", "reweighing"):
        _, weights = rebalance(alike, schema, **plan, weights=by)
        assert weights["weight"].to_pylist() == [1.0] * 30 + [0.0] * 30 + [1.0] * 30


def test_a_teacher_learns_from_real_rows_alone(table, schema, roles):
    settings = {"kind": "kernel_logistic", "features": "raw", "attributes": True}
    settings |= {"n_components": 20, "gamma": 0.1, "c": 1.0, "transform": "none"}
    synthetic = drawn(table, [20, 10, 30, 0])
    labels = soft_labels(settings, table, roles, seed=3)
    expected = fit_and_score(settings, table, None, synthetic, roles, seed=3)
    np.testing.assert_array_equal(labels(synthetic), expected)


def test_a_teacher_is_asked_about_no_rows_where_nothing_lacks(table, schema, roles):
    settings = {"kind": "kernel_logistic", "features": "both", "attributes": True}
    settings |= {"n_components": 20, "gamma": 0.1, "c": 1.0, "transform": "none"}
    labels = soft_labels(settings, table, roles, seed=3)
    nothing = drawn(table, [0, 0, 0, 0])
    alike = table.take(
        np.sort(np.concatenate([np.flatnonzero(schema.index(table) == k)[:20] for k in range(4)]))
    )
    rebalanced, weights = rebalance(
        alike, schema, synthetic=nothing, labels=labels, fill_by="subgroup"
    )
    assert not rebalanced["is_synthetic"].to_numpy().any()
    assert weights["weight"].to_pylist() == rebalanced["label_weight"].to_pylist() == [1.0] * 80


def test_too_few_synthetic_rows_are_an_error(table, schema):
    with pytest.raises(UserError, match="30 synthetic rows are asked for, 29 were drawn"):
        rebalance(table, schema, synthetic=drawn(table, [20, 10, 29, 0]))


def test_synthetic_rows_are_nobodys(schema, table):
    with_patient = table.append_column("patient", pa.array(range(140), pa.int64()))
    synthetic = drawn(with_patient, [1, 1, 1, 1])
    assert synthetic["patient"].null_count == 4
    assert synthetic.schema.field("patient").type == pa.int64()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_equal_weights_are_scikit_learns_balanced_ones(strata):
    ours = equal_weights(np.array(strata))
    assert np.allclose(ours, compute_sample_weight("balanced", strata))
    assert np.isclose(ours.mean(), 1)


@pytest.mark.parametrize(("by", "n"), [("group", 4), ("target", 2)])
def test_weights_make_all_groups_or_outcomes_weigh_the_same(table, schema, by, n):
    rebalanced, weights = rebalance(table, schema, weights=by)
    strata = schema.index(rebalanced)
    strata = strata if by == "group" else schema.target_of(strata)
    totals = np.bincount(strata, weights=weights["weight"].to_numpy())
    assert np.allclose(totals, 140 / n)


def test_weights_count_synthetic_rows_too(table, schema):
    synthetic = drawn(table, [20, 10, 30, 0])
    _, weights = rebalance(table, schema, synthetic=synthetic, weights="group")
    assert np.allclose(weights["weight"].to_numpy(), 1)


@pytest.mark.parametrize("by", ["group", "target"])
def test_oversampling_repeats_real_rows_of_the_right_kind(table, schema, by):
    rebalanced, weights = rebalance(table, schema, oversample=by, seed=1)
    groups = schema.index(rebalanced)
    strata = groups if by == "group" else schema.target_of(groups)
    assert len(set(np.bincount(strata))) == 1
    assert not rebalanced["is_synthetic"].to_numpy().any()
    by_id = {row["row_id"]: row for row in table.to_pylist()}
    for row_id, row in zip(weights["row_id"].to_pylist(), rebalanced.to_pylist(), strict=True):
        assert all(row[key] == by_id[row_id][key] for key in ("age", "SEX", "iron", "SOURCE"))


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(0, 3))
def test_repeated_rows_are_as_many_as_imbalanced_learns(strata, seed):
    strata = np.array(strata)
    ours = np.bincount(strata, minlength=4) + np.bincount(
        strata[repeated_rows(strata, seed)], minlength=4
    )
    if len(np.unique(strata)) > 1:
        _, theirs = RandomOverSampler(random_state=seed).fit_resample(
            np.zeros((len(strata), 1)), strata
        )
        assert ours.tolist() == np.bincount(theirs, minlength=4).tolist()
    else:
        assert ours.sum() == len(strata)


def test_the_table_is_the_same_for_the_same_seed_and_another_for_another(schema):
    table = make_table(COUNTS, seed=5)
    first, again, other = (
        rebalance(table, schema, oversample="group", seed=s)[0] for s in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_what_volume_alone_does(table, schema):
    plan = rows_to_add(np.array(COUNTS), schema, by="rows", size=1.0, fill=1.0)
    # 20 + 10 + 30 rows lack in groups of 30, 40, 20 and 50 of 140.
    assert plan.tolist() == [12, 17, 8, 21]
    repeated, _ = rebalance(table, schema, oversample="rows", seed=5)
    assert repeated.num_rows == 140 + 60
    mix = schema.counts(schema.index(repeated.slice(140)))
    assert mix.min() > 0
    assert (mix > 0.4 * 60 * np.array(COUNTS) / 140).all()


def test_outcomes_are_filled_and_keep_their_share_of_subgroups(table, schema):
    plan = rows_to_add(np.array([30, 40, 20, 40]), schema, by="target", size=1.0, fill=1.0)
    assert plan.tolist() == [0, 0, 3, 6]


@pytest.mark.parametrize(("by", "smallest"), [("group", 20), ("subgroup", 50), ("target", 70)])
def test_undersampling_agrees_with_imbalanced_learn(table, schema, by, smallest):
    from imblearn.under_sampling import RandomUnderSampler

    from mcrage.rebalancing import strata_of

    strata = strata_of(by, schema.index(table), schema)
    kept, weights = rebalance(table, schema, undersample=by, seed=3)
    expected, _ = RandomUnderSampler(random_state=0).fit_resample(strata[:, None], strata)
    found = strata_of(by, schema.index(kept), schema)
    assert np.bincount(found).tolist() == np.bincount(expected.ravel()).tolist()
    assert np.bincount(found).max() == smallest
    ids = weights["row_id"].to_pylist()
    assert sorted(set(ids)) == ids
    assert table.take(ids).drop_columns(["row_id"]).equals(kept.drop_columns(["is_synthetic"]))


def test_reweighing_makes_outcome_and_subgroup_independent(table, schema):
    groups = schema.index(table)
    weights = rebalance(table, schema, weights="reweighing")[1]["weight"].to_numpy()
    # Kamiran and Calders by hand: P(F) P(out) / P(F, out) = (50/140) (70/140) / (30/140).
    by_hand = [
        50 * 70 / (140 * 30),
        90 * 70 / (140 * 40),
        50 * 70 / (140 * 20),
        90 * 70 / (140 * 50),
    ]
    np.testing.assert_allclose(weights, np.array(by_hand)[groups])
    together = np.bincount(groups, weights).reshape(2, 2)
    np.testing.assert_allclose(together, np.outer([70, 70], [50, 90]) / 140)


@pytest.mark.parametrize("seed", range(5))
def test_reweighing_is_aif360s(seed, caplog):
    caplog.set_level(logging.ERROR)  # it tells of each library that it could use
    from aif360.algorithms.preprocessing import Reweighing
    from aif360.datasets import BinaryLabelDataset

    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, 4)
    schema = GroupSchema(("SEX", "SOURCE"), (("F", "M"), ("out", "in")))
    groups = rng.permutation(np.repeat(np.arange(4), counts))
    sex, source = schema.indices_of(groups)
    frame = pd.DataFrame({"SEX": sex, "SOURCE": source}, dtype=np.float64)
    data = BinaryLabelDataset(
        df=frame, label_names=["SOURCE"], protected_attribute_names=["SEX"]
    )  # fmt: skip
    theirs = Reweighing(
        unprivileged_groups=[{"SEX": 0.0}], privileged_groups=[{"SEX": 1.0}]
    ).fit_transform(data)  # fmt: skip
    ours = row_weights(groups, schema, "reweighing")
    np.testing.assert_allclose(ours, theirs.instance_weights)


def test_filling_is_of_one_source():
    for sources in (
        {"generator": "g", "oversample": "group"},
        {"generator": "g", "undersample": "group"},
        {"oversample": "group", "undersample": "target"},
    ):
        with pytest.raises(ValueError, match="not both"):
            Treatment(description="x", **sources)


def test_a_number_of_rows_is_added_in_the_mix_of_the_real_ones(table, schema):
    asked = {"by": "rows", "size": 1.0, "fill": 1.0}
    plans = [rows_to_add(np.array(COUNTS), schema, **asked, rows=n) for n in (50, 280, 1000)]
    assert plans[1].tolist() == [60, 80, 40, 100]
    assert all((a <= b).all() for a, b in pairwise(plans))
    assert 50 - len(COUNTS) < plans[0].sum() <= 50
    filled, _ = rebalance(table, schema, synthetic=drawn(table, plans[2]), fill_by="rows", rows=280)
    assert schema.counts(schema.index(filled)).tolist() == [90, 120, 60, 150]
    copied, _ = rebalance(table, schema, oversample="rows", rows=280, seed=1)
    assert copied.num_rows == 140 + 280


def test_weights_go_by_some_of_the_attributes():
    schema = GroupSchema(("SEX", "RACE", "DIED"), (("F", "M"), ("a", "b", "c"), ("no", "yes")))
    groups = np.random.default_rng(0).integers(0, schema.n_groups, 500)
    races, targets = schema.indices_of(groups)[1:]
    weights = row_weights(groups, schema, "reweighing", ["RACE"])
    np.testing.assert_allclose(weights, reweighing(races, targets))
    assert len(np.unique(row_weights(groups, schema, "reweighing"))) > len(np.unique(weights)) == 6
    whole = row_weights(groups, schema, "group", ["RACE", "SEX"])
    np.testing.assert_allclose(whole, row_weights(groups, schema, "group"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"generator": "g", "rows": 5}, "fill_by: rows"),
        ({"oversample": "group", "rows": 5}, "oversample: rows"),
        ({"oversample": "rows", "rows": 5, "fill": 2}, "remove fill and size"),
        ({"weights_over": ["SEX"]}, "weights is None"),
        ({"weights": "target", "weights_over": ["SEX"]}, "weights is target"),
        ({"weights": "group", "weights_over": ["SEX", "SEX"]}, "twice"),
    ],
)
def test_rows_and_weights_over_are_of_what_uses_them(settings, told):
    with pytest.raises(ValueError, match=told):
        Treatment(description="x", **settings)
