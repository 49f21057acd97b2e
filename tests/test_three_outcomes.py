# SPDX-License-Identifier: MIT
"""A target of three outcomes, from a file of one's own to the report: real stays in hospital.

Readmission within 30 days, later, or never, of some patients of Diabetes 130. Needs its file, as
`tests/test_datasets.py` does.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge
from mcrage.metrics.names import is_aside
from mcrage.report.many_outcomes import FOR_TWO_OUTCOMES, note, short_note
from project import Project
from test_datasets import MIRROR, needs

COLUMNS = [
    *("gender", "age", "time_in_hospital", "num_medications", "number_inpatient"),
    *("diag_1", "A1Cresult", "insulin", "patient_nbr", "readmitted"),
]
CARD = {
    "path": "stays.csv",
    "target": "readmitted",
    "sensitive": "gender",
    "cluster": "patient_nbr",
}
EXPERIMENT = {
    "experiment": {
        "datasets": ["./card.yaml"],
        "scenarios": ["natural"],
        "treatments": ["imbalanced", "target_weights", "smote", "mcrage_tuned"],
        "baselines": ["imbalanced"],
        "replicates": 2,
        "bootstrap": 50,
    },
    "generators": {"cddpm_tuned": {"steps": 40, "seeds": 1}},
    "treatments": {"mcrage_tuned": {"labels": "teacher"}},
    "classifiers": {
        "random_forest": {"n_trees": 20},
        "teacher": {"kind": "kernel_logistic", "features": "both", "n_components": 20},
    },
    "rebalanced_csv": True,
    "figures": {"umap_treatments": [], "density_treatments": [], "roc_treatments": ["imbalanced"]},
}
OUTCOMES = ["<30", ">30", "NO"]


def stays(n_patients: int = 500) -> pd.DataFrame:
    """Return all stays of some patients."""
    whole = pd.read_csv(
        MIRROR / "diabetes-130" / "diabetic_data.csv", dtype=str, keep_default_na=False
    )
    whole = whole[whole["gender"] != "Unknown/Invalid"]
    chosen = whole["patient_nbr"].drop_duplicates().sample(n_patients, random_state=0)
    return whole[whole["patient_nbr"].isin(chosen)][COLUMNS]


def project(folder) -> Project:
    made = Project(folder)
    stays().to_csv(folder / "stays.csv", index=False)
    (folder / "card.yaml").write_text(yaml.safe_dump(CARD))
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The project after its run, and what was printed."""
    made = project(tmp_path_factory.mktemp("stays"))
    done = made.run("--quiet", "rules", config=EXPERIMENT)
    assert done.returncode == 0, done.stdout[-6000:]
    return made.folder, done.stdout


@needs("diabetes-130")
def test_what_columns_are_taken_for_is_printed(run):
    _, printed = run
    told = r"readmitted +target +category +3 different values: <30, >30, NO"
    assert re.search(told, printed)
    assert re.search(r"patient_nbr +cluster", printed)


@needs("diabetes-130")
def test_rebalanced_tables_have_the_three_outcomes_in_the_files_own_columns(run):
    folder = run[0] / "results" / "card" / "natural" / "0"
    table = pd.read_csv(folder / "smote" / "rebalanced.csv", keep_default_na=False, dtype=str)
    assert list(table.columns) == [*COLUMNS, "is_synthetic"]
    sizes = table.groupby(["gender", "readmitted"]).size()
    assert sizes.index.get_level_values(1).unique().tolist() == OUTCOMES
    assert sizes.nunique() == 1
    # A patient's rows are nobody's who was drawn.
    drawn = table["is_synthetic"] == "true"
    assert (table["patient_nbr"] == "").equals(drawn)
    assert set(table.loc[drawn, "diag_1"]) <= set(stays()["diag_1"])


@needs("diabetes-130")
def test_soft_labels_are_of_all_three(run):
    path = run[0] / "results" / "card" / "natural" / "1" / "mcrage_tuned" / "rebalanced.parquet"
    table = pd.read_parquet(path)
    drawn = table[table["is_synthetic"]]
    shares = drawn["label_weight"].to_numpy().reshape(3, -1)
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    outcomes = drawn["readmitted"].to_numpy().reshape(3, -1)
    assert [set(rows) for rows in outcomes] == [{outcome} for outcome in OUTCOMES[::-1]]


@needs("diabetes-130")
def test_every_run_is_judged_and_checked_for_leakage(run):
    results = run[0] / "results"
    metrics = pd.read_parquet(results / "metrics.parquet")
    assert set(metrics["threshold"]) == {"likeliest"}
    everyone = metrics[metrics["attribute"] == "overall"]
    assert set(everyone["metric"]) == {
        *("accuracy", "f1", "balanced_accuracy", "auroc", "brier", "log_loss"),
    }
    assert everyone["value"].notna().all()
    assert not set(metrics["metric"]) & set(FOR_TWO_OUTCOMES)
    comparisons = pd.read_parquet(results / "comparisons.parquet")
    assert set(comparisons["treatment"]) == {"target_weights", "smote", "mcrage_tuned"}
    for replicate in "01":
        facts = json.loads((results / f"card/natural/{replicate}/leakage.json").read_text())
        assert len(facts["runs"]) == 4


@needs("diabetes-130")
def test_the_report_says_what_metrics_mean_and_which_there_are_none_of(run):
    folder, printed = run
    page = (folder / "results" / "report.html").read_text()
    assert "<h1>MCRAGE on card</h1>" in page
    assert "3 outcomes: &lt;30, &gt;30 and NO" in page
    assert "Defined for two outcomes alone, and so in no table here: true positive rate" in page
    assert "cut at 0.5" not in page
    assert "Decisions for the likeliest outcome." in page
    assert "has 3 outcomes: F1 is their mean (macro)" in printed


@needs("diabetes-130")
def test_what_is_for_two_outcomes_is_refused_before_a_model_is_trained(tmp_path):
    made = project(tmp_path)
    config = EXPERIMENT | {"experiment": {**EXPERIMENT["experiment"], "thresholds": ["0.5", "f1"]}}
    done = made.run("models", "--quiet", "rules", config=config)
    assert done.returncode != 0
    told = (
        "experiment.thresholds: 'f1' is for a target of two levels; this one has 3 (<30, >30, NO)"
    )
    assert told in done.stdout
    assert not list((tmp_path / "results").rglob("model.json"))


def roles(n_outcomes: int) -> Roles:
    outcomes = tuple(f"outcome {k}" for k in range(n_outcomes))
    return Roles(
        dataset="toy",
        title="Toy",
        features=(Feature("A", "a"),),
        sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
        target=Target("Y", "Outcome", outcomes, outcomes),
        columns=("A", "SEX", "Y"),
    )


def test_what_is_told_to_be_missing_is_what_is_missing():
    """Of three outcomes the long table lacks these metrics, and no others."""
    rng = np.random.default_rng(0)
    found = []
    for n in (2, 3):
        schema = GroupSchema.of(roles(n))
        groups = rng.integers(0, schema.n_groups, 300)
        score = rng.dirichlet(np.ones(n), 300)
        judged = judge(schema, groups, score[:, 1] if n == 2 else score)
        found.append({metric for metric in judged["metric"] if not is_aside(metric)})
    two, three = found
    assert two - three == set(FOR_TWO_OUTCOMES)
    assert three <= two


def test_two_outcomes_need_no_words():
    assert note(roles(2).target) == short_note(roles(2).target) == ""
    assert "Outcome has 4 outcomes." in note(roles(4).target)
