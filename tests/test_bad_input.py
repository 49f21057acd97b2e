# SPDX-License-Identifier: MIT
"""Malformed tables and cards: each ends in one clear line, or in a warning where it may be meant.

A message names the file, column or key, what was found, and what to do.
"""

import copy
import gzip
import hashlib
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import parse_card, prepare_settings, read_card
from mcrage.datasets.prepare import prepare
from mcrage.errors import UserError

CARD = {
    "name": "ward",
    "title": "A ward",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [{"name": "ward.csv", "sha256": "0" * 64, "sources": [{"path": "ward.csv"}]}],
    "columns": {
        "age": {"type": "integer"},
        "hgb": {"type": "continuous"},
        "unit": {"type": "category"},
        "pain": {"type": "ordinal", "levels": ["none", "some", "much"]},
        "seen": {"type": "date"},
        "sex": {"type": "category"},
        "died": {"type": "category"},
    },
    "target": {"column": "died", "levels": ["no", "yes"]},
    "sensitive": {"sex": {"levels": ["f", "m"]}},
}
HEADER = "age,hgb,unit,pain,seen,sex,died"
ROWS = [
    "30,12.5,a,none,2020-01-31,f,no",
    "41,13.1,b,some,2020-02-01,m,no",
    "52,11.2,a,much,2021-03-05,f,yes",
    "63,14.0,b,none,2019-12-24,m,yes",
    "74,11.3,a,some,2020-07-01,f,no",
]
CSV = "\n".join([HEADER, *ROWS]) + "\n"


def card(**parts):
    """Return the card with parts replaced; `columns` are updated."""
    made = copy.deepcopy(CARD)
    for name, keys in parts.pop("columns", {}).items():
        made["columns"][name] = {**made["columns"].get(name, {}), **keys}
    made.update(parts)
    return made


def table(n: int, **columns) -> str:
    """Return n rows of the ward as CSV, with columns replaced."""
    rng = np.random.default_rng(0)
    made = {
        "age": rng.integers(18, 90, n),
        "hgb": rng.normal(13, 2, n).round(1),
        "unit": rng.choice(["a", "b"], n),
        "pain": rng.choice(["none", "some", "much"], n),
        "seen": ["2020-01-31"] * n,
        "sex": rng.choice(["f", "m"], n),
        "died": rng.choice(["no", "yes"], n),
    }
    made |= {
        name: make(made, np.arange(n)) if callable(make) else make for name, make in columns.items()
    }
    rows = [",".join(map(str, row)) for row in zip(*made.values(), strict=True)]
    return "\n".join([",".join(made), *rows]) + "\n"


def parquet(**columns) -> bytes:
    """Return the ward as a Parquet file, with columns replaced."""
    values = dict(
        zip(HEADER.split(","), zip(*(row.split(",") for row in ROWS), strict=True), strict=True)
    )
    made = {
        **values,
        "age": list(map(int, values["age"])),
        "hgb": list(map(float, values["hgb"])),
        **columns,
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(made), sink)
    return sink.getvalue().to_pybytes()


def prepared(folder, raw=CSV, name="ward.csv", made=CARD):
    """Prepare a file of this name and content."""
    raw = raw.encode() if isinstance(raw, str) else raw
    (folder / name).write_bytes(raw)
    made = copy.deepcopy(made)
    made["files"][0] |= {"name": name, "sha256": hashlib.sha256(raw).hexdigest()}
    told = prepare_settings(parse_card(made, "ward.yaml"))
    return prepare(PrepareSettings.model_validate(told), [folder / name])


