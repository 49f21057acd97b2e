# SPDX-License-Identifier: MIT
"""Rows of numbers, levels, dates and missing values held against real ones."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from conftest import WARD, make_table
from mcrage.datasets.roles import Feature
from mcrage.encoding.columns import feature_matrix
from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.usual import completed, usual_values
from mcrage.fidelity.coverage import coverage
from mcrage.fidelity.gate import Gate
from mcrage.fidelity.judge import judge_synthetic
from mcrage.fidelity.likeness import shape, told_apart, trend, trends
from mcrage.fidelity.memorising import memorised
from mcrage.fidelity.space import Search, Space
from mcrage.fidelity.structure import (
    off_resolution,
    out_of_bounds,
    unseen_levels,
    violated_identities,
)
from mcrage.fidelity.whole import all_columns, judge_whole

MIXED = (
    Feature("a", "A"),
    Feature("b", "B", missing="keep"),
    Feature("c", "C", kind="category", levels=("x", "y", "z"), missing="keep"),
    Feature("d", "D", kind="ordinal", levels=("low", "high")),
    Feature("e", "E", kind="date"),
)
PLACES = range(len(MIXED))


def mixed(n: int, seed: int, missing: float = 0.2) -> np.ndarray:
    """Rows in which everything depends on the first number."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = np.where(rng.random(n) < missing, np.nan, 5 + 2 * a + rng.normal(size=n))
    c = np.where(rng.random(n) < missing, np.nan, np.digitize(a + rng.normal(size=n), [-0.5, 0.5]))
    d = (a + rng.normal(size=n) > 0).astype(float)
    return np.column_stack([a, b, c, d, 15000 + rng.integers(0, 300, n)])


# --- columns ------------------------------------------------------------------------------------


def test_shape_of_levels_is_one_minus_total_variation_with_missing_as_a_level():
    real = np.array([[0, 0, 1, 2, np.nan]]).T
    drawn = np.array([[0, 1, 1, np.nan, np.nan]]).T
    # Shares (0, 1, 2, missing): .4 .2 .2 .2 and .2 .4 0 .4.
    assert shape(drawn, real, MIXED[2:3]) == pytest.approx([1 - 0.5 * (0.2 + 0.2 + 0.2 + 0.2)])


@given(st.integers(0, 500), st.integers(2, 30), st.integers(2, 30))
def test_shape_of_numbers_with_gaps_is_between_that_of_states_and_of_values(seed, m, n):
    rng = np.random.default_rng(seed)
    mine, other = rng.normal(size=m), rng.normal(1, 1, n)
    states = [rng.random(size) < 0.4 for size in (m, n)]
    states[0][0] = states[1][0] = False
    ks = stats.ks_2samp(mine[~states[0]], other[~states[1]], method="asymp").statistic
    gaps = [flags.mean() for flags in states]
    mine[states[0]], other[states[1]] = np.nan, np.nan
    (found,) = shape(mine[:, None], other[:, None], MIXED[1:2])
    assert found == pytest.approx(min(gaps) + (1 - max(gaps)) * (1 - ks))
    assert found <= 1 - abs(gaps[0] - gaps[1]) + 1e-12


def test_shape_of_columns_without_any_value():
    nothing, values = np.full((4, 1), np.nan), np.arange(4.0)[:, None]
    assert shape(nothing, nothing, MIXED[1:2]).tolist() == [1]
    assert shape(nothing, values, MIXED[1:2]).tolist() == [0]


# --- pairs --------------------------------------------------------------------------------------


def test_trends_are_correlations_and_contingencies():
    drawn, real = mixed(200, 0), mixed(300, 1)
    found = trends(drawn, real, MIXED)
    both = [rows[~np.isnan(rows[:, 1])] for rows in (drawn, real)]
    correlations = [stats.pearsonr(rows[:, 0], rows[:, 1]).statistic for rows in both]
    assert found[0, 1] == pytest.approx(1 - abs(correlations[0] - correlations[1]) / 2)
    tables = []
    for rows in (drawn, real):
        table = np.zeros((4, 2))
        np.add.at(table, (np.nan_to_num(rows[:, 2], nan=3).astype(int), rows[:, 3].astype(int)), 1)
        tables.append(table / table.sum())
    assert found[2, 3] == pytest.approx(1 - np.abs(tables[0] - tables[1]).sum() / 2)
    # A number and levels, the number in ten bins over the range of real ones.
    edges = np.linspace(real[:, 0].min(), real[:, 0].max(), 11)
    tables = []
    for rows in (drawn, real):
        place = np.clip(np.searchsorted(edges, rows[:, 0], "right"), 0, 11)
        place[rows[:, 0] == edges[-1]] = 10
        table = np.zeros((12, 2))
        np.add.at(table, (place, rows[:, 3].astype(int)), 1)
        tables.append(table / table.sum())
    assert found[0, 3] == pytest.approx(1 - np.abs(tables[0] - tables[1]).sum() / 2)
    assert np.isnan(np.diag(found)).all()
    assert np.array_equal(found, found.T, equal_nan=True)
    assert trend(drawn, real, MIXED) == pytest.approx(found[np.triu_indices(5, 1)].mean())


