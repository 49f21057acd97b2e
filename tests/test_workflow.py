# SPDX-License-Identifier: MIT
"""The DAG of each target, the experiment end to end on embedded data, and bad input."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from mcrage.config.load import load_config
from mcrage.tables import read_table
from project import ROOT, SMALL, Project, merge

SELECTED = load_config(merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL)).selected
REPLICATE = "results/diabetes/keep_25_percent_of_sex_2/{}"


FIGURES = {
    "plot_rule_graph": 1,
    "plot_umap": 1,
    "plot_densities": 1,
    "plot_group_composition": 1,
    "plot_training_curves": 1,
    "plot_roc": 1,
    "plot_calibration": 1,
    "plot_tradeoff": 1,
    "plot_differences": 2,
    "plot_dose_response": 1,
}
DATA = {"download": 1, "prepare": 1, "balance": 2, "split": 2, "induce_imbalance": 2}
FIDELITY = {"judge_synthetic": 8, "gather_fidelity": 1}
MODELS = {**DATA, "check_groups": 2, "train_generator": 8, "sample_generator": 2, "rebalance": 2}


@pytest.mark.parametrize(
    ("target", "jobs"),
    [
        ("data", {**DATA, "check_groups": 2, "data": 1}),
        # The generator that learns from SMOTE's table needs SMOTE's rows first.
        ("models", {**MODELS, "models": 1}),
        ("samples", {**MODELS, "sample_generator": 8, "samples": 1}),
        (
            "evaluation",
            {
                **MODELS,
                "sample_generator": 8,
                "rebalance": 16,
                "evaluate": 16,
                "check_leakage": 2,
                "compare_predictions": 2,
                "gather_within_replicate": 1,
                "summarise": 1,
                "evaluation": 1,
            },
        ),
        (
            "figures",
            {
                **MODELS,
                "describe": 1,
                "sample_generator": 8,
                "rebalance": 16,
                "evaluate": 16,
                "check_leakage": 2,
                "summarise": 1,
                **FIGURES,
                "figures": 1,
            },
        ),
    ],
)
def test_a_target_makes_its_stage_and_what_it_rests_on(tmp_path, target, jobs):
    plan = Project(tmp_path).plan(target)
    assert plan.pop("total") == sum(jobs.values())
    assert plan == jobs


def test_the_default_target_is_the_report_and_its_figures(tmp_path):
    plan = Project(tmp_path).plan()
    assert plan["report"] == 1
    assert FIDELITY.items() <= plan.items()
    assert {name: n for name, n in plan.items() if name.startswith("plot_")} == FIGURES


def test_a_natural_scenario_without_generators_has_neither_models_nor_curves(tmp_path):
    config = {
        "experiment": {
            "scenarios": ["natural"],
            "treatments": ["imbalanced", "group_weights"],
            "baselines": ["imbalanced"],
        },
        "figures": {
            "umap_treatments": [],
            "density_treatments": [],
            "roc_treatments": [],
        },
    }
    plan = Project(tmp_path).plan(config=config)
    without = {
        "train_generator",
        "sample_generator",
        "plot_training_curves",
        "plot_roc",
        "plot_calibration",
    }
    without |= {"plot_dose_response", *FIDELITY}
    assert not without & plan.keys()
    assert plan["evaluate"] == 10


# --- end to end ---------------------------------------------------------------------------------


def test_it_ends_with_the_report_and_a_short_table(finished):
    printed = (finished.folder / "printed.txt").read_text()
    assert "results/report.html" in printed
    assert "mcrage" in printed.split("results/report.html")[-1]
    page = (finished.folder / "results" / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 11
    assert 'src="http' not in page


def test_nothing_is_to_be_done_afterwards(finished):
    assert finished.plan() == {}


def test_rebalanced_tables_have_the_users_columns_and_equal_groups(finished):
    folder = finished.folder / REPLICATE.format(0)
    train = read_table(folder / "train.parquet")
    for treatment in ("smote", "mcrage_paper", "mcrage_tuned", "mcrage_smote"):
        table = read_table(folder / treatment / "rebalanced.parquet")
        labelled = ["label_weight"] if treatment == "mcrage_tuned" else []
        assert table.column_names == [*train.column_names[1:], "is_synthetic", *labelled]
        for field in train.schema:
            if field.name != "row_id":
                assert table.schema.field(field.name).type == field.type
        frame = table.to_pandas()
        if labelled:
            # Filled to five times the larger, but for parts of rows.
            sizes = frame.groupby("sex")["label_weight"].sum()
            largest = train["sex"].to_pandas().value_counts().max()
            assert sizes.to_numpy() == pytest.approx(5 * largest, abs=2)
        else:
            assert frame.groupby(["sex", "progression"]).size().nunique() == 1
        assert not frame.isna().any().any()
        # Recorded resolution: serum cholesterol is a whole number, BMI has one decimal.
        assert np.allclose(frame["bmi"] * 10, (frame["bmi"] * 10).round())


def test_metrics_and_comparisons_have_the_promised_columns(finished):
    folder = finished.folder / "results"
    metrics = pd.read_parquet(folder / "metrics.parquet")
    assert list(metrics.columns) == [
        *("dataset", "scenario", "replicate", "treatment", "classifier", "threshold"),
        *("attribute", "subgroup", "metric", "value", "support"),
    ]
    assert set(metrics["treatment"]) == set(SELECTED)
    assert metrics.groupby("treatment").size().nunique() == 1
    comparisons = pd.read_parquet(folder / "comparisons.parquet")
    assert list(comparisons.columns) == [
        *("dataset", "scenario", "classifier", "threshold", "attribute", "subgroup", "metric"),
        *("treatment", "baseline", "n_replicates", "mean_difference", "ci_low", "ci_high"),
        *("p_value", "p_adjusted", "detectable_difference", "margin"),
        *("probability_lower", "probability_within", "probability_higher"),
        *("p_equivalence", "caution"),
    ]


def test_predictions_agree_with_the_metrics(finished):
    folder = finished.folder / REPLICATE.format(1) / "smote" / "random_forest"
    predictions = pd.read_parquet(folder / "predictions.parquet")
    by_rule = pd.read_parquet(folder / "metrics.parquet").set_index("threshold")
    metrics = by_rule.loc["0.5"].set_index(["subgroup", "metric"])["value"]
    hits = (predictions["score"] >= 0.5) == (predictions["y"] == 1)
    assert metrics["all", "accuracy"] == pytest.approx(hits.mean())
    by_subgroup = hits.groupby(predictions["subgroup"]).mean()
    assert metrics["sex=2", "accuracy"] == pytest.approx(by_subgroup[1])
    metrics = by_rule.loc["f1"].set_index(["subgroup", "metric"])["value"]
    positive = predictions["score"] >= metrics["all", "cut"]
    assert (predictions["decision_f1"] == positive).all()
    assert metrics["all", "accuracy"] == pytest.approx((positive == predictions["y"]).mean())


def test_all_treatments_of_a_replicate_are_judged_on_the_same_rows(finished):
    folder = finished.folder / REPLICATE.format(0)
    rows = {
        tuple(pd.read_parquet(path)["row_id"])
        for path in folder.glob("*/random_forest/predictions.parquet")
    }
    assert len(rows) == 1
    assert rows == {tuple(pd.read_parquet(folder / "test.parquet")["row_id"])}


def test_the_leakage_guard_has_seen_every_treatment_and_generator(finished):
    told = json.loads((finished.folder / REPLICATE.format(0) / "leakage.json").read_text())
    assert set(told["treatments"]) == set(SELECTED)
    assert set(told["generators"]) == {"smote", "cddpm_paper", "cddpm_tuned", "cddpm_after_smote"}


def test_the_leakage_guard_stops_a_run_with_a_leak(finished, tmp_path):
    cheat = tmp_path / "cheat"
    shutil.copytree(finished.folder, cheat, ignore=shutil.ignore_patterns("logs"))
    folder = cheat / REPLICATE.format(0)
    train, test = (pq.read_table(folder / f"{name}.parquet") for name in ("train", "test"))
    leaky = train.slice(0, train.num_rows - 1).to_pylist() + test.slice(0, 1).to_pylist()
    pq.write_table(train.from_pylist(leaky, schema=train.schema), folder / "train.parquet")
    copy = Project.at(cheat)
    # Only the guard, on the tables as they lie there.
    done = copy.run(
        REPLICATE.format(0) + "/leakage.json",
        *("--forcerun", "check_leakage", "--allowed-rules", "check_leakage", "--quiet", "rules"),
    )
    assert done.returncode != 0
    assert "1 row(s) of test are in train, by row_id" in done.stdout
    assert "rows that judge were learnt from" in done.stdout
    assert "Traceback" not in done.stdout


def test_replicates_differ(finished):
    tests = [read_table(finished.folder / REPLICATE.format(r) / "test.parquet") for r in (0, 1)]
    assert tests[0]["row_id"].to_pylist() != tests[1]["row_id"].to_pylist()


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "messages"),
    [
        ({"experiment": {"replicates": 0}}, ["experiment.replicates: found 0"]),
        ({"experiment": {"datasets": ["diabetis"]}}, ["diabetis", "diabetes", "patient-treatment"]),
        (
            {"experiment": {"scenarios": ["keep_10_percent_of_women"]}},
            ["'SEX' is not a sensitive attribute of diabetes", "allowed: sex"],
        ),
        (
            {
                "scenarios": {
                    "keep_25_percent_of_sex_2": {"keep": [{"where": {"sex": 3}, "fraction": 0.5}]}
                }
            },
            ["'3' is not a level in diabetes", "allowed: 1, 2"],
        ),
        ({"treatments": {"../../x": {"description": "d"}}}, ["can't be the name of a folder"]),
    ],
)
def test_a_mistake_in_the_config_ends_with_one_message_before_any_job(tmp_path, config, messages):
    project = Project(tmp_path)
    done = project.run(config=config)
    assert done.returncode != 0
    for message in messages:
        assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert 'File "' not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_gpu_asked_for_and_absent_stops_before_any_job(tmp_path):
    from mcrage.accelerator import count_gpus

    if count_gpus():
        pytest.skip("this machine has a GPU")
    done = Project(tmp_path).run(config={**SMALL, "device": "cuda"})
    assert done.returncode != 0
    assert "device: is 'cuda', but the driver shows no GPU" in done.stdout
    assert not (tmp_path / "results" / "diabetes").exists()


def test_a_group_too_small_stops_before_training(tmp_path):
    few = {"keep": [{"where": {"sex": "2"}, "fraction": 0.05}]}
    done = Project(tmp_path).run(
        "samples",
        config={
            **SMALL,
            "scenarios": {"keep_25_percent_of_sex_2": few},
            "rare_groups": {"then": "stop"},
        },
    )
    assert done.returncode != 0
    assert "sex=2, progression=low" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list((tmp_path / "results").rglob("model.json"))


def test_a_raw_file_that_was_changed_is_refused(tmp_path):
    project = Project(tmp_path)
    mirror = tmp_path / "mirror" / "diabetes"
    mirror.mkdir(parents=True)
    (mirror / "diabetes.csv").write_text("age,sex\n1,2\n")
    card = tmp_path / "resources" / "datasets" / "diabetes.yaml"
    text = card.read_text().replace(
        "- embedded: sklearn.datasets.load_diabetes", "- url: https://127.0.0.1:9/diabetes.csv"
    )
    card.write_text(text)
    done = project.run("data", config={**SMALL, "mirror": "mirror"})
    assert done.returncode != 0
    assert "sha256" in done.stdout.lower()
    assert "by hand" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results" / "diabetes" / "table.parquet").exists()
