# SPDX-License-Identifier: MIT
"""Facts of the datasets' files, a test each, read by nothing of ours; and what cards make of them.

Needs the files, as `tests/test_datasets.py` does, which holds the rest.
"""

import csv
import gzip
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from test_datasets import MIRROR, card, counted, needs, prepared


@cache
def lines(*place: str) -> list[list[str]]:
    """The records of a CSV file, its header among them."""
    path = Path(MIRROR, *place)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(newline="") as stream:
        return list(csv.reader(stream, skipinitialspace=place[0] == "adult"))


def column(place: tuple[str, ...], name: str) -> list[str]:
    header, *rows = lines(*place)
    number = header.index(name)
    return [row[number] for row in rows]


# --- adult --------------------------------------------------------------------------------------


@needs("adult")
def test_adult_data_has_32561_rows_of_15_columns_no_header_and_a_blank_end():
    rows = lines("adult", "adult.data")
    assert rows[-1] == []
    assert {len(row) for row in rows[:-1]} == {15}
    assert len(rows) - 1 == 32561
    assert rows[0][-1] == "<=50K"
    assert (MIRROR / "adult" / "adult.data").read_text().startswith("39, State-gov, 77516, ")


@needs("adult")
def test_adult_test_has_16281_rows_after_a_comment_and_labels_end_in_a_full_stop():
    comment, *rows = lines("adult", "adult.test")
    assert comment[0].startswith("|1x3 Cross validator")
    rows = [row for row in rows if row]
    assert len(rows) == 16281
    assert Counter(row[-1] for row in rows) == {"<=50K.": 12435, ">50K.": 3846}
    assert counted("adult", "income", is_official_test=True) == {
        ("<=50K",): 12435,
        (">50K",): 3846,
    }


@needs("adult")
def test_adult_has_gaps_in_2399_and_1221_rows():
    for file, wanted in (("adult.data", 2399), ("adult.test", 1221)):
        assert sum("?" in row for row in lines("adult", file)) == wanted


@needs("adult")
def test_adult_pays_24_percent_of_training_rows_more_than_50k_and_11_of_women():
    rates = counted("adult", "sex", "income", is_official_test=False)
    rich = sum(n for (_, income), n in rates.items() if income == ">50K")
    assert rich / sum(rates.values()) == pytest.approx(0.2408, abs=1e-4)
    assert rates["Female", ">50K"] / (9592 + 1179) == pytest.approx(0.1095, abs=1e-4)


# --- diabetes-130 -------------------------------------------------------------------------------

STAYS = ("diabetes-130", "diabetic_data.csv")


@needs("diabetes-130")
def test_diabetes_130_has_101766_rows_of_50_columns():
    header, *rows = lines(*STAYS)
    assert (len(rows), len(header)) == (101766, 50)
    assert {len(row) for row in rows} == {50}
    expected = card("diabetes-130").expected
    assert (expected.rows, expected.columns, expected.rows_kept) == (101766, 50, 101763)


@needs("diabetes-130")
def test_diabetes_130_has_11357_readmissions_within_30_days_35545_later_and_54864_never():
    found = Counter(column(STAYS, "readmitted"))
    assert found == {"NO": 54864, ">30": 35545, "<30": 11357}
    kept = counted("diabetes-130", "readmitted")
    # The three that are left out came back later or never.
    assert kept == {("later or never",): 54864 + 35545 - 3, ("within 30 days",): 11357}
    assert kept["within 30 days",] / sum(kept.values()) == pytest.approx(0.1116, abs=1e-4)


@needs("diabetes-130")
def test_diabetes_130_has_71518_patients_of_whom_16773_stayed_more_than_once():
    stays = Counter(column(STAYS, "patient_nbr"))
    assert (len(stays), sum(n > 1 for n in stays.values())) == (71518, 16773)


@needs("diabetes-130")
def test_diabetes_130_has_three_rows_of_unknown_gender_and_no_card_has_them():
    found = Counter(column(STAYS, "gender"))
    assert found == {"Female": 54708, "Male": 47055, "Unknown/Invalid": 3}
    assert counted("diabetes-130", "gender") == {("Female",): 54708, ("Male",): 47055}


