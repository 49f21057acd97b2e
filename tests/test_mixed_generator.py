# SPDX-License-Identifier: MIT
"""The diffusion generator on a table of any type: what is drawn, and that runs are exact."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mcrage.config.generators import CddpmSettings
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.generators.base import TrainingData
from mcrage.generators.registry import generator_class, settings_of
from mcrage.groups import GroupSchema

FEATURES = (
    Feature("AGE", "Age", kind="integer"),
    Feature("LAB", "Lactate", resolution=0.1, missing="keep"),
    Feature("UNIT", "Unit", kind="category", levels=("icu", "er", "unused", "ward")),
    Feature("GAIN", "Gain", kind="integer"),
    Feature("DAY", "Day", kind="date"),
    Feature("STAGE", "Stage", kind="ordinal", levels=("i", "ii", "iii"), missing="keep"),
    Feature("BMI", "Mass", resolution=0.1, missing="impute"),
)
ROLES = Roles(
    dataset="made_up",
    title="Made up",
    features=FEATURES,
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("F", "M")),),
    target=Target("Y", "y", ("no", "yes"), ("no", "yes")),
    columns=(*(feature.column for feature in FEATURES), "SEX", "Y"),
)
SCHEMA = GroupSchema.of(ROLES)
COUNTS = (150, 400, 120, 330)
LACKING = (0.1, 0.3, 0.6, 0.85)
"""Of LAB, by group; of STAGE, where LAB is missing four times as often."""


def data(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> TrainingData:
    """Return rows whose missing values and levels tell of their group."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(4), counts)
    n = len(groups)
    unit = np.array([0, 1, 3])[(rng.random(n) + 0.4 * (groups % 2) > [[0.5], [0.9]]).sum(axis=0)]
    lab = (rng.normal(2 + unit, 0.5, n)).round(1)
    lab[rng.random(n) < np.array(LACKING)[groups]] = np.nan
    stage = rng.integers(0, 3, n).astype(float)
    stage[rng.random(n) < np.where(np.isnan(lab), 0.4, 0.1)] = np.nan
    gain = np.where(rng.random(n) < 0.8, 0.0, rng.lognormal(5, 1, n).round() + 1)
    bmi = rng.normal(27, 4, n).round(1)
    bmi[rng.random(n) < 0.2] = np.nan
    age, day = rng.integers(18, 90, n), rng.integers(18_000, 19_000, n)
    return TrainingData(
        np.stack([age, lab, unit, gain, day, stage, bmi], axis=1), groups, SCHEMA, ROLES
    )


def fitted(preset: str = "tuned", checkpoint=None, **settings):
    """Return a small model of `data`."""
    small = {"steps": 25, "seeds": 2, "sampling_steps": 6}
    if preset == "paper":
        small = {"width": 32, "steps": 40, "learning_rates": [1e-3], "selection": "last",
                 "condition_dropouts": [0.1], "batch_sizes": [64]}  # fmt: skip
    values = CddpmSettings(**{"kind": "cddpm", "preset": preset, **small, **settings}).resolved()
    return generator_class("cddpm")(values).fit(data(), seed=5, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("tuned", {}),
        ("tuned", {"categories": "one_hot"}),
        ("tuned", {"selection": "cross_validation", "folds": 2, "snapshots": 2}),
        ("tuned", {"target": "v", "sampler": "dpm2m", "category_steps": 2}),
        ("tuned", {"condition_dropouts": [0.1], "guidance": 0.5, "scaling": "quantile"}),
        ("paper", {}),
        ("paper", {"categories": "masked", "target": "edm", "sampler": "heun"}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value) or "as it is",
)
def test_every_preset_draws_rows_that_the_table_could_hold(preset, settings, tmp_path):
    generator = fitted(preset, **settings)
    groups = np.repeat(np.arange(4), 60)
    rows = generator.sample(groups, seed=1)
    train = data().features
    assert rows.shape == (240, 7)
    for place, feature in enumerate(FEATURES):
        seen, drawn = train[:, place], rows[:, place]
        if feature.missing != "keep":
            assert not np.isnan(drawn).any()
        seen, drawn = seen[~np.isnan(seen)], drawn[~np.isnan(drawn)]
        assert seen.min() <= drawn.min() <= drawn.max() <= seen.max()
        if feature.levels:
            assert set(drawn) <= set(seen)
        grain = feature.resolution or 1.0
        np.testing.assert_allclose(drawn / grain, np.round(drawn / grain), atol=1e-6)
    np.testing.assert_array_equal(rows, generator.sample(groups, seed=1))
    generator.save(tmp_path)
    loaded = type(generator).load(tmp_path, settings_of("sample", generator.settings))
    np.testing.assert_array_equal(rows, loaded.sample(groups, seed=1))
    # The first rows of a larger plan.
    few = generator.sample(np.repeat(np.arange(4), 7), seed=1)
    np.testing.assert_allclose(few, rows[groups.searchsorted(np.repeat(np.arange(4), 7)) + np.tile(
        np.arange(7), 4)], rtol=1e-4, atol=1.0)  # fmt: skip


