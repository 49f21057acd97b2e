# SPDX-License-Identifier: MIT
"""Rare groups borrow rows of like groups, are left, or end the run; nothing in silence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.errors import UserError
from mcrage.fidelity.gate import Gate
from mcrage.generators import TrainingData
from mcrage.groups import GroupSchema
from mcrage.leakage.fitted import check_borrowed
from mcrage.rare_groups import leave_below, loans, rows_to_learn_from, settle, table
from mcrage.rebalancing import rows_to_add
from mcrage.report.rare import rare_tables

ROLES = Roles(
    dataset="toy",
    title="Toy",
    features=(Feature("AGE", "age", kind="integer"), Feature("X", "x")),
    sensitive=(
        Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),
        Attribute("RACE", "Race", ("a", "b", "c"), ("a", "b", "c")),
        Attribute("AGE", "Age", ("young", "old"), ("y", "o"), (0.0, 50.0, np.inf)),
    ),
    target=Target("Y", "Outcome", ("no", "maybe", "yes"), ("no", "maybe", "yes")),
    columns=("AGE", "X", "SEX", "RACE", "Y"),
)
SCHEMA = GroupSchema.of(ROLES)
BACK_OFF = {"fewer_than": 10, "then": "back_off"}


def group(sex: int, race: int, age: int, target: int) -> int:
    return int(SCHEMA.index_of(np.array([[sex], [race], [age], [target]]))[0])


def data(counts: np.ndarray, clusters: bool = False) -> TrainingData:
    """Rows that tell which group they are of, and each a number of its own."""
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(SCHEMA.n_groups), counts))
    age = np.where(SCHEMA.indices_of(groups)[2] == 0, 30.0, 70.0)
    features = np.stack([age, np.arange(len(groups), dtype=float)], axis=1)
    return TrainingData(
        features, groups, SCHEMA, ROLES, np.arange(len(groups)) // 2 if clusters else None
    )


def sizes(**of: int) -> np.ndarray:
    counts = np.full(SCHEMA.n_groups, 40)
    for name, n in of.items():
        counts[group(*map(int, name.strip("g")))] = n
    return counts


def test_groups_that_differ_in_the_last_attribute_lend_first():
    counts = sizes(g0001=3, g0011=4)
    (loan, _) = loans(counts, SCHEMA, **BACK_OFF)
    # 4 rows that differ in age alone; then race, of which two levels are a pool.
    assert loan.group == group(0, 0, 0, 1)
    assert list(loan.lenders.items()) == [
        (group(0, 0, 1, 1), 4),
        (group(0, 1, 0, 1), 2),
        (group(0, 2, 0, 1), 1),
    ]


def test_as_many_attributes_as_possible_are_shared():
    """A group that differs in the first attribute comes before those that differ in two."""
    counts = np.zeros(SCHEMA.n_groups, dtype=int)
    counts[group(0, 0, 0, 1)] = 1
    counts[group(1, 0, 0, 1)] = 5
    counts[group(0, 1, 1, 1)] = 90
    (loan,) = (x for x in loans(counts, SCHEMA, **BACK_OFF) if x.group == group(0, 0, 0, 1))
    assert list(loan.lenders.items()) == [(group(1, 0, 0, 1), 5), (group(0, 1, 1, 1), 4)]


@given(st.lists(st.integers(0, 30), min_size=36, max_size=36), st.integers(1, 25))
def test_a_group_ends_with_as_many_rows_as_there_are_to_be_had(counts, fewer_than):
    counts = np.array(counts)
    of_target = counts.reshape(3, 12).sum(axis=1)
    found = loans(counts, SCHEMA, fewer_than, "back_off")
    assert {loan.group for loan in found} == set(np.flatnonzero(counts < fewer_than))
    for loan in found:
        assert loan.rows == min(fewer_than, of_target[loan.group // 12])
        for lender, n in loan.lenders.items():
            assert 0 < n <= counts[lender]
            assert SCHEMA.target_of(lender) == SCHEMA.target_of(loan.group)
    known = rows_to_learn_from(counts, SCHEMA, {"fewer_than": fewer_than, "then": "back_off"})
    assert known == dict(enumerate(counts)) | {loan.group: loan.rows for loan in found}


@pytest.mark.parametrize("clusters", [True, False])
def test_borrowed_rows_are_different_rows_of_the_lender_relabelled(clusters):
    train = data(sizes(g0001=3, g1112=0), clusters)
    settled, facts = settle(train, BACK_OFF, seed=1)
    n = len(train.groups)
    assert settled.n_borrowed == len(settled.groups) - n == 17
    np.testing.assert_array_equal(settled.features[:n], train.features)
    np.testing.assert_array_equal(settled.groups[:n], train.groups)
    np.testing.assert_array_equal(settled.own_counts, train.counts)
    assert settled.counts[group(0, 0, 0, 1)] == settled.counts[group(1, 1, 1, 2)] == 10
    # The number of a row tells where it comes from.
    numbers = settled.features[n:, 1].astype(int)
    assert len(set(numbers)) == 17
    lenders = train.groups[numbers]
    assert set(lenders[:7]) == {group(0, 0, 1, 1)}
    assert set(lenders[7:]) == {group(1, 1, 0, 2)}
    # Ages are moved into the band of the group that borrows.
    np.testing.assert_array_equal(settled.features[n:, 0], [49.0] * 7 + [50.0] * 10)
    np.testing.assert_array_equal(SCHEMA.counts(settled.groups[n:]).nonzero()[0], [12, 33])
    # A copy is held out with its original.
    np.testing.assert_array_equal(settled.clusters[n:], settled.clusters[numbers])
    assert facts == [
        {
            "group": "SEX=F, RACE=a, AGE=young, Y=maybe",
            "own": 3,
            "borrowed": {"SEX=F, RACE=a, AGE=old, Y=maybe": 7},
        },
        {
            "group": "SEX=M, RACE=b, AGE=old, Y=yes",
            "own": 0,
            "borrowed": {"SEX=M, RACE=b, AGE=young, Y=yes": 10},
        },
    ]
    json.dumps(facts)


def test_which_rows_are_borrowed_depends_on_the_seed_and_on_no_other_rare_group():
    alone, _ = settle(data(sizes(g0001=3)), BACK_OFF, seed=1)
    again, _ = settle(data(sizes(g0001=3)), BACK_OFF, seed=1)
    other, _ = settle(data(sizes(g0001=3)), BACK_OFF, seed=2)
    np.testing.assert_array_equal(alone.features, again.features)
    assert (alone.features[-7:] != other.features[-7:]).any()
    # The lender is the same, its rows have other places.
    both, _ = settle(data(sizes(g0001=3, g1112=0)), BACK_OFF, seed=1)

    def places(train: TrainingData, borrowed: slice) -> list[int]:
        own = np.flatnonzero(train.groups[: -train.n_borrowed] == group(0, 0, 1, 1))
        return np.searchsorted(own, train.features[borrowed, 1]).tolist()

    assert places(alone, slice(-7, None)) == places(both, slice(-17, -10))


def test_nothing_changes_where_no_group_is_rare():
    train = data(sizes())
    for then in ("back_off", "stop", "leave"):
        settled, facts = settle(train, {"fewer_than": 40, "then": then}, seed=0)
        assert settled is train
        assert facts == []


def test_a_rare_group_whose_target_nobody_else_has_learns_from_its_own_rows():
    counts = sizes()
    counts[24:] = np.where(np.arange(24, len(counts)) == group(0, 0, 0, 2), 4, 0)
    train = data(counts)
    alone = GroupSchema(("Y",), (("no", "maybe", "yes"),))
    train = replace(train, groups=train.schema.target_of(train.groups), schema=alone)
    settled, facts = settle(train, BACK_OFF, seed=0)
    assert settled is train
    assert facts == [{"group": "Y=yes", "own": 4, "borrowed": {}}]


def test_a_target_that_nobody_has_is_refused():
    counts = sizes()
    counts[24:] = 0
    with pytest.raises(UserError, match=r"no group with the same target.*Y=yes"):
        settle(data(counts), BACK_OFF, seed=0)


def test_rare_groups_end_the_run_where_they_shall():
    with pytest.raises(UserError, match=r"SEX=F, RACE=a, AGE=young, Y=maybe: 3\), and then: stop"):
        settle(data(sizes(g0001=3)), {"fewer_than": 10, "then": "stop"}, seed=0)


def test_groups_that_are_left_are_not_filled():
    leave = {"fewer_than": 10, "then": "leave"}
    counts = sizes(g0001=3, g1112=0)
    settled, facts = settle(data(counts), leave, seed=0)
    assert settled.n_borrowed == 0
    assert settled.left == (group(0, 0, 0, 1), group(1, 1, 1, 2))
    assert len(settled.without_rows(settled.groups)) == 0
    assert facts[1] == {"group": "SEX=M, RACE=b, AGE=old, Y=yes", "own": 0, "left": True}
    for by in ("group", "subgroup"):
        demand = {"by": by, "size": 2.0, "fill": 1.0}
        filled = rows_to_add(counts, SCHEMA, **demand)
        plan = rows_to_add(counts, SCHEMA, **demand, leave_below=leave_below(leave))
        assert (plan[list(settled.left)] == 0).all()
        others = np.setdiff1d(np.arange(SCHEMA.n_groups), settled.left)
        np.testing.assert_array_equal(plan[others], filled[others])
    assert leave_below(BACK_OFF) == leave_below({"fewer_than": 9, "then": "stop"}) == 0


def test_the_gate_against_copies_knows_own_rows_only():
    train = data(sizes(g0001=3))
    settled, _ = settle(train, BACK_OFF, seed=0)
    gate = Gate.of(train.features, train.groups, SCHEMA, ROLES.features)
    borrowed = slice(-settled.n_borrowed, None)
    assert gate.keep(settled.features[borrowed], settled.groups[borrowed]).all()
    assert not gate.keep(train.features, train.groups).all()


def test_a_model_that_hides_a_loan_is_found():
    _, facts = settle(data(sizes(g0001=3)), BACK_OFF, seed=0)
    assert check_borrowed("g", facts, facts) == check_borrowed("g", [], []) == []
    for told in ([], [{**facts[0], "own": 10}], [*facts, *facts]):
        assert "says of rare groups" in check_borrowed("g", told, facts)[0]


def test_the_reader_is_told_who_borrowed_what_of_whom():
    def counted(counts: np.ndarray) -> dict[str, int]:
        return {SCHEMA.label(k): int(n) for k, n in enumerate(counts)}

    replicates = [counted(sizes(g0001=3, g1112=0)), counted(sizes(g0001=5))]
    borrowed = [
        (
            "SEX=F, RACE=a, AGE=young, Y=maybe",
            "3 to 5",
            "borrowed 5 to 7 rows of SEX=F, RACE=a, AGE=old, Y=maybe",
        ),
        (
            "SEX=M, RACE=b, AGE=old, Y=yes",
            "0",
            "borrowed 10 rows of SEX=M, RACE=b, AGE=young, Y=yes (in 1 of 2 replicates)",
        ),
    ]
    assert table(replicates, SCHEMA, BACK_OFF) == borrowed
    assert table(replicates, SCHEMA, {**BACK_OFF, "then": "leave"})[0][2] == "not filled"
    files = [{"train": one} for one in replicates]
    files += [{"train": counted(sizes())}] * 2
    (shown,) = rare_tables(files, {"toy": ROLES}, ["thinned", "natural"], 2, BACK_OFF)
    assert (shown.title, shown.rows) == ("toy, thinned", borrowed)
