# SPDX-License-Identifier: MIT
"""From raw files to a typed table: what comes out, and that every mistake gets its message."""

import copy
import csv
import hashlib
import logging
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import (
    describe_settings,
    parse_card,
    prepare_settings,
    read_card,
)
from mcrage.datasets.embedded import write_embedded
from mcrage.datasets.prepare import prepare
from mcrage.datasets.roles import Roles, with_words
from mcrage.errors import UserError
from mcrage.groups import GroupSchema

CARDS = Path(__file__).parents[1] / "resources" / "datasets"
MIRROR = Path(__file__).parents[2] / "shared" / "data"
CARD = {
    "name": "ward",
    "title": "A ward",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [{"name": "ward.csv", "sha256": "0" * 64, "sources": [{"path": "ward.csv"}]}],
    "columns": {
        "age": {"type": "integer", "label": "Age", "unit": "years", "minimum": 0, "maximum": 120},
        "hgb": {"type": "continuous", "unit": "g/dL", "minimum": 0, "missing": "keep"},
        "sex": {"type": "category"},
        "note": {"type": "ignored"},
        "died": {"type": "category"},
    },
    "target": {"column": "died", "levels": ["no", "yes"], "labels": ["alive", "dead"]},
    "sensitive": {"sex": {"levels": ["f", "m"], "labels": ["women", "men"]}},
    "format": {"na_values": ["", "?"]},
}
HEADER = "age,hgb,sex,note,died"
ROWS = ["30,12.5,f,a,no", "41,13.1,m,b,no", "52,?,f,c,yes", "63,14,m,,yes", "74,11.25,f,e,no"]
RAW = "\n".join([HEADER, *ROWS]) + "\n"


def ward(tmp_path, raw=RAW, **parts):
    """Prepare rows of the made-up ward; `parts` replace parts of its card."""
    raw = raw.encode() if isinstance(raw, str) else raw
    path = tmp_path / "ward.csv"
    path.write_bytes(raw)
    card = copy.deepcopy(CARD)
    card.update(parts)
    card["files"][0]["sha256"] = hashlib.sha256(raw).hexdigest()
    told = prepare_settings(parse_card(card, "ward.yaml"))
    return prepare(PrepareSettings.model_validate(told), [path])


def refused(tmp_path, raw=RAW, **parts) -> str:
    with pytest.raises(UserError) as caught:
        ward(tmp_path, raw, **parts)
    return str(caught.value)


def columns(**changes):
    """Return the card's columns with keys set; None removes a column."""
    changed = copy.deepcopy(CARD["columns"])
    for name, keys in changes.items():
        if keys is None:
            del changed[name]
        else:
            changed[name] = {**changed.get(name, {}), **keys}
    return changed


def test_table_has_the_users_columns_typed_and_in_order(tmp_path):
    table = ward(tmp_path).table
    assert table.schema == pa.schema(
        [
            ("row_id", pa.int64()),
            ("age", pa.int64()),
            ("hgb", pa.float64()),
            ("sex", pa.string()),
            ("died", pa.string()),
        ]
    )
    assert table.to_pydict() == {
        "row_id": [0, 1, 2, 3, 4],
        "age": [30, 41, 52, 63, 74],
        "hgb": [12.5, 13.1, None, 14.0, 11.25],
        "sex": ["f", "m", "f", "m", "f"],
        "died": ["no", "no", "yes", "yes", "no"],
    }


def test_roles_and_counts(tmp_path):
    prepared = ward(tmp_path)
    roles = prepared.roles
    assert Roles.from_dict(roles.to_dict()) == roles
    assert roles.columns == ("age", "hgb", "sex", "died")
    assert roles.feature_columns == ["age", "hgb"]
    age, hgb = roles.features
    assert (age.kind, age.resolution, age.lower, age.upper) == ("integer", 1.0, 0, 120)
    assert (hgb.kind, hgb.resolution, hgb.upper) == ("continuous", 0.05, None)
    assert roles.target.levels == ("no", "yes")
    assert prepared.group_counts == {
        "sex=f, died=no": 2,
        "sex=m, died=no": 1,
        "sex=f, died=yes": 1,
        "sex=m, died=yes": 1,
    }