@needs("diabetes-130")
def test_diabetes_130_lacks_97_percent_of_weights_and_two_drugs_are_given_to_nobody():
    weights = column(STAYS, "weight")
    assert weights.count("?") / len(weights) == pytest.approx(0.9686, abs=1e-4)
    assert set(column(STAYS, "examide")) == set(column(STAYS, "citoglipton")) == {"No"}
    left_out = {"weight", "examide", "citoglipton", "encounter_id"}
    assert not left_out & set(prepared("diabetes-130").roles.columns)


@needs("diabetes-130")
def test_diabetes_130_has_six_races_with_the_missing_one():
    assert Counter(column(STAYS, "race")) == {
        "Caucasian": 76099,
        "AfricanAmerican": 19210,
        "?": 2273,
        "Hispanic": 2037,
        "Other": 1506,
        "Asian": 641,
    }


# --- eicu-demo ----------------------------------------------------------------------------------

PATIENT = ("eicu-demo", "patient.csv.gz")


@needs("eicu-demo")
def test_eicu_demo_has_2520_stays_in_13_tables():
    header, *rows = lines(*PATIENT)
    assert (len(rows), len(header)) == (2520, 29)
    assert len(list((MIRROR / "eicu-demo").glob("*.csv.gz"))) == 13
    assert len(set(column(PATIENT, "patientunitstayid"))) == 2520


@needs("eicu-demo")
def test_eicu_demo_has_98_ages_above_89_written_as_text():
    assert column(PATIENT, "age").count("> 89") == 98
    kept = {
        stay
        for stay, outcome, gender in zip(
            *(
                column(PATIENT, name)
                for name in ("patientunitstayid", "hospitaldischargestatus", "gender")
            ),
            strict=True,
        )
        if outcome and gender
    }
    kept &= set(column(("eicu-demo", "apacheApsVar.csv.gz"), "patientunitstayid"))
    old = {
        stay
        for stay, age in zip(
            column(PATIENT, "patientunitstayid"), column(PATIENT, "age"), strict=True
        )
        if age == "> 89"
    }
    assert counted("eicu-demo", "age")[90,] == len(old & kept)


@needs("eicu-demo")
def test_eicu_demo_has_212_deaths_and_28_stays_without_an_outcome():
    found = Counter(column(PATIENT, "hospitaldischargestatus"))
    assert found == {"Alive": 2280, "Expired": 212, "": 28}
    genders = Counter(column(PATIENT, "gender"))
    assert genders == {"Male": 1508, "Female": 1008, "": 4}


@needs("eicu-demo")
def test_eicu_demo_has_apache_variables_of_2205_stays_and_minus_one_for_what_is_missing():
    place = ("eicu-demo", "apacheApsVar.csv.gz")
    stays = column(place, "patientunitstayid")
    assert len(stays) == len(set(stays)) == 2205
    assert column(place, "ph").count("-1") == 1800
    assert not {"", "NA"} & set(column(place, "ph"))


@needs("eicu-demo")
def test_eicu_demo_has_two_results_of_each_of_1838_stays():
    place = ("eicu-demo", "apachePatientResult.csv.gz")
    versions = column(place, "apacheversion")
    assert Counter(versions) == {"IV": 1838, "IVa": 1838}
    assert set(Counter(column(place, "patientunitstayid")).values()) == {2}


@needs("eicu-demo")
def test_eicu_demo_has_seven_ethnicities_with_the_blank_one():
    assert Counter(column(PATIENT, "ethnicity")) == {
        "Caucasian": 2010,
        "African American": 231,
        "Hispanic": 115,
        "Other/Unknown": 83,
        "": 39,
        "Asian": 30,
        "Native American": 12,
    }


# --- patient-treatment --------------------------------------------------------------------------


@needs("patient-treatment")
def test_patient_treatment_has_4412_rows_sorted_by_age_without_gaps_or_duplicates():
    raw = (MIRROR / "patient-treatment" / "data-ori.csv").read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") == 4412
    assert not raw.endswith(b"\n")
    place = ("patient-treatment", "data-ori.csv")
    header, *rows = lines(*place)
    assert (len(rows), len(header)) == (4412, 11)
    assert all(value for row in rows for value in row)
    assert len({tuple(row) for row in rows}) == 4412
    ages = [int(age) for age in column(place, "AGE")]
    assert ages == sorted(ages)
    pairs = Counter(zip(column(place, "SEX"), column(place, "SOURCE"), strict=True))
    assert pairs == {
        ("F", "in"): 802,
        ("F", "out"): 1320,
        ("M", "in"): 982,
        ("M", "out"): 1308,
    }
