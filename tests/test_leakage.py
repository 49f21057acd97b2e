# SPDX-License-Identifier: MIT
"""The guard fails for each way of cheating, and passes honest tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from conftest import make_table
from mcrage.encoding.numeric import NumericEncoding
from mcrage.errors import UserError
from mcrage.generators.base import TrainingData
from mcrage.generators.storage import read_arrays, write_arrays
from mcrage.groups import GroupSchema
from mcrage.leakage.fitted import (
    check_model,
    check_scaler,
    check_stored_rows,
    forbidden_files,
)
from mcrage.leakage.judged import check_run
from mcrage.leakage.keys import Keys
from mcrage.leakage.rows import by_chance, check_tables, check_treatment, refuse
from mcrage.leakage.stored import StoredModel
from mcrage.leakage.treated import check_labels, check_made
from mcrage.metrics.confusion import decide
from mcrage.metrics.judge import judge, judge_rules
from mcrage.metrics.predictions import predictions_table, scores_of
from mcrage.provenance import file_hash, read_origin
from mcrage.rebalancing import equal_weights, rebalance
from mcrage.tables import content_hash, read_json, read_table, write_json, write_table
from project import ROOT, SMALL, merge

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
    assert check_tables(tables, COLUMNS, ()) == []


@pytest.mark.parametrize("seen", ["train", "original"])
@pytest.mark.parametrize("held", ["validation", "test"])
def test_a_held_out_row_in_training_is_found(tables, seen, held):
    tables[seen] = pa.concat_tables([tables[seen], tables[held].slice(3, 1)])
    problems = check_tables(tables, COLUMNS, ())
    assert f"1 row(s) of {held} are in {seen}, by row_id" in problems
    assert f"1 row(s) of {held} are in {seen}, by content" in problems


def test_a_held_out_row_under_another_number_is_found_by_content(tables):
    copied = tables["test"].slice(0, 1).set_column(0, "row_id", pa.array([9999]))
    tables["train"] = pa.concat_tables([tables["train"], copied])
    assert check_tables(tables, COLUMNS, ()) == ["1 row(s) of test are in train, by content"]


def test_patients_with_the_same_values_are_no_leak(tables):
    """Coarse tables hold equal rows of different patients; only unexplained ones are a leak."""
    twin = tables["test"].slice(0, 1).set_column(0, "row_id", pa.array([9999]))
    tables["train"] = pa.concat_tables([tables["train"], twin])
    parts = [tables["train"], tables["validation"], tables["test"]]
    whole = pa.concat_tables(parts)
    assert check_tables(tables, COLUMNS, (), whole) == []
    without_twin = pa.concat_tables([parts[0].slice(0, 100), *parts[1:]])
    assert len(check_tables(tables, COLUMNS, (), without_twin)) == 1


def test_a_patient_on_both_sides_is_found(tables):
    patients = {
        name: table.append_column("patient", pa.array([f"{name}{i}" for i in range(len(table))]))
        for name, table in tables.items()
    }
    assert check_tables(patients, COLUMNS, ("patient",)) == []
    shared = ["train0", *patients["test"]["patient"].to_pylist()[1:]]
    patients["test"] = patients["test"].set_column(5, "patient", [shared])
    assert check_tables(patients, COLUMNS, ("patient",)) == [
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


def keys(rows: list[tuple]) -> Keys:
    """Rows that are a value, or a value and the name of a group."""
    names = sorted({row[1:] for row in rows})
    groups = np.array([names.index(row[1:]) for row in rows], dtype=np.uint64)
    digests = [hash(row) % 2**64 for row in rows]
    return Keys(np.array(digests, dtype=np.uint64), groups)


def chance(drawn: list[tuple], trained: list[tuple], held: list[tuple], grouped: bool) -> float:
    every = keys([*drawn, *trained, *held])
    every = every if grouped else Keys(every.digests, np.zeros(len(every), dtype=np.uint64))
    first, last = len(drawn), len(drawn) + len(trained)
    parts = (slice(0, first), slice(first, last), slice(last, None))
    return by_chance(*(every.take(part) for part in parts))


def test_honest_rows_of_a_coarse_table_may_meet_held_out_ones():
    """Drawn from what all patients are drawn from, on a grid of 400 values: no leak."""
    rng = np.random.default_rng(0)
    grid = [(int(value),) for value in range(400)]
    trained, held, drawn = ([grid[i] for i in rng.integers(0, 400, n)] for n in (100, 60, 300))
    fresh = set(held) - set(trained)
    copies = sum(key in fresh for key in drawn)
    assert copies > 0.05 * len(drawn)
    assert copies <= chance(drawn, trained, held, False)
    cheat = drawn + held
    copies = sum(key in fresh for key in cheat)
    assert copies > chance(cheat, trained, held, False)


@pytest.mark.parametrize("excuse", [0, 76, 186])
def test_copies_of_training_rows_are_no_excuse_for_copies_of_test_rows(excuse):
    patients = [(number,) for number in range(290)]
    trained, held = patients[:186], patients[186:]
    assert chance(held[:38] + trained[:excuse], trained, held, False) < 15


def test_honest_rows_of_a_group_with_few_training_rows_pass():
    """They meet held-out rows of their group, of which there are more than training rows."""
    rng = np.random.default_rng(0)

    def rows(group: str, n: int) -> list[tuple]:
        return [(int(value), group) for value in rng.integers(0, 200, n)]

    trained = rows("F", 15) + rows("M", 150)
    held = rows("F", 60) + rows("M", 60)
    drawn = rows("F", 135)
    copies = sum(key in set(held) - set(trained) for key in drawn)
    assert chance(drawn, trained, held, False) < copies < chance(drawn, trained, held, True)


@pytest.mark.parametrize("levels", [30, 100, 400, 3000])
@pytest.mark.parametrize("n_drawn", [50, 300, 2000])
def test_honest_rows_pass_whatever_the_grain(levels, n_drawn):
    """Even if common values are commoner still among drawn rows."""
    rng = np.random.default_rng(levels + n_drawn)
    real = rng.dirichlet(np.full(levels, 0.5))
    sharper = real**1.2 / (real**1.2).sum()

    def rows(n: int, share: np.ndarray) -> list[tuple]:
        return [(int(value),) for value in rng.choice(levels, n, p=share)]

    for _ in range(50):
        trained, held = rows(186, real), rows(104, real)
        drawn = rows(n_drawn, sharper)
        copies = sum(key in set(held) - set(trained) for key in drawn)
        assert copies <= max(0.01 * min(n_drawn, 186), chance(drawn, trained, held, False))


def test_a_model_fitted_on_other_rows_is_found(tables):
    honest = content_hash(tables["train"])
    cheat = content_hash(pa.concat_tables([tables["train"], tables["test"]]))
    assert check_model("g", honest, honest) == []
    assert "g: the model was fitted on another table" in check_model("g", cheat, honest)[0]


@pytest.mark.parametrize("encoded", [True, False])
def test_a_model_may_keep_its_training_rows_and_no_others(tables, roles, encoded):
    train, test = (TrainingData.of(tables[name], roles) for name in ("train", "test"))
    encoding = NumericEncoding.fit(train.features, roles.features)
    rows = encoding.transform if encoded else (lambda features: features)
    facts = {"encoding": encoding.state()[1]} if encoded else {}
    honest = {"rows": rows(train.features), "groups": train.groups}
    both = {
        "rows": np.concatenate([honest["rows"], rows(test.features)]),
        "groups": np.concatenate([train.groups, test.groups]),
    }
    swapped = {**honest, "rows": np.concatenate([honest["rows"][1:], rows(test.features[:1])])}
    relabelled = {**honest, "groups": np.roll(train.groups, 1)}

    def found(arrays: dict) -> list[str]:
        return check_stored_rows(StoredModel("g", arrays, facts, train, 0))

    assert found(honest) == found({"weight": rows(test.features)}) == []
    assert found(both) == [
        "g: the 140 rows that the model keeps are not its 100 training rows",
        "g: the 140 groups that the model keeps are not those of its 100 training rows",
    ]
    assert found(swapped) == ["g: the 100 rows that the model keeps are not its 100 training rows"]
    assert "groups that the model keeps" in found(relabelled)[0]


@pytest.mark.parametrize("scaling", ["standard", "quantile", "within_subgroup"])
def test_a_scaler_of_other_rows_is_found_whatever_its_shape(tables, roles, scaling):
    train, whole = (TrainingData.of(tables[name], roles) for name in ("train", "original"))
    few = np.flatnonzero(train.schema.subgroup_of(train.groups) == 0)

    def found(features: np.ndarray, within: np.ndarray) -> list[str]:
        encoding = NumericEncoding.fit(features, roles.features, scaling=scaling, within=within)
        arrays, facts = encoding.state()
        stored = {f"encoding.{name}": array for name, array in arrays.items()}
        return check_scaler(StoredModel("g", stored, {"encoding": facts}, train, 0))

    assert found(train.features, train.within(scaling)) == []
    assert found(whole.features, whole.within(scaling))
    # Another subgroup was never seen, or there are fewer quantiles.
    assert found(train.features[few[:5]], train.within(scaling)[few[:5]])


AMOUNTS = {
    "rows": ({"fill_by": "rows", "rows": 40}, {"fill_by": "rows", "rows": 30}, True),
    "oversample": ({"oversample": "rows", "rows": 9}, {"oversample": "rows", "rows": 8}, False),
    "undersample": ({"undersample": "group"}, {"undersample": "target"}, False),
    "weights_over": (
        {"weights": "group", "weights_over": ["RACE"]},
        {"weights": "group", "weights_over": ["SEX"]},
        False,
    ),
}


@pytest.mark.parametrize(("done", "declared", "generated"), AMOUNTS.values(), ids=AMOUNTS.keys())
def test_a_treatment_other_than_declared_is_found(done, declared, generated):
    rng = np.random.default_rng(0)
    schema = GroupSchema(("SEX", "RACE", "Y"), (("F", "M"), ("a", "b"), ("no", "yes")))
    groups = np.concatenate([np.arange(8), rng.integers(0, 8, 112)])
    codes = zip(schema.columns, schema.levels, schema.indices_of(groups), strict=True)
    rows = pa.table(
        {"row_id": np.arange(120), **{c: np.array(levels)[k] for c, levels, k in codes}}
    )
    train, drawn = rows.slice(0, 60), rows.slice(60).drop_columns(["row_id"])
    drawn = pa.concat_tables([drawn] * 9) if generated else None
    made, weights = rebalance(train, schema, synthetic=drawn, seed=3, **done)

    def found(settings: dict, seed: int = 3) -> list[str]:
        return check_made("t", weights, made, train, drawn, schema, settings, seed)

    assert found(done) == []
    assert len(found(declared)) == 1
    if "sample" in "".join(done):
        assert "are not the" in found(done, seed=4)[0]


def test_labels_that_do_not_belong_to_their_weights_are_found(tables, schema):
    train = tables["train"]
    synthetic = tables["original"].slice(100, 30).drop_columns(["row_id"])

    def labels(rows):
        return np.linspace(0.0, 1.0, rows.num_rows)

    plan = {"synthetic": pa.concat_tables([synthetic] * 20), "labels": labels}
    rebalanced, weights = rebalance(train, schema, **plan)
    n_synthetic = (rebalanced.num_rows - 100) // 2
    assert n_synthetic

    def found(order: np.ndarray) -> list[str]:
        made = rebalanced.take(np.concatenate([np.arange(100), 100 + order]))
        made = made.set_column(made.num_columns - 1, "label_weight", rebalanced["label_weight"])
        return check_labels("t", weights, made, schema, 100, labels)

    rows = np.arange(2 * n_synthetic)
    assert found(rows) == []
    # Weighted by group besides: told so, the guard agrees; told otherwise, it does not.
    made, both = rebalance(train, schema, **plan, weights="group")
    told = [
        check_labels("t", both, made, schema, 100, labels, weighted=declared)
        for declared in ({"weights": "group"}, {"weights": "target"}, None)
    ]
    assert told[0] == []
    assert all("weights in weights.parquet are not those" in problem for [problem] in told[1:])
    for order in (np.roll(rows, n_synthetic), np.append(rows[:-2], rows[:-3:-1])):
        assert "do not stand once with every level" in found(order)[0]


@pytest.fixture
def judged(tables, schema) -> dict[str, pa.Table]:
    """A run's metrics and predictions, without men: their metrics are NaN."""
    test = tables["test"].filter(pc.field("SEX") == "F")
    groups, score = schema.index(test), np.linspace(0.0, 1.0, len(test))
    predictions = {
        "row_id": test["row_id"],
        "subgroup": schema.subgroup_of(groups),
        "y": schema.target_of(groups).astype(np.int8),
        "score": score,
    }
    metrics = judge(schema, groups, score)
    assert np.isnan(metrics["value"]).any()
    return {
        "metrics": pa.table({**metrics, "threshold": ["0.5"] * len(metrics["value"])}),
        "predictions": pa.table(predictions),
        "test": test,
    }


