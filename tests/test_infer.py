# SPDX-License-Identifier: MIT
"""What a table shows of its columns, short cards, and bands."""

import datetime
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import parse_card, prepare_settings, read_card
from mcrage.datasets.column_model import SensitiveCard
from mcrage.datasets.grain import found_resolution, on_grid, usual_bands
from mcrage.datasets.guessing import guess
from mcrage.datasets.infer import infer, told
from mcrage.datasets.prepare import prepare
from mcrage.datasets.short_card import csv_layout, expand
from mcrage.errors import UserError

N = 60


def column(values) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def texts(values) -> pa.ChunkedArray:
    return column([None if value is None else str(value) for value in values])


TIMES = [datetime.date(2020, 1, 1) + datetime.timedelta(days=7 * i) for i in range(N)]
RULES = {
    "constant": ("hospital", ["a"] * N, "ignored", {}),
    "constant where it is not missing": ("flag", ["x", None] * (N // 2), "ignored", {}),
    "empty": ("note", [None] * N, "ignored", {}),
    "two texts": ("sex", ["F", "M"] * (N // 2), "category", {}),
    "two numbers": ("smokes", [0, 1] * (N // 2), "category", {}),
    "whole numbers": ("age", [20 + i % 45 for i in range(N)], "integer", {"resolution": 1}),
    "signed": ("change", [i % 7 - 3 for i in range(N)], "integer", {"resolution": 1}),
    "codes": ("zip", [f"{i % 9:05d}" for i in range(N)], "category", {}),
    "called a code": ("admission_type_id", [i % 8 for i in range(N)], "category", {}),
    "row numbers": ("row", list(range(1, N + 1)), "ignored", {}),
    "numbers of patients": ("patient_id", [9 * i for i in range(N)], "ignored", {}),
    "different whole numbers": ("platelets", [9 * i for i in range(N)], "integer", {}),
    "names": ("name", [f"Patient {i}" for i in range(N)], "ignored", {}),
    "one decimal": ("iron", [i / 10 for i in range(N)], "continuous", {"resolution": 0.1}),
    "halves": ("height", [i / 2 for i in range(N)], "continuous", {"resolution": 0.5}),
    "not rounded": ("x", [i / 7 for i in range(N)], "continuous", {"resolution": None}),
    "scientific": ("virus", [f"{i}e3" for i in range(N)], "continuous", {"resolution": 1}),
    "gaps": ("bmi", [None, *(20 + i / 10 for i in range(1, N))], "continuous", {"missing": "keep"}),
    "texts": ("ward", ["a", "b", "c"] * (N // 3), "category", {"missing": "refuse"}),
    "grades are no ordinal": ("grade", ["I", "II", "III"] * (N // 3), "category", {}),
    "dates": ("seen", TIMES, "date", {"date_format": "%Y-%m-%d"}),
    "German dates": ("seen", [f"{d:%d.%m.%Y}" for d in TIMES], "date", {"date_format": "%d.%m.%Y"}),
    "American dates": (
        "seen", [f"{d:%m/%d/%Y}" for d in TIMES], "date", {"date_format": "%m/%d/%Y"}
    ),
    "times of the day": ("at", [f"{i % 24:02d}:00:00" for i in range(N)], "ignored", {}),
    "the index of pandas": ("__index_level_0__", [i % 9 for i in range(N)], "ignored", {}),
    "years are numbers": ("year", [1950 + i % 40 for i in range(N)], "integer", {}),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_text_columns_are_taken_for_what_they_show(rule):
    name, values, kind, facts = RULES[rule]
    found = guess(name, texts(values).cast(pa.string())).column
    assert found.type == kind
    assert {key: getattr(found, key) for key in facts} == facts


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([True, False] * 30), "category"),
        (pa.array(np.arange(N) % 40, pa.int8()), "integer"),
        (pa.array(np.arange(N) / 10, pa.float32()), "continuous"),
        (pa.array(TIMES, pa.date32()), "date"),
        (pa.array(pd.to_datetime(TIMES)), "date"),
        (pa.array(["a", "b", "c"] * 20).dictionary_encode(), "category"),
        (pa.array([1, 2, 3] * 20).dictionary_encode(), "category"),
    ],
)
def test_typed_columns_are_taken_for_what_they_are(values, kind):
    assert guess("x", pa.chunked_array([values])).column.type == kind


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("patient_nbr", [i // 2 + 1000 for i in range(N)] + [1], "which looks like an identifier"),
        ("case_id", [i % 25 for i in range(N)] + [40 + i for i in range(20)], "cluster: case_id"),
        ("lab", [*map(str, range(30)), "> 89"] * 2, "under the column's na_values"),
        ("seen", [f"{i:02d}/{i:02d}/2020" for i in range(1, 13)] * 5, "can't be told apart"),
        ("seen", [f"2020-01-{i:02d} 10:00:00" for i in range(1, 31)] * 2, "time of the day"),
        ("hospital", ["a"] * N, "left out"),
    ],
)
def test_what_should_be_looked_at_is_said(name, values, said):
    values = values if isinstance(values[0], str) else list(map(str, values))
    case = guess(name, column(values))
    assert said in case.warning


def test_an_identifier_that_repeats_may_be_a_cluster():
    assert (
        "write cluster: patient_nbr"
        in guess("patient_nbr", column([i * 9 // 10 + 1000 for i in range(N)])).warning
    )


def ward(**more) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = {
        "age": rng.integers(18, 90, N),
        "sex": rng.choice(["F", "M"], N),
        "came": rng.choice(TIMES, N),
        "died": rng.choice(["no", "yes"], N),
        **more,
    }
    return pa.table({name: texts(values) for name, values in rows.items()})


def inferred(table: pa.Table, *sensitive: str, **settings):
    cards = {name: SensitiveCard() for name in sensitive or ("sex",)}
    return infer(table, target="died", sensitive=cards, **settings)


def test_sensitive_numbers_and_dates_are_cut_into_bands():
    found = inferred(ward(), "sex", "age", "came")
    assert found.sensitive["sex"].bands is None
    assert len(found.sensitive["age"].bands) == 2
    assert all(edge.month == edge.day == 1 for edge in found.sensitive["came"].bands)
    given_bands = {"age": SensitiveCard(bands=[50])}
    assert infer(ward(), target="died", sensitive=given_bands).sensitive["age"].bands == [50]


def test_sensitive_numbers_of_few_values_are_levels():
    found = inferred(ward(race=[i % 5 for i in range(N)]), "race")
    assert found.columns["race"].type == "category"
    assert found.sensitive["race"].bands is None


def test_a_sensitive_row_number_is_refused_unless_the_card_cuts_it():
    numbered = ward(row=range(N))
    with pytest.raises(UserError, match="sensitive: column row has a different whole number"):
        inferred(numbered, "row")
    cards = {"row": SensitiveCard(bands=[30])}
    assert infer(numbered, target="died", sensitive=cards).sensitive["row"].bands == [30]


def test_rows_without_target_band_or_cluster_are_left_out_and_other_gaps_kept():
    gap = [None, *["no", "yes"] * 29, "no"]
    table = ward(
        died=gap,
        age=[None, *range(20, 79)],
        sex=["F", "M", None] * 20,
        race=["a", None, *"abc" * 19, "a"],
        p=[None, *"ab"] * 20,
    )
    table = pa.concat_tables([table, table])
    found = inferred(table, "sex", "race", "age", cluster=["p"])
    # Two rows without a race are too few for a group, 40 without a sex are not.
    assert set(found.drop_rows_without) == {"died", "race", "age", "p"}
    assert [found.columns[name].missing for name in ("sex", "race")] == ["keep", "refuse"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "dead"}, r"target: found 'dead' \(did you mean 'died'\?\)"),
        ({"sensitive": {"gender": SensitiveCard()}}, "sensitive: found 'gender', which is no"),
        ({"cluster": ["patient"]}, "cluster: found 'patient', which is no column"),
        ({"target": "age"}, "has .. different values, at most 32 .* target.threshold: median"),
        ({"target": "ward"}, "column ward is to be the target, and has one value"),
        ({"target": "sex", "threshold": True}, "its values are no numbers"),
    ],
)
def test_roles_that_the_table_does_not_fit_are_refused(settings, said):
    roles = {"target": "died", "sensitive": {"sex": SensitiveCard()}, **settings}
    with pytest.raises(UserError, match=said):
        infer(ward(ward=["a"] * N), **roles)


def test_what_the_card_lists_is_taken_as_it_is():
    from mcrage.datasets.column_model import Column

    known = {"age": Column(type="category")}
    found = inferred(ward(), known=known)
    assert found.columns["age"] is known["age"]
    assert "age" not in found.guesses
    assert list(found.columns) == ["age", "sex", "came", "died"]
    lines = told(found).splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:4] == ["age", "feature", "category", "the"]


# --- how finely, and where to cut -----------------------------------------------------------------


@given(st.integers(0, 9), st.integers(1, 400), st.sampled_from([1.0, 0.5, 0.1, 0.05, 0.01, 0.001]))
def test_a_grid_is_found_again(seed, n, grid):
    values = np.random.default_rng(seed).integers(-9999, 9999, n) * grid
    found = found_resolution(values)
    assert found >= grid
    assert on_grid(values, found).all()


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60, unique=True),
    st.integers(2, 5),
)
def test_bands_hold_rows_at_either_end_and_rise(values, n_bands):
    values = np.array(values)
    edges = usual_bands(values, n_bands)
    assert 1 <= len(edges) <= n_bands - 1
    assert list(edges) == sorted(set(edges))
    assert values.min() < edges[0]
    assert edges[-1] <= values.max()


def test_bands_are_near_thirds_at_round_numbers():
    ages = np.random.default_rng(0).integers(18, 91, 20_000).astype(float)
    edges = usual_bands(ages)
    assert edges == (40, 65)
    assert usual_bands(np.random.default_rng(0).normal(0.5, 0.1, 9999)) == (0.45, 0.55)


# --- short cards ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ward().to_pandas().to_csv("ward.csv", index=False, sep=";")
    return tmp_path


def write_card(folder, text: str, name: str = "ward"):
    (folder / f"{name}.yaml").write_text(text)
    return read_card(str(folder / f"{name}.yaml"), folder)


def prepared(card):
    settings = PrepareSettings.model_validate(prepare_settings(card))
    return prepare(settings, [source.path for source in card.files[0].sources])


def test_a_card_of_three_lines_makes_a_dataset(folder, caplog):
    caplog.set_level(logging.INFO)
    card = write_card(folder, "path: ward.csv\ntarget: died\nsensitive: [sex, age]\n")
    assert (card.name, card.format.delimiter) == ("ward", ";")
    made = prepared(card)
    assert [feature.kind for feature in made.roles.features] == ["integer", "date"]
    assert made.roles.target.levels == ("no", "yes")
    assert len(made.group_counts) == 12
    assert "sensitive in bands from" in caplog.text


def test_a_parquet_file_needs_no_more(folder):
    frame = ward().to_pandas()
    frame = frame.assign(
        age=frame["age"].astype(int),
        sex=frame["sex"].astype("category"),
        died=frame["died"] == "yes",
    )
    frame.to_parquet("ward.parquet")
    card = write_card(folder, "path: ward.parquet\ntarget: died\nsensitive: [sex, age]\n")
    made = prepared(card)
    assert made.roles.target.levels == ("false", "true")
    assert pa.types.is_dictionary(made.table.schema.field("sex").type)
    assert made.table.schema.field("died").type == pa.bool_()


def test_a_change_of_the_file_changes_what_the_stages_are_made_with(folder):
    text = "path: ward.csv\ntarget: died\nsensitive: sex\n"
    before = prepare_settings(write_card(folder, text))
    assert prepare_settings(write_card(folder, text)) == before
    with (folder / "ward.csv").open("a") as stream:
        stream.write("50;F;2020-01-01;no\n")
    assert prepare_settings(write_card(folder, text)) != before


def test_a_column_of_the_short_card_overrides_what_is_inferred(folder):
    text = "path: ward.csv\ntarget: died\nsensitive: sex\ncolumns: {age: {type: ignored}}\n"
    made = prepared(write_card(folder, text))
    assert made.roles.feature_columns == ["came"]
    assert "age" not in made.table.column_names


def test_a_card_with_files_may_leave_columns_and_checksum_of_a_local_file_out(folder):
    text = (
        "{name: ward, title: Ward, description: '', licence: '', citation: '', "
        "files: [{name: ward.csv, sources: [{path: ward.csv}]}], format: {delimiter: ;}, "
        "target: {column: died}, sensitive: {sex: {}}}"
    )
    assert prepared(write_card(folder, text)).roles.feature_columns == ["age", "came"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path: wards.csv\ntarget: died\nsensitive: sex\n", "path: found 'wards.csv', and"),
        ("path: ward.csv\nsensitive: sex\n", "target: missing; add it"),
        ("path: ward.csv\ntarget: died\n", "sensitive: missing; add it"),
        ("path: ward.csv\ntarget: died\nsensitive: sex\nfiles: []\n", "remove one of the two keys"),
        ("path: ward.csv\ntarget: died\nsensitive: sex\nfoo: 1\n", "foo: unknown key"),
        ("path: ward.csv\ntarget: died\nsensitive: died\n", "it has more than one role"),
    ],
)  # fmt: skip
def test_a_short_card_with_a_mistake_is_refused(folder, text, said):
    if "more than one" in said:
        text = text.replace("sensitive: died", "sensitive: died\ncolumns: {died: {type: category}}")
    with pytest.raises(UserError, match=said):
        write_card(folder, text)


def test_a_reserved_column_is_refused_when_it_is_seen(folder):
    ward(is_synthetic=["0", "1"] * 30).to_pandas().to_csv("ward.csv", index=False)
    card = write_card(folder, "path: ward.csv\ntarget: died\nsensitive: sex\n")
    with pytest.raises(UserError, match="column is_synthetic has a name that the workflow keeps"):
        prepared(card)


def test_the_layout_of_a_csv_file_is_found(tmp_path):
    path = tmp_path / "x.csv"
    for delimiter in ",;\t|":
        path.write_bytes(f'"a"{delimiter}b{delimiter}c\n1{delimiter}2,5{delimiter}3\n'.encode())
        assert csv_layout(path)["delimiter"] == delimiter
        assert ("decimal" in csv_layout(path)) == (delimiter != ",")
    path.write_bytes("größe,alter\n1,2\n".encode("cp1252"))
    assert csv_layout(path)["encoding"] == "cp1252"
    path.write_bytes("größe,alter\n1,2\n".encode())
    assert csv_layout(path)["encoding"] == "utf-8"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("age, sex\n1, F\n2, M\n", {"trim": True}),
        ("age,ward\n1,a\n2, b\n3,c\n", {}),
        ("age;iron\n1;2,5\n", {"decimal": ","}),
        ("age;iron;zinc\n1;2,5;2.5\n", {}),
        ('sex,"iron"\nF,"2,5"\n', {}),
        ("age\n1\n", {}),
    ],
)
def test_blanks_and_decimal_commas_are_found(tmp_path, text, found):
    path = tmp_path / "x.csv"
    path.write_text(text)
    layout = csv_layout(path)
    assert {key: layout[key] for key in ("trim", "decimal") if key in layout} == found


def test_a_table_as_a_german_spreadsheet_writes_it(folder):
    """Points part thousands there: `1.250` is no 1.25."""
    table = ward(iron=[f"{i // 10},{i % 10}" for i in range(N)]).to_pandas()
    table.to_csv("ward.csv", index=False, sep=";")
    card = write_card(folder, "path: ward.csv\ntarget: died\nsensitive: {sex: {}, iron: {}}\n")
    made = prepared(card)
    assert made.table["iron"].to_pylist() == [i / 10 for i in range(N)]
    (iron,) = [one for one in made.roles.features if one.column == "iron"]
    assert (iron.kind, iron.resolution) == ("continuous", 0.1)
    table.loc[3, "iron"] = "1.250"
    table.to_csv("ward.csv", index=False, sep=";")
    text = "path: ward.csv\ntarget: died\nsensitive: sex\nformat: {decimal: ','}\n"
    text += "columns: {iron: {type: continuous}}\n"
    with pytest.raises(UserError, match="take separators of thousands out of the file"):
        prepared(write_card(folder, text))


def test_what_is_no_short_card_comes_back_as_it_is():
    value = {"name": "x", "columns": {}, "files": [{"name": "x.csv", "sha256": "0" * 64}]}
    assert expand(value, "x", "x.yaml") == value
    with pytest.raises(UserError):
        parse_card(expand("text", "x", "x.yaml"), "x.yaml")


# --- one bad cell ---------------------------------------------------------------------------------

STRAYS = {
    "infinity among distinct decimals": ([i / 7 for i in range(400)], "inf", "numbers are finite"),
    "infinity among decimals": ([i % 50 / 10 for i in range(400)], "-inf", "numbers are finite"),
    "thousands": ([i % 50 / 10 for i in range(400)], "13'100.5", "separators of thousands"),
    "text among decimals": ([i % 50 / 10 for i in range(400)], "old", "which is not a number"),
    "text among whole numbers": ([20 + i % 50 for i in range(400)], "old", "not a whole number"),
    "no date": (
        [datetime.date(2020, 1, 1) + datetime.timedelta(i % 229) for i in range(400)],
        "2020-02-30", "which is no date like %Y-%m-%d",
    ),
}  # fmt: skip


@pytest.mark.parametrize("role", ["", ", x"])
@pytest.mark.parametrize("case", STRAYS)
def test_one_bad_cell_is_refused_with_its_line_and_what_to_write(tmp_path, monkeypatch, case, role):
    values, bad, said = STRAYS[case]
    monkeypatch.chdir(tmp_path)
    cells = [*map(str, values[:7]), bad, *map(str, values[8:])]
    rows = [f"{cell},{'fm'[i % 2]},{'ny'[i // 2 % 2]}" for i, cell in enumerate(cells)]
    (tmp_path / "ward.csv").write_text("\n".join(["x,sex,died", *rows]) + "\n")
    text = f"path: ward.csv\ntarget: died\nsensitive: 'sex{role}'\n"
    with pytest.raises(UserError) as caught:
        prepared(write_card(tmp_path, text))
    for part in ("ward.csv, line 9, column x: found", bad, said, "na_values", "(1 such value(s))"):
        assert part in str(caught.value)
    fixed = f"{text}format: {{na_values: ['', {bad!r}]}}\n"
    features = prepared(write_card(tmp_path, fixed)).roles.features
    assert features[0].kind in ("continuous", "integer", "date")


def test_codes_and_columns_of_many_other_texts_remain_categories():
    mixed = [str(i % 40) if i % 2 else f"A{i % 40}" for i in range(400)]
    assert guess("code", column(mixed)).column.type == "category"
    some = [str(i % 50) if i % 20 else "> 89" for i in range(400)]
    case = guess("age", column(some))
    assert case.column.type == "category"
    assert "nearly all values are numbers" in case.warning
    dates = [str(TIMES[i % N]) if i % 20 else "unknown!" for i in range(400)]
    case = guess("seen", column(dates))
    assert case.column.type == "category"
    assert "nearly all values are dates" in case.warning
