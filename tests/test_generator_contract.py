# SPDX-License-Identifier: MIT
"""What every kind of generator keeps, on tables of every make: one file, all of the registry.

Kinds of installed packages are among them, with their settings as they are by default.
"""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from mcrage.config.generators import KINDS as SETTINGS
from mcrage.config.generators import GeneratorSettings
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.generators import Generator, TrainingData
from mcrage.generators.registry import KINDS, generator_class, settings_of
from mcrage.groups import GroupSchema

# Settings that take seconds. A new kind has a line here, and so all tests below.
SMALL = {
    "smote": {},
    "mixture": {"components": [1, 2, 4]},
    "copula": {},
    "cart": {},
    "cddpm": {"preset": "tuned", "steps": 60, "width": 16, "depth": 1, "seeds": 2},
    "tabddpm": {"preset": "small", "steps": 400, "layers": [32, 32]},
}
# Of a few hundred rows with more levels than that, held-out rows would have one component, which
# says so and tells no groups apart.
OF_CODES = {"mixture": {"components": [4]}}
# Kinds that recompute columns with a formula only if they are told to.
DERIVE = {"smote": {"derive": True}}

NUMBERS = (
    Feature("A", "a", resolution=0.1),
    Feature("B", "b", resolution=0.01, lower=0.5),
    Feature("C", "c", resolution=0.1, formula="A / B"),
    Feature("N", "n", kind="integer"),
    Feature("Q", "q", resolution=0.25, upper=4.0),
)
LEVELS = (
    Feature("K", "k", kind="category", levels=("a", "b", "c", "d", "never")),
    Feature("O", "o", kind="ordinal", levels=("low", "mid", "high")),
    Feature("ONE", "one", kind="category", levels=("only",)),
    Feature("T", "t", kind="category", levels=("no", "yes")),
)
WITH_GAPS = (
    Feature("X", "x", missing="keep"),
    Feature("I", "i", kind="integer", missing="impute"),
    Feature("Z", "z", kind="integer", lower=0.0),
    Feature("D", "d", kind="date"),
    Feature("SAME", "same", resolution=0.5),
    Feature("L", "l", kind="category", levels=("u", "v", "w"), missing="keep"),
    Feature("M", "m", kind="ordinal", levels=("1", "2"), missing="impute"),
)
# Codes of diagnoses: more levels than rows, many of one row, and most seen by test rows alone.
CODES = (
    NUMBERS[0],
    Feature("W", "w", kind="category", levels=tuple(f"{n:03}" for n in range(700))),
    Feature("V", "v", kind="category", levels=tuple(f"V{n}" for n in range(300)), missing="keep"),
)
FEATURES = {
    "numbers": NUMBERS,
    "levels": LEVELS,
    "codes": CODES,
    "mixed": (*NUMBERS[:3], *LEVELS, *WITH_GAPS),
}


def roles(name: str) -> Roles:
    features = FEATURES[name]
    return Roles(
        dataset="toy",
        title="Toy",
        features=features,
        sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
        target=Target("Y", "Outcome", ("no", "maybe", "yes"), ("no", "maybe", "yes")),
        columns=(*(feature.column for feature in features), "SEX", "Y"),
    )


