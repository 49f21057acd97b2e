# SPDX-License-Identifier: MIT
"""Numbers in bands that are a sensitive attribute: rows lie in the band of their group."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage.bands import within_bands
from mcrage.config.generators import KINDS
from mcrage.datasets.recorded import as_recorded
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.generators.base import TrainingData
from mcrage.generators.mixture import MixtureGenerator
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
