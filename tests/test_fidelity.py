# SPDX-License-Identifier: MIT
"""What is said of synthetic rows: structure, likeness, memorising, and the gate."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

import sample_generator
from conftest import make_table
from mcrage.datasets.roles import Feature
from mcrage.encoding.numeric import NumericEncoding
from mcrage.errors import UserError
from mcrage.fidelity.gate import LEVEL, Gate
from mcrage.fidelity.judge import judge_synthetic
from mcrage.fidelity.likeness import shape, told_apart, trend
from mcrage.fidelity.memorising import memorised, nearer_share
from mcrage.fidelity.nearest import Nearest, quantiles, typical
from mcrage.fidelity.space import Points
from mcrage.fidelity.structure import (
    off_resolution,
    out_of_bounds,
    violated_identities,
)
from mcrage.rebalancing import synthetic_table

FEATURES = (
    Feature("a", "A", resolution=0.1, lower=0.0),
    Feature("b", "B", resolution=0.01, lower=0.1, upper=9.0),
    Feature("ratio", "A over B", resolution=0.1, formula="10 * a / b"),
    Feature("n", "Count", kind="integer"),
)
NUMBERS = tuple(Feature(name, name) for name in "xyz")


def recorded(n: int, seed: int) -> np.ndarray:
    """Rows as a laboratory records them: every column rounded from the true value."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(5, 20, n), rng.uniform(1, 8, n)
    count = rng.poisson(30, n).astype(float)
    return np.column_stack([a.round(1), b.round(2), (10 * a / b).round(1), count])


# --- structure ----------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_recorded_rows_break_no_identity(seed):
    broken = violated_identities(recorded(50, seed), FEATURES)
    assert list(broken) == ["ratio"]
    assert not broken["ratio"].any()


def test_what_rounding_does_not_explain_is_broken():
    rows = recorded(200, 0)
    # The widest that rounding explains, from the derivatives of 10 a / b.
    a, b = rows[:, 0], rows[:, 1]
    allowed = 0.05 + 10 / b * 0.05 + 10 * a / b**2 * 0.005
    exact = 10 * a / b
    rows[:, 2] = exact + 0.9 * allowed
    assert not violated_identities(rows, FEATURES)["ratio"].any()
    rows[:, 2] = exact - 1.1 * allowed
    assert violated_identities(rows, FEATURES)["ratio"].all()
    rows[:, 1] = 0
    assert violated_identities(rows, FEATURES)["ratio"].all()


def test_bounds_and_resolution_are_the_cards():
    rows = np.array([[10.0, 2.0, 50.0, 30.0]] * 6)
    rows[1, 0], rows[2, 1] = -0.1, 9.01
    rows[3, 0], rows[4, 3], rows[5, 1] = 10.05, 30.5, 2.005
    assert out_of_bounds(rows, FEATURES).tolist() == [False, True, True, False, False, False]
    assert off_resolution(rows, FEATURES).tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("derive", [True, False])
def test_decoded_rows_are_recordable_and_derived_ones_keep_identities(derive):
    encoding = NumericEncoding.fit(recorded(100, 1), FEATURES, derive=derive)
    noise = np.random.default_rng(2).normal(0, 2, (300, encoding.n_modelled))
    rows = encoding.inverse(noise)
    assert not off_resolution(rows, FEATURES).any()
    assert not out_of_bounds(rows, FEATURES).any()
    broken = violated_identities(rows, FEATURES)["ratio"]
    assert not broken.any() if derive else broken.mean() > 0.5


# --- likeness -----------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30))
def test_shape_is_one_minus_scipys_ks(seed, m, n):
    rng = np.random.default_rng(seed)
    mine, other = rng.integers(0, 6, (m, 2)).astype(float), rng.normal(2, 2, (n, 2))
    expected = [
        1 - stats.ks_2samp(mine[:, i], other[:, i], method="asymp").statistic for i in range(2)
    ]
    assert np.allclose(shape(mine, other, NUMBERS[:2]), expected)


def test_trend_is_about_correlations_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    related, opposed = np.column_stack([x[:, 0], x[:, 0]]), np.column_stack([x[:, 0], -x[:, 0]])
    assert trend(related, 100 + 3 * related, NUMBERS[:2]) == pytest.approx(1)
    assert trend(related, opposed, NUMBERS[:2]) == pytest.approx(0)
    assert trend(x, related, NUMBERS[:2]) == pytest.approx(0.5, abs=0.05)
    assert np.isnan(trend(np.ones((5, 2)), x, NUMBERS[:2]))


