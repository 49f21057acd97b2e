# SPDX-License-Identifier: MIT
"""The numbers that are known of the paper's dataset: ours must agree.

Needs the paper's file: ``MCRAGE_MIRROR``, or ``../shared/data`` beside the checkout.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from mcrage.classifiers.registry import fit_and_score
from mcrage.config.classifiers import RandomForest
from mcrage.datasets.card_model import PrepareSettings
from mcrage.datasets.cards import prepare_settings, read_card
from mcrage.datasets.prepare import prepare
from mcrage.groups import GroupSchema, filling_plan
from mcrage.metrics.judge import judge
from mcrage.scenario import split, thin_out

ROOT = Path(__file__).resolve().parents[1]
FILE = (
    Path(os.environ.get("MCRAGE_MIRROR", ROOT.parent / "shared" / "data"))
    / "patient-treatment"
    / "data-ori.csv"
)
WOMEN = [{"where": {"SEX": "F"}, "fraction": 0.1}]

# Where a mirror was promised, as in .ci/run, a missing file is a failure.
pytestmark = pytest.mark.skipif(
    not FILE.is_file() and "MCRAGE_MIRROR" not in os.environ,
    reason=f"{FILE.name} is not in the mirror; set MCRAGE_MIRROR",
)


@pytest.fixture(scope="module")
def patients():
    settings = prepare_settings(read_card("patient-treatment", ROOT / "resources" / "datasets"))
    return prepare(PrepareSettings.model_validate(settings), [FILE])


def test_the_paper_s_counts_come_out(patients):
    """systems.md: without undersampling about 1,700 women and 1,830 men, 168 women after."""
    schema = GroupSchema.of(patients.roles)
    digits = schema.digits(patients.table)
    groups = schema.index_of(digits)
    assert schema.counts(groups).tolist() == [1320, 1308, 802, 982]
    pool, test = split(groups, 0.2, 0, schema.n_groups)
    assert abs(len(test) - 883) <= 1
    kept = pool[thin_out(digits[:, pool], schema, WOMEN, seed=0)]
    train, validation = split(groups[kept], 0.1, 0, schema.n_groups)
    assert abs(len(train) - 1792) <= 15
    assert abs(len(validation) - 200) <= 2
    counts = schema.counts(groups[kept][train])
    # 89 / 945 / 56 / 702 in the notebook; the filling plan asks 889 rows of 56 women.
    assert np.abs(counts - [89, 945, 56, 702]).max() <= 13
    assert filling_plan(counts)[2] > 800


def test_the_forest_of_the_paper_scores_as_published(patients):
    """Imbalanced: accuracy .714-.741, F1 .64-.66, AUROC .78-.79, women .75; original .77-.78.

    Means over 8 replicates, each with a standard deviation of .01 to .02: ranges widened by .012.
    """
    schema = GroupSchema.of(patients.roles)
    digits = schema.digits(patients.table)
    groups = schema.index_of(digits)
    settings = RandomForest(kind="random_forest").resolved({})
    found: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(8):
        pool, test = split(groups, 0.2, seed, schema.n_groups)
        kept = pool[thin_out(digits[:, pool], schema, WOMEN, seed)]
        for name, rows in (("original", pool), ("imbalanced", kept)):
            score = fit_and_score(
                settings,
                patients.table.take(rows),
                None,
                patients.table.take(test),
                patients.roles,
                seed=seed,
            )
            out = judge(schema, groups[test], score)
            for subgroup, metric, value in zip(
                out["subgroup"], out["metric"], out["value"], strict=True
            ):
                found.setdefault((name, subgroup, metric), []).append(value)
    mean = {key: np.mean(values) for key, values in found.items()}
    published = {
        ("imbalanced", "all", "accuracy"): (0.714, 0.741),
        ("imbalanced", "all", "f1"): (0.64, 0.66),
        ("imbalanced", "all", "auroc"): (0.78, 0.79),
        ("imbalanced", "SEX=F", "auroc"): (0.745, 0.759),
        ("original", "SEX=F", "auroc"): (0.77, 0.784),
    }
    for key, (low, high) in published.items():
        assert low - 0.012 <= mean[key] <= high + 0.012, (key, mean[key])
    assert mean["original", "SEX=F", "auroc"] > mean["imbalanced", "SEX=F", "auroc"]