def test_an_honest_run_passes_with_undefined_metrics(judged, schema):
    assert check_run("r", **judged, schema=schema) == []


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        ("metrics.value", lambda values: [values[0] + 0.01, *values[1:]], "1 value(s)"),
        ("metrics.value", lambda values: [0.0 if v != v else v for v in values], "value(s)"),
        ("metrics.support", lambda values: [values[0] + 1, *values[1:]], "1 support(s)"),
        ("metrics.metric", lambda values: values[::-1], "lists other metrics or subgroups"),
        (
            "metrics.threshold",
            lambda values: ["0.48"] * len(values),
            "judged by threshold 0.48, not 0.5",
        ),
        ("predictions.y", lambda values: [1 - values[0], *values[1:]], "y of 1 row(s)"),
        ("predictions.subgroup", lambda values: [1, 1, *values[2:]], "subgroup of 2 row(s)"),
        ("predictions.score", lambda values: [None, *values[1:]], "1 score(s) are no numbers"),
        ("predictions.score", lambda values: values[::-1], "value(s)"),
        (
            "predictions.row_id",
            lambda values: values[::-1],
            "the rows that were judged are not those",
        ),
    ],
)
def test_whatever_of_a_run_was_changed_is_found(judged, schema, where, change, said):
    name, column = where.split(".")
    place = judged[name].schema.get_field_index(column)
    changed = pa.array(change(judged[name][column].to_pylist()))
    judged[name] = judged[name].set_column(place, column, changed)
    found = check_run("r", **judged, schema=schema)
    assert len(found) == 1
    assert said in found[0]


