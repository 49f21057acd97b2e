# SPDX-License-Identifier: MIT
"""The tables that an experiment's metrics are told in, and the ablation's splits by cluster."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conftest import WARD, make_table
from project import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import ablation
from study_tables import MARKS, cell, joint_tables, shown, tables

from mcrage.statistics.joint import all_remedies, compare_remedies
from mcrage.statistics.summary import compare

RUN = {"dataset": "ward", "scenario": "natural", "threshold": "0.5"}


def metrics() -> pd.DataFrame:
    """Two treatments over three replicates; the second is better by .01, .02 and .03."""
    rows = [
        {
            **RUN,
            "replicate": replicate,
            "classifier": classifier,
            "treatment": treatment,
            "attribute": attribute,
            "subgroup": subgroup,
            "metric": "auroc",
            "value": 0.7 + better * 0.01 * (replicate + 1),
            "support": 100,
        }
        for replicate in range(3)
        for classifier in ("forest", "tree")
        for better, treatment in enumerate(("imbalanced", "smote"))
        for attribute, subgroup in (("overall", "all"), ("SEX", "SEX=F"), ("SEX", "SEX=M"))
    ]
    return pd.DataFrame(rows)


def test_a_table_tells_means_and_differences_with_their_interval():
    frame = metrics()
    comparisons = compare(frame, ["imbalanced"], {"natural": 0.25})
    asked = shown(frame, ["auroc", "auroc@SEX@SEX=F"])
    treatments = ["smote", "imbalanced"]
    text = tables(frame, comparisons, shown=asked, columns="metric", treatments=treatments)
    # t of 2 degrees of freedom is 4.303; sd .01, and Nadeau-Bengio's error sqrt(1/3 + 1/4) of it.
    half = 4.303 * 0.01 * np.sqrt(1 / 3 + 1 / 4)
    expected = f"| smote | 0.720 (+0.020 ±{half:.3f}) | 0.720 (+0.020 ±{half:.3f}) |"
    assert text.splitlines()[:6] == [
        f"**ward; natural; forest; 0.5** (3 replicates; difference to imbalanced; {MARKS})",
        "",
        "| treatment | auroc | auroc, SEX=F |",
        "| --- | ---: | ---: |",
        expected,
        "| imbalanced | 0.700 | 0.700 |",
    ]
    by_classifier = tables(
        frame, comparisons, shown=asked[:1], columns="classifier", treatments=treatments
    )
    assert "| treatment | forest | tree |" in by_classifier


def test_an_interval_without_0_has_a_star_and_one_more_after_holm():
    assert cell(0.8, 0.012, 0.002, 0.022) == "0.800 (+0.012 ±0.010*)"
    assert cell(0.8, 0.012, 0.002, 0.022, 0.06) == "0.800 (+0.012 ±0.010*)"
    assert cell(0.8, 0.012, 0.002, 0.022, 0.04) == "0.800 (+0.012 ±0.010**)"
    assert cell(0.8, 0.012, -0.002, 0.026) == "0.800 (+0.012 ±0.014)"
    assert cell(0.8, 0.012, np.nan, np.nan) == "0.800 (+0.012)"
    assert cell(np.nan, np.nan, np.nan, np.nan) == "undefined"


def test_all_remedies_stand_in_one_table():
    frame = metrics()
    remedies = all_remedies("imbalanced", ["imbalanced", "smote"], ["forest", "tree"], ["0.5"])
    comparisons = compare_remedies(frame, remedies, {"natural": 0.25})
    text = joint_tables(frame, comparisons, shown=shown(frame, ["auroc"]), remedies=remedies)
    half = 4.303 * 0.01 * np.sqrt(1 / 3 + 1 / 4)
    assert text.splitlines() == [
        f"**ward; natural; all remedies** (3 replicates; difference to imbalanced, forest, cut "
        f"at 0.5; {MARKS})",
        "",
        "| remedy | auroc |",
        "| --- | ---: |",
        "| imbalanced, forest, cut at 0.5 | 0.700 |",
        f"| smote | 0.720 (+0.020 ±{half:.3f}) |",
        "| tree | 0.700 (+0.000 ±0.000) |",
    ]


def test_what_is_shown_must_be_there():
    assert len(shown(metrics(), None)) == 3
    assert [one.subgroup for one in shown(metrics(), ["auroc@SEX"])] == ["SEX=F", "SEX=M"]
    with pytest.raises(SystemExit, match="aurok: there is no such metric"):
        shown(metrics(), ["aurok"])


def test_clusters_are_never_on_both_sides():
    from dataclasses import replace

    table = make_table([60, 80, 40, 100])
    rng = np.random.default_rng(0)
    table = table.append_column("hospital", pa.array(rng.integers(0, 40, 280).astype(str)))
    roles = replace(WARD, columns=(*WARD.columns, "hospital"), cluster=("hospital",))
    settings = {
        "balance": {"balance": False, "split": "random"},
        "split": {"test_fraction": 0.2},
        "induce_imbalance": {
            "keep": [{"where": {"SEX": "F"}, "fraction": 0.5}],
            "validation_fraction": 0.1,
        },
    }
    seeds = {"balance": 0, "split": 1, "induce": 2, "validation": 3}
    plan = SimpleNamespace(
        params=lambda rule: lambda names: {"settings": settings[rule], "seeds": seeds}
    )
    prepared = SimpleNamespace(table=table, roles=roles)
    made = ablation.Replicate(plan, prepared, "ward", "natural", 0)
    parts = {**made.real, "test": made.test}
    hospitals = {name: set(part["hospital"].to_pylist()) for name, part in parts.items()}
    assert not hospitals["test"] & (hospitals["train"] | hospitals["original"])
    # Nobody of a hospital that is held out for validation is among the original rows either.
    assert hospitals["train"] <= hospitals["original"]
    assert len(hospitals["test"] | hospitals["original"]) < 40