def test_a_classifier_tells_apart_what_differs_and_nothing_else():
    rng = np.random.default_rng(3)
    rows, same = rng.normal(size=(300, 3)), rng.normal(size=(200, 3))
    auroc, error = told_apart(rows, same, NUMBERS, 0)
    assert abs(auroc - 0.5) < 5 * error
    assert told_apart(rows + 3, same, NUMBERS, 0)[0] > 0.95
    assert np.isnan(told_apart(rows[:10], same, NUMBERS, 0)).all()


# --- nearest ------------------------------------------------------------------------------------


def test_distances_are_scipys_within_the_group():
    rng = np.random.default_rng(4)
    rows, groups = rng.normal(5, [1, 10, 0.1], (60, 3)), np.repeat([0, 1, 3], [30, 29, 1])
    others, theirs = rng.normal(5, [1, 10, 0.1], (40, 3)), np.repeat([0, 1, 2, 3], 10)
    nearest = Nearest.of(rows, groups, NUMBERS)
    scale = rows.std(axis=0)
    all_pairs = cdist(others / scale, rows / scale)
    all_pairs[theirs[:, None] != groups] = np.inf
    assert np.allclose(nearest.distances(others, theirs, k=2), np.sort(all_pairs, axis=1)[:, :2])
    among = cdist(rows / scale, rows / scale)
    among[(groups[:, None] != groups) | np.eye(60, dtype=bool)] = np.inf
    assert np.allclose(nearest.own(), among.min(axis=1))


def test_a_copy_has_distance_zero_among_many_columns():
    rows = np.random.default_rng(5).normal(1000, 1, (50, 40))
    features = [Feature(str(k), str(k)) for k in range(40)]
    nearest = Nearest.of(rows, np.zeros(50, dtype=int), features)
    assert (nearest.distances(rows[:5].copy(), np.zeros(5, dtype=int)) == 0).all()
    assert nearest.own().min() > 0


def test_a_small_group_borrows_the_quantile_in_its_own_unit():
    rng = np.random.default_rng(6)
    large, small = rng.gamma(9, 1, 1000), 5 * rng.gamma(9, 1, 40)
    distances, groups = np.concatenate([large, small]), np.repeat([0, 1], [1000, 40])
    usual = typical(distances, groups)
    found = quantiles(distances, groups, 0.01, usual)
    assert found[0] == (np.quantile(large, 0.01), np.mean(large < np.quantile(large, 0.01)), 1000)
    assert found[1][2] == 1040
    # The true one, which 40 rows alone miss by far.
    assert found[1][0] == pytest.approx(5 * stats.gamma(9).ppf(0.01), rel=0.25)


def test_groups_that_tell_nothing_have_no_quantile():
    distances, groups = np.array([np.inf, 0, 0, 0.1, 1.0, 2.0]), np.array([0, 1, 1, 1, 2, 2])
    usual = typical(distances, groups)
    assert usual == {2: 1.5}
    assert set(quantiles(distances, groups, 0.01, usual)) == {2}


# --- memorising ---------------------------------------------------------------------------------


