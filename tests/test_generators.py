# SPDX-License-Identifier: MIT
"""Generators through their protocol: settings, fit, sample, save, load, selection."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from mcrage.config.generators import CddpmSettings, GeneratorSettings, SmoteSettings
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.errors import UserError
from mcrage.generators import Generator, TrainingData, blocks
from mcrage.generators.registry import KINDS, generator_class, settings_of
from mcrage.groups import GroupSchema

ROLES = Roles(
    dataset="toy",
    title="Toy",
    features=(
        Feature("A", "a", resolution=0.1),
        Feature("B", "b", resolution=0.01, lower=0.5),
        Feature("C", "c", resolution=0.1, formula="A / B"),
        Feature("N", "n", kind="integer"),
    ),
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
    target=Target("Y", "Outcome", ("no", "yes"), ("no", "yes")),
    columns=("A", "B", "C", "N", "SEX", "Y"),
)
SMALL = {
    "tuned": {"steps": 60, "width": 16, "depth": 1, "seeds": 2},
    "paper": {
        "epochs": 3,
        "select_every_epochs": 1,
        "width": 16,
        "learning_rates": [1e-3, 1e-2],
        "condition_dropouts": [0.7],
    },
    "crossed": {
        "preset": "tuned",
        **{"steps": 40, "width": 16, "depth": 1, "seeds": 2, "warmup_steps": 5},
        **{"selection": "cross_validation", "folds": 3, "snapshots": 4},
        "learning_rates": [1e-9, 3e-3, 1e-2],
    },
}


def data(counts=(20, 120, 12, 80), seed=0) -> TrainingData:
    """Return rows whose means differ by group."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(4), counts))
    a = np.round(rng.normal(10, 2, len(groups)) + 3 * groups, 1)
    b = np.round(rng.gamma(4, 0.5, len(groups)) + 0.5, 2)
    n = rng.poisson(40 + 5 * groups).astype(float)
    features = np.stack([a, b, np.round(a / b, 1), n], axis=1)
    return TrainingData(features, groups, GroupSchema.of(ROLES), ROLES)


def mean_of_a(features: np.ndarray, groups: np.ndarray) -> float:
    """Judge rows, as a forest would, without its cost."""
    return float(features[:, 0].mean())


def settings(name: str) -> dict:
    """Return small settings by name."""
    if name == "smote":
        return SmoteSettings(kind="smote").resolved()
    return CddpmSettings(**{"kind": "cddpm", "preset": name, **SMALL[name]}).resolved()


def fitted(name: str, **options) -> Generator:
    """Return a generator fitted on `data`."""
    values = settings(name) | options.pop("override", {})
    generator = generator_class(values["kind"])(values)
    return generator.fit(data(), criterion=mean_of_a, seed=5, **options)


@pytest.mark.parametrize("name", ["smote", "tuned", "paper", "crossed"])
def test_every_generator_keeps_the_contract(name, tmp_path):
    generator = fitted(name)
    assert isinstance(generator, Generator)
    groups = np.array([2, 0, 2, 2, 0, 1, 3] * 5)
    rows = generator.sample(groups, seed=1)
    assert rows.shape == (35, 4)
    assert rows.dtype == np.float64
    for column, decimals in enumerate((1, 2, 1, 0)):
        np.testing.assert_array_equal(rows[:, column], np.round(rows[:, column], decimals))
    train = data().features
    for column in (0, 3):
        assert rows[:, column].min() >= train[:, column].min()
        assert rows[:, column].max() <= train[:, column].max()
    np.testing.assert_array_equal(rows, generator.sample(groups, seed=1))
    assert (rows != generator.sample(groups, seed=2)).any()
    assert generator.sample(groups[:0], seed=1).shape == (0, 4)

    generator.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    loaded = type(generator).load(tmp_path, settings_of("sample", settings(name)))
    np.testing.assert_array_equal(rows, loaded.sample(groups, seed=1))
    assert len({len(column) for column in generator.history.values()}) <= 1
    json.dumps(generator.facts)


def test_drawn_rows_have_the_margins_of_their_subgroup():
    # Women's A lies elsewhere and in another unit; they are few.
    train = data((30, 150, 20, 120))
    women = train.schema.subgroup_of(train.groups) == 0
    moved = train.features.copy()
    moved[women, 0] = np.round(5 * moved[women, 0] + 100, 1)
    train = TrainingData(moved, train.groups, train.schema, ROLES)
    override = {"scaling": "within_subgroup", "derive": False, "steps": 300}
    generator = generator_class("cddpm")(settings("tuned") | override).fit(train, seed=5)
    groups = np.repeat(np.arange(4), 500)
    rows = generator.sample(groups, seed=1)
    drawn = rows[train.schema.subgroup_of(groups) == 0, 0]
    expected = moved[women, 0]
    assert abs(drawn.mean() - expected.mean()) < 0.5 * expected.std()
    assert 0.6 < drawn.std() / expected.std() < 1.5