FILES = {
    "empty file": ("", {}, ["ward.csv: the file is empty"]),
    "only blank lines": ("\n\n\r\n", {}, ["ward.csv: the file is empty"]),
    "header only": (HEADER + "\n", {}, ["ward.csv: the file has a header but no rows"]),
    "one row": ("\n".join([HEADER, ROWS[0]]), {}, ["column died is constant ('no' in every row)"]),
    "semicolons": (
        CSV.replace(",", ";"), {}, ["divided by ';', not by ','", "format.delimiter: ';'"],
    ),
    "tabs": (CSV.replace(",", "\t"), {}, ["format.delimiter: \"\\t\""]),
    "a comma in place of semicolons": (
        CSV, {"format": {"delimiter": ";"}}, ["divided by ','", "format.delimiter: ','"],
    ),
    "not UTF-8": (
        CSV.encode().replace(b",b,", b",\xe9,"), {},
        ["ward.csv, line 3: byte 0xe9 is not utf-8; set format.encoding"],
    ),
    "UTF-16": (CSV.encode("utf-16"), {}, ["ward.csv: the file is UTF-16; save it as UTF-8"]),
    "a spreadsheet": (b"PK\x03\x04" + bytes(60), {}, ["a spreadsheet; unpack it, or save"]),
    "compressed, and its name does not say so": (
        gzip.compress(CSV.encode()), {}, ["compressed with gzip; give it a name that ends in .gz"],
    ),
    "NUL bytes": (
        CSV.replace("13.1", "13\0.1"), {}, ["ward.csv, line 3: found a NUL byte", "damaged"],
    ),
    "a name twice": (
        CSV.replace("unit", "age", 1), {}, ["the header names column(s) age more than once"],
    ),
    "a name that is empty": (
        CSV.replace("unit", "", 1), {}, ["lacks the card's column(s) unit", "not know: ''"],
    ),
    "a name with a space at its end": (
        CSV.replace("unit", "unit ", 1), {}, ["'unit ' (did you mean 'unit'?)"],
    ),
    "a name in other letters": (
        CSV.replace("age", "\u00e2ge", 1), {}, ["\u00e2ge (did you mean 'age'?)"],
    ),
    "a row that is too long": (
        CSV.replace("13.1", "13,1"), {}, ["line 3: found 8 values instead of 7 (1 such row(s))"],
    ),
    "a row that is too short": (
        CSV.replace(",much", ""), {}, ["line 4: found 6 values instead of 7"],
    ),
    "a quotation mark that is never closed": (
        CSV.replace("m,no", 'm,"no'), {}, ["look for a quotation mark that is never closed"],
    ),
    "a quotation mark that is never closed in the header": (
        '"' + CSV, {}, ["ward.csv: ", "quotation mark that is never closed"],
    ),
    "text among numbers": (
        CSV.replace("52,", "old,"), {},
        ["ward.csv, line 4, column age: found 'old', which is not a whole number",
         "columns.age.type", "(1 such value(s))"],
    ),
    "numbers with separators of thousands": (
        CSV.replace("13.1", "13'100.5"), {},
        ["column hgb: found \"13'100.5\"", "take separators of thousands out of the file"],
    ),
    "decimal commas": (
        CSV.replace(",", ";").replace(".", ","), {"format": {"delimiter": ";"}},
        ["line 2, column hgb: found '12,5'", "write format.decimal: ',' in the card"],
    ),
    "infinity": (CSV.replace("13.1", "-inf"), {}, ["found '-inf'", "numbers are finite"]),
    "a number beyond float64": (CSV.replace("13.1", "1e400"), {}, ["'1e400', which is too large"]),
    "a column without any value": (
        table(60, unit=[""] * 60), {"columns": {"unit": {"missing": "keep"}}},
        ["every value of column unit is missing; write type: ignored"],
    ),
    "a value that is missing": (
        CSV.replace("14.0", ""), {},
        ["column hgb: 1 of 5 values are missing, the first at", "ward.csv, line 5",
         "columns.hgb.missing: keep", "drop_rows_without"],
    ),
    "a feature of one level": (
        table(60, unit=["a"] * 60), {}, ["column unit is constant ('a' in every row)", "ignored"],
    ),
    "a target of one level": (CSV.replace("yes", "no"), {}, ["column died is constant"]),
    "a level that the card does not have": (
        CSV.replace("much", "lots"), {},
        ["line 4, column pain: found 'lots', but the card allows the levels 'none', 'some'"],
    ),
    "a level of the target that the card does not have": (
        CSV.replace("f,yes", "f,Yes"), {}, ["line 4, column died: found 'Yes'", "'no', 'yes'"],
    ),
    "a hundred thousand levels": (
        table(100_000, unit=lambda made, number: number), {},
        ["column unit has 100000 levels in 100000 rows, at most 1000", "type: ignored"],
    ),
    "a sensitive column of all different values": (
        table(60, sex=lambda made, number: number), {"sensitive": {"sex": {}}},
        ["column sex has 60 levels in 60 rows, at most 32"],
    ),
    "attributes that make too many groups": (
        table(
            100, sex=lambda made, number: number % 32, unit=lambda made, number: number // 4 % 32
        ),
        {"sensitive": {"sex": {}, "unit": {}}},
        ["the levels of sex, unit, died make 32 x 25 x 2 = 1600 groups, at most 1024"],
    ),
    "a sensitive column that is the target": (
        table(80, sex=lambda made, number: np.where(made["died"] == "no", "f", "m"))
        .replace("sex", "s", 1).replace("s,died", "sex,died", 1), {},
        ["sensitive attribute sex: each of its levels has one level of the target", "empty"],
    ),
    "a sensitive value that is missing": (
        CSV.replace(",m,yes", ",,yes"), {}, ["column sex: 1 of 5 values are missing"],
    ),
    "a cluster that is missing": (
        CSV.replace(",b,", ",,", 1), {"cluster": "unit"},
        ["column unit: 1 of 5 values are missing"],
    ),
    "a date that is none": (
        CSV.replace("2021-03-05", "2021-02-30"), {},
        ["line 4, column seen: found '2021-02-30', which is no date like %Y-%m-%d",
         "columns.seen.date_format"],
    ),
    "dates of another layout": (
        CSV.replace("2020-01-31", "31/01/2020"), {}, ["found '31/01/2020'", "date_format"],
    ),
    "the missing level": (
        CSV.replace(",a,", ",(missing),"), {},
        ["column unit has the level '(missing)'", "na_values"],
    ),
    "no row left": (
        CSV, {"format": {"na_values": ["no", "yes"]}, "drop_rows_without": ["died"]},
        ["no row is left without those that drop_rows_without names (died)"],
    ),
    "a positive level that the data lack": (
        CSV, {"target": {"column": "died", "positive": "dead"}},
        ["target.positive is 'dead', but column died has the levels 'no', 'yes'"],
    ),
    "a number beyond its bounds": (
        CSV, {"columns": {"age": {"minimum": 31}}},
        ["line 2, column age: found '30', beyond the minimum 31"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_csv_file_is_told_in_one_line(tmp_path, name):
    raw, parts, said = FILES[name]
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, raw, made=card(**copy.deepcopy(parts)))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "download" not in message  # Most who read it wrote the file themselves.
    for part in said:
        assert part in message


PARQUETS = {
    "truncated": (parquet()[:-40], {}, ["ward.parquet: the Parquet file is damaged"]),
    "cut off after its beginning": (parquet()[:50], {}, ["the Parquet file is damaged"]),
    "a CSV file": (CSV.encode(), {}, ["ward.parquet: not a Parquet file, whatever its name says"]),
    "no rows": (
        parquet(**{name: pa.array([], pa.string()) for name in HEADER.split(",")}), {},
        ["the file has columns but no rows"],
    ),
    "another column": (parquet(note=list("abcde")), {}, ["does not know: note", "type: ignored"]),
    "infinity": (
        parquet(hgb=[1.0, 2.0, float("inf"), 1.0, 1.0]), {},
        ["ward.parquet, row 3, column hgb: found inf, but numbers are finite"],
    ),
    "fractions of whole numbers": (
        parquet(age=[1.0, 2.5, 3.0, 1.0, 1.0]), {}, ["row 2, column age: found 2.5, which is not"],
    ),
    "booleans for numbers": (
        parquet(age=[True, False, True, True, False]), {},
        ["column age is bool, but columns.age.type is integer; write type: category"],
    ),
    "dates for numbers": (
        parquet(age=pa.array([1, 2, 3, 4, 5], pa.date32())), {}, ["is date32", "type: date"],
    ),
    "numbers for dates": (parquet(seen=[1, 2, 3, 4, 5]), {}, ["column seen is int64", "is date"]),
    "lists": (
        parquet(unit=[[1], [2], [1], [2], [1]]), {},
        ["column unit: is of the type list", "columns.unit.type: ignored"],
    ),
    "a replacement of another type": (
        parquet(), {"columns": {"age": {"replace": {"30": "thirty"}}}},
        ["ward.parquet: column age: replace puts 'thirty'", "int64"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUETS)
def test_a_bad_parquet_file_is_told_in_one_line(tmp_path, name):
    raw, parts, said = PARQUETS[name]
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, raw, "ward.parquet", card(**copy.deepcopy(parts)))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "download" not in message  # Most who read it wrote the file themselves.
    for part in said:
        assert part in message


def test_a_parquet_file_that_is_called_csv(tmp_path):
    with pytest.raises(UserError, match=r"ward\.csv: the file is a Parquet file; give it a name"):
        prepared(tmp_path, parquet())


def test_a_gzip_file_that_is_none(tmp_path):
    for raw in (CSV.encode(), gzip.compress(CSV.encode())[:-20]):
        with pytest.raises(UserError, match=r"ward\.csv\.gz: not a readable gzip file"):
            prepared(tmp_path, raw, "ward.csv.gz")


CARDS = {
    "a misspelt key": ({"sensitiv": {}}, ["sensitiv: unknown key (did you mean 'sensitive'?)"]),
    "no sensitive attribute": ({"sensitive": {}}, ["sensitive: found dict"]),
    "a target that is sensitive, too": (
        {"sensitive": {"died": {}}}, ["columns.died: it has more than one role"],
    ),
    "a target that is no column": ({"target": {"column": "dead"}}, ["found 'dead'", "'died'?"]),
    "levels twice": (
        {"sensitive": {"sex": {"levels": ["f", "m", "f"]}}}, ["names one twice"],
    ),
    "an ordinal without levels": (
        {"columns": {"unit": {"type": "ordinal"}}}, ["columns.unit: levels: missing"],
    ),
    "bands out of order": (
        {"sensitive": {"age": {"bands": [65, 18]}}}, ["bands: found 65.0, 18.0", "rising order"],
    ),
    "no bands of a number": ({"sensitive": {"hgb": {}}}, ["sensitive.hgb.bands: [18.5, 25]"]),
    "bands of texts": ({"sensitive": {"age": {"bands": ["old"]}}}, ["a number, or a date"]),
    "a path to another folder": (
        {"files": [{**CARD["files"][0], "name": "../ward.csv"}]}, ["plain file name"],
    ),
    "a file name that is too long": (
        {"files": [{**CARD["files"][0], "name": "w" * 300 + ".csv"}]},
        ["files[0].name", "200 characters"],
    ),
    "a column that the workflow keeps for itself": (
        {"columns": {"row_id": {"type": "integer"}}}, ["row_id is a name that the workflow"],
    ),
    "missing values of the target": (
        {"columns": {"died": {"missing": "keep"}}}, ["columns.died.missing: found 'keep'"],
    ),
    "a comma that is both": ({"format": {"decimal": ","}}, ["decimal: the delimiter is the comma"]),
    "levels that are numbers": (
        {"sensitive": {"sex": {"levels": [0, 1]}}}, ["levels are text", "write '0' in quotes"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_a_bad_card_is_told(name):
    parts, said = CARDS[name]
    with pytest.raises(UserError) as caught:
        parse_card(card(**copy.deepcopy(parts)), "ward.yaml")
    message = str(caught.value)
    assert all(line.startswith("ward.yaml: ") for line in message.splitlines())
    for part in said:
        assert part in message


SUSPECTS = {
    "an identifier": ({"age": lambda made, number: number}, {}, "age: 200 different values in 200"),
    "a category of identifiers": (
        {"unit": lambda made, number: [f"u{each}" for each in number]}, {},
        "unit: 200 different values in 200 rows: is it an identifier?",
    ),
    "a category that is the target": (
        {"unit": lambda made, number: np.where(made["died"] == "no", "home", "mortuary")}, {},
        "unit: it alone tells the target in all but 0 %",
    ),
    "a number that tells the target": (
        {"hgb": lambda made, number: np.where(made["died"] == "no", 1, 2) + number / 1000}, {},
        "hgb: it alone tells the target",
    ),
    "a gap that tells the target": (
        {"hgb": lambda made, number: np.where(made["died"] == "no", "", "12.5")},
        {"columns": {"hgb": {"missing": "keep"}}}, "hgb: it alone tells the target",
    ),
    "a band without rows": (
        {}, {"sensitive": {"age": {"bands": [5, 50]}}}, "no row lies in the band 'below 5'",
    ),
    "a level without rows": (
        {}, {"sensitive": {"sex": {"levels": ["f", "m", "x"]}}}, "sex: no row has level 'x'",
    ),
    "groups without rows": (
        {}, {"sensitive": {"sex": {"levels": ["f", "m", "x"]}}}, "sex=x, died=yes: 0 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUSPECTS)
def test_what_is_likely_a_mistake_is_said(tmp_path, caplog, name):
    columns, parts, said = SUSPECTS[name]
    caplog.set_level(logging.WARNING)
    prepared(tmp_path, table(200, **columns), made=card(**copy.deepcopy(parts)))
    assert said in caplog.text


def test_nothing_is_suspected_of_a_plain_table(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    prepared(tmp_path, table(200))
    assert caplog.text == ""


def test_what_looks_odd_and_is_right(tmp_path):
    expected = prepared(tmp_path).table
    for raw, name, parts in (
        (b"\xef\xbb\xbf" + CSV.encode(), "ward.csv", {}),
        (gzip.compress(CSV.encode()), "ward.csv.gz", {}),
        (CSV.replace(",", ";").replace(".", ","), "ward.csv",
         {"format": {"delimiter": ";", "decimal": ","}}),
    ):  # fmt: skip
        made = card(**parts, filters=[{"column": "hgb", "minimum": 0.5, "removes": 0}])
        assert prepared(tmp_path, raw, name, made).table.equals(expected)
    spaced = {
        name.replace("unit", "Station Nord \u2013 \u00c4"): keys
        for name, keys in CARD["columns"].items()
    }
    raw = CSV.replace("unit", "Station Nord \u2013 \u00c4", 1)
    found = prepared(tmp_path, raw, made={**CARD, "columns": spaced})
    assert found.table.column_names[3] == "Station Nord \u2013 \u00c4"


# What is wrong with the file itself is told alike where the card knows nothing of its columns.
SHORT = [
    "empty file", "only blank lines", "header only", "UTF-16", "a spreadsheet",
    "compressed, and its name does not say so", "NUL bytes", "a name twice",
    "a row that is too long", "a row that is too short", "a quotation mark that is never closed",
    "truncated", "cut off after its beginning", "a CSV file", "no rows", "lists", "infinity",
]  # fmt: skip
WITH_SHORT_CARD = {
    **{name: ("ward.csv", FILES[name][0], FILES[name][2]) for name in SHORT if name in FILES},
    **{name: ("ward.parquet", PARQUETS[name][0], PARQUETS[name][2])
       for name in SHORT if name in PARQUETS},
    "one row": (
        "ward.csv", FILES["one row"][0],
        ["column sex is to be the sensitive attribute", "one value"],
    ),
    "a target of one level": ("ward.csv", CSV.replace("yes", "no"), ["died is to be the target"]),
    "a hundred levels of the target": (
        "ward.csv", table(100, died=lambda made, number: number), ["target and has 100 different"],
    ),
    "a sensitive row number": (
        "ward.csv", table(60, sex=lambda made, number: number), ["sex has a different whole number"]
    ),
    "a sensitive column that is not there": (
        "ward.csv", CSV.replace("sex", "seks", 1),
        ["sensitive: found 'sex', which is no column", "seks"],
    ),
    "text among numbers": (
        "ward.csv", table(60, age=[*range(20, 49), "old", *range(30, 60)]),
        ["ward.csv, line 31, column age: found 'old', which is not a whole number"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_SHORT_CARD)
def test_a_bad_file_with_a_short_card_is_told_in_one_line(tmp_path, monkeypatch, name):
    file, raw, said = WITH_SHORT_CARD[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_bytes(raw.encode() if isinstance(raw, str) else raw)
    (tmp_path / "card.yaml").write_text(f"path: {file}\ntarget: died\nsensitive: sex\n")

    def prepared_by_card():
        settings = prepare_settings(read_card(str(tmp_path / "card.yaml"), tmp_path))
        prepare(PrepareSettings.model_validate(settings), [tmp_path / file])

    with pytest.raises(UserError) as caught:
        prepared_by_card()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "download" not in message  # Most who read it wrote the file themselves.
    for part in said:
        assert part in message