def test_words_are_for_readers_alone(tmp_path):
    """Roles say nothing that a better label would change; the words are put in for figures."""
    card = parse_card(CARD, "ward.yaml")
    roles = ward(tmp_path).roles
    assert [feature.label for feature in roles.features] == ["age", "hgb"]
    told = with_words(roles, describe_settings(card))
    assert told.title == "A ward"
    assert [(f.label, f.unit) for f in told.features] == [("Age", "years"), ("hgb", "g/dL")]
    assert told.sensitive[0].level_labels == ("women", "men")
    assert told.target.level_labels == ("alive", "dead")
    relabelled = parse_card({**CARD, "title": "Another"}, "ward.yaml")
    assert prepare_settings(relabelled) == prepare_settings(card)
    assert describe_settings(relabelled) != describe_settings(card)


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace("\n", "\r\n"),
        RAW.rstrip("\n"),
        RAW.replace("\n", "\r\n").rstrip("\r\n"),
        RAW + "\n\n",
        "\n" + RAW,
        RAW.replace("\n41", "\n\n41"),
        b"\xef\xbb\xbf" + RAW.encode(),
        RAW.replace("12.5", '"12.5"').replace("63", "+63"),
    ],
    ids=["crlf", "no_end", "crlf_no_end", "blank_end", "blank_start", "blank", "bom", "quoted"],
)
def test_same_table_however_the_file_ends_its_lines(tmp_path, raw):
    assert ward(tmp_path, raw).table.equals(ward(tmp_path).table)


def test_other_layouts(tmp_path):
    expected = ward(tmp_path).table
    spaced = RAW.replace(",", "; ")
    layout = {"delimiter": ";", "trim": True, "na_values": ["", "?"]}
    assert ward(tmp_path, spaced, format=layout).table.equals(expected)
    bare = "\n".join(ROWS)
    layout = {"header": False, "na_values": ["", "?"]}
    assert ward(tmp_path, bare, format=layout).table.equals(expected)
    latin = RAW.replace(",a,", ",\u00e9,").encode("latin-1")
    layout = {"encoding": "latin-1", "na_values": ["", "?"]}
    assert ward(tmp_path, latin, format=layout).table.equals(expected)


def test_columns_of_the_card_in_another_order(tmp_path):
    backwards = dict(reversed(CARD["columns"].items()))
    assert ward(tmp_path, columns=backwards).table.equals(ward(tmp_path).table)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", ["the file is empty"]),
        ("\n\n", ["the file is empty"]),
        (HEADER, ["a header but no rows"]),
        (HEADER + "\n", ["a header but no rows"]),
        (RAW.replace("note", "age", 1), ["column(s) age more than once"]),
        (
            RAW.replace("age", "Age", 1),
            ["lacks the card's column(s) age (did you mean 'Age'?)",
             "does not know: Age (did you mean 'age'?)",
             "The file has: Age, hgb, sex, note, died", "The card has: age, hgb, sex, note, died"],
        ),
        (RAW.replace("sex", "ward", 1), ["lacks the card's column(s) sex", "not know: ward"]),
        (RAW.replace("died", "x", 1), ["lacks the card's column(s) died"]),
        (RAW.encode().replace(b",a,", b",\xe9,"), ["ward.csv, line 2: byte 0xe9 is not utf-8",
                                                   "format.encoding"]),
        (RAW.replace(",b,", ",b,c,"), ["ward.csv, line 3: found 6 values instead of 5"]),
        (RAW.replace(",b,", ","), ["ward.csv, line 3: found 4 values instead of 5"]),
        (RAW.replace(",", ";"), ["divided by ';', not by ','", "age;hgb;sex;note;died",
                                 "format.delimiter: ';'"]),
        (
            RAW.replace("41", "forty"),
            ["ward.csv, line 3, column age: found 'forty'", "not a whole number",
             "columns.age.type", "format.na_values", "(1 such value(s))"],
        ),
        (RAW.replace("41", "4 1"), ["column age: found '4 1'"]),
        (RAW.replace("41", "41.0"), ["column age: found '41.0'", "not a whole number"]),
        (RAW.replace("41", "0x10"), ["column age: found '0x10'"]),
        (RAW.replace("41", "9" * 16), ["column age: found"]),
        (RAW.replace("13.1", "nan"), ["line 3, column hgb: found 'nan', which is not a number"]),
        (RAW.replace("13.1", "inf"), ["column hgb: found 'inf', which is not a number"]),
        (RAW.replace("13.1", "1e999"), ["column hgb: found '1e999', which is too large"]),
        (RAW.replace("13.1", "13:1"), ["column hgb: found '13:1'"]),
        (RAW.replace("\n41", "\n\n-41"), ["line 4, column age: found '-41', beyond the minimum 0",
                                          "columns.age.minimum"]),
        (RAW.replace("74", "740"), ["line 6, column age: found '740', beyond the maximum 120"]),
        (RAW.replace("63", "?"), ["column age: 1 of 5 values are missing, the first at",
                                  "ward.csv, line 5", "columns.age.missing: keep"]),
        (RAW.replace(",m,b,", ",,b,"), ["column sex: 1 of 5 values are missing", "line 3"]),
        (RAW.replace(",m,b,", ",w,b,"), ["line 3, column sex: found 'w'", "levels 'f', 'm'"]),
        (RAW.replace("f,e,no", "f,e,No"), ["line 6, column died: found 'No'", "'no', 'yes'"]),
        (RAW.replace(",m,", ",f,"), ["column sex is constant ('f' in every row)"]),
        (RAW.replace("yes", "no"), ["column died is constant ('no' in every row)"]),
    ],
)  # fmt: skip
def test_bad_files_are_told(tmp_path, raw, said):
    message = refused(tmp_path, raw)
    for part in said:
        assert part in message


