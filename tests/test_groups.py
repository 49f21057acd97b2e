# SPDX-License-Identifier: MIT
"""φ, its inverse and the filling plan against direct arithmetic."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.errors import UserError
from mcrage.groups import GroupSchema, filling_plan, largest_group, plan_rows

shapes = st.lists(st.integers(2, 5), min_size=2, max_size=5)


def schema_of(shape) -> GroupSchema:
    return GroupSchema(
        tuple(f"c{i}" for i in range(len(shape))),
        tuple(tuple(f"l{j}" for j in range(n)) for n in shape),
    )


@given(shapes)
def test_phi_is_the_mixed_radix_sum_of_the_paper(shape):
    schema = schema_of(shape)
    digits = np.array(list(product(*(range(n) for n in shape)))).T
    by_hand = [
        sum(u * int(np.prod(shape[:i])) for i, u in enumerate(column)) for column in digits.T
    ]
    assert schema.index_of(digits).tolist() == by_hand


@given(shapes)
def test_phi_and_its_inverse_undo_each_other(shape):
    schema = schema_of(shape)
    groups = np.arange(schema.n_groups)
    assert np.array_equal(schema.index_of(schema.indices_of(groups)), groups)


@given(shapes)
def test_subgroup_and_target_are_the_digits_before_and_after(shape):
    schema = schema_of(shape)
    groups = np.arange(schema.n_groups)
    digits = schema.indices_of(groups)
    assert np.array_equal(schema.target_of(groups), digits[-1])
    without_target = schema_of(shape[:-1]) if len(shape) > 2 else None
    if without_target:
        assert np.array_equal(schema.subgroup_of(groups), without_target.index_of(digits[:-1]))


def test_groups_of_patients_are_numbered_as_in_the_notebook(schema, table):
    """z = S + 2Y."""
    sex = np.array([level == "M" for level in table["SEX"].to_pylist()])
    inpatient = np.array([level == "in" for level in table["SOURCE"].to_pylist()])
    assert np.array_equal(schema.index(table), sex + 2 * inpatient)
    assert schema.counts(schema.index(table)).tolist() == [30, 40, 20, 50]


def test_columns_of_restores_what_index_read(schema, table):
    columns = schema.columns_of(schema.index(table))
    for name in ("SEX", "SOURCE"):
        assert columns[name].to_pylist() == table[name].to_pylist()


def test_unknown_level_is_named(schema, table):
    changed = table.set_column(2, "SEX", [["X", *table["SEX"].to_pylist()[1:]]])
    with pytest.raises(UserError, match=r"SEX: found \['X'\], allowed are \['F', 'M'\]"):
        schema.index(changed)


def test_plan_of_the_paper():
    """Groups 89/945/56/702: the 56 women inpatients receive 889 rows."""
    counts = np.array([89, 945, 56, 702])
    assert largest_group(counts) == 1
    assert filling_plan(counts).tolist() == [856, 0, 889, 243]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9))
def test_plan_fills_every_group_to_the_largest(counts):
    plan = filling_plan(np.array(counts))
    assert (np.array(counts) + plan == max(counts)).all()
    assert np.bincount(plan_rows(plan), minlength=len(counts)).tolist() == plan.tolist()


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=9), st.floats(0.01, 1))
def test_partial_fill_never_overshoots(counts, fill):
    counts = np.array(counts)
    plan = filling_plan(counts, fill)
    assert (plan <= (counts.max() - counts) * fill + 1e-6).all()
    assert (plan > (counts.max() - counts) * fill - 1).all()