def data(name: str, counts=(30, 90, 12, 40, 20, 60), seed: int = 0) -> TrainingData:
    """Rows of six groups, all columns of which depend on the group and on each other."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(6), counts))
    n = len(groups)
    common = rng.normal(size=n) + 0.3 * groups
    a = np.round(10 + 2 * common + rng.normal(size=n), 1)
    b = np.round(rng.gamma(4, 0.5, n) + 0.5, 2)
    columns = {
        "A": a,
        "B": b,
        "C": np.round(a / b, 1),
        "N": rng.poisson(40 + 5 * groups).astype(float),
        "Q": np.minimum(np.round(rng.gamma(2, 0.5, n) * 4) / 4, 4.0),
        "K": np.clip(np.round(common + 1), 0, 3),
        "O": np.clip(np.round(common), 0, 2),
        "ONE": np.zeros(n),
        "T": (common > 0.5).astype(float),
        "X": np.where(rng.random(n) < 0.1 + 0.1 * groups, np.nan, common),
        "I": np.where(rng.random(n) < 0.2, np.nan, rng.integers(1, 9, n)),
        "Z": np.where(rng.random(n) < 0.6, 0, rng.integers(1, 500, n)),
        "D": 15_000.0 + rng.integers(0, 900, n),
        "SAME": np.full(n, 1.5),
        "L": np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 3, n)),
        "M": np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 2, n)),
        # Few are frequent, and which ones goes by the group; every other one nobody has.
        "W": np.minimum(2 * rng.geometric(0.02, n) + 20 * groups, 698).astype(float),
        "V": np.where(rng.random(n) < 0.2, np.nan, 2 * rng.integers(0, 150, n)),
    }
    own = roles(name)
    features = np.stack([columns[feature.column] for feature in own.features], axis=1)
    return TrainingData(features, groups, GroupSchema.of(own), own)


def settings(kind: str, name: str = "", **more) -> dict:
    own = OF_CODES.get(kind, {}) if name == "codes" else {}
    given = {"kind": kind, **SMALL.get(kind, {}), **own, **more}
    return TypeAdapter(GeneratorSettings).validate_python(given).resolved()


def fitted(kind: str, name: str, **more) -> Generator:
    values = settings(kind, name, **more)
    return generator_class(kind)(values).fit(data(name), seed=5)


CASES = [pytest.param(kind, name, id=f"{kind}-{name}") for kind in KINDS for name in FEATURES]
PLAN = np.array([40, 0, 60, 7, 0, 30])


def drawn(generator: Generator, plan: np.ndarray = PLAN, seed: int = 1) -> np.ndarray:
    """Return what is drawn, with the group in the last column."""
    features, groups = map(np.concatenate, zip(*generator.draw(plan, seed=seed), strict=True))
    return np.column_stack([features, groups])


class Models(dict):
    """Each fitted once, when it is asked for."""

    def __missing__(self, case: tuple[str, str]) -> Generator:
        self[case] = fitted(*case)
        return self[case]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def test_every_kind_is_held_to_the_contract():
    assert set(KINDS) == set(SETTINGS)
    assert set(SMALL) == {kind for kind in KINDS if KINDS[kind].module.startswith("mcrage.")}


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_rows_are_of_the_features_types(kind, name, models):
    train, rows = data(name), drawn(models[kind, name])
    assert rows.dtype == np.float64
    assert rows.shape == (PLAN.sum(), len(FEATURES[name]) + 1)
    np.testing.assert_array_equal(rows[:, -1], np.repeat(np.arange(6), PLAN))
    for place, feature in enumerate(FEATURES[name]):
        values, real = rows[:, place], train.features[:, place]
        if feature.missing != "keep":
            assert not np.isnan(values).any(), feature.column
        values, real = values[~np.isnan(values)], real[~np.isnan(real)]
        if feature.levels:
            assert set(values) <= set(real), feature.column
            continue
        if feature.kind in ("integer", "date"):
            np.testing.assert_array_equal(values, np.round(values))
        if feature.resolution:
            steps = values / feature.resolution
            np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
        if feature.formula is None:
            low = real.min() if feature.lower is None else feature.lower
            high = real.max() if feature.upper is None else feature.upper
            assert low <= values.min()
            assert values.max() <= high


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_group_is_drawn_with_gaps_and_values(kind, name, models):
    """How often, group by group, is asked of a larger table in test_missing_by_group.py."""
    kept = [place for place, f in enumerate(FEATURES[name]) if f.missing == "keep"]
    if not kept:
        pytest.skip("a table without missing values")
    rows = drawn(models[kind, name], np.full(6, 300))
    for place in kept:
        share = np.isnan(rows[:, place])
        for group in (1, 5):
            assert 0 < share[rows[:, -1] == group].mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_columns_with_a_formula_hold(kind, models):
    for name in ("numbers", "mixed"):
        told = kind in DERIVE
        rows = drawn(fitted(kind, name, **DERIVE[kind]) if told else models[kind, name])
        np.testing.assert_array_equal(rows[:, 2], np.round(rows[:, 0] / rows[:, 1], 1))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_rows_of_a_smaller_plan_are_the_first_of_a_larger(kind, name, models):
    large = np.array([90, 5, 300, 7, 0, 30])
    small, more = drawn(models[kind, name]), drawn(models[kind, name], large)
    for group, n in enumerate(PLAN):
        mine, other = (rows[rows[:, -1] == group] for rows in (small, more))
        np.testing.assert_allclose(mine, other[:n], rtol=1e-5)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_seeds_decide(kind, name, models, tmp_path):
    model = models[kind, name]
    one, again, other = (drawn(model, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    differ = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    assert differ.any(axis=1).mean() > 0.2
    # No block of rows is drawn twice.
    features = drawn(model, np.array([0, 0, 200]))[:, :-1]
    same = (features[:100] == features[100:]) | np.isnan(features[:100])
    assert not same.all()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_equal_seeds_give_equal_bytes_and_a_loaded_model_draws_the_same(
    kind, name, models, tmp_path
):
    model = models[kind, name]
    model.save(tmp_path / "first")
    fitted(kind, name).save(tmp_path / "second")
    files = ["model.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == files
    for file in files:
        first, second = ((tmp_path / place / file).read_bytes() for place in ("first", "second"))
        assert first == second
    loaded = type(model).load(tmp_path / "first", settings_of("sample", settings(kind, name)))
    np.testing.assert_array_equal(drawn(model), drawn(loaded))
    json.dumps(model.facts)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_empty_plan_has_one_chunk_without_rows(kind, name, models):
    chunks = list(models[kind, name].draw(np.zeros(6, dtype=np.int64), seed=0))
    assert len(chunks) == 1
    assert chunks[0][0].shape == (0, len(FEATURES[name]))
    assert chunks[0][1].shape == (0,)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_groups_are_told_apart(kind, name, models):
    """What lies furthest apart between two groups of training rows does so in drawn rows."""
    if kind == "cddpm":
        pytest.skip("trained for long enough in test_generators.py")
    train = data(name)
    rows = drawn(models[kind, name], np.full(6, 400))
    place = (
        0
        if name == "levels"
        else next(i for i, f in enumerate(FEATURES[name]) if f.levels or i == 0)
    )
    means = [
        [np.nanmean(values[groups == group, place]) for group in (0, 5)]
        for values, groups in ((train.features, train.groups), (rows, rows[:, -1]))
    ]
    real, synthetic = (high - low for low, high in means)
    assert 0.4 * real < synthetic < 1.6 * real


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_that_only_test_rows_have_is_in_no_drawn_row_and_harms_none(kind, models):
    """Their numbers lie between those of levels that were learnt, and some above them all."""
    train, rows = data("codes"), drawn(models[kind, "codes"], np.full(6, 300))
    for place in (1, 2):
        learnt = set(train.features[:, place][~np.isnan(train.features[:, place])])
        own = set(rows[:, place][~np.isnan(rows[:, place])])
        assert own <= learnt
        assert len(learnt) < len(FEATURES["codes"][place].levels) / 2
        # Not only the frequent ones, of which there would be a handful.
        assert len(own) > 40


def test_a_mixture_of_one_component_says_that_it_tells_no_groups_apart(caplog):
    generator_class("mixture")(settings("mixture")).fit(data("codes"), seed=5)
    assert "one component did best of 1, 2, 4" in caplog.text
    caplog.clear()
    generator_class("mixture")(settings("mixture")).fit(data("numbers"), seed=5)
    assert "one component" not in caplog.text


@pytest.mark.parametrize("kind", ["mixture", "copula", "cart"])
@pytest.mark.parametrize("name", FEATURES)
def test_a_group_without_rows_and_one_of_a_single_row_are_drawn(kind, name):
    train = data(name, counts=(1, 90, 0, 40, 20, 60))
    generator = generator_class(kind)(settings(kind)).fit(train, seed=0)
    assert len(drawn(generator, np.full(6, 20))) == 120
