# SPDX-License-Identifier: MIT
"""Dataset cards: what the model refuses, and that each message says what to do."""

import copy
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mcrage.config.base import closest
from mcrage.datasets.card_model import DownloadSettings, PrepareSettings
from mcrage.datasets.cards import (
    describe_settings,
    download_settings,
    known_cards,
    parse_card,
    prepare_settings,
    read_card,
)
from mcrage.datasets.limits import MAXIMUM_LEVELS
from mcrage.errors import UserError

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "resources" / "datasets"
SHA = "0" * 64
CARD = {
    "name": "ward",
    "title": "A ward",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [{"name": "ward.csv", "sha256": SHA, "sources": [{"url": "https://example.org/w"}]}],
    "columns": {
        "age": {"type": "integer", "unit": "years"},
        "a": {"type": "continuous", "resolution": 0.1},
        "b": {"type": "continuous", "resolution": 0.1, "formula": "2 * a"},
        "sex": {"type": "category"},
        "ward": {"type": "category", "missing": "keep"},
        "pain": {"type": "ordinal", "levels": ["none", "some", "much"]},
        "seen": {"type": "date", "date_format": "%d/%m/%Y", "missing": "impute"},
        "died": {"type": "category"},
        "patient": {"type": "category"},
        "note": {"type": "ignored"},
    },
    "target": {"column": "died", "levels": ["no", "yes"]},
    "sensitive": {"sex": {"levels": ["f", "m"], "labels": ["women", "men"]}},
    "cluster": "patient",
}


def changed(*changes):
    """Return the card with values set (path..., value); `...` as the value removes a key."""
    card = copy.deepcopy(CARD)
    for *path, last, value in changes:
        place = card
        for key in path:
            place = place[key]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return card