@pytest.mark.parametrize("name", ["smote", "tuned", "paper", "crossed"])
def test_equal_seeds_give_equal_bytes(name, tmp_path):
    for place in ("first", "second"):
        fitted(name).save(tmp_path / place)
    for file in ("model.json", "model.safetensors"):
        first, second = ((tmp_path / place / file).read_bytes() for place in ("first", "second"))
        assert first == second


OTHERWISE = {
    "smote": {"k_neighbors": 2},
    "tuned": {"sampling_steps": 5, "sigma_min": 0.1, "sigma_max": 5.0},
    "paper": {"guidance": 0.0, "sampling_variance": "beta"},
}


@pytest.mark.parametrize("name", list(OTHERWISE))
def test_how_rows_are_drawn_is_not_up_to_the_model(name, tmp_path):
    """A model trained by its own settings alone draws as it is told when it is loaded."""
    values = settings(name)
    generator = generator_class(values["kind"])(settings_of("train", values))
    generator.fit(data(), criterion=mean_of_a, seed=5).save(tmp_path)
    groups = np.repeat(np.arange(4), 5)

    def drawn(sampling: dict) -> np.ndarray:
        return type(generator).load(tmp_path, sampling).sample(groups, seed=1)

    told = settings_of("sample", values)
    assert set(told) == set(KINDS[values["kind"]].sampling_settings) >= set(OTHERWISE[name])
    np.testing.assert_array_equal(drawn(told), fitted(name).sample(groups, seed=1))
    for key, value in OTHERWISE[name].items():
        assert (drawn({**told, key: value}) != drawn(told)).any(), key


@pytest.mark.parametrize("name", ["smote", "tuned"])
def test_training_without_a_judge_is_not_told_how_rows_are_drawn(name):
    values = settings(name)
    told = settings_of("train", values)
    # Nor is any generator told what the stage does with drawn rows.
    assert values.keys() - told.keys() == {*KINDS[values["kind"]].sampling_settings, "memorising"}
    values = settings("paper")
    assert settings_of("train", values) == {k: v for k, v in values.items() if k != "memorising"}


def test_derived_columns_hold_in_drawn_rows():
    rows = fitted("tuned").sample(np.repeat(np.arange(4), 50), seed=0)
    np.testing.assert_array_equal(rows[:, 2], np.round(rows[:, 0] / rows[:, 1], 1))


def test_members_share_every_group_evenly():
    """Rows of one member differ by their noise alone; with none they are as many as its turns."""
    # Trained for long enough that what it learnt is not lost in rounding.
    longer = {"sampling_steps": 2, "steps": 300}
    generator = fitted("tuned", override=longer)
    generator._weights[0] = 0.0
    rows = generator.sample(np.array([0, 2] * 10), seed=0)
    other = fitted("tuned", override=longer).sample(np.array([0, 2] * 10), seed=0)
    same = (rows == other).all(axis=1)
    for group in (0, 1):
        np.testing.assert_array_equal(same[group::2], [False, True] * 5)


@pytest.mark.parametrize("name", ["smote", "tuned", "paper"])
def test_rows_of_a_smaller_plan_are_the_first_of_a_larger(name):
    """And do not depend on what else is drawn."""
    generator = fitted(name)
    plans = [np.array(plan) for plan in ([0, 5, 0, 300], [7, 900, 0, 300], [7, 900], [0, 0, 0, 0])]
    drawn = []
    for plan in plans:
        features, groups = map(np.concatenate, zip(*generator.draw(plan, seed=3), strict=True))
        np.testing.assert_array_equal(groups, np.repeat(np.arange(len(plan)), plan))
        assert features.shape == (plan.sum(), 4)
        drawn.append([features[groups == group] for group in range(4)])
    small, large, shorter, _ = drawn
    np.testing.assert_allclose(small[1], large[1][:5], rtol=1e-5)
    np.testing.assert_allclose(small[3], large[3], rtol=1e-5)
    np.testing.assert_allclose(shorter[1], large[1], rtol=1e-5)
    # No block of rows is drawn twice.
    assert (large[1][:256] != large[1][256:512]).any(axis=1).mean() > 0.5


