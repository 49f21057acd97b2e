# SPDX-License-Identifier: MIT
"""Cards of several files: joins, filters, recoded values, columns kept at download, test files.

All on made-up files; what the real datasets are known to hold is in test_datasets.py.
"""

import copy
import gzip
import hashlib
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import balance
import split as split_script
from mcrage.clusters import clusters_of
from mcrage.config.load import load_config
from mcrage.datasets import download
from mcrage.datasets.assembly_model import RowFilter
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import download_settings, parse_card, prepare_settings
from mcrage.datasets.download import fetch
from mcrage.datasets.file_model import File
from mcrage.datasets.filters import filtered
from mcrage.datasets.prepare import prepare
from mcrage.datasets.reading import RawColumns, RawTable
from mcrage.errors import UserError
from mcrage.plan import Plan
from mcrage.tables import read_table, write_json, write_table
from project import merge

STAYS = (
    "# made up\n"
    "stay,hospital,patient,sex,age,outcome\n"
    "1,a,p1,F,30,Alive\n"
    "2,a,p1,F,> 89,Expired\n"
    "3,b,p2,M,41,Alive\n"
    "4,b,p3,,52,Alive\n"
    "5,c,p2,M,63,Expired\n"
    "6,d,p4,M,64,\n"
    "7,d,p5,F,?,Alive.\n"
)
SCORES = (
    "stay,version,score,region\n"
    "1,IV,10,x\n"
    "1,IVa,11,x\n"
    "3,IVa,-1,x\n"
    "5,IVa,33,x\n"
    "7,IVa,44,y\n"
    ",IVa,99,y\n"
    "8,IVa,55,y\n"
)
CARD = {
    "name": "icu",
    "title": "Stays",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [
        {"name": "stays.csv", "sha256": "0" * 64, "sources": [{"path": "stays.csv"}]},
        {"name": "scores.csv.gz", "sha256": "0" * 64, "sources": [{"path": "scores.csv.gz"}]},
    ],
    "format": {"comment": "#"},
    "joins": [
        {
            "file": "scores.csv.gz",
            "key": "stay",
            "columns": ["score"],
            "where": {"version": "IVa"},
            "unmatched": 3,
        }
    ],
    "filters": [
        {"column": "outcome", "keep": ["Alive", "Expired"], "removes": 1},
        {"column": "sex", "keep": ["F", "M"], "removes": 1},
    ],
    "cluster": ["hospital", "patient"],
    "columns": {
        "stay": {"type": "ignored"},
        "hospital": {"type": "category"},
        "patient": {"type": "category"},
        "sex": {"type": "category"},
        "age": {
            "type": "integer",
            "replace": {"> 89": "90"},
            "na_values": ["?"],
            "missing": "keep",
        },
        "outcome": {"type": "category", "replace": {"Alive.": "Alive"}},
        "score": {"type": "integer", "minimum": 0, "na_values": ["-1"], "missing": "keep"},
    },
    "target": {"column": "outcome", "levels": ["Alive", "Expired"]},
    "sensitive": {"sex": {"levels": ["F", "M"]}},
    "expected": {"rows": 7, "columns": 7, "rows_kept": 5},
}

LEARN = "".join(f"{30 + n},{'FM'[n % 3 > 0]}, {'<>'[n % 2]}50K\n" for n in range(24)) + "\n"
TEST = "|1x3 Cross validator\n" + "".join(
    f"{60 + n},{'FM'[n % 2]}, {'<>'[n % 2]}50K.\n" for n in range(8)
)
SURVEY = {
    "name": "survey",
    "title": "A survey",
    "description": "Made up.",
    "licence": "CC0",
    "citation": "none",
    "files": [
        {"name": "learn.data", "sha256": "0" * 64, "sources": [{"path": "learn.data"}]},
        {"name": "learn.test", "sha256": "0" * 64, "sources": [{"path": "learn.test"}]},
    ],
    "format": {"header": False, "trim": True, "comment": "|"},
    "official_test": {"files": ["learn.test"], "rows": 8},
    "columns": {
        "age": {"type": "integer"},
        "sex": {"type": "category"},
        "income": {"type": "category", "replace": {"<50K.": "<50K", ">50K.": ">50K"}},
    },
    "target": {"column": "income", "levels": ["<50K", ">50K"]},
    "sensitive": {"sex": {"levels": ["F", "M"]}},
    "expected": {"rows_kept": 32},
}