def test_runs_of_more_than_two_levels_are_judged_anew_too():
    schema = GroupSchema(("SEX", "SOURCE"), (("F", "M"), ("home", "in", "out")))
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 6, 60)
    digits = schema.indices_of(groups)
    test = pa.table(
        {
            "row_id": np.arange(60),
            **{
                name: np.array(levels, dtype=object)[codes]
                for name, levels, codes in zip(schema.columns, schema.levels, digits, strict=True)
            },
        }
    )
    score = rng.dirichlet(np.ones(3), 60)
    made = judge(schema, groups, score, references={"SEX": "M"})
    facts = {
        "metrics": pa.table({**made, "threshold": ["likeliest"] * len(made["value"])}),
        "predictions": predictions_table(test["row_id"], schema, groups, score),
        "test": test,
    }
    assert np.array_equal(scores_of(facts["predictions"]), score)
    assert check_run("r", **facts, schema=schema, references={"SEX": "M"}) == []
    [problem] = check_run("r", **facts, schema=schema, references={"SEX": "F"})
    assert "lists other metrics or subgroups" in problem


def test_problems_end_the_run():
    refuse([], "results/x")
    with pytest.raises(UserError, match=r"results/x: rows that judge were learnt from"):
        refuse(["1 row"], "results/x")


