# SPDX-License-Identifier: MIT
"""Columns of any type to one matrix of numbers and back."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.encoding.columns import feature_arrays, feature_matrix
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.rebalancing import synthetic_table

LEVELS = ("none", "low", "high")
COLUMNS = {
    "weight": (Feature("weight", "w", missing="keep"), pa.float64(), st.floats(-1e6, 1e6)),
    "stays": (
        Feature("stays", "s", kind="integer", missing="keep"),
        pa.int32(),
        st.integers(-5, 2**31 - 1),
    ),
    "grade": (
        Feature("grade", "g", kind="ordinal", levels=LEVELS, missing="keep"),
        pa.dictionary(pa.int8(), pa.string()),
        st.sampled_from(LEVELS),
    ),
    "unit": (
        Feature("unit", "u", kind="category", levels=("7", "11"), missing="keep"),
        pa.int64(),
        st.sampled_from([7, 11]),
    ),
    "smoker": (
        Feature("smoker", "s", kind="category", levels=("false", "true"), missing="keep"),
        pa.bool_(),
        st.booleans(),
    ),
    "seen": (
        Feature("seen", "s", kind="date", missing="keep"),
        pa.date32(),
        st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
    ),
    "arrived": (
        Feature("arrived", "a", kind="date", missing="keep"),
        pa.timestamp("us"),
        st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(
            lambda day: datetime.datetime.combine(day, datetime.time())
        ),
    ),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, _, values) in COLUMNS.items()}),
    max_size=8,
)


@given(ROWS)
def test_round_trip_of_every_type(rows):
    schema = pa.schema([(name, kind) for name, (_, kind, _) in COLUMNS.items()])
    features = [feature for feature, _, _ in COLUMNS.values()]
    table = pa.Table.from_pylist(rows, schema=schema)
    matrix = feature_matrix(table, features)
    assert matrix.shape == (len(rows), len(features))
    assert np.isnan(matrix).sum() == sum(value is None for row in rows for value in row.values())
    back = pa.table(feature_arrays(matrix, features, schema), schema=schema)
    assert back.to_pylist() == rows


def test_codes_and_days():
    features = [COLUMNS["grade"][0], COLUMNS["seen"][0]]
    table = pa.table({"grade": ["high", "none"], "seen": [datetime.date(1970, 1, 3), None]})
    assert np.array_equal(feature_matrix(table, features), [[2, 2], [0, np.nan]], equal_nan=True)


def test_a_level_that_the_roles_do_not_name():
    with pytest.raises(UserError, match="grade"):
        feature_matrix(pa.table({"grade": ["extreme"]}), [COLUMNS["grade"][0]])


BANDED = Roles(
    dataset="ward",
    title="A ward",
    features=(
        Feature("age", "Age", kind="integer", resolution=1.0),
        Feature("iron", "Iron", resolution=0.0),
    ),
    sensitive=(
        Attribute(
            "age", "Age", ("below 40", "40 to 64", "65 up"), (), (-np.inf, 40.0, 65.0, np.inf)
        ),
        Attribute("iron", "Iron", ("low", "high"), (), (0.0, 10.0, 20.0)),
    ),
    target=Target("died", "Died", ("false", "true"), ("no", "yes")),
    columns=("age", "iron", "died"),
)


def test_roles_with_bands_survive_json():
    assert Roles.from_dict(json.loads(json.dumps(BANDED.to_dict(), allow_nan=False))) == BANDED


def test_a_number_in_bands_makes_groups():
    schema = GroupSchema.of(BANDED)
    assert schema.shape == (3, 2, 2)
    table = pa.table({"age": [39, 40, 64, 65], "iron": [0, 9.99, 10, 19.99], "died": [False] * 4})
    digits = schema.digits(table)
    assert digits[0].tolist() == [0, 1, 1, 2]
    assert digits[1].tolist() == [0, 0, 1, 1]
    assert set(schema.columns_of(np.array([0]))) == {"died"}
    for beyond in (20.0, -0.1, None):
        changed = table.set_column(1, "iron", pa.array([beyond] * 4, pa.float64()))
        with pytest.raises(UserError, match="iron"):
            schema.digits(changed)


@given(st.lists(st.tuples(st.floats(-200, 200), st.floats(-200, 200)), min_size=1), st.data())
def test_drawn_rows_lie_in_the_bands_of_their_group(rows, data):
    schema = GroupSchema.of(BANDED)
    groups = np.array([data.draw(st.integers(0, schema.n_groups - 1)) for _ in rows])
    template = pa.schema([("age", pa.int64()), ("iron", pa.float64()), ("died", pa.bool_())])
    table = synthetic_table(np.array(rows), groups, template.empty_table(), BANDED)
    assert np.array_equal(schema.index(table), groups)
