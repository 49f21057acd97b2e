# SPDX-License-Identifier: MIT
"""The ablation's short cut gives what the workflow gives."""

import sys

import numpy as np
import pyarrow.compute as pc
import yaml

from project import ROOT, SMALL, merge

sys.path.insert(0, str(ROOT / "benchmarks"))
import ablation

from mcrage.tables import read_table

# One that does nothing, one that repeats rows, and one with a generator, a gate and taught labels.
TREATMENTS = ["imbalanced", "target_oversampling", "mcrage_tuned"]


def test_it_judges_as_the_workflow_does(finished):
    given = merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL)
    given["experiment"]["treatments"] = TREATMENTS
    given["experiment"]["baselines"] = ["imbalanced"]
    given["figures"] = {
        f"{kind}_treatments": ["mcrage_tuned"] for kind in ("umap", "density", "roc")
    }
    mirror = finished.folder / "resources/downloads"
    found = ablation.run("diabetes", "keep_25_percent_of_sex_2", 1, given, mirror)
    made = read_table(finished.folder / "results/metrics.parquet")
    names = pc.unique(found["treatment"])
    kept = pc.and_(pc.is_in(made["treatment"], names), pc.equal(made["replicate"], 1))
    made = made.filter(kept)
    key = ["treatment", "threshold", "attribute", "subgroup", "metric"]
    found, made = (
        table.select([*key, "value", "support"]).sort_by([(k, "ascending") for k in key])
        for table in (found, made)
    )
    assert found.num_rows == made.num_rows > 3 * 3 * 9
    assert found.drop_columns("value").equals(made.drop_columns("value"))
    # Undefined is NaN, which Arrow takes for equal to nothing.
    np.testing.assert_array_equal(found["value"].to_numpy(), made["value"].to_numpy())