def test_how_much_is_computed_at_once_changes_nothing_but_memory(monkeypatch):
    generator = fitted("tuned")
    plan = np.array([400, 10, 1100, 0])
    ((whole, groups),) = generator.draw(plan, seed=3)
    monkeypatch.setattr(blocks, "_CHUNK_ROWS", 512)
    monkeypatch.setitem(blocks.ROWS_AT_ONCE, "cpu", 1)
    monkeypatch.setattr(blocks, "_ROWS_OF_A_MEMBER", 1)
    pieces = list(generator.draw(plan, seed=3))
    assert [len(groups) for _, groups in pieces] == [400, 266, 512, 332]
    np.testing.assert_allclose(np.concatenate([rows for rows, _ in pieces]), whole, rtol=1e-5)
    np.testing.assert_array_equal(np.concatenate([part for _, part in pieces]), groups)


def test_a_trained_model_tells_the_groups_apart():
    override = {"steps": 600, "width": 32, "learning_rates": [3e-3], "warmup_steps": 20}
    generator = fitted("tuned", override=override)
    groups = np.repeat(np.arange(4), 200)
    a = generator.sample(groups, seed=0)[:, 0]
    means = [a[groups == k].mean() for k in range(4)]
    train = data()
    real = [train.features[train.groups == k, 0].mean() for k in range(4)]
    np.testing.assert_allclose(means, real, atol=1.0)


def test_selection_keeps_the_best_member_at_its_best_checkpoint():
    scores = iter([0.1, 0.2, 0.9, 0.3, 0.4, 0.5])
    values = settings("paper")
    generator = generator_class("cddpm")(values)
    generator.fit(data(), criterion=lambda features, groups: next(scores), seed=5)
    per_epoch = -(-232 // values["batch_sizes"][0])
    assert generator.facts["chosen_member"] == 0
    assert generator.facts["chosen_step"] == 2 * per_epoch
    assert generator.facts["chosen_validation_f1"] == 0.9
    assert generator.facts["chosen_learning_rate"] == 1e-3
    shown = [value for value in generator.history["validation_f1"] if not np.isnan(value)]
    assert shown == [0.1, 0.2, 0.9, 0.3, 0.4, 0.5]
    assert len(generator._weights) == 1


def test_the_criterion_sees_the_filling_plan():
    seen = []

    def criterion(features, groups):
        seen.append((features.shape, np.bincount(groups, minlength=4).tolist()))
        return 0.0

    generator_class("cddpm")(settings("paper")).fit(data(), criterion=criterion, seed=0)
    assert set(map(str, seen)) == {str(((248, 4), [100, 0, 108, 40]))}


def test_the_papers_rule_sets_the_number_of_steps():
    values = settings("paper") | {"timesteps": "auto", "epochs": 1}
    generator = generator_class("cddpm")(values).fit(data(), criterion=mean_of_a, seed=0)
    rows = generator._encoding.transform(data().features).astype(float)
    distances = np.sqrt(np.square(rows[:, None] - rows[None]).sum(axis=2))
    assert generator.facts["timesteps"] == np.ceil(12.8 * (1 + np.log1p(distances.max())))


def test_smote_lies_between_rows_of_its_group():
    """Each drawn row is within the range of its own group's training rows, before rounding."""
    train = data()
    rows = fitted("smote").sample(np.repeat([0, 2], 200), seed=0)
    for group, drawn in ((0, rows[:200]), (2, rows[200:])):
        own = train.features[train.groups == group]
        grain = np.array([0.05, 0.005, 0.05, 0.5]) + 1e-9
        assert (drawn >= own.min(axis=0) - grain).all()
        assert (drawn <= own.max(axis=0) + grain).all()


def test_smote_refuses_a_group_that_is_too_small():
    generator = generator_class("smote")(settings("smote"))
    generator.fit(data(counts=(5, 50, 6, 50)), seed=0)
    assert generator.sample(np.array([2, 2]), seed=0).shape == (2, 4)
    with pytest.raises(UserError, match=r"group SEX=F, Y=no has 5 training rows.*at least 6"):
        generator.sample(np.array([0]), seed=0)


def test_an_empty_group_is_refused():
    with pytest.raises(UserError, match="group SEX=F, Y=yes has no training rows"):
        generator_class("cddpm")(settings("tuned")).fit(data(counts=(9, 9, 0, 9)), seed=0)


def test_selection_without_a_criterion_is_refused():
    with pytest.raises(UserError, match="needs a validation set"):
        generator_class("cddpm")(settings("paper")).fit(data(), seed=0)


def test_a_missing_gpu_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="finds no GPU"):
        fitted("tuned", device="cuda")


