# SPDX-License-Identifier: MIT
"""The cards that come with mcrage against what is known of their files.

Needs the files: ``MCRAGE_MIRROR``, or ``../shared/data`` beside the checkout. COMPAS, whose terms
forbid redistribution, is tested on rows made for the purpose.
"""

import csv
import hashlib
import io
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from mcrage.clusters import clusters_of
from mcrage.config.load import load_config
from mcrage.datasets.card_model import Card, PrepareSettings
from mcrage.datasets.cards import known_cards, prepare_settings, read_card
from mcrage.datasets.download import fetch
from mcrage.datasets.file_model import File
from mcrage.datasets.prepare import Prepared, prepare
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.plan import Plan
from mcrage.scenario import official_split, split

ROOT = Path(__file__).resolve().parents[1]
CARDS = ROOT / "resources" / "datasets"
MIRROR = Path(os.environ.get("MCRAGE_MIRROR", ROOT.parent / "shared" / "data"))


def needs(dataset: str):
    """Skip without the files; where a mirror was promised, as in .ci/run, that is a failure."""
    return pytest.mark.skipif(
        not (MIRROR / dataset).is_dir() and "MCRAGE_MIRROR" not in os.environ,
        reason=f"{dataset} is not in the mirror; set MCRAGE_MIRROR",
    )


@cache
def card(dataset: str) -> Card:
    return read_card(dataset, CARDS)


@cache
def prepared(dataset: str) -> Prepared:
    settings = PrepareSettings.model_validate(prepare_settings(card(dataset)))
    return prepare(settings, [MIRROR / dataset / file.name for file in card(dataset).files])


def counted(dataset: str, *columns: str, **where) -> dict:
    """Rows by the values of columns."""
    table = prepared(dataset).table
    for column, value in where.items():
        table = table.filter(pc.equal(table.column(column), value))
    found = table.group_by(list(columns)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(row[column] for column in columns): row["count_all"] for row in found}


def missing(dataset: str, column: str) -> int:
    return prepared(dataset).table.column(column).null_count


@pytest.mark.parametrize("dataset", known_cards(CARDS))
def test_cards_are_whole(dataset):
    """Whoever cites, checks or downloads a dataset finds what is needed."""
    made = card(dataset)
    assert made.licence
    assert made.citation
    assert made.homepage.startswith("https://")
    assert len(made.description) > 100
    assert all(source.url or source.embedded for file in made.files for source in file.sources)
    assert made.expected.rows
    assert made.expected.columns
    told = [name for name in made.columns if made.columns[name].type != "ignored"]
    assert all(made.columns[name].label for name in told)


@pytest.mark.parametrize("dataset", ["adult", "diabetes-130", "eicu-demo"])
def test_sizes_are_those_of_the_files(dataset):
    if not (MIRROR / dataset).is_dir():
        pytest.skip(f"{dataset} is not in the mirror")
    for file in card(dataset).files:
        assert (MIRROR / dataset / file.name).stat().st_size == file.size