def test_card_that_uses_every_part_is_accepted():
    card = parse_card(CARD, "ward.yaml")
    assert card.feature_columns == ["age", "a", "b", "ward", "pain", "seen"]
    assert card.format.delimiter == ","


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("title", ...)], ["title: missing; add it"]),
        ([("colums", {})], ["colums: unknown key (did you mean 'columns'?)", "allowed: name,"]),
        (
            [("columns", "age", "minimun", 0)],
            ["columns.age.minimun: unknown key (did you mean 'minimum'?)"],
        ),
        ([("columns", "age", "type", "int")], ["columns.age.type: found 'int'", "'integer'"]),
        ([("columns", "sex", "unit", "m")], ["columns.sex: unit: for continuous and integer"]),
        (
            [("columns", "age", "minimum", 2), ("columns", "age", "maximum", 1)],
            ["columns.age: minimum 2 is not below maximum 1"],
        ),
        ([("columns", "a", "resolution", 0)], ["columns.a.resolution: found 0", "greater than 0"]),
        ([("columns", "row_id", {"type": "integer"})], ["row_id is a name that the workflow"]),
        ([("columns", "b", "formula", "2 * c")], ["columns.b.formula", "not derived", "age, a"]),
        ([("columns", "b", "formula", "2 * b")], ["columns.b.formula", "not derived"]),
        ([("columns", "b", "formula", "f(a)")], ["columns.b.formula", "'f(a)' is not allowed"]),
        ([("columns", "b", "formula", "3")], ["columns.b.formula: found '3'"]),
        ([("columns", "b", "formula", "2 * ward")], ["columns.b.formula", "not derived"]),
        ([("columns", "pain", "levels", ...)], ["columns.pain: levels: missing; an ordinal"]),
        ([("columns", "pain", "levels", ["a", "b", "a"])], ["columns.pain: levels", "twice"]),
        ([("columns", "pain", "levels", ["a", "(missing)"])], ["columns.pain.levels[1]: found"]),
        ([("columns", "pain", "labels", ["a"])], ["columns.pain: labels: 1 labels for 3 levels"]),
        ([("columns", "age", "levels", ["a", "b"])], ["columns.age: levels: for ordinal and"]),
        ([("columns", "age", "date_format", "%Y")], ["columns.age: date_format: for date"]),
        ([("columns", "seen", "date_format", "dd.mm")], ["date_format: found 'dd.mm'", "strptime"]),
        (
            [("columns", "ward", "missing", "drop")],
            ["columns.ward.missing: found 'drop'", "'keep'"],
        ),
        (
            [("target", "column", "dead")],
            ["target.column: found 'dead' (did you mean 'died'?)", "allowed: age, a, b, sex"],
        ),
        ([("target", "column", "age")], ["column age is integer; it must be category or ordinal"]),
        ([("target", "threshold", 3)], ["column died is category; it must be continuous or"]),
        ([("target", "threshold", "mean")], ["target.threshold: found 'mean'"]),
        ([("target", "levels", ["yes"])], ["target.levels: found list", "at least 2"]),
        (
            [("target", "levels", ["a", "b", "c"]), ("target", "positive", "a")],
            ["target: positive: the target has 3 levels"],
        ),
        ([("target", "positive", "maybe")], ["target: positive: found 'maybe'; allowed: no, yes"]),
        (
            [("target", {"column": "age", "threshold": 3, "levels": ["a", "b", "c"]})],
            ["target: levels: a threshold makes two levels"],
        ),
        (
            [("columns", "died", "levels", ["yes", "no"])],
            ["target.levels: found no, yes, but columns.died.levels has yes, no"],
        ),
        ([("target", "levels", ["a", "a"])], ["names one twice"]),
        ([("target", "levels", [0, 1])], ["target.levels[0]: found 0", "write '0' in quotes"]),
        (
            [("target", "levels", [False, True])],
            ["target.levels[0]: found False", "YAML reads unquoted yes"],
        ),
        ([("target", "labels", ["one"])], ["1 labels for 2 levels"]),
        ([("sensitive", {})], ["sensitive: found dict", "at least 1"]),
        (
            [("sensitive", "age", {})],
            ["sensitive.age: column age is integer", "sensitive.age.bands: [18, 65]"],
        ),
        ([("sensitive", "sex", {"bands": [1]})], ["column sex is category; it must be continuous"]),
        ([("sensitive", "seen", {"bands": [1]})], ["column seen is date; it must be continuous"]),
        ([("sensitive", "age", {"bands": []})], ["sensitive.age.bands: found list", "at least 1"]),
        ([("sensitive", "age", {"bands": [65, 18]})], ["bands: found 65.0, 18.0", "rising order"]),
        ([("sensitive", "age", {"bands": [18, 18]})], ["bands: found 18.0, 18.0", "each once"]),
        ([("sensitive", "age", {"bands": [18, math.inf]})], ["bands: found", "leave it out"]),
        ([("sensitive", "age", {"bands": ["old"]})], ["sensitive.age.bands[0]: found 'old'"]),
        (
            [("sensitive", "age", {"bands": [18, "2000-01-01"]})],
            ["sensitive.age: bands: found 18.0, 2000-01-01; write numbers alone"],
        ),
        (
            [("sensitive", "age", {"bands": [18, 65], "levels": ["young", "old"]})],
            ["sensitive.age: levels: 2 names for 3 bands"],
        ),
        (
            [
                ("sensitive", "age", {"bands": list(range(20))}),
                ("sensitive", "a", {"bands": list(range(20))}),
            ],
            ["sensitive: the levels make 1764 groups, at most 1024"],
        ),
        (
            [
                ("sensitive", "age", {"bands": [18]}),
                ("columns", "age", "missing", "keep"),
            ],
            ["columns.age.missing: found 'keep'", "drop_rows_without"],
        ),
        ([("drop_rows_without", ["sexe"])], ["drop_rows_without: found 'sexe' (did you mean"]),
        ([("sensitive", "died", {})], ["columns.died: it has more than one role"]),
        ([("sensitive", "sex", {"labels": ["x", "y"]})], ["given without levels"]),
        (
            [("sensitive", "sex", {"levels": [str(i) for i in range(MAXIMUM_LEVELS + 1)]})],
            ["sensitive.sex.levels", f"at most {MAXIMUM_LEVELS}"],
        ),
        (
            [("columns", "sex", "missing", "impute")],
            ["columns.sex.missing: found 'impute', but a row needs its sensitive", "write keep"],
        ),
        (
            [("columns", "died", "missing", "keep")],
            ["columns.died.missing: found 'keep', but a row needs its target"],
        ),
        (
            [("columns", "patient", "missing", "keep")],
            ["columns.patient.missing: found 'keep', but a row needs its cluster"],
        ),
        ([("cluster", "wards")], ["cluster: found 'wards' (did you mean 'ward'?)"]),
        ([("files", 0, "sha256", "abc")], ["files[0].sha256: found 'abc'", "sha256sum FILE"]),
        ([("files", 0, "sources", [])], ["files[0].sources"]),
        ([("files", 0, "sources", [{}])], ["files[0].sources[0]: a source has one of the keys"]),
        (
            [("files", 0, "sources", [{"url": "https://a.b", "path": "c"}])],
            ["a source has one of the keys url, embedded and path"],
        ),
        ([("files", 0, "sources", [{"uri": "x"}])], ["allowed: url, embedded, path"]),
        ([("files", 0, "sources", [{"embedded": "os.system"}])], ["load_diabetes"]),
        ([("files", [CARD["files"][0]] * 2)], ["files: ward.csv is listed twice"]),
        (
            [(key, value) for key, value in {"files": [], "columns": {}}.items()],
            ["files: found list"],
        ),
    ],
)
def test_mistakes_are_told_with_key_and_fix(changes, said):
    with pytest.raises(UserError) as caught:
        parse_card(changed(*changes), "ward.yaml")
    message = str(caught.value)
    assert all(line.startswith("ward.yaml: ") for line in message.splitlines())
    for part in said:
        assert part in message