def cloud(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two groups that differ in mean and spread."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([0, 1], [n // 4, n - n // 4])
    return rng.normal(3.0 * groups[:, None], 1.0 + groups[:, None], (n, 3)), groups


def judged(synthetic, groups) -> dict[tuple[str, int], object]:
    shares = memorised(synthetic, groups, *cloud(400, 10), *cloud(600, 11), NUMBERS, seed=0)
    return {(share.metric, share.group): share for share in shares}


def test_who_draws_fresh_rows_memorises_nothing():
    for share in judged(*cloud(1200, 12)).values():
        assert abs(share.value - share.reference) <= 4 * share.error, share


def test_who_copies_is_found_in_every_metric():
    train, groups = cloud(400, 10)
    rng = np.random.default_rng(1)
    for share in judged(train + rng.normal(0, 0.01, train.shape), groups).values():
        if share.metric != "copies":
            assert share.value > share.reference + 4 * share.error, share
    exact = judged(train.copy(), groups)
    assert {exact["copies", group].value for group in (0, 1)} == {1.0}
    assert {exact["copies", group].reference for group in (0, 1)} == {0.0}


def test_copying_one_group_is_not_hidden_by_the_other():
    train, groups = cloud(400, 10)
    fresh, _ = cloud(400, 12)
    found = judged(np.where(groups[:, None] == 0, train, fresh), groups)
    assert found["nearest_1_percent", 0].value == 1
    assert found["nearest_1_percent", 1].value < 0.05


def test_the_error_of_the_share_is_that_of_exchanged_sides():
    """Which real rows were learnt from, tossed anew: the spread is what the formula says."""
    rng = np.random.default_rng(2)
    synthetic, real = rng.normal(size=(500, 2)), rng.normal(size=(80, 2))
    none = np.empty((500, 0), dtype=np.int32)
    found = []
    for _ in range(200):
        order = rng.permutation(80)
        sides = (synthetic, real[order[:40]], real[order[40:]])
        found.append(nearer_share(*(Points(each, none[: len(each)]) for each in sides), rng))
    shares, errors = np.array(found).T
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert errors.mean() == pytest.approx(shares.std(), rel=0.2)


def test_the_table_pools_groups_by_their_rows(roles, schema):
    train, held_out = make_table([30, 40, 20, 50], 0), make_table([60] * 4, 1, first_id=900)
    drawn = make_table([60, 20, 80, 0], 2).drop_columns(["row_id"])
    table = judge_synthetic(
        drawn, train, held_out, roles, dropped={"SEX=F, SOURCE=out": 20}
    ).to_pandas()
    assert set(table["group"]) == {"all", *map(schema.label, (0, 1, 2))}
    one = table[(table["metric"] == "shape") & (table["column"] == "")].set_index("group")
    groups = one.drop("all")
    assert groups["support"].tolist() == [60, 20, 80]
    assert one.loc["all", "support"] == 160
    assert one.loc["all", "value"] == pytest.approx(
        np.average(groups["value"], weights=groups["support"])
    )
    dropped = table[(table["metric"] == "dropped") & (table["group"] != "all")]
    assert dropped["value"].tolist() == [20 / 80]


def test_too_few_rows_are_undefined_with_their_support(roles):
    table = judge_synthetic(
        make_table([5, 0, 0, 0], 2), make_table([30] * 4, 0), make_table([60] * 4, 1), roles
    ).to_pandas()
    apart = table[table["metric"] == "told_apart"]
    assert apart["value"].isna().all()
    assert set(apart["support"]) == {5, 0}


def test_nothing_drawn_is_nothing_judged(roles):
    empty = make_table([0] * 4).drop_columns(["row_id"])
    table = judge_synthetic(empty, make_table([30] * 4, 0), make_table([30] * 4, 1), roles)
    assert table.num_rows == 0


# --- the gate -----------------------------------------------------------------------------------


@pytest.fixture
def copier(schema):
    """A gate, and a generator that copies a training row half of the time."""
    rng = np.random.default_rng(20)
    groups = np.repeat(np.arange(4), [150, 400, 40, 300])
    train = rng.normal(groups[:, None], 1, (len(groups), 3))
    asked = []

    def draw(wanted, seed):
        asked.append(len(wanted))
        rng = np.random.default_rng(seed)
        fresh = rng.normal(wanted[:, None], 1, (len(wanted), 3))
        copies = np.array([train[rng.choice(np.flatnonzero(groups == k))] for k in wanted])
        return np.where(rng.random(len(wanted))[:, None] < 0.5, copies, fresh)

    return Gate.of(train, groups, schema, NUMBERS), draw, asked


def past(gate, draw, wanted, sizes=None):
    """Draw rows in chunks that end where `sizes` says, and let them pass."""
    parts = np.split(wanted, sizes or [])
    chunks = [(draw(part, 1 + place), part) for place, part in enumerate(parts)]
    dropped = np.zeros(gate.schema.n_groups, dtype=np.int64)
    found = list(gate.passed(chunks, draw, 1, dropped))
    assert np.array_equal(np.concatenate([groups for _, groups in found]), wanted)
    return np.concatenate([features for features, _ in found]), dropped


def test_chunks_pass_one_by_one_and_none_repeats_another(copier):
    gate, draw, asked = copier
    wanted = np.repeat(np.arange(4), [300, 0, 500, 100])
    features, dropped = past(gate, draw, wanted, [450])
    assert gate.keep(features, wanted).all()
    assert dropped.sum() == sum(asked[2:])
    assert len(np.unique(features, axis=0)) == len(features)
    whole, _ = past(gate, draw, wanted)
    first, _ = past(gate, draw, wanted[:450])
    assert np.array_equal(features[:450], first)
    assert not np.array_equal(features, whole)
    # One at a time: nothing is drawn before it is asked for.
    endless = ((draw(wanted, seed), wanted) for seed in count())
    assert len(next(iter(gate.passed(endless, draw, 1, dropped)))[0]) == 900


def test_an_honest_generator_is_let_through_chunk_by_chunk(copier):
    gate, draw, _ = copier
    rng = np.random.default_rng(22)
    groups = np.repeat(np.arange(4), 200)
    chunks = [(rng.normal(part[:, None], 1, (len(part), 3)), part) for part in np.split(groups, 4)]
    assert [id(rows) for rows, _ in gate.honest(chunks)] == [id(rows) for rows, _ in chunks]
    copied = gate.honest([(draw(part, 0), part) for part in np.split(groups, 4)])
    with pytest.raises(UserError, match=r"SEX=F, SOURCE=in: \d+ of 200 rows"):
        list(copied)


def test_drawn_chunks_are_gathered_to_portions_of_bounded_size(monkeypatch):
    monkeypatch.setattr(sample_generator, "_AT_ONCE", 5)
    groups = np.repeat(np.arange(4), [3, 3, 0, 1])
    chunks = [(np.full((sum(groups == k), 2), float(k)), groups[groups == k]) for k in range(4)]
    found = list(sample_generator._gathered(chunks))
    assert [len(own) for _, own in found] == [6, 1]
    np.testing.assert_array_equal(np.concatenate([own for _, own in found]), groups)
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found])[:, 1], groups)