def test_trend_falls_where_columns_lose_their_ties():
    rng = np.random.default_rng(2)
    real, drawn = mixed(2000, 3), mixed(2000, 4)
    shuffled = np.column_stack([rng.permutation(drawn[:, place]) for place in PLACES])
    assert shape(shuffled, real, MIXED) == pytest.approx(shape(drawn, real, MIXED))
    assert trend(shuffled, real, MIXED) < trend(drawn, real, MIXED) - 0.03


def test_pairs_of_many_levels_are_counted_where_they_occur():
    many = (Feature("p", "P", kind="category", levels=tuple(map(str, range(50_000)))),) * 2
    rows = np.random.default_rng(5).integers(0, 50_000, (300, 2)).astype(float)
    assert trends(rows, rows, many)[0, 1] == 1
    assert trends(rows, (rows + 1) % 50_000, many)[0, 1] < 0.05


def test_levels_are_told_apart_by_what_they_are_and_not_by_their_order():
    rng = np.random.default_rng(6)
    levels = (Feature("p", "P", kind="category", levels=tuple(map(str, range(400)))),)
    even = 2.0 * rng.integers(0, 12, (600, 1))
    assert told_apart(even, even[:300] + 1, levels, 0)[0] > 0.9
    same = rng.permutation(even)[:300]
    assert told_apart(even, same, levels, 0)[0] < 0.6
    # Missing values are seen, too.
    gaps = np.where(rng.random(even.shape) < 0.5, np.nan, even)
    assert told_apart(gaps, even, levels, 0)[0] > 0.7
    # More levels than trees can tell apart.
    many = np.concatenate([np.arange(400.0)[:, None], even])
    assert told_apart(many, even[:300] + 1, levels, 0)[0] > 0.9


# --- space --------------------------------------------------------------------------------------


