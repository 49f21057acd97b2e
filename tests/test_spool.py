# SPDX-License-Identifier: MIT
"""Tables that memory does not hold: spooled, taken from file to file, and rebalanced there."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage import spool as module
from mcrage import tables
from mcrage.groups import GroupSchema
from mcrage.rebalanced_file import rebalance_files
from mcrage.rebalancing import rebalance
from mcrage.spool import ColumnSpool, PortionSpool, RowSpool
from mcrage.tables import read_table, take_rows, write_table

SCHEMA = GroupSchema(("sex", "died"), (("f", "m"), ("no", "yes")))
TYPES = {
    "a.b": (pa.int64(), st.integers(-(2**40), 2**40)),
    "a": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "flag": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.text(max_size=3)),
    "grade": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["low", "high", "none"])),
    "day": (pa.date32(), st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in TYPES.items()}),
    max_size=12,
)


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    """Make a few rows as many portions as a million are."""
    monkeypatch.setattr(module, "PORTION", 3)
    monkeypatch.setattr(tables, "PORTION", 3)


@settings(max_examples=40, deadline=None)
@given(portions=st.lists(ROWS, max_size=3))
def test_portions_come_back_one_by_one_as_they_were(portions):
    schema = pa.schema([(name, kind) for name, (kind, _) in TYPES.items()])
    spool = PortionSpool(schema)
    for rows in portions:
        spool.put(pa.Table.from_pylist(rows, schema))
    for _ in range(2):
        found = list(spool.portions())
        assert [rows.to_pylist() for rows in found] == portions
        assert all(rows.schema.equals(schema) for rows in found)


@given(ROWS)
def test_what_is_put_down_is_taken_up(rows):
    table = pa.Table.from_pylist(rows, pa.schema([(n, kind) for n, (kind, _) in TYPES.items()]))
    by_rows, by_columns = RowSpool(table.schema), ColumnSpool()
    for start in range(0, len(rows), 2):
        by_rows.put(table.slice(start, 2))
    for name in table.column_names:
        assert by_rows.column(name).to_pylist() == table.column(name).to_pylist()
        by_columns.put(name, table.column(name))
    portions = list(by_columns.portions())
    assert by_columns.schema == table.schema
    assert [portion.num_rows for portion in portions][:-1] == [3] * (len(portions) - 1)
    assert [row for portion in portions for row in portion.to_pylist()] == rows


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, keep=st.lists(st.booleans(), min_size=12, max_size=12))
def test_taken_rows_are_those_of_the_table(tmp_path_factory, rows, keep):
    folder = tmp_path_factory.mktemp("taken")
    table = pa.Table.from_pylist(rows, pa.schema([(n, kind) for n, (kind, _) in TYPES.items()]))
    write_table(table, folder / "all.parquet")
    wanted = np.flatnonzero(keep[: len(rows)])
    take_rows(
        folder / "all.parquet", wanted, folder / "some.parquet", {"rule": "x"}, {"g": 1}, ["flag"]
    )
    found = read_table(folder / "some.parquet")
    assert found.to_pylist() == table.drop_columns(["flag"]).take(wanted).to_pylist()
    assert found.schema.types == [kind for name, (kind, _) in TYPES.items() if name != "flag"]
    assert b"rows_by_group" in pq.read_schema(folder / "some.parquet").metadata[b"mcrage"]


def ward(n: int, seed: int, *, row_id: bool) -> pa.Table:
    rng = np.random.default_rng(seed)
    grades = pa.array(rng.choice(["low", "high"], n)).dictionary_encode()
    columns = {
        "age": rng.integers(18, 90, n),
        "sex": rng.choice(["f", "m"], n, p=[0.8, 0.2]),
        "grade": grades.cast(pa.dictionary(pa.int8(), pa.string())),
        "died": rng.choice(["no", "yes"], n, p=[0.7, 0.3]),
    }
    return pa.table({"row_id": np.arange(n) + 100, **columns} if row_id else columns)


@pytest.mark.parametrize(
    ("treatment", "labelled"),
    [
        ({}, False),
        ({"fill": 0.5}, False),
        ({"fill_by": "subgroup"}, True),
        ({"oversample": "group"}, False),
        ({"undersample": "target", "weights": "group"}, False),
    ],
)
def test_rebalanced_in_files_as_in_memory(tmp_path, treatment, labelled):
    train, drawn = ward(200, 0, row_id=True), ward(3000, 1, row_id=False)
    synthetic = None if {"oversample", "undersample"} & set(treatment) else drawn
    labels = (lambda rows: rows.column("age").to_numpy() / 100) if labelled else None
    write_table(train, tmp_path / "train.parquet")
    write_table(drawn, tmp_path / "synthetic.parquet")
    expected, weights = rebalance(
        train, SCHEMA, synthetic=synthetic, labels=labels, seed=3, **treatment
    )
    found, same, groups = rebalance_files(
        tmp_path / "train.parquet",
        SCHEMA,
        synthetic=None if synthetic is None else tmp_path / "synthetic.parquet",
        labels=labels,
        seed=3,
        treatment=treatment,
    )
    assert found.schema == expected.schema
    assert pa.concat_tables(list(found.portions())).to_pylist() == expected.to_pylist()
    assert same.equals(weights)
    assert np.array_equal(groups, SCHEMA.index(expected))
