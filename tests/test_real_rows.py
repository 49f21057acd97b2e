# SPDX-License-Identifier: MIT
"""The user's own rows come out of the rebalanced table as they went in, whatever they hold."""

import csv
import datetime
import hashlib
import io
import warnings
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import export_csv
from mcrage import MCRAGE
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import parse_card, prepare_settings
from mcrage.datasets.prepare import prepare
from mcrage.encoding.columns import feature_matrix
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.rebalanced_file import rebalance_files
from mcrage.rebalancing import synthetic_table
from mcrage.tables import read_table, table_writer, take_rows, write_table

N = 40
DAY = datetime.date(2020, 2, 27)
BERLIN = "Europe/Berlin"


def gaps(values, mark=None) -> list:
    """Return values with a mark in every fifth place, the first among them."""
    return [mark if i % 5 == 0 else value for i, value in enumerate(list(values))]


def texts(rng) -> list[str]:
    return rng.choice(["a", "b c", 'd, "e"', "\u00e9"], N).tolist()


def times(rng, unit: str, most: int = 400) -> list:
    return (pd.Timestamp("1969-07-20") + pd.to_timedelta(rng.integers(0, most, N), unit)).tolist()


def of(values, dtype) -> pd.Series:
    return pd.Series(pd.array(list(values), dtype=dtype))