def write(folder: Path, contents: dict[str, bytes], card: dict) -> list[Path]:
    """Write the card's files, and their checksums into the card."""
    paths = []
    for file in card["files"]:
        body = contents[file["name"]]
        file["sha256"] = hashlib.sha256(body).hexdigest()
        paths.append(folder / file["name"])
        paths[-1].write_bytes(body)
    return paths


def icu(folder, stays=STAYS, scores=SCORES, **parts):
    """Prepare the made-up stays; `parts` replace parts of the card."""
    card = {**copy.deepcopy(CARD), **parts}
    packed = gzip.compress(scores.encode())
    paths = write(folder, {"stays.csv": stays.encode(), "scores.csv.gz": packed}, card)
    settings = prepare_settings(parse_card(card, "icu.yaml"))
    return prepare(PrepareSettings.model_validate(settings), paths[::-1])


def refused(folder, *files, **parts) -> str:
    with pytest.raises(UserError) as caught:
        icu(folder, *files, **parts)
    return str(caught.value)


def test_files_are_joined_recoded_and_filtered(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        prepared = icu(tmp_path)
    assert prepared.table.to_pydict() == {
        "row_id": [0, 1, 2, 4, 6],
        "hospital": ["a", "a", "b", "c", "d"],
        "patient": ["p1", "p1", "p2", "p2", "p5"],
        "sex": ["F", "F", "M", "M", "F"],
        "age": [30, 90, 41, 63, None],
        "outcome": ["Alive", "Expired", "Alive", "Expired", "Alive"],
        "score": [11, None, None, 33, 44],
    }
    assert prepared.roles.cluster == ("hospital", "patient")
    assert prepared.roles.feature_columns == ["age", "score"]
    assert "scores.csv.gz: 4 of 7 rows have a partner by stay" in caplog.text
    assert "outcome is one of 'Alive', 'Expired': 1 row(s) left out" in caplog.text


def test_lines_are_counted_with_comments_and_rows_left_out(tmp_path):
    told = refused(tmp_path, STAYS.replace("M,63", "M,sixty"))
    assert "stays.csv, line 7, column age: found 'sixty'" in told


def test_a_row_without_a_key_has_no_partner(tmp_path):
    """The other file has a line without a key, too; they are not the same stay."""
    joins = [{**CARD["joins"][0], "unmatched": 4}]
    table = icu(tmp_path, STAYS.replace("\n5,", "\n,"), joins=joins).table
    assert table.column("score").to_pylist() == [11, None, None, None, 44]


def test_a_blank_may_become_a_level(tmp_path):
    columns = merge(CARD["columns"], {"sex": {"replace": {"": "M"}}})
    filters = [CARD["filters"][0]]
    prepared = icu(tmp_path, columns=columns, filters=filters, expected={})
    assert prepared.table.column("sex").to_pylist() == ["F", "F", "M", "M", "M", "F"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ([{"column": "age", "minimum": 41}], [1, 2, 3]),
        ([{"column": "age", "minimum": 41, "maximum": 63}], [2, 3]),
        ([{"column": "age", "maximum": 41.5}], [0, 2]),
        ([{"column": "ward", "drop": ["a"]}], [2, 3, 4]),
        ([{"column": "ward", "keep": ["a", "b"]}], [0, 1, 2]),
        ([{"column": "ward", "drop": ["b"]}, {"column": "age", "minimum": -1e9}], [0, 1, 3]),
    ],
)
def test_filters_leave_rows_out(filters, left):
    """What is missing lies within no bounds, and is none of the levels to drop."""
    table = pa.table(
        {"age": ["30", "+90", "41", "6.3e1", None], "ward": ["a", "a", "b", None, "c"]}
    )
    sources = {name: partial(table.column, name) for name in table.column_names}
    raw = RawTable(RawColumns(sources, np.arange(5)), [])
    assert filtered(raw, [RowFilter(**each) for each in filters]).kept.tolist() == left


