# SPDX-License-Identifier: MIT
"""Numbers in bands that are a sensitive attribute: rows lie in the band of their group."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage.bands import inside_bands, within_bands
from mcrage.config.generators import KINDS
from mcrage.datasets.recorded import as_recorded
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.generators import blocks
from mcrage.generators.base import TrainingData
from mcrage.generators.mixture import MixtureGenerator
from mcrage.generators.registry import generator_class
from mcrage.groups import GroupSchema
from mcrage.rebalancing import synthetic_table


def roles_of(features: tuple[Feature, ...], edges: dict[str, tuple[float, ...]]) -> Roles:
    attributes = tuple(
        Attribute(name, name, names := tuple(f"band {i}" for i in range(len(own) - 1)), names, own)
        for name, own in edges.items()
    )
    died = Target("died", "died", ("no", "yes"), ("no", "yes"))
    columns = (*(feature.column for feature in features), "died")
    return Roles("made", "made", features, attributes, died, columns)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_moved_rows_lie_in_the_band_of_their_group(data):
    grain = data.draw(st.sampled_from([0.0, 0.01, 0.1, 0.25, 1.0, 5.0]))
    inner = data.draw(
        st.lists(st.integers(-300, 300), min_size=1, max_size=3, unique=True).map(sorted)
    )
    edges = (-np.inf, *(round(edge * (grain or 0.37), 2) for edge in inner), np.inf)
    roles = roles_of((Feature("x", "x", resolution=grain),), {"x": edges})
    schema = GroupSchema.of(roles)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    groups = rng.integers(0, schema.n_groups, 40)
    drawn = as_recorded(np.round(rng.normal(0, 300, 40)) * (grain or 0.31), roles.features[0])
    template = pa.schema([("x", pa.float64()), ("died", pa.string())]).empty_table()
    made = synthetic_table(drawn[:, None], groups, template, roles)
    assert schema.index(made).tolist() == groups.tolist()
    # What lay in its band is as it was.
    before = template.schema.empty_table().schema
    beside = pa.table([pa.array(drawn), made["died"]], schema=before)
    stayed = schema.index(beside) == groups
    assert np.allclose(made["x"].to_numpy()[stayed], drawn[stayed], rtol=1e-12, atol=1e-9)


def test_an_edge_that_division_misses_belongs_to_the_upper_band():
    roles = roles_of((Feature("x", "x", resolution=0.01),), {"x": (-np.inf, 0.14, np.inf)})
    moved = within_bands(np.array([[9.0], [0.0]]), np.array([0, 1]), GroupSchema.of(roles), roles)
    assert moved.ravel().tolist() == [0.13, 0.14]


@pytest.mark.parametrize("scaling", ["quantile", "within_subgroup"])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_mixture_draws_numbers_within_their_bands(covariance, scaling):
    """Not beside them, to be moved to their edges: two bands, of numbers that go together."""
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    n = 4000
    age = np.clip(np.round(rng.normal(55, 18, n)), 18, 90)
    dose = np.round(0.5 * age + rng.normal(20, 10, n), 1)
    died = (rng.random(n) < age / 150).astype(int)
    features = (
        Feature("age", "age", kind="integer", resolution=1.0),
        Feature("dose", "dose", resolution=0.1),
        Feature("iron", "iron"),
    )
    edges = {"age": (-np.inf, 45.0, 65.0, np.inf), "dose": (-np.inf, 50.0, np.inf)}
    roles = roles_of(features, edges)
    table = pa.table(
        {
            "age": age,
            "dose": dose,
            "iron": 0.1 * dose + rng.normal(0, 1, n),
            "died": np.array(["no", "yes"])[died],
        }
    )
    train = TrainingData.of(table, roles)
    told = {"kind": "mixture", "scaling": scaling, "covariance": covariance}
    generator = MixtureGenerator(
        KINDS["mixture"].model_validate({**told, "components": [4]}).resolved()
    )
    generator.fit(train, seed=0)
    groups = train.groups
    rows = generator.sample(groups, seed=1)
    moved = within_bands(rows, groups, train.schema, roles)
    # But for rounding.
    assert (np.abs(moved - rows) <= 0.05 + 1e-9).all()
    far = 0.3
    for column in range(2):
        assert ks_2samp(moved[:, column], train.features[:, column]).statistic < 0.1
        for group in np.flatnonzero(train.counts > 200):
            mine = groups == group
            assert ks_2samp(moved[mine, column], train.features[mine, column]).statistic < far
    # What goes with a number goes with what it became.
    real, drawn = (np.corrcoef(x[:, 1], x[:, 2])[0, 1] for x in (train.features, moved))
    if covariance == "full":
        assert abs(real - drawn) < 0.1


def block_rows(groups: np.ndarray, numbers) -> np.ndarray:
    """Draw rows that tell group, block and place, and a number in 0 to 1: 2 members of 128 rows."""
    made = []
    for number in numbers:
        group = number % 4
        values = np.random.default_rng(number).random((2, 128))
        places = np.arange(256).reshape(128, 2).T
        made.append(np.stack([np.full((2, 128), group), places + 256 * (number // 4), values], -1))
    return np.concatenate(made, axis=1)


def inside(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Keep all of group 0, four fifths of 1, a third of 2, and a hundredth of 3."""
    return rows[:, 2] < np.array([2.0, 0.8, 0.33, 0.01])[groups]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1500), min_size=4, max_size=4))
