# SPDX-License-Identifier: MIT
"""Parquet in portions, and the digest of a table's content."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.provenance import make_origin, read_origin
from mcrage.tables import content_hash, read_table, table_writer, write_table

PARAMS = {"settings": {"a": 1}, "seeds": {}, "code": "c", "versions": {}}
TABLE = pa.table(
    {
        "x": pa.array([1.5, None, -0.25, float("nan")]),
        "n": pa.array([1, 2, None, 4], pa.int32()),
        "flag": pa.array([True, None, False, True]),
        "level": pa.array(["in", "out", "", None]),
        "nobody": pa.nulls(4, pa.int64()),
        "day": pa.array([1, 2, 3, None], pa.timestamp("ms")),
    }
)


def portions(table: pa.Table, size: int):
    return [table.slice(start, size) for start in range(0, table.num_rows, size)]


def test_a_table_written_in_portions_is_the_table(tmp_path):
    path = tmp_path / "a.parquet"
    parent = tmp_path / "parent"
    parent.write_text("p")
    origin = make_origin("draw", {"dataset": "d"}, PARAMS, [parent])
    with table_writer(path, TABLE.schema, origin, {"SEX=F": 4}) as write:
        for portion in portions(TABLE, 3):
            write(portion)
            assert not path.exists()
    assert content_hash(read_table(path)) == content_hash(TABLE)
    assert pq.ParquetFile(path).num_row_groups == 2
    assert read_origin(path) == {**origin, "rows_by_group": {"SEX=F": 4}}


def test_no_portion_is_an_empty_table(tmp_path):
    with table_writer(tmp_path / "a.parquet", TABLE.schema):
        pass
    assert read_table(tmp_path / "a.parquet").schema.equals(TABLE.schema)


def test_a_writer_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(TABLE, path)

    def fail():
        with table_writer(path, TABLE.schema) as write:
            write(TABLE.slice(0, 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_table(path).num_rows == 4
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


def test_only_the_columns_asked_for_are_read(tmp_path):
    write_table(TABLE, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", ("n", "x")).column_names == ["n", "x"]
    assert read_table(tmp_path / "a.parquet", []).column_names == []


@pytest.mark.parametrize("size", [1, 3])
def test_a_hash_knows_nothing_of_chunks(size):
    assert content_hash(pa.concat_tables(portions(TABLE, size))) == content_hash(TABLE)
    assert content_hash(pa.concat_tables([TABLE, TABLE]).slice(4)) == content_hash(TABLE)


def test_a_hash_knows_nothing_of_what_stands_where_a_value_is_missing():
    hidden = [
        pa.Array.from_buffers(
            pa.float64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1.0, hidden]))]
        )
        for hidden in (7.0, 8.0)
    ]
    first, second = (content_hash(pa.table({"x": column})) for column in hidden)
    assert first == second
    assert first != content_hash(pa.table({"x": [1.0, 0.0]}))


def test_a_dictionary_hashes_by_its_values():
    first, second = (
        pa.DictionaryArray.from_arrays(codes, levels)
        for codes, levels in (([0, 1, 0], ["a", "b"]), ([1, 0, 1], ["b", "a"]))
    )
    assert content_hash(pa.table({"x": first})) == content_hash(pa.table({"x": second}))


CELLS = st.one_of(st.none(), st.sampled_from(["", "a", "aa", "b"]))
COLUMN = st.lists(CELLS, min_size=1, max_size=6)


@given(COLUMN, COLUMN)
def test_texts_hash_alike_only_if_they_are(first, second):
    tables = [pa.table({"x": pa.array(column, pa.string())}) for column in (first, second)]
    one, two = map(content_hash, tables)
    assert (one == two) == (first == second)


NUMBERS = st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=1, max_size=6)


@given(NUMBERS, NUMBERS)
def test_numbers_hash_alike_only_if_they_are(first, second):
    for kind in (pa.float32(), pa.int16(), pa.int64()):
        tables = [pa.table({"x": pa.array(column, kind)}) for column in (first, second)]
        one, two = map(content_hash, tables)
        assert (one == two) == (first == second)


@pytest.mark.parametrize(
    "other",
    [
        TABLE.rename_columns(["y", *TABLE.column_names[1:]]),
        TABLE.slice(0, 3),
        TABLE.take([1, 0, 2, 3]),
        TABLE.select([*TABLE.column_names[1:], "x"]),
        TABLE.set_column(1, "n", TABLE["n"].cast(pa.int64())),
        TABLE.set_column(2, "flag", pa.array([True, False, False, True])),
        TABLE.set_column(5, "day", pa.array([1, 2, 4, None], pa.timestamp("ms"))),
    ],
)
def test_a_hash_knows_names_types_rows_and_order(other):
    assert content_hash(other) != content_hash(TABLE)
