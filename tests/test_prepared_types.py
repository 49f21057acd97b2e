# SPDX-License-Identifier: MIT
"""Types through `prepare`: what a Parquet file has comes out, and has an inverse."""

import copy
import datetime
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import parse_card, prepare_settings
from mcrage.datasets.prepare import prepare
from mcrage.encoding.columns import feature_arrays, feature_matrix
from mcrage.groups import GroupSchema
from mcrage.rebalancing import synthetic_table

DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
MIDNIGHTS = DAYS.map(lambda day: datetime.datetime.combine(day, datetime.time()))
COLUMNS = {
    "small": (pa.int8(), {"type": "integer", "missing": "keep"}, st.integers(-128, 127)),
    "large": (pa.int64(), {"type": "continuous", "missing": "keep"}, st.integers(-(2**40), 2**40)),
    "whole": (
        *(pa.float64(), {"type": "integer", "missing": "keep"}),
        st.integers(-(10**9), 10**9).map(float),
    ),
    "single": (
        *(pa.float32(), {"type": "continuous", "missing": "impute"}),
        st.integers(-1000, 1000).map(lambda tenths: float(np.float32(tenths / 10))),
    ),
    "flag": (pa.bool_(), {"type": "category", "missing": "keep"}, st.booleans()),
    "grade": (
        *(pa.dictionary(pa.int8(), pa.string()), {"type": "ordinal", "missing": "keep"}),
        st.sampled_from(["low", "mid", "high"]),
    ),
    "ward": (
        *(pa.large_string(), {"type": "category", "missing": "keep"}),
        st.sampled_from(["A", "B.1", "\u00c4", "c d"]),
    ),
    "code": (pa.int16(), {"type": "category", "missing": "keep"}, st.sampled_from([3, 20, 100])),
    "day": (pa.date32(), {"type": "date", "missing": "keep"}, DAYS),
    "moment": (pa.timestamp("us"), {"type": "date", "missing": "keep"}, MIDNIGHTS),
}
CARD = {
    "name": "ward",
    "title": "A ward",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [],
    "columns": {
        **{name: dict(keys) for name, (_, keys, _) in COLUMNS.items()},
        "sex": {"type": "category", "missing": "keep"},
        "died": {"type": "category"},
    },
    "target": {"column": "died", "positive": "false"},
    "sensitive": {"sex": {}, "large": {"bands": [0, 1000.5]}},
}
CARD["columns"]["grade"]["levels"] = ["low", "mid", "high"]
CARD["columns"]["large"] = {"type": "continuous"}
#: Two rows that give every column two levels.
FIRST = [
    dict(zip(COLUMNS, values, strict=True))
    for values in (
        (1, -5, 2.0, 0.5, True, "low", "A", 3, datetime.date(2020, 1, 1),
         datetime.datetime(2020, 1, 1)),
        (2, 2000, 3.0, 1.5, False, "mid", "B.1", 20, datetime.date(2021, 1, 1),
         datetime.datetime(2021, 1, 1)),
    )
]  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            name: values if name == "large" else st.none() | values
            for name, (_, _, values) in COLUMNS.items()
        }
    ),
    max_size=8,
)


def ward(rows: list[dict]) -> pa.Table:
    schema = pa.schema([(name, kind) for name, (kind, _, _) in COLUMNS.items()])
    n = len(rows)
    sexes = pa.array([("f", "m", None)[i % 3] if i > 1 else "fm"[i] for i in range(n)])
    died = pa.array([i % 2 == 0 for i in range(n)])
    table = pa.Table.from_pylist(rows, schema)
    return table.append_column("sex", sexes).append_column("died", died)


def prepared(folder, table: pa.Table):
    path = folder / "ward.parquet"
    pq.write_table(table, path)
    card = copy.deepcopy(CARD)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card["files"] = [{"name": path.name, "sha256": digest, "sources": [{"path": str(path)}]}]
    told = prepare_settings(parse_card(card, "ward.yaml"))
    return prepare(PrepareSettings.model_validate(told), [path])


@settings(max_examples=12, deadline=None)
@given(ROWS)
def test_parquet_types_and_values_come_out_as_they_were(tmp_path_factory, rows):
    table = ward([*FIRST, *rows])
    found = prepared(tmp_path_factory.mktemp("ward"), table)
    assert found.table.drop_columns(["row_id"]).schema == table.schema
    assert found.table.drop_columns(["row_id"]).to_pylist() == table.to_pylist()
    roles = found.roles
    assert roles.target.levels == ("true", "false")
    matrix = feature_matrix(found.table, roles.features)
    again = feature_arrays(matrix, roles.features, found.table.schema)
    for name, values in again.items():
        assert values.type == table.schema.field(name).type
        assert values.to_pylist() == table.column(name).to_pylist()
    for feature in roles.features:
        gaps = table.column(feature.column).null_count
        assert (feature.missing != "none") == bool(gaps)


@settings(max_examples=8, deadline=None)
@given(ROWS)
def test_rows_that_are_drawn_as_they_were_are_the_same_table(tmp_path_factory, rows):
    """Groups with a missing attribute and with bands have an inverse, too."""
    table = ward([*FIRST, *rows, *FIRST])
    found = prepared(tmp_path_factory.mktemp("ward"), table)
    groups = GroupSchema.of(found.roles).index(found.table)
    matrix = feature_matrix(found.table, found.roles.features)
    drawn = synthetic_table(matrix, groups, found.table, found.roles)
    assert drawn.schema == table.schema
    assert drawn.to_pylist() == table.to_pylist()


def test_a_missing_attribute_is_a_level_of_its_own(tmp_path):
    found = prepared(tmp_path, ward([*FIRST, *FIRST, *FIRST]))
    assert found.roles.sensitive[0].levels == ("f", "m", "(missing)")
    assert found.group_counts["sex=(missing), large=below 0, died=true"] == 1
    assert found.table.column("sex").null_count == 2


def test_bands_and_their_features(tmp_path):
    found = prepared(tmp_path, ward(FIRST))
    assert found.roles.sensitive[1].levels == ("below 0", "0 to below 1000.5", "1000.5 and above")
    assert "large" in found.roles.feature_columns
    assert "sex" not in found.roles.feature_columns


def test_numbers_that_are_none_are_missing(tmp_path):
    table = ward([*FIRST, {**FIRST[0], "single": float("nan")}])
    assert prepared(tmp_path, table).table.column("single").null_count == 1


def test_several_parquet_files_have_one_type(tmp_path):
    from mcrage.errors import UserError

    card = copy.deepcopy(CARD)
    table = ward(FIRST)
    other = table.set_column(0, "small", table.column("small").cast(pa.int32()))
    for name, part in (("a.parquet", table), ("b.parquet", other)):
        pq.write_table(part, tmp_path / name)
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        card["files"].append({"name": name, "sha256": digest, "sources": [{"path": name}]})
    told = PrepareSettings.model_validate(prepare_settings(parse_card(card, "ward.yaml")))
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    with pytest.raises(UserError, match=r"column small: its type is int8 in .*a\.parquet, int32"):
        prepare(told, paths)