def test_what_is_too_near_is_drawn_anew_and_counted(copier, schema):
    gate, draw, asked = copier
    wanted = np.repeat(np.arange(4), [300, 0, 500, 100])
    features, dropped = past(gate, draw, wanted)
    assert gate.keep(features, wanted).all()
    assert dropped.sum() == sum(asked[1:])
    assert dropped[1] == 0
    assert abs(dropped[2] / 500 - 1) < 0.2  # as many as are kept, at one copy in two
    again, _ = past(gate, draw, wanted)
    assert np.array_equal(features, again)
    # What passed at once is not touched.
    first = draw(wanted, 1)
    passed = gate.keep(first, wanted)
    assert np.array_equal(features[passed], first[passed])


def test_the_gate_knows_training_rows_alone_and_lets_new_people_pass(copier):
    gate, _, _ = copier
    rng = np.random.default_rng(21)
    groups = np.repeat(np.arange(4), 3000)
    kept = gate.keep(rng.normal(groups[:, None], 1, (len(groups), 3)), groups)
    # Held-out rows are too near about as often as training rows are to each other.
    assert 0.2 * LEVEL < np.mean(~kept) < 4 * LEVEL


def test_the_gate_stops_a_copier_and_no_honest_generator(copier, schema):
    gate, draw, _ = copier
    groups = np.repeat(np.arange(4), 200)
    honest = np.random.default_rng(22).normal(groups[:, None], 1, (len(groups), 3))
    gate.refuse(schema.counts(groups[~gate.keep(honest, groups)]), schema.counts(groups))
    copied = groups[~gate.keep(draw(groups, 0), groups)]
    with pytest.raises(UserError, match=r"memorising: stop: .*SEX=F, SOURCE=in: \d+ of 200 rows"):
        gate.refuse(schema.counts(copied), schema.counts(groups))


def test_who_does_nothing_but_copy_is_given_up_with_the_group(copier):
    gate, _, _ = copier

    def copy(wanted, seed):
        space, searches = gate.nearest.space, gate.nearest.searches
        first = np.array([searches[k].points.numbers[0] for k in wanted])
        return first * space.scale + space.centre

    with pytest.raises(UserError, match=r"drop: after 50 rounds .*'SEX=F, SOURCE=in': 3"):
        past(gate, copy, np.array([2, 2, 2]))


def test_smote_keeps_identities_only_where_it_derives(roles):
    from mcrage.config.generators import SmoteSettings
    from mcrage.generators.base import TrainingData
    from mcrage.generators.registry import generator_class
    from mcrage.groups import GroupSchema

    roles = replace(roles, features=FEATURES)
    groups = np.repeat(np.arange(4), [30, 60, 20, 50])
    data = TrainingData(recorded(160, 7), groups, GroupSchema.of(roles), roles)
    broken = {}
    for derive in (False, True):
        settings = SmoteSettings(kind="smote", derive=derive).resolved()
        drawn = generator_class("smote")(settings).fit(data, seed=0).sample(groups, seed=1)
        broken[derive] = violated_identities(drawn, FEATURES)["ratio"].mean()
    assert broken[False] > 0.02
    assert broken[True] == 0


def test_judged_rows_may_be_those_that_a_stage_wrote(roles, schema):
    """Types and order are the user's; features are taken by name."""
    train = make_table([30, 40, 20, 50])
    features = np.column_stack([np.full(80, 40.0), np.linspace(8, 15, 80).round(1)])
    groups = np.repeat(np.arange(4), 20)
    table = synthetic_table(features, groups, train, roles)
    judged = judge_synthetic(table, train, make_table([30] * 4, 3), roles).to_pandas()
    whole = judged[judged["group"] == "all"].set_index(["metric", "column"])["value"]
    assert whole["out_of_bounds", ""] == 0
    assert whole["shape", "iron"] > whole["shape", "age"]