def test_equal_seeds_give_equal_bytes(tmp_path):
    for place in ("first", "second"):
        fitted().save(tmp_path / place)
    for file in ("model.json", "model.safetensors"):
        first, second = ((tmp_path / place / file).read_bytes() for place in ("first", "second"))
        assert first == second


@pytest.fixture(scope="module")
def learnt():
    """Return a model trained until it has learnt something."""
    return fitted(steps=400, seeds=1, learning_rates=[3e-3], rate_decay="linear")


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.arrays = None

    def load(self, misfit):
        """Return what was saved, if it fits."""
        assert self.arrays is None or misfit(self.arrays) is None
        return self.arrays

    def save(self, arrays) -> bool:
        """Keep arrays."""
        self.arrays = {name: array.copy() for name, array in arrays.items()}
        return True


def test_a_killed_fit_of_a_mixed_table_ends_as_one_that_was_not(monkeypatch):
    from mcrage.diffusion.training import Trainer
    from mcrage.generators import cddpm_run

    whole = fitted()
    monkeypatch.setattr(cddpm_run.Cadence, "due", lambda self, step: step == 11)
    step = Trainer.step

    def killed(self):
        if self.n_steps == 14:
            raise KeyboardInterrupt
        step(self)

    kept = Kept()
    monkeypatch.setattr(Trainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(checkpoint=kept)
    monkeypatch.setattr(Trainer, "step", step)
    resumed = fitted(checkpoint=kept)
    assert resumed.facts["resumptions"] == 1
    np.testing.assert_array_equal(resumed._weights.numpy(), whole._weights.numpy())


def test_values_are_missing_as_often_and_together_as_in_training_rows_of_the_group(learnt):
    train = data()
    for group, n in enumerate(COUNTS):
        drawn = learnt.sample(np.full(n, group), seed=group)
        # None, LAB, STAGE, both.
        patterns = [
            np.bincount(np.isnan(rows[:, 1]) + 2 * np.isnan(rows[:, 5]), minlength=4)
            for rows in (train.features[train.groups == group], drawn)
        ]
        table = np.array(patterns)
        assert chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-3
    # Which group it is matters: another's pattern is told from this one's.
    few, many = (learnt.sample(np.full(300, group), seed=9) for group in (0, 3))
    counts = [np.bincount(np.isnan(rows[:, 1]), minlength=2) for rows in (few, many)]
    assert chi2_contingency(counts).pvalue < 1e-10


def test_numbers_follow_the_categories_that_were_drawn(learnt):
    rows = learnt.sample(np.full(1500, 1), seed=3)
    real = data((10, 4000, 10, 10), seed=4).features[10:-20]
    for level in (0, 1, 3):
        drawn, expected = (x[x[:, 2] == level, 1] for x in (rows, real))
        assert np.nanmean(drawn) == pytest.approx(np.nanmean(expected), abs=0.4)
    assert np.mean(rows[:, 3] == 0) == pytest.approx(0.8, abs=0.05)