def one_hot(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The space written out: numbers by their deviations, levels and states one-hot / √2."""
    parts = []
    for place, feature in enumerate(MIXED):
        values = rows[:, place]
        if feature.levels:
            codes = np.where(np.isnan(values), len(feature.levels), values).astype(int)
            parts.append(np.eye(len(feature.levels) + 1)[codes] / np.sqrt(2))
            continue
        known = reference[:, place]
        scores = (values - np.nanmean(known)) / np.nanstd(known)
        parts.append(np.nan_to_num(scores)[:, None])
        if feature.missing == "keep":
            parts.append(np.eye(2)[np.isnan(values).astype(int)] / np.sqrt(2))
    return np.hstack(parts)


def test_distances_are_those_of_one_hot_codes():
    train, others = mixed(150, 7), mixed(80, 8)
    space = Space.of(train, MIXED)
    search = Search.of(space.points(train))
    pairs = cdist(one_hot(others, train), one_hot(train, train))
    distances, rows = search.nearest(space.points(others), 3)
    assert np.allclose(distances, np.sort(pairs, axis=1)[:, :3])
    assert np.allclose(pairs[np.arange(80)[:, None], rows], distances)
    among = cdist(one_hot(train, train), one_hot(train, train))
    np.fill_diagonal(among, np.inf)
    assert np.allclose(search.among(), among.min(axis=1))
    some = search.among(10)
    assert np.isfinite(some).sum() == 10
    assert np.allclose(some[np.isfinite(some)], among.min(axis=1)[np.isfinite(some)])


def test_chunks_do_not_matter_and_copies_have_distance_zero(monkeypatch):
    train = mixed(300, 9) * np.array([1e6, 1, 1, 1, 1])
    space = Space.of(train, MIXED)
    search = Search.of(space.points(train))
    whole = search.nearest(space.points(train[:50].copy()), 2)
    assert (whole[0][:, 0] == 0).all()
    assert (whole[1][:, 0] == np.arange(50)).all()
    monkeypatch.setattr("mcrage.fidelity.space._PAIRS", 1000)
    chunked = search.nearest(space.points(train[:50].copy()), 2)
    assert np.array_equal(whole[0], chunked[0])
    assert search.among().min() > 0


def test_distance_to_a_mean_counts_levels_by_their_shares():
    train = mixed(100, 10)
    space = Space.of(train, MIXED)
    points, written = space.points(train), one_hot(train, train)
    expected = np.linalg.norm(written[:30] - written.mean(axis=0), axis=1)
    assert np.allclose(points.take(np.arange(30)).radii(points), expected)


# --- coverage -----------------------------------------------------------------------------------


def test_people_of_the_same_kind_cover_each_other():
    found = coverage(mixed(1500, 11), mixed(1500, 12), MIXED, 0)
    assert found.alpha_precision > 0.95
    # A real row's nearest is as often a synthetic as a real one.
    assert found.beta_recall == pytest.approx(0.5, abs=0.05)


def test_coverage_tells_a_narrow_cloud_from_a_strange_one():
    real = mixed(1500, 13)
    narrow = mixed(1500, 14)
    narrow[:, [0, 1, 4]] = np.nanmean(real[:, [0, 1, 4]], axis=0)
    strange = mixed(1500, 15) + np.array([10, 0, 0, 0, 2000.0])
    assert coverage(narrow, real, MIXED, 0).beta_recall < 0.2
    assert coverage(strange, real, MIXED, 0).alpha_precision < 0.1
    assert np.isnan(coverage(real[:10], real, MIXED, 0).beta_recall)


# --- structure ----------------------------------------------------------------------------------


def test_missing_values_and_codes_break_nothing():
    features = (
        Feature("a", "A", resolution=0.1, lower=0.0, upper=9.0, missing="keep"),
        Feature("twice", "2 A", resolution=0.1, formula="2 * a", missing="keep"),
        Feature("c", "C", kind="category", levels=("x", "y"), missing="keep"),
        Feature("e", "E", kind="date"),
    )
    good = [[1.0, 2.0, 1, 15000], [np.nan, 2.0, np.nan, 15000], [1.0, np.nan, 0, 15000]]
    bad = [[1.0, 3.0, 1, 15000], [1.0, 2.0, 1, 15000.5], [-1.0, -2.0, 1, 15000]]
    rows = np.array(good + bad)
    assert violated_identities(rows, features)["twice"].tolist() == [False] * 3 + [
        True,
        False,
        False,
    ]
    assert off_resolution(rows, features).tolist() == [False] * 4 + [True, False]
    assert out_of_bounds(rows, features).tolist() == [False] * 5 + [True]


def test_levels_that_no_training_row_has_are_found():
    train = np.array([[0.0, 0, 0, 0, 0], [0, 0, 2, 0, 0]])
    rows = np.array([[0.0, 0, 1, 0, 0], [0, 0, 2, 1, 0], [0, 0, np.nan, 0, 0]])
    found = unseen_levels(rows, train, MIXED)
    assert {name: flags.tolist() for name, flags in found.items()} == {
        "c": [True, False, False],
        "d": [False, True, False],
    }


# --- memorising and the gate --------------------------------------------------------------------


def test_copies_are_found_among_levels(schema):
    train, groups = mixed(400, 16), np.repeat([0, 1], 200)
    held_out, fresh = mixed(400, 17), mixed(400, 18)

    def judged(rows):
        shares = memorised(rows, groups, train, groups, held_out, groups, MIXED, seed=0)
        return {(share.metric, share.group): share for share in shares}

    for share in judged(fresh).values():
        assert abs(share.value - share.reference) <= 4 * share.error + 1e-12, share
    copied = judged(train.copy())
    assert {copied["copies", group].value for group in (0, 1)} == {1.0}
    assert {copied["nearer_to_training", group].value for group in (0, 1)} == {1.0}
    gate = Gate.of(train, groups, schema, MIXED)
    assert not gate.keep(train.copy(), groups).any()
    assert gate.keep(fresh, groups).mean() > 0.95


def test_the_gate_knows_imputed_rows_as_the_generator_saw_them(schema):
    features = tuple(replace(feature, missing="impute") for feature in MIXED)
    train, groups = mixed(300, 19), np.zeros(300, dtype=int)
    seen = completed(train, features, usual_values(train, features))
    assert not np.isnan(seen).any()
    assert not Gate.of(train, groups, schema, features).keep(seen, groups).any()


def test_what_is_kept_as_information_stays_missing():
    rows = mixed(50, 20)
    assert np.array_equal(completed(rows, MIXED, usual_values(rows, MIXED)), rows, equal_nan=True)
    usual = usual_values(rows, MIXED)
    assert usual[1] == np.nanquantile(rows[:, 1], 0.5, method="inverted_cdf")
    assert usual[1] in rows[:, 1]
    for column in range(rows.shape[1]):
        feature = replace(MIXED[column], missing="impute")
        learnt = MixedEncoding.fit(rows[:, [column]], [feature]).usual
        assert learnt == usual[column]
    assert usual[2] == stats.mode(rows[:, 2], nan_policy="omit").mode


# --- one table ----------------------------------------------------------------------------------

UNIT = Feature("unit", "Unit", kind="category", levels=("a", "b", "c"), missing="keep")
LAB = Feature("lab", "Lab", resolution=0.1, missing="impute")
ROLES = replace(WARD, features=(*WARD.features, UNIT, LAB), columns=(*WARD.columns, "unit", "lab"))


def ward(counts, seed: int, levels: str = "ab", missing: float = 0.1) -> pa.Table:
    table = make_table(counts, seed, first_id=1000 * seed)
    rng = np.random.default_rng([seed, 1])
    n = table.num_rows
    unit = pa.array(rng.choice(list(levels), n), mask=rng.random(n) < missing)
    lab = pa.array(rng.normal(5, 1, n).round(1), mask=rng.random(n) < 0.3)
    return table.append_column("unit", unit).append_column("lab", lab)


def test_the_table_tells_of_levels_and_gaps_beside_what_real_rows_have():
    train, held_out = ward([60] * 4, 1), ward([60] * 4, 2)
    drawn = ward([50] * 4, 3, levels="abc", missing=0.6).drop_columns(["row_id"])
    place = drawn.schema.get_field_index("lab")
    drawn = drawn.set_column(place, "lab", pa.array(np.full(200, 5.0)))
    found = judge_synthetic(drawn, train, held_out, ROLES).to_pandas()
    whole = found[found["group"] == "all"].set_index(["metric", "column"])
    gaps = whole.loc[("missing", "unit")]
    assert (gaps["value"], gaps["reference"]) == (
        pytest.approx(drawn["unit"].null_count / 200),
        pytest.approx(held_out["unit"].null_count / 240, abs=0.02),
    )
    assert gaps["value"] > gaps["reference"] + 4 * gaps["std_error"]
    assert ("missing", "lab") not in whole.index
    unseen = whole.loc[("unseen_levels", "unit")]
    assert unseen["value"] > 0.05
    assert unseen["reference"] == 0
    assert whole.loc[("unseen_levels", ""), "value"] == unseen["value"]
    assert not found[found["metric"] != "dropped"]["value"].isna().any()


def test_groups_without_held_out_rows_do_not_blank_the_others():
    train, held_out = ward([60] * 4, 1), ward([0, 60, 60, 60], 2)
    drawn = ward([50] * 4, 3).drop_columns(["row_id"])
    found = judge_synthetic(drawn, train, held_out, ROLES).to_pandas()
    copies = found[found["metric"] == "copies"].set_index("group")
    assert np.isnan(copies.loc["SEX=F, SOURCE=out", "reference"])
    assert copies.loc["all", "reference"] == 0
    assert copies.loc["all", "support"] == 200


def test_a_whole_table_has_its_groups_as_columns():
    features = all_columns(ROLES)
    assert [feature.column for feature in features] == [
        "age",
        "iron",
        "unit",
        "lab",
        "SEX",
        "SOURCE",
    ]
    train, held_out, drawn = (feature_matrix(ward([100] * 4, seed), features) for seed in (1, 2, 3))
    honest = judge_whole(drawn, train, held_out, features)
    copied = judge_whole(train.copy(), train, held_out, features)
    shuffled = drawn.copy()
    shuffled[:, 4:] = np.random.default_rng(0).permutation(shuffled[:, 4:])
    assert abs(honest["nearer_to_training"] - 0.5) < 4 * honest["nearer_to_training_error"]
    assert copied["nearer_to_training"] > 0.99
    assert honest["c2st"] > 0.7
    assert judge_whole(shuffled, train, held_out, features)["trend"] < honest["trend"]