@pytest.mark.parametrize(
    ("files", "parts", "said"),
    [
        ((STAYS, SCORES.replace("1,IV,", "1,IVa,")), {},
         ["scores.csv.gz: 1 line(s) have a stay that an earlier line has", "joins.where"]),
        ((STAYS, SCORES.replace("7,", "9,")), {},
         ["scores.csv.gz: 4 row(s) have no partner by stay, the card expects 3"]),
        ((STAYS, SCORES.replace("score", "points", 1)), {},
         ["lacks the card's column(s) score", "The file has: stay, version, points, region"]),
        ((STAYS.replace(",Alive\n", ",\n", 1),), {},
         ["filters[0], outcome is one of 'Alive', 'Expired': leaves out 2 of 7 rows, the card "
          "expects 1", "filters[0].removes"]),
        ((), {"filters": [{"column": "sex", "keep": ["X"]}]},
         ["filters[0], sex is one of 'X': leaves out 7 of 7 rows; correct the filter"]),
        ((), {"filters": [{"column": "hospital", "minimum": 3}]},
         ["stays.csv, line 3, column hospital: found 'a', which is not a number",
          "columns.hospital.na_values"]),
        ((), {"expected": {"rows_kept": 6}},
         ["5 rows are left, the card expects 6", "expected.rows_kept"]),
        ((), {"expected": {"rows": 5}}, ["has 7 rows, the card expects 5"]),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_told(tmp_path, files, parts, said):
    message = refused(tmp_path, *files, **parts)
    for part in said:
        assert part in message


def test_a_broken_gzip_file_is_told(tmp_path):
    card = copy.deepcopy(CARD)
    packed = gzip.compress(SCORES.encode())[:-9]
    paths = write(tmp_path, {"stays.csv": STAYS.encode(), "scores.csv.gz": packed}, card)
    settings = PrepareSettings.model_validate(prepare_settings(parse_card(card, "icu.yaml")))
    with pytest.raises(UserError, match=r"scores\.csv\.gz: not a readable gzip file"):
        prepare(settings, paths)


def changed(*path_and_value):
    card = copy.deepcopy(CARD)
    *path, last, value = path_and_value
    place = card
    for key in path:
        place = place[key]
    place[last] = value
    return card


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (changed("joins", 0, "file", "score.csv.gz"),
         "joins[0].file: found 'score.csv.gz' (did you mean 'scores.csv.gz'?)"),
        (changed("joins", 0, "key", "stays"), "joins[0].key: found 'stays' (did you mean 'stay'?)"),
        (changed("joins", 0, "columns", ["scores"]), "joins[0].columns: found 'scores'"),
        (changed("joins", 0, "columns", []), "joins[0].columns: found list"),
        (changed("joins", 0, "columns", ["stay", "score"]), "joins[0].key: stay must be a column"),
        (changed("joins", 0, "on", "stay"), "joins[0].on: unknown key"),
        (changed("joins", [CARD["joins"][0]] * 2), "scores.csv.gz is joined twice"),
        (changed("files", [CARD["files"][1]]), "joins: every file is joined to another"),
        (changed("filters", 0, "column", "outcomes"), "filters[0].column: found 'outcomes'"),
        (changed("filters", 0, "drop", ["x"]), "a filter has one of keep, drop, and minimum"),
        (changed("filters", 0, "keep", [1]), "write '1' in quotes"),
        (changed("filters", 0, "remove", 1), "(did you mean 'removes'?)"),
        (changed("columns", "age", "replace", {90: "90"}), "write '90' in quotes"),
        (changed("official_test", {"files": ["scores.csv.gz"], "rows": 2}),
         "official_test.files: found 'scores.csv.gz'"),
        (changed("official_test", {"files": ["stays.csv"], "rows": 2}),
         "official_test.files: no file is left to learn from"),
        (changed("cluster", ["hospital", "ward"]), "cluster[1]: found 'ward'"),
        (changed("format", {"header": False}), "joins: columns are told by name"),
        (changed("files", 1, "keep", ["stay"]), "keep: for a CSV file alone"),
        ({**SURVEY, "files": [{**file, "keep": ["age"]} for file in SURVEY["files"]]},
         "files.keep: columns are told by name"),
    ],
)  # fmt: skip
def test_mistakes_in_a_card_are_told(card, said):
    with pytest.raises(UserError) as caught:
        parse_card(card, "icu.yaml")
    assert said in str(caught.value)