def test_validation_rows_are_forbidden_to_all_but_who_chooses_by_them_and_their_pupils():
    files = {"test": "t", "validation": "v"}
    learns_from = {"pupil": "paper", "paper": None, "tuned": None, "other": "tuned"}
    allowed = {
        name: forbidden_files(name, files, ["paper"], learns_from)
        for name in (None, "paper", "pupil", "tuned", "other")
    }
    assert allowed["paper"] == allowed["pupil"] == {"test": "t"}
    assert allowed[None] == allowed["tuned"] == allowed["other"] == files


# --- each way of cheating, in a finished experiment ---------------------------------------------

REPLICATE = Path("results/diabetes/keep_25_percent_of_sex_2/0")
FITTED_ANEW = "original"
"""The treatment that the replicate draws: the guard fits its classifier anew."""


class Cheat:
    """The files of one replicate, for somebody who keeps what they say of themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / REPLICATE

    def table(self, name: str) -> pa.Table:
        return read_table(self.folder / name)

    def put(self, name: str, table: pa.Table) -> None:
        path = self.folder / name
        write_table(table.replace_schema_metadata(), path, read_origin(path))

    def claim(self, name: str, parent: str) -> None:
        """Say truthfully that a file was made from one more."""
        path = self.folder / name
        origin = read_origin(path)
        origin["parents"][(REPLICATE / parent).as_posix()] = file_hash(self.folder / parent)
        if path.suffix == ".json":
            write_json({**read_json(path), "provenance": origin}, path)
        else:
            write_table(self.table(name).replace_schema_metadata(), path, origin)


def swap_in_test_row(cheat: Cheat, name: str) -> None:
    table, test = cheat.table(name), cheat.table("test.parquet")
    cheat.put(name, pa.concat_tables([table.slice(1), test.slice(0, 1).cast(table.schema)]))


def renumber_test_row(cheat: Cheat) -> None:
    train, test = cheat.table("train.parquet"), cheat.table("test.parquet")
    row = test.slice(0, 1).set_column(0, "row_id", pa.array([10**6], train.schema.field(0).type))
    cheat.put("train.parquet", pa.concat_tables([train.slice(1), row.cast(train.schema)]))


def scale_with_test_rows(cheat: Cheat, generator: str) -> None:
    """The scaler of a model from training and test rows; the network as it was."""
    from mcrage.datasets.roles import read_roles

    folder = cheat.folder / generator
    roles = read_roles(cheat.folder.parents[1] / "roles.json")
    rows = pa.concat_tables(
        [cheat.table(n).replace_schema_metadata() for n in ("train.parquet", "test.parquet")]
    )
    data = TrainingData.of(rows, roles)
    arrays = read_arrays(folder / "model.safetensors")
    facts = read_json(folder / "model.json")
    fitted, _ = StoredModel(generator, arrays, facts, data, seed=0).encoding_anew.state()
    arrays |= {f"encoding.{name}": array for name, array in fitted.items()}
    write_arrays(arrays, folder / "model.safetensors")


def keep_test_rows(cheat: Cheat) -> None:
    """SMOTE draws between the rows that it keeps: test rows appended to them, scaler as it was."""
    from mcrage.datasets.roles import read_roles
    from mcrage.generators.smote import SmoteGenerator

    folder = cheat.folder / "smote"
    test = TrainingData.of(
        cheat.table("test.parquet"), read_roles(cheat.folder.parents[1] / "roles.json")
    )
    encoding = SmoteGenerator.load(folder, {"k_neighbors": 5})._encoding
    arrays = read_arrays(folder / "model.safetensors")
    arrays["rows"] = np.concatenate([arrays["rows"], encoding.transform(test.features)])
    arrays["groups"] = np.concatenate([arrays["groups"], test.groups])
    write_arrays(arrays, folder / "model.safetensors")


def lend_test_rows(cheat: Cheat) -> None:
    """SMOTE whose rare groups borrow test rows in the place of training rows."""
    from mcrage.datasets.roles import read_roles
    from mcrage.generators.smote import SmoteGenerator

    folder = cheat.folder / "smote"
    test = TrainingData.of(
        cheat.table("test.parquet"), read_roles(cheat.folder.parents[1] / "roles.json")
    )
    encoding = SmoteGenerator.load(folder, {"k_neighbors": 5})._encoding
    arrays = read_arrays(folder / "model.safetensors")
    arrays["rows"] = arrays["rows"].copy()
    arrays["rows"][-5:] = encoding.transform(test.features[:5])
    write_arrays(arrays, folder / "model.safetensors")


def hide_a_loan(cheat: Cheat) -> None:
    path = cheat.folder / "smote" / "model.json"
    facts = read_json(path)
    facts["rare_groups"][0]["borrowed"] = {}
    write_json(facts, path)


def train_on_more(cheat: Cheat) -> None:
    path = cheat.folder / "cddpm_tuned" / "model.json"
    both = pa.concat_tables(
        [cheat.table(n).replace_schema_metadata() for n in ("train.parquet", "test.parquet")]
    )
    facts = read_json(path)
    facts["trained_on"] = {"content": content_hash(both), "rows": both.num_rows}
    write_json(facts, path)


def weigh_with_test_rows(cheat: Cheat) -> None:
    """Weights from how often groups are among training and test rows together."""
    name = "group_weights/weights.parquet"
    rows = cheat.table("group_weights/rebalanced.parquet")
    both = pa.concat_tables(
        [rows.drop_columns(["is_synthetic"]), cheat.table("test.parquet").drop_columns(["row_id"])],
        promote_options="permissive",
    )
    strata = pc.binary_join_element_wise(
        both["sex"].cast(pa.string()), both["progression"].cast(pa.string()), "/"
    )
    _, codes = np.unique(np.array(strata.to_pylist()), return_inverse=True)
    weights = cheat.table(name)
    changed = pa.array(equal_weights(codes)[: rows.num_rows])
    cheat.put(name, weights.set_column(1, "weight", changed))


def teach_with_test_rows(cheat: Cheat) -> None:
    """Labels of a classifier that was fitted on the test rows, too."""
    from mcrage.classifiers.teacher import soft_labels
    from mcrage.config.load import load_config
    from mcrage.datasets.roles import read_roles

    roles = read_roles(cheat.folder.parents[1] / "roles.json")
    config = load_config(merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL))
    teacher = config.classifiers["teacher"].resolved(config.classifiers)
    train = pa.concat_tables([cheat.table("train.parquet"), cheat.table("test.parquet")])
    seed = read_origin(cheat.folder / "mcrage_tuned/weights.parquet")["seeds"]["teacher"]
    rebalanced, labels = rebalance(
        cheat.table("train.parquet"),
        GroupSchema.of(roles),
        synthetic=cheat.table("cddpm_tuned/synthetic.parquet"),
        labels=soft_labels(teacher, train, roles, seed=seed),
        fill_by="subgroup",
        size=2.5,
    )
    cheat.put("mcrage_tuned/rebalanced.parquet", rebalanced)
    cheat.put("mcrage_tuned/weights.parquet", labels)


def tune_threshold(cheat: Cheat) -> None:
    name = "smote/random_forest/metrics.parquet"
    table = cheat.table(name)
    place = table.schema.get_field_index("threshold")
    cheat.put(name, table.set_column(place, "threshold", pa.array(["0.37"] * len(table))))


def tune_threshold_in_secret(cheat: Cheat) -> None:
    """The metrics of another threshold under the name of the declared one."""
    from mcrage.datasets.roles import read_roles

    name = "smote/random_forest/metrics.parquet"
    table = cheat.table(name)
    schema = GroupSchema.of(read_roles(cheat.folder.parents[1] / "roles.json"))
    groups = schema.index(cheat.table("test.parquet"))
    score = cheat.table("smote/random_forest/predictions.parquet")["score"].to_numpy()
    tuned = judge(schema, groups, score, decide(score, 0.48))["value"]
    values = table["value"].to_pylist()
    # Those of the first rule come first.
    tuned += values[len(tuned) :]
    assert tuned != values
    place = table.schema.get_field_index("value")
    cheat.put(name, table.set_column(place, "value", pa.array(tuned)))


def choose_cut_by_test_rows(cheat: Cheat, run: str, *, told: bool) -> None:
    """Decisions and metrics of the cut that is best on test rows, and it beside them if told."""
    from mcrage.classifiers.thresholds import best_cut
    from mcrage.datasets.roles import read_roles

    metrics, predictions = (
        cheat.table(f"{run}/{name}.parquet") for name in ("metrics", "predictions")
    )
    schema = GroupSchema.of(read_roles(cheat.folder.parents[1] / "roles.json"))
    groups = schema.index(cheat.table("test.parquet"))
    score, y = (predictions[name].to_numpy() for name in ("score", "y"))
    cut = best_cut("f1", y, score)
    decided = decide(score, cut)
    assert decided.tolist() != predictions["decision_f1"].to_pylist()
    value = np.array(metrics["value"].to_pylist())
    of_rule = np.array(metrics["threshold"].to_pylist()) == "f1"
    *others, last = np.flatnonzero(of_rule)
    value[others] = judge(schema, groups, score, decided)["value"]
    if told:
        value[last] = cut
    for name, table, column, changed in (
        ("metrics", metrics, "value", pa.array(value)),
        ("predictions", predictions, "decision_f1", pa.array(decided.astype(np.int8))),
    ):
        place = table.schema.get_field_index(column)
        cheat.put(f"{run}/{name}.parquet", table.set_column(place, column, changed))


def choose_cut_and_scores(cheat: Cheat) -> None:
    """In the run that is fitted anew, held-out scores whose best cut is that of the test rows."""
    run = f"{FITTED_ANEW}/random_forest"
    choose_cut_by_test_rows(cheat, run, told=True)
    metrics = cheat.table(f"{run}/metrics.parquet")
    rows = (pc.field("threshold") == "f1") & (pc.field("metric") == "cut")
    [cut] = metrics.filter(rows)["value"].to_pylist()
    held = cheat.table(f"{run}/held_out.parquet")
    y = held["y"].to_numpy()
    # Two scores alone, midway between which lies the cut.
    score = np.where(y == 1, cut + 0.05, cut - 0.05)
    place = held.schema.get_field_index("score")
    cheat.put(f"{run}/held_out.parquet", held.set_column(place, "score", pa.array(score)))


def learn_outcomes_of_test_rows(cheat: Cheat) -> None:
    """Scores of a forest that learnt test rows, with the decisions and metrics that they give."""
    from mcrage.classifiers.out_of_fold import HeldOut
    from mcrage.classifiers.registry import fit_and_score
    from mcrage.classifiers.thresholds import decide_by_rules
    from mcrage.datasets.roles import read_roles

    run, names = f"{FITTED_ANEW}/random_forest", ["row_id", "is_synthetic"]
    roles, test = read_roles(cheat.folder.parents[1] / "roles.json"), cheat.table("test.parquet")
    train = cheat.table(f"{FITTED_ANEW}/rebalanced.parquet")
    parts = [
        part.select([name for name in test.column_names if name not in names])
        for part in (train, test)
    ]
    both = pa.concat_tables([part.replace_schema_metadata() for part in parts])
    settings = {
        **{"kind": "random_forest", "n_trees": 30, "max_depth": None, "features": "raw"},
        **{"min_samples_split": 2, "min_samples_leaf": 1, "attributes": True},
    }
    score = fit_and_score(settings, both, None, test, roles, seed=0)
    schema, held = GroupSchema.of(roles), cheat.table(f"{run}/held_out.parquet")
    groups = schema.index(test)
    known = HeldOut(
        schema.index_of(np.stack([held["subgroup"].to_numpy(), held["y"].to_numpy()])),
        held["score"].to_numpy(),
    )
    made = decide_by_rules(["0.5", "f1"], score, groups, schema, lambda: known, seed=0)
    judged = judge_rules(schema, groups, score, made.by_rule, made.cuts)
    metrics = cheat.table(f"{run}/metrics.parquet")
    for name, column in judged.items():
        place = metrics.schema.get_field_index(name)
        metrics = metrics.set_column(
            place, name, pa.array(column, metrics.schema.field(place).type)
        )
    cheat.put(f"{run}/metrics.parquet", metrics)
    made_anew = predictions_table(test["row_id"], schema, groups, score, made.by_rule)
    cheat.put(f"{run}/predictions.parquet", made_anew)


def exchange(cheat: Cheat, file: str, column: str) -> None:
    """Give the first row another value of 0 and 1."""
    name = f"smote/random_forest/{file}.parquet"
    table = cheat.table(name)
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    first, *others = table[column].to_pylist()
    cheat.put(name, table.set_column(place, field, pa.array([1 - first, *others], field.type)))


def judge_on_some(cheat: Cheat) -> None:
    name = "smote/random_forest/predictions.parquet"
    cheat.put(name, cheat.table(name).slice(3))


def hide_test_rows_among_synthetic_ones(cheat: Cheat) -> None:
    name = "mcrage_smote/rebalanced.parquet"
    table = cheat.table(name)
    test = cheat.table("test.parquet").drop_columns(["row_id"])
    test = test.append_column("is_synthetic", pa.array([True] * len(test)))
    n = min(len(test), pc.sum(table["is_synthetic"]).as_py())
    kept = table.slice(0, len(table) - n)
    cheat.put(name, pa.concat_tables([kept, test.slice(0, n).cast(table.schema)]))


def learn_all_by_heart(cheat: Cheat) -> None:
    """Training and test rows among the synthetic ones, the former to look as bad by chance."""
    name = "mcrage_smote/rebalanced.parquet"
    table = cheat.table(name)
    real = table.filter(pc.invert(table["is_synthetic"]))
    test = cheat.table("test.parquet").drop_columns(["row_id"]).slice(0, 38)
    n = len(table) - len(real)
    rows = [test.append_column("is_synthetic", pa.array([True] * 38)).cast(table.schema)]
    twice = real.slice(0, n - 38)
    place = table.schema.get_field_index("is_synthetic")
    rows.append(twice.set_column(place, "is_synthetic", pa.array([True] * len(twice))))
    cheat.put(name, pa.concat_tables([real, *(part.cast(table.schema) for part in rows)]))


def hide_test_rows_among_very_many(cheat: Cheat) -> None:
    """Fewer than one in a hundred: what `rows` asks for may be many times what there is."""
    table, weights = (
        cheat.table(f"mcrage_smote/{name}.parquet") for name in ("rebalanced", "weights")
    )
    synthetic = table.filter(table["is_synthetic"])
    test = cheat.table("test.parquet").drop_columns(["row_id"]).slice(0, 38)
    test = test.append_column("is_synthetic", pa.array([True] * 38)).cast(table.schema)
    more = pa.concat_tables([synthetic] * 40 + [test])
    none = pa.table({"row_id": pa.nulls(len(more), pa.int64()), "weight": np.ones(len(more))})
    cheat.put("mcrage_smote/rebalanced.parquet", pa.concat_tables([table, more]))
    cheat.put(
        "mcrage_smote/weights.parquet", pa.concat_tables([weights, none.cast(weights.schema)])
    )


def leave_rows_out(cheat: Cheat, name: str) -> None:
    """The last row of a treatment's table, and its weight."""
    for file in ("rebalanced", "weights"):
        table = cheat.table(f"{name}/{file}.parquet")
        cheat.put(f"{name}/{file}.parquet", table.slice(0, len(table) - 1))