def test_messages_hold_one_entry_and_no_other_value_of_the_patient(tmp_path):
    secret = RAW.replace("41,13.1,m,b,no", "forty,1234.5,m,secret,no")
    assert not re.search(r"1234|secret", refused(tmp_path, secret))
    assert "secret" not in refused(tmp_path, RAW.replace("m,b,no", "m,secret,no,1"))
    assert "secret" not in refused(tmp_path, RAW.replace("m,b,no", 'm,"secret,no'))


def test_line_numbers_count_lines_inside_quotes(tmp_path):
    raw = RAW.replace(",a,", ',"a\nb\nc",').replace("41", "x")
    assert "ward.csv, line 5, column age: found 'x'" in refused(tmp_path, raw)


def test_line_numbers_without_a_header(tmp_path):
    raw = "\n".join(ROWS).replace("41", "x")
    layout = {"header": False, "na_values": ["", "?"]}
    assert "ward.csv, line 2, column age: found 'x'" in refused(tmp_path, raw, format=layout)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"expected": {"rows": 6}}, ["has 5 rows, the card expects 6", "expected.rows"]),
        ({"expected": {"columns": 4}}, ["has 5 columns, the card expects 4"]),
        ({"expected": {"groups": {"sex=f, died=no": 3}}},
         ["group sex=f, died=no has 2 rows, the card expects 3"]),
        ({"expected": {"groups": {"sex=f, dead=no": 2}}},
         ["'sex=f, dead=no' (did you mean 'sex=f, died=no'?)", "the groups are:"]),
        ({"columns": columns(hgb={"resolution": 0.1})},
         ["line 6, column hgb: found 11.25, finer than the resolution 0.1"]),
        ({"columns": columns(hgb={"missing": "refuse"})}, ["column hgb: 1 of 5 values"]),
        ({"columns": columns(note=None)}, ["does not know: note", "type: ignored"]),
        ({"columns": columns(bmi={"type": "continuous"})}, ["lacks the card's column(s) bmi"]),
        ({"columns": columns(dead={"type": "ignored"})},
         ["lacks the card's column(s) dead (did you mean 'died'?)"]),
        ({"columns": columns(hgb={"formula": "3 * age"})},
         ["column hgb, formula '3 * age': 4 of 4 rows (100.00%)", "columns.hgb.formula"]),
        ({"format": {"na_values": ["", "?", "f", "m"]}},
         ["every value of column sex is missing", "format.na_values"]),
    ],
)  # fmt: skip
def test_cards_that_promise_something_else_are_told(tmp_path, parts, said):
    message = refused(tmp_path, **parts)
    for part in said:
        assert part in message