# --- clusters -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=40))
def test_clusters_are_the_connected_parts(rows):
    """The oracle is scipy's, of the graph whose nodes are the values."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    table = pa.table(
        {
            "hospital": pa.array([f"h{h}" for h, _ in rows], pa.string()),
            "patient": pa.array([p for _, p in rows], pa.int64()),
        }
    )
    ours = clusters_of(table, ("hospital", "patient"))
    edges = (np.ones(len(rows)), ([h for h, _ in rows], [7 + p for _, p in rows]))
    _, parts = connected_components(coo_matrix(edges, shape=(17, 17)), directed=False)
    theirs = np.array([parts[h] for h, _ in rows], dtype=int)
    assert np.array_equal(ours[:, None] == ours, theirs[:, None] == theirs)


def test_rows_without_a_value_are_clusters_of_their_own():
    table = pa.table({"patient": pa.array(["a", None, "a", None, ""]), "x": [1, 2, 3, 4, 5]})
    found = clusters_of(table, ("patient",))
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 4
    assert clusters_of(table, ()) is None
    assert clusters_of(table, ("ward",)) is None


def test_the_clusters_of_roles_are_several_columns(roles):
    with pytest.raises(TypeError, match="found 'patient', expected a tuple"):
        replace(roles, cluster="patient")


# --- columns kept at download -------------------------------------------------------------------

PEOPLE = (
    "\ufeffid,name,sex,score,dob,score,priors\n"
    '1,"Smith, Ann",F,3,1990-01-01,3,0\n'
    "\n"
    "2,Jones,M,4,1980-01-01,5,2\n"
)
KEPT = "sex,score,priors\nF,3,0\nM,4,2\n"


def people(keep, body=PEOPLE):
    body = body.encode()
    return File(
        name="people.csv",
        sha256=hashlib.sha256(body).hexdigest(),
        sources=[{"path": "people-source.csv"}],
        keep=keep,
    )


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("people-source.csv").write_text(PEOPLE, encoding="utf-8")
    return tmp_path / "downloads" / "people.csv"


def test_only_the_columns_that_are_kept_are_written(whole, monkeypatch, caplog):
    seen = []

    def look(file, *others):
        seen.extend(path.read_text() for path in whole.parent.iterdir())
        return kept(file, *others)

    kept = download.keep_columns
    monkeypatch.setattr(download, "keep_columns", look)
    with caplog.at_level(logging.INFO):
        fetch(people(["priors", "sex", "score"]), whole, dataset="people")
    assert whole.read_text() == KEPT
    # What was received lay under no name when it was whole.
    assert seen == [""]
    assert [path.name for path in whole.parent.iterdir()] == ["people.csv"]
    assert "kept 3 of 7 columns" in caplog.text
    assert "column score stands twice, in places 4 and 6; the first is kept" in caplog.text
    assert "differs from it in 1 row(s)" in caplog.text
    assert "Smith" not in caplog.text


def test_the_checksum_is_that_of_the_whole_file(whole):
    file = people(["sex"], "other")
    with pytest.raises(UserError, match="wrong content"):
        fetch(file, whole, dataset="people")
    assert not whole.exists()


@pytest.mark.parametrize(
    ("body", "keep", "said"),
    [
        (PEOPLE, ["sex", "prior"], r"people\.csv: lacks the column\(s\) prior \(did you mean"),
        (PEOPLE + "3,Secret\n", ["sex"], r"people\.csv, line 5: not readable as CSV in utf-8"),
        (PEOPLE + '3,"Secret', ["sex"], "not readable as CSV"),
        ("", ["sex"], "lacks the column"),
    ],
)
def test_a_file_without_the_columns_is_told(whole, body, keep, said):
    Path("people-source.csv").write_text(body, encoding="utf-8")
    with pytest.raises(UserError, match=said) as caught:
        fetch(people(keep, body), whole, dataset="people")
    assert "Secret" not in str(caught.value)
    assert not list(whole.parent.iterdir())


# --- official split -----------------------------------------------------------------------------


def survey(folder, **parts):
    card = {**copy.deepcopy(SURVEY), **parts}
    paths = write(folder, {"learn.data": LEARN.encode(), "learn.test": TEST.encode()}, card)
    return prepare(
        PrepareSettings.model_validate(prepare_settings(parse_card(card, "survey.yaml"))), paths
    )


def test_rows_of_the_official_test_set_are_marked(tmp_path):
    prepared = survey(tmp_path)
    table = prepared.table
    assert table.column("is_official_test").to_pylist() == [False] * 24 + [True] * 8
    assert "is_official_test" not in prepared.roles.columns
    assert set(table.column("income").to_pylist()) == {"<50K", ">50K"}
    with pytest.raises(UserError, match="has 8 rows, the card expects 9"):
        survey(tmp_path, official_test={"files": ["learn.test"], "rows": 9})


@pytest.mark.parametrize("balanced", [False, True])
def test_an_official_split_has_the_same_test_rows_in_every_replicate(tmp_path, balanced):
    prepared = survey(tmp_path)
    write_table(prepared.table, tmp_path / "table.parquet")
    write_json(prepared.roles.to_dict(), tmp_path / "roles.json")
    pools = []
    for seed in (0, 1):
        out = SimpleNamespace(
            table=tmp_path / "balanced.parquet",
            training_pool=tmp_path / "pool.parquet",
            test=tmp_path / "test.parquet",
        )
        settings = {"balance": balanced, "split": "official", "test_fraction": 0.5}
        params = {"settings": settings, "seeds": {"balance": seed, "split": seed}}
        for script, table in ((balance, tmp_path / "table.parquet"), (split_script, out.table)):
            given = SimpleNamespace(table=table, roles=tmp_path / "roles.json")
            script.main(given, out, params, None, 1, None)
        pool, test = read_table(out.training_pool), read_table(out.test)
        assert test.column("row_id").to_pylist() == list(range(24, 32))
        assert pool.column_names == test.column_names == ["row_id", "age", "sex", "income"]
        pools.append(pool.column("row_id").to_pylist())
        women = pool.column("sex").to_pylist().count("F")
        assert (len(pool), women) == ((16, 8) if balanced else (24, 8))
        assert max(pools[-1]) < 24
    assert (pools[0] != pools[1]) == balanced


# --- scenarios of several datasets --------------------------------------------------------------


def _plain(given: dict) -> dict:
    """Return a config without generators."""
    plain = {
        "experiment": {"treatments": ["imbalanced", "group_weights"], "baselines": ["imbalanced"]},
        "figures": {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")},
    }
    return merge(plain, given)


def plan(keep, **scenario):
    given = _plain(
        {
            "experiment": {"datasets": ["icu", "survey"], "scenarios": ["few"]},
            "scenarios": {"few": {"keep": keep, **scenario}},
        }
    )
    sensitive = {"gender": {"levels": ["F", "M"]}}
    renamed = merge(copy.deepcopy(CARD), {"columns": {"gender": CARD["columns"]["sex"]}})
    del renamed["columns"]["sex"]
    renamed |= {"sensitive": sensitive, "filters": []}
    cards = {
        "icu": parse_card(renamed, "icu.yaml"),
        "survey": parse_card(copy.deepcopy(SURVEY), "survey.yaml"),
    }
    return Plan(load_config(given), cards)


GENDER = {"where": {"gender": "F"}, "fraction": 0.1, "datasets": ["icu"]}
SEX = {"where": {"sex": "F"}, "fraction": 0.2, "datasets": ["survey", "another"]}


def test_each_dataset_has_its_own_entry_of_a_scenario():
    params = plan([GENDER, SEX]).params("induce_imbalance")
    found = {
        name: params(SimpleNamespace(dataset=name, scenario="few", replicate="0"))["settings"]
        for name in ("icu", "survey")
    }
    assert found["icu"]["keep"] == [{"where": {"gender": "F"}, "fraction": 0.1}]
    assert found["survey"]["keep"] == [{"where": {"sex": "F"}, "fraction": 0.2}]


def test_the_entry_of_one_dataset_reruns_nothing_of_another():
    def told(fraction, dataset):
        entry = {**GENDER, "fraction": fraction}
        job = SimpleNamespace(dataset=dataset, scenario="few", replicate="0")
        return plan([entry, SEX]).params("induce_imbalance")(job)

    assert told(0.1, "survey") == told(0.3, "survey")
    assert told(0.1, "icu") != told(0.3, "icu")


@pytest.mark.parametrize(
    ("keep", "scenario", "said"),
    [
        ([GENDER], {}, "scenarios.few.keep: no entry is for survey; add one with datasets: "
                       "[survey] and a level of sex"),
        ([GENDER, {**SEX, "datasets": None}], {},
         "keep[1].where: 'sex' is not a sensitive attribute of icu"),
        ([GENDER, {**SEX, "where": {"sex": "X"}}], {},
         "keep[1].where.sex: 'X' is not a level in survey"),
        ([], {"split": "official"}, "scenarios.few.split: found 'official', but icu comes with no"),
    ],
)  # fmt: skip
def test_a_scenario_that_does_not_fit_a_dataset_is_refused(keep, scenario, said):
    with pytest.raises(UserError) as caught:
        plan(keep, **scenario)
    assert said in str(caught.value)


def test_an_official_split_has_the_ratio_of_its_files():
    given = _plain({"experiment": {"datasets": ["survey"], "scenarios": ["official_split"]}})
    cards = {"survey": parse_card(copy.deepcopy(SURVEY), "survey.yaml")}
    assert Plan(load_config(given), cards).test_to_train() == {"survey/official_split": 8 / 24}


def test_download_params_tell_the_columns_that_are_kept():
    card = copy.deepcopy(CARD)
    job = SimpleNamespace(dataset="icu", file="stays.csv")
    given = {"experiment": {"scenarios": ["natural"]}}
    settings = []
    for keep in (None, ["age"]):
        card["files"][0]["keep"] = keep
        cards = {"icu": parse_card(card, "icu.yaml")}
        params = Plan(load_config(_plain(given)), cards).params("download")(job)
        settings.append(params["settings"])
    assert settings == [{"sha256": "0" * 64}, {"sha256": "0" * 64, "keep": ["age"]}]
    assert download_settings(cards["icu"], "stays.csv")["format"]["comment"] == "#"
    assert [file["sha256"] for file in prepare_settings(cards["icu"])["files"]] == [None, "0" * 64]