def weigh_by_less(cheat: Cheat) -> None:
    """Weights by the target alone, where they are to go by sex, too."""
    name = "group_weights/weights.parquet"
    rows, weights = cheat.table("group_weights/rebalanced.parquet"), cheat.table(name)
    _, codes = np.unique(rows["progression"].to_pylist(), return_inverse=True)
    cheat.put(name, weights.set_column(1, "weight", pa.array(equal_weights(codes))))


CHEATS = {
    "a test row in the training set": (
        lambda cheat: swap_in_test_row(cheat, "train.parquet"),
        "1 row(s) of test are in train, by row_id",
    ),
    "a test row in the original training set": (
        lambda cheat: swap_in_test_row(cheat, "original.parquet"),
        "1 row(s) of test are in original, by row_id",
    ),
    "a validation set of test rows": (
        lambda cheat: swap_in_test_row(cheat, "validation.parquet"),
        "1 row(s) of test are in validation, by row_id",
    ),
    "a test row under another number": (
        renumber_test_row,
        "1 row(s) of test are in train, by content",
    ),
    "a test row among the real rows of a rebalanced table": (
        lambda cheat: cheat.put(
            "imbalanced/rebalanced.parquet",
            pa.concat_tables(
                [
                    cheat.table("imbalanced/rebalanced.parquet").slice(1),
                    cheat.table("test.parquet")
                    .drop_columns(["row_id"])
                    .slice(0, 1)
                    .append_column("is_synthetic", pa.array([False])),
                ],
                promote_options="permissive",
            ),
        ),
        "imbalanced: ",
    ),
    "test rows among the synthetic ones": (
        hide_test_rows_among_synthetic_ones,
        "synthetic rows equal a test or validation row",
    ),
    "training and test rows among the synthetic ones": (
        learn_all_by_heart,
        "mcrage_smote: 38 of 114 synthetic rows equal a test or validation row",
    ),
    "a scaler fitted on test rows, too": (
        lambda cheat: scale_with_test_rows(cheat, "cddpm_tuned"),
        "cddpm_tuned: the scaler's numeric.means is not what its training rows give",
    ),
    "SMOTE's scaler fitted on test rows, too": (
        lambda cheat: scale_with_test_rows(cheat, "smote"),
        "smote: the scaler's mean is not what its training rows give",
    ),
    "SMOTE that keeps test rows, too": (
        keep_test_rows,
        "smote: the 282 rows that the model keeps are not its 199 training rows",
    ),
    "a rare group that borrows test rows": (
        lend_test_rows,
        "smote: the 199 rows that the model keeps are not its 199 training rows",
    ),
    "a rare group whose loan is hidden": (
        hide_a_loan,
        "smote: what the model says of rare groups is not what its training rows give",
    ),
    "a generator trained on test rows, too": (
        train_on_more,
        "cddpm_tuned: the model was fitted on another table",
    ),
    "a generator that read the test set": (
        lambda cheat: cheat.claim("cddpm_tuned/model.json", "test.parquet"),
        "cddpm_tuned's model descends from test.parquet",
    ),
    "a generator that read the validation set and does not choose by it": (
        lambda cheat: cheat.claim("cddpm_tuned/model.json", "validation.parquet"),
        "cddpm_tuned's model descends from validation.parquet",
    ),
    "sampling that read the test set": (
        lambda cheat: cheat.claim("smote/synthetic.parquet", "test.parquet"),
        "smote's synthetic rows descends from test.parquet",
    ),
    "a treatment that read the test set": (
        lambda cheat: cheat.claim("group_weights/weights.parquet", "test.parquet"),
        "group_weights's weights descends from test.parquet",
    ),
    "weights that count test rows": (
        weigh_with_test_rows,
        "group_weights: weights.parquet is not what the rows of rebalanced.parquet give",
    ),
    "test rows among very many synthetic ones": (
        hide_test_rows_among_very_many,
        "synthetic rows equal a test or validation row",
    ),
    "fewer synthetic rows than declared": (
        lambda cheat: leave_rows_out(cheat, "mcrage_smote"),
        "rows of rebalanced.parquet are not the",
    ),
    "fewer repeated rows than declared": (
        lambda cheat: leave_rows_out(cheat, "target_oversampling_fill_50_percent"),
        "rows of rebalanced.parquet are not the",
    ),
    "weights over other attributes than declared": (
        weigh_by_less,
        "group_weights: weights.parquet is not what the rows of rebalanced.parquet give",
    ),
    "labels that test rows taught": (
        teach_with_test_rows,
        "mcrage_tuned: the weights in weights.parquet are not those of labels that the training",
    ),
    "a threshold other than declared": (
        tune_threshold,
        "smote, random_forest: judged by threshold 0.37, not 0.5",
    ),
    "a tuned threshold under the declared one's name": (
        tune_threshold_in_secret,
        "in metrics.parquet are not what predictions.parquet gives with the declared rule",
    ),
    "decisions by a cut that test rows chose": (
        lambda cheat: choose_cut_by_test_rows(cheat, "smote/random_forest", told=False),
        "decision(s) by f1 are not what scores of held-out training rows give",
    ),
    "a cut that test rows chose, with its decisions": (
        lambda cheat: choose_cut_by_test_rows(cheat, "smote/random_forest", told=True),
        "decision(s) by f1 are not what scores of held-out training rows give",
    ),
    "a cut that test rows chose, with scores of held-out rows that suit it": (
        choose_cut_and_scores,
        "scores of held-out training rows are not those of a classifier fitted on its rebalanced",
    ),
    "scores of a classifier that saw the test rows": (
        learn_outcomes_of_test_rows,
        "scores of test rows are not those of a classifier fitted on its rebalanced table alone",
    ),
    "a metric that was touched up": (
        lambda cheat: exchange(cheat, "metrics", "value"),
        "smote, random_forest: 1 value(s) in metrics.parquet are not what predictions.parquet",
    ),
    "an outcome that was changed": (
        lambda cheat: exchange(cheat, "predictions", "y"),
        "smote, random_forest: y of 1 row(s) is not that of test.parquet",
    ),
    "a subgroup that was changed": (
        lambda cheat: exchange(cheat, "predictions", "subgroup"),
        "smote, random_forest: subgroup of 1 row(s) is not that of test.parquet",
    ),
    "a choice of test rows": (
        judge_on_some,
        "smote, random_forest: the rows that were judged are not those of test.parquet",
    ),
}