def test_a_model_of_another_kind_is_refused(tmp_path):
    fitted("smote").save(tmp_path)
    with pytest.raises(UserError, match="holds a model of kind 'smote', expected 'cddpm'"):
        generator_class("cddpm").load(tmp_path, {})


def test_a_damaged_model_is_refused(tmp_path):
    fitted("smote").save(tmp_path)
    Path(tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        generator_class("smote").load(tmp_path, {})


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="'gan' is unknown; known are cart, cddpm"):
        generator_class("gan")


def test_the_papers_values():
    values = CddpmSettings(kind="cddpm", preset="paper").resolved()
    assert values["timesteps"] == 35
    assert values["guidance"] == 3
    assert values["epochs"] == 10_000
    assert values["steps"] is None
    np.testing.assert_allclose(values["learning_rates"], np.logspace(-4.5, -3.9, 5))
    assert len(values["condition_dropouts"]) == 5


def test_epochs_become_steps_of_whole_batches():
    from mcrage.generators.cddpm_schedule import schedules, training_settings

    values = CddpmSettings(kind="cddpm", preset="paper").resolved()
    assert training_settings(values, 1792, 128).steps == 14 * 10_000
    assert training_settings(values, 129, 128).steps == 2 * 10_000
    values = CddpmSettings(kind="cddpm", preset="tuned", epochs=3).resolved()
    assert training_settings(values, 100, 256).steps == 3
    # Of two sizes, each as if it were alone.
    override = {"epochs": 3, "batch_sizes": [256, 32], "selection": "criterion"}
    values = CddpmSettings(kind="cddpm", preset="tuned", **override).resolved()
    by_size = schedules(values | {"select_every_epochs": 2}, 100)
    assert {size: one.training.steps for size, one in by_size.items()} == {256: 3, 32: 12}
    assert {size: one.scored for size, one in by_size.items()} == {256: (2, 3), 32: (8, 12)}
    values = CddpmSettings(kind="cddpm", preset="tuned", batch_sizes=[64]).resolved()
    assert schedules(values, 100)[64].training.steps == 1500


def test_overrides_replace_the_preset():
    values = CddpmSettings(kind="cddpm", preset="paper", steps=7, guidance=0.5).resolved()
    assert (values["steps"], values["epochs"], values["guidance"]) == (7, None, 0.5)
    json.dumps(values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 5, "epochs": 5}, "either steps or epochs"),
        ({"sampler": "ancestral"}, "needs target 'epsilon' or 'v'"),
        ({"guidance": 1.0}, "condition_dropouts above 0"),
        ({"learning_rates": [1e-3, 1e-4]}, "cannot choose among a grid of 2"),
        ({"batch_sizes": [64, 256], "noise_means": [0.0, 1.0]}, "among a grid of 4"),
        ({"noise_stds": [0.0]}, "greater than 0"),
        ({"batch_sizes": [0]}, "greater than or equal to 1"),
        ({"target": "v", "noise_means": [0.0]}, "noise_means need target 'edm', and target is 'v'"),
        ({"target": "v", "timesteps": 1}, "at least 2"),
        ({"beta_min": 0.5}, "must be below beta_max"),
        ({"sigma_min": 50.0}, "must be below sigma_max"),
        ({"widht": 3}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        CddpmSettings(kind="cddpm", preset="tuned", **given)


def test_settings_are_told_apart_by_kind():
    adapter = TypeAdapter(GeneratorSettings)
    assert isinstance(adapter.validate_python({"kind": "smote"}), SmoteSettings)
    assert isinstance(adapter.validate_python({"kind": "cddpm", "preset": "paper"}), CddpmSettings)


def test_training_data_of_a_table():
    import pyarrow as pa

    expected = data()
    columns = dict(zip("ABCN", expected.features.T, strict=True))
    columns["N"] = columns["N"].astype(np.int32)
    table = pa.table({**expected.schema.columns_of(expected.groups), **columns})
    got = TrainingData.of(table, ROLES)
    np.testing.assert_array_equal(got.features, expected.features)
    np.testing.assert_array_equal(got.groups, expected.groups)


def test_a_balanced_table_is_judged_by_a_copy_of_itself():
    seen = []

    def criterion(features, groups):
        seen.append(np.bincount(groups).tolist())
        return 0.0

    values = settings("paper") | {"epochs": 1}
    generator_class("cddpm")(values).fit(data((20,) * 4), criterion=criterion, seed=0)
    assert seen == [[20] * 4] * 2