def test_expectations_that_hold(tmp_path):
    groups = {"sex=f, died=no": 2, "sex=m, died=yes": 1}
    ward(tmp_path, expected={"rows": 5, "columns": 5, "groups": groups})


def test_levels_are_found_when_the_card_has_none(tmp_path):
    assert ward(tmp_path, sensitive={"sex": {}}).roles.sensitive[0].levels == ("f", "m")


def test_found_levels_are_bounded(tmp_path):
    rows = [f"{i},12,s{i},,{'yes' if i % 2 else 'no'}" for i in range(33)]
    raw = "\n".join([HEADER, *rows])
    message = refused(tmp_path, raw, sensitive={"sex": {}})
    assert "column sex has 33 levels in 33 rows, at most 32" in message


def test_level_without_rows_is_kept_and_told(tmp_path, caplog):
    prepared = ward(tmp_path, sensitive={"sex": {"levels": ["f", "m", "x"]}})
    assert prepared.group_counts["sex=x, died=yes"] == 0
    assert "no row has level 'x'" in caplog.text


@pytest.mark.parametrize(("threshold", "cut"), [("median", 52), (52, 52), (60.5, 60.5)])
def test_target_above_a_threshold(tmp_path, threshold, cut):
    prepared = ward(
        tmp_path,
        target={"column": "age", "levels": ["young", "old"], "threshold": threshold},
        columns=columns(died={"type": "ignored"}),
    )
    ages = [int(row.split(",")[0]) for row in ROWS]
    expected = ["old" if age > cut else "young" for age in ages]
    assert prepared.table.column("age").to_pylist() == expected
    assert prepared.roles.feature_columns == ["hgb"]
    assert "died" not in prepared.table.column_names


def test_threshold_that_no_row_passes(tmp_path):
    target = {"column": "age", "levels": ["young", "old"], "threshold": 100}
    message = refused(tmp_path, target=target, columns=columns(died={"type": "ignored"}))
    assert "column age is constant ('young' in every row)" in message


def test_cluster_column_stays(tmp_path):
    prepared = ward(
        tmp_path, RAW.replace("63,14,m,,", "63,14,m,b,"), cluster="note",
        columns=columns(note={"type": "category"}),
    )  # fmt: skip
    assert prepared.roles.cluster == ("note",)
    assert prepared.table.column("note").to_pylist() == ["a", "b", "c", "b", "e"]


def test_several_files_follow_one_another(tmp_path):
    parts = {"one.csv": "\n".join([HEADER, *ROWS[:2]]), "two.csv": "\n".join([HEADER, *ROWS[2:]])}
    card = copy.deepcopy(CARD)
    card["files"] = []
    for name, raw in parts.items():
        (tmp_path / name).write_text(raw)
        digest = hashlib.sha256(raw.encode()).hexdigest()
        card["files"].append({"name": name, "sha256": digest, "sources": [{"path": name}]})
    told = PrepareSettings.model_validate(prepare_settings(parse_card(card, "ward.yaml")))
    paths = [tmp_path / "two.csv", tmp_path / "one.csv"]
    assert prepare(told, paths).table.equals(ward(tmp_path).table)

    with pytest.raises(UserError, match=r"two\.csv is missing"):
        prepare(told, [tmp_path / "one.csv"])
    (tmp_path / "two.csv").write_text(parts["two.csv"].replace("74", "x"))
    with pytest.raises(UserError, match=r"two\.csv: SHA-256 is .* the card of ward says"):
        prepare(told, paths)


def test_wrong_entry_is_placed_in_its_own_file(tmp_path):
    card = copy.deepcopy(CARD)
    card["files"] = []
    for name, rows in {"one.csv": ROWS[:2], "two.csv": [*ROWS[2:4], "x,1,f,,no"]}.items():
        raw = "\n".join([HEADER, *rows])
        (tmp_path / name).write_text(raw)
        digest = hashlib.sha256(raw.encode()).hexdigest()
        card["files"].append({"name": name, "sha256": digest, "sources": [{"path": name}]})
    told = PrepareSettings.model_validate(prepare_settings(parse_card(card, "ward.yaml")))
    with pytest.raises(UserError, match=r"two\.csv, line 4, column age: found 'x'"):
        prepare(told, [tmp_path / "one.csv", tmp_path / "two.csv"])