@pytest.mark.parametrize("name", ["../w.csv", "a/b", "/etc/passwd", "a\\b", "..", ".hidden", ""])
def test_file_names_hold_no_path(name):
    with pytest.raises(UserError, match=r"files\[0\]\.name: found .* plain file name"):
        parse_card(changed(("files", 0, "name", name)), "ward.yaml")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.org/x", "http://a.org/x", "x.csv", "https://", "data:,x"]
)
def test_addresses_are_https(url):
    with pytest.raises(UserError, match=r"sources\[0\]\.url.*only https://"):
        parse_card(changed(("files", 0, "sources", [{"url": url}])), "ward.yaml")


def test_an_address_with_a_password_is_refused_without_repeating_it():
    url = "https://me:hunter2@example.org/w.csv"
    with pytest.raises(UserError, match="no user or password") as caught:
        parse_card(changed(("files", 0, "sources", [{"url": url}])), "ward.yaml")
    assert "hunter2" not in str(caught.value)


def test_what_bands_are_called():
    card = parse_card(
        changed(
            ("columns", "a", "minimum", -9),
            ("sensitive", "age", {"bands": [18, 40, 41, 65]}),
            ("sensitive", "a", {"bands": [-1.5, 10]}),
            ("sensitive", "seen", {"bands": ["2000-01-01", datetime.date(2010, 7, 1)]}),
            ("columns", "seen", "missing", "refuse"),
        ),
        "ward.yaml",
    )
    levels = card.group_levels()
    assert levels["age"] == ["below 18", "18 to 39", "40", "41 to 64", "65 and above"]
    assert levels["a"] == ["below -1.5", "-1.5 to below 10", "10 and above"]
    assert levels["seen"] == [
        *("below 2000-01-01", "2000-01-01 to 2010-06-30", "2010-07-01 and above"),
    ]
    assert card.sensitive["age"].edges() == (-math.inf, 18.0, 40.0, 41.0, 65.0, math.inf)
    assert card.sensitive["seen"].edges()[1] == 10957.0
    # An attribute in bands stays a feature.
    assert {"age", "a", "seen"} <= set(card.feature_columns)
    again = parse_card(card.model_dump(mode="json"), "ward.yaml")
    assert again == card


def test_missing_values_of_an_attribute_are_a_level():
    card = parse_card(changed(("columns", "sex", "missing", "keep")), "ward.yaml")
    assert card.group_levels() == {"sex": ["f", "m", "(missing)"], "died": ["no", "yes"]}


def test_every_problem_gets_a_line():
    card = changed(("title", ...), ("colums", 1), ("columns", "age", "type", "int"))
    with pytest.raises(UserError) as caught:
        parse_card(card, "ward.yaml")
    assert len(str(caught.value).splitlines()) == 3


def test_unknown_dataset_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        read_card("diabets", CARDS)
    for part in ("'diabets'", "did you mean 'diabetes'?", "patient-treatment", "NAME.yaml"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["../datasets/diabetes", "/diabetes", "", "a b", "diabetes\n"])
def test_a_name_leads_nowhere_else(name):
    with pytest.raises(UserError, match="no such card"):
        read_card(name, CARDS)


