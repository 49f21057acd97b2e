# SPDX-License-Identifier: MIT
"""Undersampling, splits and the induced imbalance against counts and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mcrage.errors import UserError
from mcrage.group_check import check_groups
from mcrage.groups import GroupSchema
from mcrage.scenario import apportion, split, thin_out, undersample

counts_lists = st.lists(st.integers(1, 200), min_size=1, max_size=8)


@given(counts_lists, st.integers(0, 9))
def test_undersampling_makes_all_subgroups_as_large_as_the_smallest(counts, seed):
    subgroups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept = undersample(subgroups, seed)
    assert np.bincount(subgroups[kept]).tolist() == [min(counts)] * len(counts)
    assert len(set(kept)) == len(kept)


def test_undersampling_agrees_with_imbalanced_learn():
    from imblearn.under_sampling import RandomUnderSampler

    subgroups = np.repeat([0, 1, 2], [50, 20, 35])
    sampler = RandomUnderSampler(random_state=0)
    sampler.fit_resample(np.zeros((105, 1)), subgroups)
    theirs = np.bincount(subgroups[sampler.sample_indices_])
    assert np.bincount(subgroups[undersample(subgroups, 0)]).tolist() == theirs.tolist()


@given(counts_lists, st.floats(0.01, 1))
def test_shares_are_within_a_row_of_exact_and_sum_up(counts, fraction):
    shares = apportion(np.array(counts), fraction)
    assert (np.abs(shares - np.array(counts) * fraction) <= 1).all()
    assert abs(shares.sum() - sum(counts) * fraction) <= 0.5 + 1e-9


@given(counts_lists, st.floats(0.05, 0.95), st.integers(0, 5))
def test_split_parts_are_disjoint_and_complete(counts, fraction, seed):
    groups = np.repeat(np.arange(len(counts)), counts)
    first, second = split(groups, fraction, seed, len(counts))
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(len(groups)))


def test_split_is_as_stratified_as_scikit_learns():
    groups = np.repeat([0, 1, 2, 3], [89, 945, 56, 702])
    _, ours = split(groups, 0.2, 0, 4)
    _, theirs = train_test_split(np.arange(len(groups)), test_size=0.2, stratify=groups)
    assert abs(len(ours) - len(theirs)) <= 1
    assert np.abs(np.bincount(groups[ours]) - np.bincount(groups[theirs])).max() <= 1


def test_split_is_random_in_the_seed_and_fixed_by_it():
    groups = np.repeat([0, 1], [100, 100])
    assert np.array_equal(split(groups, 0.2, 1, 2)[1], split(groups, 0.2, 1, 2)[1])
    assert not np.array_equal(split(groups, 0.2, 1, 2)[1], split(groups, 0.2, 2, 2)[1])


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6, 0.8])
def test_rows_of_one_patient_stay_together_and_groups_are_represented(fraction):
    rng = np.random.default_rng(0)
    clusters, groups = rng.integers(0, 150, 600), rng.integers(0, 4, 600)
    first, second = split(groups, fraction, 0, 4, clusters)
    assert not set(clusters[first]) & set(clusters[second])
    assert np.array_equal(np.sort(np.concatenate([first, second])), np.arange(600))
    assert abs(len(second) - 600 * fraction) <= 10
    wanted = np.bincount(groups) * fraction
    assert np.abs(np.bincount(groups[second]) - wanted).max() <= 12


def test_a_table_of_one_patient_cannot_be_split():
    with pytest.raises(UserError, match="one cluster"):
        split(np.array([0, 1]), 0.5, 0, 2, np.array(["p", "p"]))


def test_thinning_keeps_a_tenth_of_the_women_and_all_men(schema):
    """The paper's split before thinning: 1,696 women, 1,833 men."""
    groups = np.repeat([0, 1, 2, 3], [1056, 1046, 640, 787])
    kept = thin_out(
        schema.indices_of(groups), schema, [{"where": {"SEX": "F"}, "fraction": 0.1}], seed=3
    )
    left = np.bincount(groups[kept])
    assert left[[1, 3]].tolist() == [1046, 787]
    assert left[0] + left[2] == 170
    assert abs(left[0] - 105.6) <= 1