#: Columns that a data frame may have, as a Parquet file may: what they are in a card, and values.
COLUMNS = {
    "int64": ("integer", lambda r: pd.Series(r.integers(-(2**63), 2**63 - 1, N))),
    "uint64": ("integer", lambda r: pd.Series(r.integers(2**63, 2**64 - 1, N, np.uint64))),
    "the ends of int64": ("integer", lambda r: pd.Series(r.choice([-(2**63), 2**63 - 1, 0], N))),
    "int8": ("integer", lambda r: pd.Series(r.integers(-128, 127, N).astype(np.int8))),
    "Int64": ("integer", lambda r: of(gaps(r.integers(2**53, 2**62, N), pd.NA), "Int64")),
    "UInt8": ("integer", lambda r: of(gaps(r.integers(0, 99, N), pd.NA), "UInt8")),
    "float16": ("continuous", lambda r: pd.Series(r.normal(size=N).astype(np.float16))),
    "float32": ("continuous", lambda r: pd.Series(gaps(r.normal(size=N)), dtype=np.float32)),
    "float64": ("continuous", lambda r: pd.Series(gaps(r.normal(size=N), np.nan))),
    "Float64": ("continuous", lambda r: of(gaps(r.normal(size=N), pd.NA), "Float64")),
    "decimals": (
        "continuous",
        lambda r: pd.Series(gaps(Decimal(int(i)) / 100 for i in r.integers(0, 10**6, N))),
    ),
    "arrow's decimals": (
        "continuous",
        lambda r: of(
            [Decimal(int(i)) / 100 for i in r.integers(0, 10**17, N)],
            pd.ArrowDtype(pa.decimal128(20, 2)),
        ),
    ),
    "arrow's integers": (
        "integer",
        lambda r: of(gaps(r.integers(0, 9, N)), pd.ArrowDtype(pa.int64())),
    ),
    "bool": ("category", lambda r: pd.Series(r.random(N) < 0.5)),
    "boolean": ("category", lambda r: of(gaps((r.random(N) < 0.5).tolist(), pd.NA), "boolean")),
    "objects, None": ("category", lambda r: pd.Series(gaps(texts(r)), dtype=object)),
    "objects, NaN": ("category", lambda r: pd.Series(gaps(texts(r), np.nan), dtype=object)),
    "objects, NA": ("category", lambda r: pd.Series(gaps(texts(r), pd.NA), dtype=object)),
    "objects, True and None": (
        "category",
        lambda r: pd.Series(gaps((r.random(N) < 0.5).tolist()), dtype=object),
    ),
    "objects, whole and None": (
        "integer",
        lambda r: pd.Series(gaps(r.integers(0, 99, N).tolist()), dtype=object),
    ),
    "objects, numbers and NA": (
        "continuous",
        lambda r: pd.Series(gaps(r.normal(size=N).tolist(), pd.NA), dtype=object),
    ),
    "string": ("category", lambda r: of(gaps(texts(r), pd.NA), "string")),
    "str": ("category", lambda r: pd.Series(gaps(texts(r), np.nan), dtype="str")),
    "a category with levels that no row has": (
        "category",
        lambda r: pd.Series(pd.Categorical(gaps(r.choice(["f", "m"], N)), ["x", "m", "f", "y"])),
    ),
    "an order": (
        "category",
        lambda r: pd.Series(
            pd.Categorical(r.choice(["low", "high"], N), ["low", "mid", "high"], ordered=True)
        ),
    ),
    "dates": ("date", lambda r: pd.Series(pd.to_datetime(gaps(times(r, "D"), pd.NaT)))),
    "moments": ("date", lambda r: pd.Series(pd.to_datetime(times(r, "ns", 10**17)))),
    "a time zone": (
        "date",
        lambda r: pd.Series(pd.to_datetime(gaps(times(r, "h"), pd.NaT))).dt.tz_localize(
            BERLIN, ambiguous=True, nonexistent="shift_forward"
        ),
    ),
    "objects, dates and None": (
        "date",
        lambda r: pd.Series(gaps(time.date() for time in times(r, "D")), dtype=object),
    ),
    "arrow's dates": (
        "date",
        lambda r: of(gaps(time.date() for time in times(r, "D")), pd.ArrowDtype(pa.date32())),
    ),
    "arrow's times": (
        "date",
        lambda r: of(gaps(times(r, "s")), pd.ArrowDtype(pa.timestamp("us", BERLIN))),
    ),
}
#: Columns that a data frame alone may have.
OF_FRAMES = {
    "sparse": lambda r: pd.Series(pd.arrays.SparseArray(np.where(r.random(N) < 0.7, 0, 1.5))),
    "durations": lambda r: pd.Series(pd.to_timedelta(gaps(r.integers(0, 99, N), pd.NaT), "D")),
    "objects, moments": lambda r: pd.Series(
        gaps([time.to_pydatetime() for time in times(r, "h")]), dtype=object
    ),
    "a category of numbers": lambda r: pd.Series(pd.Categorical(r.choice([3, 1], N), [3, 2, 1])),
}
ROLES = {"sex": ["f", "m"] * (N // 2), "died": (["no"] * 6 + ["yes"] * 2) * (N // 8)}


@st.composite
def frames(draw, columns) -> pd.DataFrame:
    names = draw(st.lists(st.sampled_from(sorted(columns)), min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return pd.DataFrame({name: columns[name](rng) for name in names} | ROLES)


def kinds(values: pd.Series) -> set[tuple]:
    """Return the Python types of values, and each way in which one is missing."""
    return {(type(v), repr(v) if pd.isna(v) else "") for v in values.astype(object)}


def check_same(found: pd.DataFrame, frame: pd.DataFrame) -> None:
    """Compare strictly: assert_frame_equal takes None for NaN, and 2**60 + 1 for 2**60."""
    assert list(found.columns) == list(frame.columns)
    for name in frame:
        mine, theirs = found[name], frame[name]
        assert mine.dtype == theirs.dtype, name
        assert mine.astype(object).map(repr).tolist() == theirs.astype(object).map(repr).tolist()


@settings(max_examples=15, deadline=None)
@given(frames({name: make for name, (_, make) in COLUMNS.items()} | OF_FRAMES))
def test_a_data_frame_keeps_its_rows_and_made_ones_are_of_their_kind(frame):
    X, y = frame.drop(columns="died"), frame["died"]
    sampler = MCRAGE(sensitive=["sex"], generator="cart", random_state=0, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X_more, y_more = sampler.fit_resample(X, y)
    check_same(X_more[:N], X)
    assert y_more[:N].tolist() == y.tolist()
    made = X_more[N:]
    assert len(made)
    for name in X:
        assert kinds(made[name]) <= kinds(X[name]), name


def rebalanced(folder, path, card: dict):
    """Take a file through the stages that write tables, with real rows drawn once more."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    words = dict.fromkeys(("title", "description", "licence", "citation"), "made up")
    card = {
        **{"name": "ward", **words},
        "files": [{"name": path.name, "sha256": digest, "sources": [{"path": str(path)}]}],
        "target": {"column": "died"},
        "sensitive": {"sex": {}},
        **card,
    }
    told = prepare_settings(parse_card(card, "ward.yaml"))
    found = prepare(PrepareSettings.model_validate(told), [path])
    with table_writer(folder / "prepared.parquet", found.schema) as write:
        for portion in found.portions():
            write(portion)
    take_rows(folder / "prepared.parquet", np.arange(N), folder / "train.parquet")
    train = read_table(folder / "train.parquet")
    schema = GroupSchema.of(found.roles)
    groups = schema.index(train)
    order = np.repeat(np.argsort(groups, kind="stable"), 3)
    drawn = feature_matrix(train, found.roles.features)[order]
    made = synthetic_table(drawn, groups[order], train, found.roles)
    write_table(made, folder / "synthetic.parquet")
    spool, _, _ = rebalance_files(
        folder / "train.parquet",
        schema,
        synthetic=folder / "synthetic.parquet",
        labels=None,
        seed=0,
        treatment={},
    )
    out = folder / "rebalanced.parquet"
    with table_writer(out, spool.schema) as write:
        for portion in spool.portions():
            write(portion)
    return out


@settings(max_examples=15, deadline=None)
@given(frames({name: make for name, (_, make) in COLUMNS.items()}))
def test_a_parquet_file_keeps_its_rows_as_pandas_and_as_arrow_see_them(tmp_path_factory, frame):
    folder = tmp_path_factory.mktemp("ward")
    path = folder / "ward.parquet"
    frame.to_parquet(path)
    columns = {
        name: {"type": COLUMNS[name][0] if name in COLUMNS else "category"} for name in frame
    }
    for name in frame:
        if frame[name].isna().any():
            columns[name]["missing"] = "keep"
    out = rebalanced(folder, path, {"columns": columns})
    user, found = pq.read_table(path), pq.read_table(out)
    assert found.schema.names == [*user.schema.names, "is_synthetic"]
    assert found.schema.types[:-1] == user.schema.types
    assert found.slice(0, N).drop_columns(["is_synthetic"]).to_pylist() == user.to_pylist()
    read = pd.read_parquet(out)
    check_same(read[:N].drop(columns="is_synthetic"), pd.read_parquet(path))
    assert read["is_synthetic"].sum() == len(read) - N > 0
    dictionaries = [name for name in frame if pa.types.is_dictionary(user.field(name).type)]
    for name in dictionaries:
        levels = user[name].chunk(0).dictionary.to_pylist()
        assert found[name].chunk(0).dictionary.to_pylist() == levels


def number(rng) -> list[str]:
    return [f"{value:.3f}" for value in rng.normal(0, 10, N)]


OF_CSV = {
    "long": ("integer", lambda r: [str(i) for i in r.integers(-(2**63), 2**63 - 1, N)]),
    "code": ("category", lambda r: [f"{i:05}" for i in r.integers(0, 5, N)]),
    "text": ("category", lambda r: r.choice(["a", "", " b", 'c"d', "e\nf", "g,h;i", "?"], N)),
    "iron": ("continuous", number),
    "gaps": ("continuous", lambda r: gaps(number(r), "?")),
    "day": ("date", lambda r: [f"{time:%d.%m.%Y}" for time in times(r, "D")]),
    "moment": ("date", lambda r: [f"{time:%d.%m.%Y %H:%M}" for time in times(r, "min", 10**6)]),
}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(OF_CSV)), min_size=1, unique=True),
    st.sampled_from([(",", "."), (";", ","), ("\t", ","), ("|", ".")]),
    st.integers(0, 99),
)
def test_a_csv_file_keeps_its_rows_and_its_layout(tmp_path_factory, names, layout, seed):
    rng = np.random.default_rng(seed)
    delimiter, decimal = layout
    texts = {name: list(map(str, OF_CSV[name][1](rng))) for name in names}
    texts |= {name: list(values) for name, values in ROLES.items()}
    columns = {name: {"type": OF_CSV[name][0] if name in OF_CSV else "category"} for name in texts}
    for name in {"iron", "gaps"} & texts.keys():
        texts[name] = [text.replace(".", decimal) for text in texts[name]]
    for name, format in (("day", "%d.%m.%Y"), ("moment", "%d.%m.%Y %H:%M")):
        if name in columns:
            columns[name]["date_format"] = format
    if "gaps" in columns:
        columns["gaps"] |= {"missing": "keep", "na_values": ["?"]}
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([list(texts), *zip(*texts.values(), strict=True)])
    folder = tmp_path_factory.mktemp("ward")
    path = folder / "ward.csv"
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    format = {"delimiter": delimiter, "decimal": decimal, "na_values": []}
    out = rebalanced(folder, path, {"columns": columns, "format": format})
    written = SimpleNamespace(csv=folder / "rebalanced.csv")
    params = {"settings": {"delimiter": delimiter, "decimal": decimal}}
    export_csv.main(SimpleNamespace(table=out), written, params, None, 1, {})
    with written.csv.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=delimiter)
    assert header == [*texts, "is_synthetic"]
    for name, found in zip(header, zip(*rows, strict=True), strict=False):
        mine, theirs = list(found[:N]), texts.get(name, ["false"] * N)
        if name == "gaps":
            theirs = ["" if text == "?" else text for text in theirs]
        if name in ("iron", "gaps"):
            # 1.500 comes out as 1.5.
            mine, theirs = (
                [text and float(text.replace(decimal, ".")) for text in part]
                for part in (mine, theirs)
            )
        assert mine == theirs, name


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("9007199254740993", "continuous", "a number of type continuous holds exactly; write"),
        ("9223372036854775808", "integer", "a whole number of 64 bits holds exactly; write"),
    ],
)
def test_whole_numbers_that_would_change_are_refused(tmp_path, text, kind, told):
    path = tmp_path / "ward.csv"
    rows = [f"{i if i else text},{ROLES['sex'][i]},{ROLES['died'][i]}" for i in range(N)]
    path.write_text("\n".join(["n,sex,died", *rows]) + "\n")
    columns = {"n": {"type": kind}, **{name: {"type": "category"} for name in ROLES}}
    with pytest.raises(UserError, match=f"line 2, column n: found '{text}', which has.*{told}"):
        rebalanced(tmp_path, path, {"columns": columns})


def test_large_numbers_as_levels_are_refused_by_the_sampler():
    X = pd.DataFrame({"id": np.arange(N) % 2 + 2**60, "x": np.arange(N) * 1.5})
    with pytest.raises(ValueError, match=r"column id: found .*can't be told apart"):
        MCRAGE(sensitive=["id"], generator="cart").fit_resample(X, ROLES["died"])


def test_a_target_with_gaps_is_refused_by_the_sampler():
    X = pd.DataFrame({"x": np.arange(N) * 1.5})
    for mark in (None, np.nan, pd.NA):
        with pytest.raises(ValueError, match="lacks 1 of 40 values; leave these rows out"):
            MCRAGE(generator="cart").fit_resample(X, pd.Series([mark, *ROLES["died"][1:]]))


def test_midnight_of_a_time_zone_is_drawn_as_midnight(tmp_path):
    days = pd.Series(pd.date_range("2024-03-01", periods=N, freq="D", tz=BERLIN))
    path = tmp_path / "ward.parquet"
    pd.DataFrame({"came": days, **ROLES}).to_parquet(path)
    columns = {"came": {"type": "date"}, **{name: {"type": "category"} for name in ROLES}}
    read = pd.read_parquet(rebalanced(tmp_path, path, {"columns": columns}))
    assert read["came"].dtype == days.dtype
    assert set(read["came"][N:]) <= set(days)