def test_a_card_elsewhere_is_read_by_its_path(tmp_path):
    path = tmp_path / "ward.yaml"
    path.write_text(yaml.safe_dump(CARD, sort_keys=False))
    assert read_card(path, CARDS) == parse_card(CARD, "x")
    assert read_card("ward", tmp_path) == parse_card(CARD, "x")
    assert known_cards(tmp_path) == ["ward"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: ward\nname: ward\n", "line 2: the key 'name' stands twice"),
        ("columns:\n  a: {type: integer}\n  a: {type: integer}\n", "line 3: the key 'a'"),
        ("name: [\n", "not valid YAML"),
        ("- 1\n", "found list"),
        ("", "found NoneType"),
    ],
)
def test_broken_yaml_is_told(tmp_path, text, said):
    path = tmp_path / "ward.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_card("ward", tmp_path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_missing_and_misnamed_card_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_card(tmp_path / "none.yaml", tmp_path)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(CARD))
    with pytest.raises(UserError, match=r"found 'ward', but the file is called other\.yaml"):
        read_card("other", tmp_path)


def test_yaml_anchors_work(tmp_path):
    text = yaml.safe_dump(changed(("columns", ...)), sort_keys=False) + (
        "columns:\n"
        "  a: &number {type: continuous, resolution: 0.1}\n"
        "  b: {<<: *number, unit: g/L}\n"
        "  sex: {type: category}\n  died: {type: category}\n  patient: {type: category}\n"
    )
    (tmp_path / "ward.yaml").write_text(text)
    column = read_card("ward", tmp_path).columns["b"]
    assert (column.type, column.resolution, column.unit) == ("continuous", 0.1, "g/L")


@pytest.mark.parametrize("name", known_cards(CARDS))
def test_shipped_cards_and_their_slices(name):
    card = read_card(name, CARDS)
    assert parse_card(card.model_dump(mode="json"), "copy") == card
    for settings, model in (
        (download_settings(card), DownloadSettings),
        (prepare_settings(card), PrepareSettings),
    ):
        # Params cross to the script as plain values; sorted keys must not lose an order.
        copied = json.loads(json.dumps(settings, sort_keys=True))
        assert copied == settings
        assert model.model_validate(copied).model_dump(mode="json") == settings
    order = [column for column, _ in prepare_settings(card)["columns"]]
    assert order == list(card.columns)


def test_slices_hold_what_their_stage_uses_and_no_more():
    card = parse_card(CARD, "ward.yaml")
    told = parse_card(changed(("description", "Other."), ("homepage", "https://a.b")), "ward.yaml")
    assert prepare_settings(told) == prepare_settings(card)
    assert download_settings(told) == download_settings(card)
    moved = parse_card(
        changed(("files", 0, "sources", [{"url": "https://example.org/moved"}])), "ward.yaml"
    )
    assert prepare_settings(moved) == prepare_settings(card)
    assert download_settings(moved) != download_settings(card)
    unit = parse_card(changed(("columns", "age", "unit", "months")), "ward.yaml")
    assert prepare_settings(unit) == prepare_settings(card)
    assert describe_settings(unit) != describe_settings(card)
    coarse = parse_card(changed(("columns", "age", "resolution", 5)), "ward.yaml")
    assert prepare_settings(coarse) != prepare_settings(card)
    assert download_settings(coarse) == download_settings(card)


def test_download_settings_of_one_file():
    second = {**CARD["files"][0], "name": "two.csv"}
    card = parse_card(changed(("files", [*CARD["files"], second])), "ward.yaml")
    assert [file["name"] for file in download_settings(card)["files"]] == ["ward.csv", "two.csv"]
    assert [file["name"] for file in download_settings(card, "two.csv")["files"]] == ["two.csv"]


def test_shipped_cards_state_what_they_must():
    diabetes = read_card("diabetes", CARDS)
    assert diabetes.sensitive["sex"].labels == ["sex 1", "sex 2"]
    assert "not which code of sex is which" in " ".join(diabetes.description.split())
    patients = read_card("patient-treatment", CARDS)
    assert "inferred" in patients.description
    assert sum(patients.expected.groups.values()) == patients.expected.rows == 4412


def test_cards_import_nothing_heavy():
    code = (
        "import sys; import mcrage.datasets.cards; "
        "print(sorted({'pyarrow', 'pandas', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow" / "scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_closest_names_an_allowed_one_or_nothing(name, allowed):
    hint = closest(name, allowed)
    assert hint == "" or any(repr(item) in hint for item in allowed)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(sorted(CARD)) | st.text(max_size=5), inner,
                                      max_size=3), max_leaves=8))  # fmt: skip
def test_any_nonsense_is_a_user_error(value):
    with pytest.raises(UserError):
        parse_card(value, "ward.yaml")
