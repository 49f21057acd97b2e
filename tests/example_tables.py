# SPDX-License-Identifier: MIT
"""Tables of the public schemas with made-up numbers, for the tests of figures and report."""

import numpy as np
import pandas as pd
import pyarrow as pa

from mcrage.datasets.roles import Attribute, Feature, Roles, Target

ROLES = Roles(
    dataset="patient_treatment",
    title="Patient treatment",
    features=(
        Feature("HGB", "Haemoglobin", "g/dL", "continuous", 0.1, 0.0, None, None),
        Feature("AGE", "Age", "years", "integer", 1.0, 0.0, None, None),
        Feature("WBC", "Leucocytes", "10³/µL", "continuous", 0.1, 0.0, None, None),
    ),
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
    target=Target("SOURCE", "Care", ("out", "in"), ("outpatient", "inpatient")),
    columns=("HGB", "AGE", "WBC", "SEX", "SOURCE"),
)
TREATMENTS = ("original", "imbalanced", "group_weights", "smote", "mcrage_paper", "mcrage_tuned")
_EFFECT = {"original": 0.02, "smote": -0.012, "mcrage_paper": 0.004, "mcrage_tuned": 0.009}
_LEVEL = {"accuracy": 0.71, "f1": 0.64, "balanced_accuracy": 0.70, "auroc": 0.77, "brier": 0.19}


def rows(counts: dict[tuple[str, str], int], *, seed: int = 0, shift: float = 0.0) -> pa.Table:
    """Return rows of the given numbers per (SEX, SOURCE)."""
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "HGB": rng.normal(12.0 + (sex == "M") - (source == "in") + shift, 1.5, n).round(1),
                "AGE": rng.integers(18, 90, n),
                "WBC": rng.lognormal(2.0 + 0.2 * (source == "in"), 0.4, n).round(1),
                "SEX": sex,
                "SOURCE": source,
            }
        )
        for (sex, source), n in counts.items()
    ]
    return pa.Table.from_pandas(pd.concat(frames, ignore_index=True), preserve_index=False)


def metrics(replicates: int = 5, *, small_subgroup: bool = False) -> pd.DataFrame:
    """Return results/metrics.parquet with known effects of each treatment."""
    rng = np.random.default_rng(1)
    out = []
    for replicate in range(replicates):
        level = rng.normal(0, 0.01)
        for treatment in TREATMENTS:
            noise = rng.normal(0, 0.004)
            for attribute, subgroup, support in (
                ("overall", "all", 883), ("SEX", "SEX=F", 426), ("SEX", "SEX=M", 457),
            ):  # fmt: skip
                for metric, base in _LEVEL.items():
                    effect = _EFFECT.get(treatment, 0.0)
                    effect *= {"SEX=F": 2, "SEX=M": -0.5}.get(subgroup, 1)
                    value = base + (1 if metric != "brier" else -1) * effect + level + noise
                    if small_subgroup and subgroup == "SEX=F" and metric == "auroc":
                        value, support = np.nan, 7
                    out.append(
                        {
                            "dataset": "patient_treatment",
                            "scenario": "keep_10_percent_of_women",
                            "replicate": replicate,
                            "treatment": treatment,
                            "classifier": "random_forest",
                            "threshold": "0.5",
                            "attribute": attribute,
                            "subgroup": subgroup,
                            "metric": metric,
                            "value": value,
                            "support": support,
                        }
                    )
    return pd.DataFrame(out)