@pytest.mark.parametrize("wrong", [0, 4])
def test_derived_column_may_be_off_by_rounding_and_a_few_rows(tmp_path, caplog, wrong):
    caplog.set_level(logging.INFO)
    rng = np.random.default_rng(0)
    exact = rng.uniform(10, 20, size=(100, 2))
    derived = np.round(10 * exact[:, 0] / exact[:, 1], 1)
    derived[:wrong] += 5
    rows = [
        f"{a:.1f},{b:.1f},{c:.1f},{'fm'[i % 2]},{('no', 'yes')[i // 2 % 2]}"
        for i, ((a, b), c) in enumerate(zip(exact, derived, strict=True))
    ]
    ward(
        tmp_path, "\n".join(["a,b,c,sex,died", *rows]),
        columns={
            **{name: {"type": "continuous", "resolution": 0.1} for name in "ab"},
            "c": {"type": "continuous", "resolution": 0.1, "formula": "10 * a / b"},
            "sex": {"type": "category"}, "died": {"type": "category"},
        },
    )  # fmt: skip
    assert f"{wrong} of 100 rows" in caplog.text


def test_log_holds_counts_and_no_values(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    ward(tmp_path, RAW.replace("13.1", "98.7").replace(",b,", ",secret,"))
    assert "group sex=f, died=no: 2 rows" in caplog.text
    assert not re.search(r"98\.7|secret", caplog.text)


entries = st.tuples(
    st.integers(0, 120),
    st.one_of(st.none(), st.floats(0, 1e6, allow_subnormal=False)),
    st.sampled_from("fm"),
    st.text("ab,\"' é\n", max_size=5),
    st.sampled_from(["no", "yes"]),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(entries, min_size=1, max_size=20))
def test_what_csv_writes_is_read_back_exactly(tmp_path, rows):
    rows = [(1, None, "f", "", "no"), (2, 0.5, "m", "", "yes"), *rows]
    path = tmp_path / "made.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER.split(","))
        writer.writerows([(a, "" if h is None else repr(h), s, n, d) for a, h, s, n, d in rows])
    table = ward(tmp_path, path.read_bytes()).table
    ages, hgb, sex, _, died = (list(column) for column in zip(*rows, strict=True))
    assert table.column("row_id").to_pylist() == list(range(len(rows)))
    assert table.column("age").to_pylist() == ages
    assert table.column("hgb").to_pylist() == hgb
    assert table.column("sex").to_pylist() == sex
    assert table.column("died").to_pylist() == died


def test_shipped_diabetes(tmp_path):
    write_embedded("sklearn.datasets.load_diabetes", tmp_path / "diabetes.csv")
    told = prepare_settings(read_card("diabetes", CARDS))
    prepared = prepare(PrepareSettings.model_validate(told), [tmp_path / "diabetes.csv"])
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    for column in prepared.roles.feature_columns:
        values = bunch.data[:, bunch.feature_names.index(column)]
        np.testing.assert_array_equal(prepared.table.column(column).to_numpy(), values)
    high = np.array(prepared.table.column("progression").to_pylist()) == "high"
    np.testing.assert_array_equal(high, bunch.target > np.median(bunch.target))
    schema = GroupSchema.of(prepared.roles)
    assert schema.counts_by_label(schema.index(prepared.table)) == prepared.group_counts


@pytest.mark.skipif(
    not (MIRROR / "patient-treatment").is_dir(), reason="the data mirror is not mounted here"
)
def test_shipped_patient_treatment(caplog):
    caplog.set_level(logging.INFO)
    told = prepare_settings(read_card("patient-treatment", CARDS))
    path = MIRROR / "patient-treatment" / "data-ori.csv"
    prepared = prepare(PrepareSettings.model_validate(told), [path])
    assert prepared.table.num_rows == 4412
    assert len(prepared.roles.features) == 9
    derived = {item.column for item in prepared.roles.features if item.formula}
    assert derived == {"MCH", "MCHC", "MCV"}
    ages = prepared.table.column("AGE").to_numpy()
    assert (np.diff(ages) >= 0).all()  # file order: prepare does not shuffle
    assert caplog.text.count("off by more than rounding explains") == 3
