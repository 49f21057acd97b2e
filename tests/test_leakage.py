# SPDX-License-Identifier: MIT
"""The guard fails for each way of cheating, and passes honest tables."""

import numpy as np
import pyarrow as pa
import pytest

from conftest import make_table
from mcrage.errors import UserError
from mcrage.leakage import by_chance, check_model, check_tables, check_treatment, refuse
from mcrage.rebalancing import rebalance
from mcrage.tables import content_hash

COLUMNS = ["age", "SEX", "iron", "SOURCE"]


@pytest.fixture
def tables() -> dict[str, pa.Table]:
    whole = make_table([60, 60, 60, 60]).to_pandas().drop_duplicates(COLUMNS)
    table = pa.Table.from_pandas(whole, preserve_index=False)
    return {
        "train": table.slice(0, 100),
        "original": table.slice(0, 130),
        "validation": table.slice(130, 20),
        "test": table.slice(150, 40),
    }


def test_honest_tables_pass(tables):
    assert check_tables(tables, COLUMNS, None) == []


@pytest.mark.parametrize("seen", ["train", "original"])
@pytest.mark.parametrize("held", ["validation", "test"])
def test_a_held_out_row_in_training_is_found(tables, seen, held):
    tables[seen] = pa.concat_tables([tables[seen], tables[held].slice(3, 1)])
    problems = check_tables(tables, COLUMNS, None)
    assert f"1 row(s) of {held} are in {seen}, by row_id" in problems
    assert f"1 row(s) of {held} are in {seen}, by content" in problems


def test_a_held_out_row_under_another_number_is_found_by_content(tables):
    copied = tables["test"].slice(0, 1).set_column(0, "row_id", pa.array([9999]))
    tables["train"] = pa.concat_tables([tables["train"], copied])
    assert check_tables(tables, COLUMNS, None) == ["1 row(s) of test are in train, by content"]


def test_patients_with_the_same_values_are_no_leak(tables):
    """Coarse tables hold equal rows of different patients; only unexplained ones are a leak."""
    twin = tables["test"].slice(0, 1).set_column(0, "row_id", pa.array([9999]))
    tables["train"] = pa.concat_tables([tables["train"], twin])
    parts = [tables["train"], tables["validation"], tables["test"]]
    whole = pa.concat_tables(parts)
    assert check_tables(tables, COLUMNS, None, whole) == []
    without_twin = pa.concat_tables([parts[0].slice(0, 100), *parts[1:]])
    assert len(check_tables(tables, COLUMNS, None, without_twin)) == 1


def test_a_patient_on_both_sides_is_found(tables):
    patients = {
        name: table.append_column("patient", pa.array([f"{name}{i}" for i in range(len(table))]))
        for name, table in tables.items()
    }
    assert check_tables(patients, COLUMNS, "patient") == []
    shared = ["train0", *patients["test"]["patient"].to_pylist()[1:]]
    patients["test"] = patients["test"].set_column(5, "patient", [shared])
    assert check_tables(patients, COLUMNS, "patient") == [
        "1 value(s) of patient are in both test and train"
    ]


def treated(tables, schema):
    return rebalance(tables["train"], schema, oversample="group", seed=0)


def check(tables, rebalanced, weights):
    held_out = [tables["validation"], tables["test"]]
    return check_treatment("t", rebalanced, weights, tables["train"], held_out, COLUMNS)[0]


def test_repeated_and_weighted_training_rows_pass(tables, schema):
    assert check(tables, *treated(tables, schema)) == []


def test_a_test_row_slipped_into_the_rebalanced_table_is_found(tables, schema):
    rebalanced, weights = treated(tables, schema)
    row = tables["test"].slice(0, 1)
    rebalanced = pa.concat_tables(
        [rebalanced, row.drop_columns(["row_id"]).append_column("is_synthetic", [[False]])]
    )
    weights = pa.concat_tables(
        [weights, pa.table({"row_id": row["row_id"], "weight": pa.array([1.0])})]
    )
    assert any(
        "not of its training set, by row_id" in p for p in check(tables, rebalanced, weights)
    )


def test_a_test_row_under_a_training_number_is_found(tables, schema):
    rebalanced, weights = treated(tables, schema)
    foreign = tables["test"]["iron"].to_pylist()[0] + 0.05
    changed = [foreign, *rebalanced["iron"].to_pylist()[1:]]
    rebalanced = rebalanced.set_column(2, "iron", pa.array(changed))
    assert any("differ from their original" in p for p in check(tables, rebalanced, weights))


def test_test_rows_marked_synthetic_are_found(tables, schema):
    rebalanced, weights = treated(tables, schema)
    rows = tables["test"].slice(0, 5)
    rebalanced = pa.concat_tables(
        [rebalanced, rows.drop_columns(["row_id"]).append_column("is_synthetic", [[True] * 5])]
    )
    weights = pa.concat_tables(
        [weights, pa.table({"row_id": pa.nulls(5, pa.int64()), "weight": pa.array([1.0] * 5)})]
    )
    assert any(
        "5 of 5 synthetic rows equal a test" in p for p in check(tables, rebalanced, weights)
    )


def test_honest_rows_of_a_coarse_table_may_meet_held_out_ones():
    """Drawn from what all patients are drawn from, on a grid of 400 values: no leak."""
    rng = np.random.default_rng(0)
    grid = [(int(value),) for value in range(400)]
    trained, held, drawn = ([grid[i] for i in rng.integers(0, 400, n)] for n in (100, 60, 300))
    fresh = set(held) - set(trained)
    copies = sum(key in fresh for key in drawn)
    assert copies > 0.05 * len(drawn)
    assert copies <= by_chance(drawn, set(trained), len(fresh))
    cheat = drawn + held
    copies = sum(key in fresh for key in cheat)
    assert copies > by_chance(cheat, set(trained), len(fresh))


def test_a_model_fitted_on_other_rows_is_found(tables):
    honest = content_hash(tables["train"])
    cheat = content_hash(pa.concat_tables([tables["train"], tables["test"]]))
    assert check_model("g", honest, honest) == []
    assert "g: the model was fitted on another table" in check_model("g", cheat, honest)[0]


def test_problems_end_the_run():
    refuse([], "results/x")
    with pytest.raises(UserError, match=r"results/x: rows that judge were learnt from"):
        refuse(["1 row"], "results/x")