@pytest.fixture(scope="module")
def guard(finished):
    """Run the guard's own stage on one replicate of a folder, without Snakemake; what it says."""
    import os
    import sys
    from types import SimpleNamespace

    from mcrage.code_digest import SCRIPTS
    from mcrage.config.load import load_config
    from mcrage.datasets.cards import read_card
    from mcrage.plan import Plan

    sys.path.insert(0, str(SCRIPTS))
    import check_leakage

    whole = merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL)
    plan = Plan(
        load_config(whole), {"diabetes": read_card("diabetes", ROOT / "resources" / "datasets")}
    )
    names = {
        "dataset": "diabetes",
        "scenario": "keep_25_percent_of_sex_2",
        "replicate": "0",
    }
    params = plan.params("check_leakage")(SimpleNamespace(**names))
    assert params["settings"]["refitted"] == {"random_forest": FITTED_ANEW}
    at = REPLICATE.as_posix()
    files = SimpleNamespace(
        table="results/diabetes/table.parquet",
        roles="results/diabetes/roles.json",
        models=[f"{at}/{name}/model.json" for name in plan.generators],
        arrays=[f"{at}/{name}/model.safetensors" for name in plan.generators],
        synthetic=[f"{at}/{name}/synthetic.parquet" for name in plan.generators],
        metrics=[f"{at}/{name}/random_forest/metrics.parquet" for name in plan.treatments],
        predictions=[f"{at}/{name}/random_forest/predictions.parquet" for name in plan.treatments],
        held_out=[f"{at}/{name}/random_forest/held_out.parquet" for name in plan.treatments],
        rebalanced=[f"{at}/{name}/rebalanced.parquet" for name in plan.all_treatments],
        weights=[f"{at}/{name}/weights.parquet" for name in plan.all_treatments],
        **{name: f"{at}/{name}.parquet" for name in ("train", "validation", "original", "test")},
    )

    class Input(SimpleNamespace):
        def __getitem__(self, name: str) -> str:
            return getattr(self, name)

    def run(folder: Path) -> str:
        before = os.getcwd()
        os.chdir(folder)
        try:
            check_leakage.main(
                input=Input(**vars(files)),
                output=SimpleNamespace(leakage=f"{at}/leakage.json"),
                params=params,
                wildcards=names,
                threads=1,
                origin={},
            )
        except UserError as error:
            return str(error)
        finally:
            os.chdir(before)
        return ""

    return run


