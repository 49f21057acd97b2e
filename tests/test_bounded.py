# SPDX-License-Identifier: MIT
"""What learns from a long table takes it up by parts, and gives what the whole would give."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mcrage.config.generators import KINDS
from mcrage.datasets.roles import Feature
from mcrage.diffusion.batches import Batches
from mcrage.diffusion.condition import Condition
from mcrage.diffusion.process import EdmProcess
from mcrage.diffusion.training import Member
from mcrage.encoding.columns import feature_arrays
from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.rows import CompactRows, compact
from mcrage.encoding.scaling import fitted_rows
from mcrage.errors import UserError
from mcrage.generators.base import TrainingData
from mcrage.generators.cddpm_rows import sort_by_group
from mcrage.generators.registry import generator_class
from mcrage.generators.thinning import thinned
from mcrage.leakage.keys import row_digests, row_keys
from mcrage.leakage.table_file import TableFile
from mcrage.rare_groups import settle
from mcrage.tables import content_hash, content_hash_of_file, write_table
from test_mixed_generator import ROLES, SCHEMA, data

DECIMALS = st.builds(lambda n, k: n / 10**k, st.integers(-10_000, 10_000), st.integers(0, 4))
NUMBERS = st.one_of(
    DECIMALS,
    st.floats(width=64),
    st.floats(width=32),
    st.integers(-(2**31), 2**31).map(float),
    st.just(np.nan),
)


@given(st.one_of(*(arrays(np.float64, st.integers(0, 9), elements=x) for x in (DECIMALS, NUMBERS))))
def test_small_types_hold_every_number_exactly(values):
    np.testing.assert_array_equal(compact(values).expanded(), values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 127, np.nan], "int8"),
        ([-128, 0], "int16"),  # the smallest stands for NaN
        ([0.1, 0.25, -3.0, np.nan], "int16"),
        ([1e5, 0.01], "int32"),
        ([np.inf, 1.0], "float32"),
        ([np.pi], "float64"),
        ([np.nan], "int8"),
    ],
)
def test_the_type_is_the_smallest_that_will_do(values, kind):
    assert compact(np.array(values, dtype=float)).values.dtype == kind


def test_compact_rows_are_the_matrix():
    matrix = data().features
    rows = CompactRows.of(matrix.T, len(matrix))
    assert rows.shape == matrix.shape
    np.testing.assert_array_equal(np.asarray(rows), matrix)
    np.testing.assert_array_equal(rows.part(slice(990, 1005)), matrix[990:])
    places = np.array([5, 900, 5])
    np.testing.assert_array_equal(rows.take(places), matrix[places])
    longer = rows.followed_by(matrix[:3] + 0.123456789)
    np.testing.assert_array_equal(longer.column(0)[-3:], matrix[:3, 0] + 0.123456789)
    np.testing.assert_array_equal(longer.column(1)[:-3], matrix[:, 1])


@pytest.mark.parametrize("scaling", ["standard", "quantile", "within_group"])
def test_an_encoding_does_not_depend_on_how_rows_are_held_or_cut(scaling, monkeypatch):
    train = data()
    held = CompactRows.of(train.features.T, len(train.groups))
    options = {"scaling": scaling, "derive": True, "within": train.within(scaling)}
    found = []
    for rows in (train.features, held):
        encoding = MixedEncoding.fit(rows, ROLES.features, seed=3, **options)
        coded = encoding.transform(rows, jitter_seed=1, within=options["within"])
        matrix = encoding.matrix(rows, jitter_seed=1, within=options["within"])
        np.testing.assert_array_equal(matrix, np.concatenate(coded, axis=1))
        found.append([*encoding.state()[0].values(), *coded])
        monkeypatch.setattr("mcrage.encoding.rows._ROWS_AT_ONCE", 97)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_encoding_takes_little_memory_beside_its_result(scaling, monkeypatch):
    monkeypatch.setattr("mcrage.encoding.rows._ROWS_AT_ONCE", 400)
    monkeypatch.setattr("mcrage.encoding.scaling.MAX_ROWS_FITTED", 1_000)
    rng = np.random.default_rng(0)
    numbers = rng.normal(10, 3, (20_000, 40)).round(1)
    numbers[:, 30:] = rng.integers(0, 4, (20_000, 10))
    numbers[rng.random(20_000) < 0.1, :5] = np.nan
    features = [
        Feature(f"X{i}", "x", resolution=0.1, missing="keep" if i < 5 else "none")
        if i < 30
        else Feature(f"X{i}", "x", kind="category", levels=tuple("abcd"))
        for i in range(40)
    ]
    rows = CompactRows.of(numbers.T, len(numbers))
    # Imports are no part of it.
    MixedEncoding.fit(numbers[:100], features, scaling=scaling)
    tracemalloc.start()
    encoding = MixedEncoding.fit(rows, features, scaling=scaling)
    fitting = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    encoded = encoding.matrix(rows, jitter_seed=0)
    encoding_ = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fitting < 0.5 * encoded.nbytes
    assert encoding_ < 1.5 * encoded.nbytes


def test_quantiles_of_a_part_of_the_rows_are_near_those_of_all(monkeypatch):
    rows = np.random.default_rng(0).gamma(2.0, size=(30_000, 1)).round(2)
    feature = [Feature("X", "x", resolution=0.01)]
    whole = MixedEncoding.fit(rows, feature, scaling="quantile").numeric.scaling.quantiles
    monkeypatch.setattr("mcrage.encoding.scaling.MAX_ROWS_FITTED", 10_000)
    part = MixedEncoding.fit(rows, feature, scaling="quantile").numeric.scaling.quantiles
    middle = slice(20, -20)
    np.testing.assert_allclose(part[middle], whole[middle], rtol=0.15)
    assert part[0] <= rows.min()
    assert part[-1] >= rows.max()
    chosen = fitted_rows(30_000, 0)
    assert len(np.unique(chosen)) == 10_000
    assert (chosen != fitted_rows(30_000, 1)).any()


def table(train: TrainingData) -> pa.Table:
    kinds = {"category": pa.string(), "ordinal": pa.string(), "integer": pa.int64()}
    schema = pa.schema(
        [
            (f.column, pa.date32() if f.kind == "date" else kinds.get(f.kind, pa.float64()))
            for f in ROLES.features
        ]
    )
    columns = feature_arrays(train.features, ROLES.features, schema)
    return pa.table({**columns, **SCHEMA.columns_of(train.groups)})


def test_a_file_is_read_as_the_table_in_it(tmp_path):
    train = data()
    write_table(table(train), tmp_path / "train.parquet")
    read = TrainingData.read(tmp_path / "train.parquet", ROLES)
    assert isinstance(read.rows, CompactRows)
    np.testing.assert_array_equal(read.features, train.features)
    np.testing.assert_array_equal(read.groups, train.groups)


@pytest.mark.parametrize("size", [1, 150, 1000])
def test_a_file_hashes_as_the_table_in_it(tmp_path, size, monkeypatch):
    monkeypatch.setattr("mcrage.tables._ROWS_HASHED", 97)
    rows = table(data()).slice(0, 300)
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=size)
    assert content_hash_of_file(tmp_path / "rows.parquet") == content_hash(rows)
    pq.write_table(rows.slice(1), tmp_path / "rows.parquet", row_group_size=size)
    assert content_hash_of_file(tmp_path / "rows.parquet") != content_hash(rows)


def test_rare_groups_borrow_of_compact_rows_as_of_a_matrix():
    train = data((5, 400, 120, 330))
    held = replace(train, rows=CompactRows.of(train.features.T, len(train.groups)))
    settings = {"fewer_than": 40, "then": "back_off"}
    one, other = (settle(each, settings, 3)[0] for each in (train, held))
    assert one.n_borrowed == 35
    np.testing.assert_array_equal(one.features, other.features)


@pytest.mark.parametrize("kind", ["cddpm", "tabddpm", "copula", "mixture", "cart"])
def test_a_generator_learns_the_same_from_compact_rows(kind):
    train = data((40, 60, 30, 50))
    held = replace(train, rows=CompactRows.of(train.features.T, len(train.groups)))
    small = {"cddpm": {"preset": "tuned", "steps": 3, "seeds": 1}, "mixture": {"components": [2]},
             "tabddpm": {"preset": "small", "steps": 3}}.get(kind, {})  # fmt: skip
    settings = KINDS[kind].model_validate({"kind": kind, **small}).resolved()
    groups = np.repeat(np.arange(4), 5)
    one, other = (
        generator_class(kind)(settings).fit(each, seed=1).sample(groups, seed=2)
        for each in (train, held)
    )
    np.testing.assert_array_equal(one, other)


def test_batches_of_sorted_rows_are_those_of_any_order_without_a_copy():
    rng = np.random.default_rng(0)
    groups, rows = rng.integers(0, 4, 50), rng.normal(size=(50, 3)).astype(np.float32)
    sorted_rows = rows.copy()
    in_order = torch.from_numpy(sort_by_group(sorted_rows, groups))
    sorted_rows = torch.from_numpy(sorted_rows)
    condition = Condition(torch.from_numpy(SCHEMA.indices_of(np.arange(4)).T.copy()), (2, 2))
    drawn = []
    for pair in ((torch.from_numpy(rows), torch.from_numpy(groups)), (sorted_rows, in_order)):
        batches = Batches(*pair, condition, EdmProcess(), [Member(0, batch_size=16)])
        drawn.append(batches.draw())
    assert batches._rows.data_ptr() == sorted_rows.data_ptr()
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)


def test_long_tables_are_thinned_in_each_group_and_small_groups_stay():
    train = data((200, 9_000, 1_500, 20_000))
    assert thinned(train, None, 0) is thinned(train, 30_700, 0) is train
    held = replace(train, rows=CompactRows.of(train.features.T, len(train.groups)), n_borrowed=100)
    few = thinned(held, 6_000, 0)
    assert few.counts.tolist() == [200, 9_000 * 6_000 // 30_700, 1_000, 20_000 * 6_000 // 30_700]
    assert few.n_borrowed < 50
    np.testing.assert_array_equal(few.features, thinned(train, 6_000, 0).features)
    assert (few.features[300:] != thinned(train, 6_000, 1).features[300:]).any()
    # Rows of the table, each once, in its order.
    marked = replace(train, rows=np.arange(30_700.0)[:, None] + np.zeros(7))
    places = thinned(marked, 6_000, 0).features[:, 0].astype(int)
    assert (np.diff(places) > 0).all()
    np.testing.assert_array_equal(train.groups[places], few.groups)


@pytest.mark.parametrize("kind", ["mixture", "cart", "smote"])
def test_a_generator_of_a_long_table_learns_from_max_rows(kind, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("mcrage.generators.thinning._ROWS_KEPT", 20)
    train = data((300, 400, 200, 600))
    own = {"max_rows": 1_000, **({"components": [2]} if kind == "mixture" else {})}
    settings = KINDS[kind].model_validate({"kind": kind, **own}).resolved()
    long = generator_class(kind)(settings).fit(train, seed=4)
    part = generator_class(kind)({**settings, "max_rows": None})
    part.fit(thinned(train, 1_000, 4), seed=4)
    groups = np.repeat(np.arange(4), 10)
    np.testing.assert_array_equal(long.sample(groups, seed=1), part.sample(groups, seed=1))
    if kind != "mixture":
        assert 995 < len(long._rows) <= 1_000
    told = long.facts["learnt_from"]
    assert 995 < told["rows"] <= 1_000
    assert told["of"] == 1_500
    assert f"learns from {told['rows']} of 1500 training rows" in caplog.text
    assert "learnt_from" not in part.facts


VALUES = {
    "number": st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-9, 9).map(float)),
    "whole": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "flag": st.one_of(st.none(), st.booleans()),
    "text": st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "1", "None"])),
    "day": st.one_of(st.none(), st.dates()),
}


@given(st.lists(st.tuples(*VALUES.values()), min_size=2, max_size=6))
def test_rows_have_equal_keys_only_if_they_are_equal(rows):
    rows = [*rows, rows[0]]
    types = [pa.float64(), pa.int64(), pa.bool_(), pa.string(), pa.date32()]
    columns = dict(zip(VALUES, zip(*rows, strict=True), strict=True))
    table = pa.table({n: pa.array(v, t) for (n, v), t in zip(columns.items(), types, strict=True)})
    keys = row_keys(table, [*VALUES], ["text"])
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            assert (keys.digests[i] == keys.digests[j]) == (one == other)
            assert (keys.groups[i] == keys.groups[j]) == (one[3] == other[3])
    other = table.set_column(3, "text", table.column("text").dictionary_encode())
    parts = pa.concat_tables([other.slice(0, 1), other.slice(1)])
    np.testing.assert_array_equal(row_digests(parts, [*VALUES]), keys.digests)
    assert len(keys.unique()) == len(set(rows))


def test_a_key_knows_a_number_in_any_type_and_its_column():
    whole, real = (pa.table({"x": pa.array([3, 4, None], t)}) for t in (pa.int32(), pa.float64()))
    np.testing.assert_array_equal(row_digests(whole, ["x"]), row_digests(real, ["x"]))
    pair = pa.table({"a": [1, 2], "b": [2, 1]})
    assert len({*row_digests(pair, ["a", "b"])}) == 2


def test_a_table_in_a_file_is_the_table_to_the_guard(tmp_path, monkeypatch):
    monkeypatch.setattr("mcrage.leakage.keys.PORTION", 97)
    rows = table(data())
    write_table(rows, tmp_path / "rows.parquet")
    file = TableFile(tmp_path / "rows.parquet")
    assert (file.num_rows, file.column_names) == (rows.num_rows, rows.column_names)
    assert file.column(rows.column_names[1]).equals(rows.column(1))
    columns = rows.column_names
    np.testing.assert_array_equal(row_digests(file, columns), row_digests(rows, columns))
    assert file.whole().equals(rows)
    assert file.select(columns[2:0:-1]).column_names == columns[2:0:-1]
    with pytest.raises(UserError, match="no such file"):
        TableFile(tmp_path / "others.parquet")
