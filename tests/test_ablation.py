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


def test_replicates_trained_together_draw_what_each_draws_alone(finished, tmp_path):
    given = merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL)
    given["experiment"] |= {"treatments": TREATMENTS, "baselines": ["imbalanced"]}
    given["figures"] = {
        f"{kind}_treatments": ["mcrage_tuned"] for kind in ("umap", "density", "roc")
    }
    plan = ablation.make_plan(given)
    names = ("diabetes", "keep_25_percent_of_sex_2")
    prepared = ablation.prepared_of(plan, names[0], finished.folder / "resources/downloads")
    replicates = [ablation.Replicate(plan, prepared, *names, number) for number in (0, 1)]
    ablation.train_together(plan, replicates, tmp_path, device="cpu", threads=1)
    for replicate in replicates:
        together = replicate.fitted("cddpm_tuned", models=tmp_path)
        alone = replicate.fitted("cddpm_tuned")
        assert together._weights.shape == alone._weights.shape
        np.testing.assert_allclose(together._weights, alone._weights, atol=1e-5, rtol=1e-3)
    first, second = (
        ablation.Replicate.fitted(one, "cddpm_tuned", models=tmp_path)._weights
        for one in replicates
    )
    assert not np.allclose(first, second)