def test_natural_keeps_everything(schema, table):
    assert len(thin_out(schema.digits(table), schema, [], seed=0)) == table.num_rows


def test_rules_apply_one_after_the_other(schema, table):
    rules = [
        {"where": {"SEX": "F"}, "fraction": 0.5},
        {"where": {"SEX": "M"}, "fraction": 0.2},
    ]
    kept = thin_out(schema.digits(table), schema, rules, seed=0)
    assert np.bincount(schema.index(table)[kept]).tolist() == [15, 8, 10, 10]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"AGE": "old"}, "AGE: not a sensitive attribute of the dataset; allowed: SEX"),
        ({"SEX": "X"}, "SEX=X: no such level; allowed: F, M"),
    ],
)
def test_a_rule_that_fits_no_column_or_level_is_refused(schema, table, where, message):
    with pytest.raises(UserError, match=message):
        thin_out(schema.digits(table), schema, [{"where": where, "fraction": 0.5}], seed=0)


def test_a_rule_that_matches_no_row_is_refused(schema):
    men = schema.indices_of(np.array([1, 3, 3]))
    with pytest.raises(UserError, match="SEX=F: no training row matches"):
        thin_out(men, schema, [{"where": {"SEX": "F"}, "fraction": 0.5}], seed=0)


def test_groups_too_small_are_named_with_what_needs_them(schema):
    # Women with either outcome are rare; no man of the first outcome can lend.
    train, validation = np.array([0, 0, 4, 90]), np.array([2, 0, 0, 0])
    check = ({"smote": 6}, ["cddpm"])
    with pytest.raises(UserError) as caught:
        check_groups(schema, train, validation, {"fewer_than": 5, "then": "back_off"}, *check)
    message = str(caught.value)
    assert "group SEX=F, SOURCE=out has no training row left" in message
    assert "group SEX=F, SOURCE=in has 5 training rows, but treatment 'smote' needs 6" in message
    assert "validation set of 2 rows has no positive one, but the checkpoint of cddpm" in message
    assert "group SEX=M, SOURCE=in" not in message


@pytest.mark.parametrize(
    ("train", "rare_groups"),
    [
        ([6, 90, 6, 7], {"fewer_than": 1, "then": "back_off"}),
        ([0, 90, 2, 7], {"fewer_than": 6, "then": "back_off"}),
        ([0, 90, 2, 7], {"fewer_than": 6, "then": "leave"}),
        ([6, 90, 6, 7], {"fewer_than": 6, "then": "stop"}),
    ],
)
def test_groups_that_suffice_pass(schema, train, rare_groups):
    check_groups(
        schema, np.array(train), np.array([0, 1, 0, 1]), rare_groups, {"smote": 6}, ["cddpm"]
    )


def test_rare_groups_stop_a_run_that_shall_stop_with_their_names(schema):
    counts = np.array([6, 90, 2, 7])
    with pytest.raises(UserError, match=r"rare_groups: 1 group.*SEX=F, SOURCE=in: 2\), and then"):
        check_groups(schema, counts, counts, {"fewer_than": 6, "then": "stop"}, {}, [])


def test_what_is_for_two_outcomes_is_refused_before_anything_is_trained(schema):
    """Levels that a card does not name are known only here."""
    rare = {"fewer_than": 5, "then": "back_off"}
    asked = [("experiment.thresholds", "f1"), ("experiment.classifiers", "lottery")]
    check_groups(schema, np.full(4, 9), np.full(4, 9), rare, {}, [], asked)
    three = GroupSchema(schema.columns, (schema.levels[0], ("a", "b", "c")))
    with pytest.raises(UserError) as no:
        check_groups(three, np.full(6, 9), np.full(6, 9), rare, {}, [], asked)
    assert (
        "experiment.thresholds: 'f1' is for a target of two levels; this one has 3 (a, b, c)"
        in (str(no.value))
    )
    assert "experiment.classifiers: 'lottery'" in str(no.value)