def test_the_five_stand_in_one_experiment():
    names = ["patient-treatment", "adult", "diabetes-130", "eicu-demo", "compas"]
    given = {
        "experiment": {
            "datasets": names,
            "scenarios": ["natural", "few_women"],
            "treatments": ["imbalanced", "group_weights"],
            "baselines": ["imbalanced"],
        },
        "figures": {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")},
    }
    plan = Plan(load_config(given), {name: card(name) for name in names})
    assert all(len(plan.config.scenarios["few_women"].keep_of(name)) == 1 for name in names)


# --- adult --------------------------------------------------------------------------------------


@needs("adult")
def test_adult_has_the_official_rows():
    table = prepared("adult").table
    assert table.num_rows == 32561 + 16281
    pool, test = official_split(table)
    assert np.array_equal(pool, np.arange(32561))
    assert np.array_equal(test, np.arange(32561, 48842))


@needs("adult")
def test_adult_counts():
    assert counted("adult", "sex", "income", is_official_test=False) == {
        ("Male", "<=50K"): 15128,
        ("Male", ">50K"): 6662,
        ("Female", "<=50K"): 9592,
        ("Female", ">50K"): 1179,
    }
    assert counted("adult", "race", is_official_test=False) == {
        ("White",): 27816,
        ("Black",): 3124,
        ("Asian-Pac-Islander",): 1039,
        ("Amer-Indian-Eskimo",): 311,
        ("Other",): 271,
    }
    table = prepared("adult").table
    gaps = np.zeros(table.num_rows, dtype=bool)
    for column in ("workclass", "occupation", "native-country"):
        gaps |= table.column(column).is_null().to_numpy()
    test = table.column("is_official_test").to_numpy()
    assert (gaps[~test].sum(), gaps[test].sum()) == (2399, 1221)
    assert sum(column.null_count > 0 for column in table.columns) == 3


@needs("adult")
def test_education_is_in_the_order_of_its_number():
    """education-num is left out: it numbers the levels of education."""
    lines = (MIRROR / "adult" / "adult.data").read_text().splitlines()
    pairs = {tuple(line.split(", ")[3:5]) for line in lines if line}
    levels = card("adult").columns["education"].levels
    assert {(name, str(place)) for place, name in enumerate(levels, 1)} == pairs


# --- diabetes-130 -------------------------------------------------------------------------------


@needs("diabetes-130")
def test_diabetes_130_counts():
    assert prepared("diabetes-130").table.num_rows == 101766 - 3
    assert missing("diabetes-130", "race") == 2273 - 2  # two of the three without a gender
    found = counted("diabetes-130", "race")
    assert {level: found[level,] for level in ("Caucasian", "AfricanAmerican", "Hispanic")} == {
        "Caucasian": 76099,
        "AfricanAmerican": 19210,
        "Hispanic": 2037,
    }
    assert (found["Asian",], found["Other",]) == (641, 1506 - 1)
    assert counted("diabetes-130", "readmitted")["within 30 days",] == 11357
    assert set(counted("diabetes-130", "gender")) == {("Female",), ("Male",)}


@needs("diabetes-130")
def test_none_is_a_category_and_no_gap():
    assert counted("diabetes-130", "max_glu_serum") == {
        ("None",): 96420 - 3, ("Norm",): 2597, (">200",): 1485, (">300",): 1264,
    }  # fmt: skip
    assert counted("diabetes-130", "A1Cresult")["None",] == 84748 - 3


@needs("diabetes-130")
def test_diagnoses_keep_their_hundreds_of_levels():
    features = {feature.column: feature for feature in prepared("diabetes-130").roles.features}
    assert [len(features[f"diag_{n}"].levels) for n in (1, 2, 3)] == [716, 748, 789]
    assert all(features[f"diag_{n}"].missing == "keep" for n in (1, 2, 3))
    assert not {"weight", "examide", "citoglipton", "encounter_id"} & set(features)


@needs("diabetes-130")
def test_ages_are_decades_in_bands():
    found = counted("diabetes-130", "age")
    assert [found[decade,] for decade in (0, 10, 90)] == [161, 691, 2793]
    age = next(a for a in prepared("diabetes-130").roles.sensitive if a.column == "age")
    assert age.levels == ("below 60", "60 and above")
    assert "age" in prepared("diabetes-130").roles.feature_columns


@needs("diabetes-130")
def test_stays_of_a_patient_are_not_parted():
    made = prepared("diabetes-130")
    # 71,518 patients; each of the three rows that are left out is the only one of its patient.
    patients = clusters_of(made.table, made.roles.cluster)
    assert len(np.unique(patients)) == 71518 - 3
    schema = GroupSchema.of(made.roles)
    pool, test = split(schema.index(made.table), 0.2, 0, schema.n_groups, patients)
    assert not set(patients[pool]) & set(patients[test])
    assert abs(len(test) / made.table.num_rows - 0.2) < 0.001


# --- eicu-demo ----------------------------------------------------------------------------------


@needs("eicu-demo")
def test_eicu_counts():
    """2,520 stays: less 28 without an outcome, 4 without a gender, 312 without APACHE variables."""
    table = prepared("eicu-demo").table
    assert table.num_rows == 2520 - 28 - 4 - 312
    found = counted("eicu-demo", "hospitaldischargestatus")
    assert found == {("Alive",): 1981, ("Expired",): 195}
    assert counted("eicu-demo", "age")[90,] > 50
    assert max(table.column("age").drop_null().to_pylist()) == 90


@needs("eicu-demo")
def test_eicu_files_are_as_the_card_says():
    """Of the raw files: ethnicities, deaths, and two lines of APACHE results for each stay."""
    from mcrage.datasets.csv_files import CsvFile
    from mcrage.datasets.recoding import recoded

    made = card("eicu-demo")
    folder = MIRROR / "eicu-demo"

    def raw(file: str, *columns: str) -> dict[str, list]:
        found = CsvFile(folder / file, made.format, [], columns)
        return {name: recoded(found.column(name), made.format).to_pylist() for name in columns}

    stays = raw("patient.csv.gz", "ethnicity", "hospitaldischargestatus", "uniquepid", "hospitalid")
    ethnicity = stays["ethnicity"]
    assert {level: ethnicity.count(level) for level in set(ethnicity)} == {
        "Caucasian": 2010,
        "African American": 231,
        "Hispanic": 115,
        "Other/Unknown": 83,
        None: 39,
        "Asian": 30,
        "Native American": 12,
    }
    outcomes = stays["hospitaldischargestatus"]
    assert (outcomes.count("Expired"), outcomes.count(None)) == (212, 28)
    hospitals: dict[str, set] = {}
    for patient, hospital in zip(stays["uniquepid"], stays["hospitalid"], strict=True):
        hospitals.setdefault(patient, set()).add(hospital)
    # Why hospitals are not enough, and are not parted either.
    assert sum(len(each) > 1 for each in hospitals.values()) == 19
    assert (len(hospitals), len(set(stays["hospitalid"]))) == (1841, 186)
    results = raw("apachePatientResult.csv.gz", "patientunitstayid", "apacheversion")
    assert results["apacheversion"].count("IVa") == results["apacheversion"].count("IV") == 1838


@needs("eicu-demo")
def test_minus_one_is_missing_in_the_apache_tables():
    table = prepared("eicu-demo").table
    features = {feature.column: feature for feature in prepared("eicu-demo").roles.features}
    taken = [name for join in card("eicu-demo").joins for name in join.columns]
    for name in taken:
        values = table.column(name).drop_null().to_pylist()
        assert not {-1, "-1"} & set(values)
    assert features["ph"].missing == "keep"
    # Of 2,205 stays with APACHE variables 1,800 have no blood gas; 29 of the stays are left out.
    assert 1800 - 29 <= missing("eicu-demo", "ph") <= 1800
    assert "diedinhospital" not in taken


@needs("eicu-demo")
def test_neither_patients_nor_hospitals_are_parted():
    made = prepared("eicu-demo")
    clusters = clusters_of(made.table, made.roles.cluster)
    schema = GroupSchema.of(made.roles)
    pool, test = split(schema.index(made.table), 0.2, 0, schema.n_groups, clusters)
    for column in ("hospitalid", "uniquepid"):
        values = made.table.column(column).to_numpy()
        assert not set(values[pool]) & set(values[test])
    assert abs(len(test) / made.table.num_rows - 0.2) < 0.02


# --- compas -------------------------------------------------------------------------------------

COMPAS_HEADER = """
id,name,first,last,compas_screening_date,sex,dob,age,age_cat,race,juv_fel_count,decile_score
juv_misd_count,juv_other_count,priors_count,days_b_screening_arrest,c_jail_in,c_jail_out
c_case_number,c_offense_date,c_arrest_date,c_days_from_compas,c_charge_degree,c_charge_desc
is_recid,r_case_number,r_charge_degree,r_days_from_arrest,r_offense_date,r_charge_desc
r_jail_in,r_jail_out,violent_recid,is_violent_recid,vr_case_number,vr_charge_degree
vr_offense_date,vr_charge_desc,type_of_assessment,decile_score,score_text,screening_date
v_type_of_assessment,v_decile_score,v_score_text,v_screening_date,in_custody,out_custody
priors_count,start,end,event,two_year_recid
"""
RACES = ("African-American", "Caucasian", "Hispanic", "Asian", "Native American", "Other")


def defendants(n: int = 288) -> str:
    """Made-up rows in the layout of the file: of twelve in a row, six are to be left out."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = COMPAS_HEADER.replace(",", " ").split()
    writer.writerow(names)
    for number in range(n):
        values = {
            "id": number,
            "name": f"secret person {number}",
            "first": "secret",
            "last": "person",
            "dob": "1983-02-01",
            "c_case_number": f"secret{number}",
            "c_charge_desc": "a charge, described",
            "sex": ("Female", "Male")[number // 72 % 2],
            "age": 18 + number % 60,
            "race": RACES[number // 12 % 6],
            "juv_fel_count": 0,
            "juv_misd_count": number % 3,
            "juv_other_count": 0,
            "priors_count": number % 20,
            "decile_score": 1 + number % 10,
            "days_b_screening_arrest": {0: "", 1: "31", 2: "-31", 3: "30"}.get(number % 12, "-1"),
            "c_charge_degree": "O" if number % 12 == 4 else "FM"[number % 5 > 2],
            "is_recid": -1 if number % 12 == 5 else number // 144 % 2,
            "score_text": "N/A" if number % 12 == 6 else "Low",
            "two_year_recid": number // 144 % 2,
        }
        writer.writerow([values.get(name, "2013-08-14") for name in names])
    return stream.getvalue()


def kept_file(tmp_path, dataset: str) -> Path:
    """Download the made-up file from a mirror, as the card says."""
    raw = defendants().encode()
    (tmp_path / "mirror" / dataset).mkdir(parents=True)
    name = card(dataset).files[0].name
    (tmp_path / "mirror" / dataset / name).write_bytes(raw)
    told = card(dataset).files[0].model_dump() | {"sha256": hashlib.sha256(raw).hexdigest()}
    output = tmp_path / "downloads" / dataset / name
    fetch(
        File.model_validate(told),
        output,
        dataset=dataset,
        mirror=str(tmp_path / "mirror"),
        layout=card(dataset).format,
    )
    return output


def compas(path: Path, dataset: str) -> Prepared:
    told = prepare_settings(card(dataset))
    told["expected"] = {"rows": 288, "columns": 12}
    return prepare(PrepareSettings.model_validate(told), [path])


def test_nothing_that_identifies_a_defendant_is_kept(tmp_path):
    path = kept_file(tmp_path, "compas")
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    text = path.read_text()
    assert not [word for word in ("secret", "1983", "2013") if word in text]
    header = text.splitlines()[0].split(",")
    assert sorted(header) == sorted(card("compas").columns)
    assert text.count("\n") == 289


def test_compas_is_filtered_as_by_propublica(tmp_path):
    """Six of twelve rows go, each for one reason: see `defendants`."""
    made = compas(kept_file(tmp_path, "compas"), "compas")
    numbers = np.array(made.table.column("row_id").to_pylist())
    assert sorted(set(numbers % 12)) == [3, 7, 8, 9, 10, 11]
    assert len(numbers) == 288 / 12 * 6
    race = made.table.column("race").to_pylist()
    assert set(race) == {"African-American", "Caucasian", "Hispanic", "Other"}
    assert all(
        race[place] == ("Other" if number // 12 % 6 > 2 else RACES[number // 12 % 6])
        for place, number in enumerate(numbers)
    )
    assert made.table.column("priors_count").to_pylist() == (numbers % 20).tolist()
    assert made.roles.target.levels == ("0", "1")
    leaks = {"decile_score", "score_text", "is_recid", "days_b_screening_arrest"}
    assert not leaks & set(made.table.column_names)


def test_two_races_are_the_others_left_out(tmp_path):
    made = compas(kept_file(tmp_path, "compas-two-races"), "compas-two-races")
    assert set(made.table.column("race").to_pylist()) == {"African-American", "Caucasian"}


def test_the_two_compas_cards_differ_in_race_alone():
    both, two = (card(name).model_dump() for name in ("compas", "compas-two-races"))
    assert both["files"] == two["files"]
    assert two["filters"][:-1] == both["filters"]
    for each in (both, two):
        del each["columns"]["race"], each["sensitive"]["race"]
    assert [both[key] for key in ("columns", "sensitive", "target")] == [
        two[key] for key in ("columns", "sensitive", "target")
    ]


def test_the_wrong_compas_file_is_refused(tmp_path):
    """The card expects the rows of the real one: those made up here are too few."""
    path = kept_file(tmp_path, "compas")
    settings = PrepareSettings.model_validate(prepare_settings(card("compas")))
    with pytest.raises(UserError, match="has 288 rows, the card expects 7214"):
        prepare(settings, [path])