def test_rows_beside_their_band_are_left_out_and_the_next_ones_take_their_places(plan):
    plan = np.array(plan)
    shape = {"n_members": 2, "n_groups": 4, "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        # Chunks of three blocks, so that groups go over several.
        patch.setattr(blocks, "_CHUNK_ROWS", 3 * 256)
        chunks = list(blocks.draw_plan(block_rows, plan, **shape, inside=inside))
    rows = np.concatenate([part for part, _ in chunks])
    groups = np.concatenate([part for _, part in chunks])
    assert max(len(part) for part, _ in chunks) <= 4 * 3 * 256
    assert groups.tolist() == np.repeat(np.arange(4), plan).tolist() == rows[:, 0].tolist()
    every = [np.concatenate(list(_stream(group))) for group in range(4)]
    for group, wanted in enumerate(plan):
        own = every[group]
        # Of group 3 hardly any lies inside, and so all are taken.
        stays = np.ones(len(own), bool) if group == 3 else inside(own, np.full(len(own), group))
        np.testing.assert_array_equal(rows[groups == group], own[stays][:wanted])


def _stream(group: int):
    for number in range(24):
        drawn = block_rows(np.zeros(0), [group + 4 * number])
        yield drawn.transpose(1, 0, 2).reshape(256, 3)


def test_what_lies_inside_is_what_is_not_moved():
    features = (Feature("y", "y"), Feature("x", "x", kind="integer", resolution=1.0))
    roles = roles_of(features, {"x": (-np.inf, 45.0, 65.0, np.inf)})
    schema = GroupSchema.of(roles)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(size=500), rng.integers(20, 90, 500)], axis=1)
    groups = rng.integers(0, schema.n_groups, 500)
    stayed = (within_bands(rows, groups, schema, roles) == rows).all(axis=1)
    assert 100 < stayed.sum() < 400
    np.testing.assert_array_equal(inside_bands(rows, groups, schema, features), stayed)


@pytest.mark.parametrize("kind", ["cddpm", "tabddpm"])
def test_diffusion_models_draw_numbers_within_their_bands(kind):
    """Also when they learnt next to nothing: no row stands at an edge since it was moved there."""
    rng = np.random.default_rng(0)
    n = 600
    age = np.clip(np.round(rng.normal(55, 18, n)), 18, 90)
    roles = roles_of(
        (Feature("age", "age", kind="integer", resolution=1.0), Feature("iron", "iron")),
        {"age": (-np.inf, 50.0, np.inf)},
    )
    died = np.array(["no", "yes"])[(rng.random(n) < 0.4).astype(int)]
    train = TrainingData.of(pa.table({"age": age, "iron": rng.normal(size=n), "died": died}), roles)
    told = {"kind": kind, "preset": {"cddpm": "tuned", "tabddpm": "small"}[kind], "steps": 20}
    if kind == "cddpm":
        told |= {"seeds": 1, "width": 16, "warmup_steps": 1}
    generator = generator_class(kind)(KINDS[kind].model_validate(told).resolved())
    generator.fit(train, seed=0)
    plan = np.array([300, 5, 200, 0])
    drawn = list(generator.draw(plan, seed=1))
    rows, groups = (np.concatenate(part) for part in zip(*drawn, strict=True))
    assert groups.tolist() == np.repeat(np.arange(4), plan).tolist()
    assert inside_bands(rows, groups, train.schema, roles.features).all()
    smaller = np.concatenate([part for part, _ in generator.draw(plan // 2, seed=1)])
    np.testing.assert_allclose(smaller[:150], rows[:150], atol=1)