def test_the_guard_passes_an_honest_experiment(guard, finished):
    assert guard(finished.folder) == ""
    told = json.loads((finished.folder / REPLICATE / "leakage.json").read_text())
    assert len(told["runs"]) == len(told["treatments"]) == 8
    assert set(told["generators"]) == {"smote", "cddpm_paper", "cddpm_tuned", "cddpm_after_smote"}


@pytest.mark.parametrize(("cheat", "said"), CHEATS.values(), ids=CHEATS.keys())
def test_the_guard_fails_for_each_way_of_cheating(guard, finished, tmp_path, cheat, said):
    folder = tmp_path / "project"
    for part in ("resources/downloads", "results/diabetes"):
        shutil.copytree(finished.folder / part, folder / part)
    cheat(Cheat(folder))
    found = guard(folder)
    assert "rows that judge were learnt from" in found
    assert said in found


def test_an_exchanged_file_leaves_nothing_certain(guard, finished, tmp_path):
    """Even one that shares no row with the test set."""
    folder = tmp_path / "project"
    for part in ("resources/downloads", "results/diabetes"):
        shutil.copytree(finished.folder / part, folder / part)
    cheat = Cheat(folder)
    cheat.put("smote/synthetic.parquet", cheat.table("smote/synthetic.parquet").slice(1))
    assert "where it comes from is not certain" in guard(folder)
