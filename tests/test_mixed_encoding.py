# SPDX-License-Identifier: MIT
"""Encoding of features of any type: round trips, what may be missing, zeros, levels, state."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage.datasets.roles import Feature
from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.numeric import NumericEncoding
from mcrage.encoding.scaling import SCALINGS
from mcrage.encoding.spikes import spikes_of
from mcrage.encoding.states import AMOUNT, MISSING, codes_of
from mcrage.errors import UserError


def column(feature: Feature, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return made-up values of a feature, as a feature matrix holds them."""
    if feature.levels:
        values = rng.choice(len(feature.levels), n).astype(float)
    elif feature.kind == "date":
        values = rng.integers(10_000, 20_000, n).astype(float)
    elif feature.kind == "integer":
        values = np.round(rng.lognormal(3, 1, n))
    else:
        values = np.round(rng.normal(40, 7, n) / feature.resolution) * feature.resolution
    if feature.label == "spike":
        values[rng.random(n) < 0.5] = values[0]
    if feature.label == "zeros":
        values[rng.random(n) < 0.7] = 0.0
    if feature.label == "constant":
        values[:] = values[0]
    if feature.missing != "none":
        values[rng.random(n) < 0.3] = np.nan
        if feature.label == "empty":
            values[:] = np.nan
        elif feature.missing == "impute":
            values[0] = values[~np.isnan(values)][0] if not np.isnan(values).all() else 1.0
    return values


KINDS = {
    "continuous": {"resolution": 0.25},
    "integer": {},
    "date": {},
    "category": {"levels": tuple("abcdefghij")},
    "ordinal": {"levels": ("low", "middle", "high")},
}


@st.composite
def features_of_any_kind(draw) -> list[Feature]:
    """Draw some features."""
    drawn = []
    for place in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(list(KINDS)))
        missing = draw(st.sampled_from(["none", "keep", "impute"]))
        special = ["", "constant"]
        if missing == "keep":
            special.append("empty")
        if kind in ("continuous", "integer"):
            special += ["zeros", "spike"]
        label = draw(st.sampled_from(special))
        drawn.append(Feature(f"X{place}", label, kind=kind, missing=missing, **KINDS[kind]))
    return drawn


@settings(max_examples=100, deadline=None)
@given(
    features=features_of_any_kind(),
    n=st.integers(1, 120),
    seed=st.integers(0, 10_000),
    scaling=st.sampled_from(list(SCALINGS)),
    spikes=st.sampled_from(["none", "zero", "all"]),
)
def test_rows_of_any_mix_of_columns_survive_the_round_trip(features, n, seed, scaling, spikes):
    rng = np.random.default_rng(seed)
    rows = np.stack([column(feature, n, rng) for feature in features], axis=1)
    within = rng.integers(0, 3, n)
    encoding = MixedEncoding.fit(
        rows, features, scaling=scaling, seed=seed, within=within, spikes=spikes
    )
    numbers, codes = encoding.transform(rows, within=within)
    assert numbers.dtype == np.float32
    assert numbers.shape == (n, encoding.n_numbers)
    assert codes.dtype == np.int64
    assert codes.shape == (n, len(encoding.cardinalities))
    assert np.isfinite(numbers).all()
    for place, counts in enumerate(encoding.code_counts):
        assert len(counts) == encoding.cardinalities[place] > 1
        np.testing.assert_array_equal(np.bincount(codes[:, place]), counts)
    back = encoding.inverse(numbers, codes, within)
    for place, feature in enumerate(features):
        wanted = rows[:, place]
        if feature.missing == "impute":
            usual = back[np.isnan(wanted), place]
            # All alike, and a value that was recorded.
            assert len(set(usual)) <= 1
            assert set(usual) <= set(wanted)
            wanted = np.where(np.isnan(wanted), back[:, place], wanted)
        np.testing.assert_array_equal(back[:, place], wanted)
    # Jitter is rounded away, and what stands for no amount decodes to nothing. Spread to the very
    # edge of its interval a single precision may put a value into the next one: of few, by a grain.
    numbers, _ = encoding.transform(rows, jitter_seed=seed, within=within)
    again = encoding.inverse(numbers, codes, within)
    for place, feature in enumerate(features):
        grain = 0 if feature.levels else 0.25 if feature.kind == "continuous" else 1
        np.testing.assert_allclose(again[:, place], back[:, place], rtol=1e-12, atol=grain)
        moved = (again[:, place] != back[:, place]) & ~np.isnan(back[:, place])
        assert moved.sum() <= 2, (feature, scaling)
    # From disk it is the same.
    arrays, facts = encoding.state()
    rebuilt = MixedEncoding.from_state(arrays, json.loads(json.dumps(facts)))
    assert rebuilt.cardinalities == encoding.cardinalities
    np.testing.assert_array_equal(
        rebuilt.inverse(numbers, codes, within), encoding.inverse(numbers, codes, within)
    )


@pytest.mark.parametrize("seed", range(20))
def test_recorded_extremes_survive_quantile_scaling(seed):
    # Far from their neighbours, and with jitter that may move them inwards.
    values = np.concatenate([np.arange(100.0, 150.0), [-90_000.0, 99_999.0]])[:, None]
    encoding = MixedEncoding.fit(
        values, [Feature("X", "x", kind="integer")], scaling="quantile", seed=seed
    )
    numbers, codes = encoding.transform(values)
    np.testing.assert_array_equal(encoding.inverse(numbers, codes), values)


def test_extremes_among_more_rows_than_quantiles_are_fitted_on_survive():
    rng = np.random.default_rng(1)
    values = np.round(rng.normal(0, 100, (150_000, 1)))
    values[rng.integers(0, len(values))] = 99_999.0
    encoding = NumericEncoding.fit(values, [Feature("X", "x", kind="integer")], scaling="quantile")
    ends = np.array([values.min(), values.max()])[:, None]
    np.testing.assert_array_equal(encoding.inverse(encoding.transform(ends)), ends)


@settings(max_examples=60, deadline=None)
@given(
    features=features_of_any_kind(), seed=st.integers(0, 10_000), scale=st.floats(0.1, 30)
)  # fmt: skip
def test_whatever_is_drawn_decodes_to_values_that_training_rows_could_hold(features, seed, scale):
    rng = np.random.default_rng(seed)
    rows = np.stack([column(feature, 80, rng) for feature in features], axis=1)
    encoding = MixedEncoding.fit(rows, features, seed=seed)
    numbers = rng.normal(0, scale, (200, encoding.n_numbers)).astype(np.float32)
    codes = rng.integers(0, np.array(encoding.cardinalities), (200, len(encoding.cardinalities)))
    drawn = encoding.inverse(numbers, codes)
    for place, feature in enumerate(features):
        seen, new = rows[:, place], drawn[:, place]
        if feature.missing != "keep" or not np.isnan(seen).any():
            assert not np.isnan(new).any()
        seen, new = seen[~np.isnan(seen)], new[~np.isnan(new)]
        if feature.levels:
            assert set(new) <= set(seen)
        elif len(new):
            assert seen.min() <= new.min() <= new.max() <= seen.max()
            grain = 0.25 if feature.kind == "continuous" else 1.0
            np.testing.assert_array_equal(new / grain, np.round(new / grain))


@pytest.mark.parametrize("scaling", list(SCALINGS))
def test_complete_numbers_are_encoded_as_they_were_before_there_were_codes(scaling):
    rng = np.random.default_rng(0)
    rows, within = rng.normal(50, 9, (300, 3)).round(1), rng.integers(0, 3, 300)
    features = [Feature(name, name, resolution=0.1) for name in "ABC"]
    known = {"scaling": scaling, "seed": 4, "within": within}
    mixed, plain = (kind.fit(rows, features, **known) for kind in (MixedEncoding, NumericEncoding))
    numbers, codes = mixed.transform(rows, jitter_seed=3, within=within)
    expected = plain.transform(rows, jitter_seed=3, within=within)
    np.testing.assert_array_equal(numbers, expected)
    assert codes.shape == (300, 0)
    assert mixed.cardinalities == ()
    np.testing.assert_array_equal(
        mixed.inverse(numbers, codes, within), plain.inverse(expected, within)
    )


def test_zeros_and_missing_values_have_a_state_and_leave_the_amounts_their_distribution():
    rng = np.random.default_rng(1)
    gain = np.where(rng.random(5000) < 0.9, 0.0, np.round(rng.lognormal(8, 1, 5000)) + 1)
    gain[rng.random(5000) < 0.1] = np.nan
    feature = Feature("GAIN", "Gain", kind="integer", missing="keep")
    encoding = MixedEncoding.fit(gain[:, None], [feature])
    assert encoding.cardinalities == (3,)
    numbers, codes = encoding.transform(gain[:, None])
    assert encoding.states == ((0, 2),)
    amounts = codes[:, 0] == 2
    np.testing.assert_array_equal(amounts, gain > 0)
    # Standardised among themselves, whatever stands in for the others.
    assert abs(numbers[amounts].mean()) < 0.01
    assert abs(numbers[amounts].std() - 1) < 0.02
    assert (numbers[~amounts] == 0).all()
    jittered, _ = encoding.transform(gain[:, None], jitter_seed=0)
    assert abs(jittered[~amounts].std() - 1) < 0.05
    whole = MixedEncoding.fit(gain[:, None], [feature], spikes="none")
    assert whole.cardinalities == (2,)


def test_few_zeros_are_amounts():
    rows = np.arange(100.0)[:, None] % 10
    feature = Feature("N", "n", kind="integer")
    assert MixedEncoding.fit(rows, [feature]).cardinalities == ()


def test_what_training_rows_lack_has_no_code():
    levels = Feature("L", "l", kind="category", levels=("a", "b", "c"), missing="keep")
    rows = np.array([[0.0], [2.0], [2.0]])
    encoding = MixedEncoding.fit(rows, [levels])
    assert encoding.cardinalities == (2,)
    np.testing.assert_array_equal(encoding.transform(rows)[1], [[0], [1], [1]])
    for other, told in ((1.0, "a value of a kind"), (np.nan, "a missing value")):
        with pytest.raises(UserError, match=f"column L: 1 rows with {told}"):
            encoding.transform(np.array([[0.0], [other]]))


def test_scaling_within_parts_fills_from_the_same_part():
    rng = np.random.default_rng(2)
    within = np.arange(4000) % 2
    values = rng.normal(10, 1, 4000) + 3 * within
    values[(within == 1) & (rng.random(4000) < 0.8)] = np.nan
    feature = Feature("X", "x", missing="keep")
    encoding = MixedEncoding.fit(
        values[:, None], [feature], scaling="within_subgroup", within=within
    )
    numbers, codes = encoding.transform(values[:, None], within=within)
    for part in (0, 1):
        amounts = numbers[(within == part) & (codes[:, 0] == 1)]
        assert abs(amounts.mean()) < 0.05
        assert abs(amounts.std() - 1) < 0.05


def test_a_formula_recomputes_complete_columns_alone():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(1, 2, 200), rng.uniform(1, 2, 200)
    features = [
        Feature("A", "a"),
        Feature("B", "b", missing="keep"),
        Feature("R", "r", formula="A / B", missing="keep"),
    ]
    rows = np.stack([a, b, a / b], axis=1)
    whole = MixedEncoding.fit(rows, features, derive=True)
    assert whole.n_numbers == 2
    np.testing.assert_allclose(whole.inverse(*whole.transform(rows)), rows, rtol=1e-5)
    rows[:50, 1] = np.nan
    lacking = MixedEncoding.fit(rows, features, derive=True)
    assert lacking.n_numbers == 3
    assert lacking.cardinalities == (2,)
    np.testing.assert_allclose(lacking.inverse(*lacking.transform(rows)), rows, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "missing", "told"),
    [
        ([1.0, np.nan], "none", "column X: 1 missing values"),
        ([1.0, np.inf], "keep", "column X: 1 infinite values"),
        ([np.nan, np.nan], "impute", "column X: no training row has a value"),
    ],
)
def test_what_cannot_be_encoded_is_told(values, missing, told):
    with pytest.raises(UserError, match=told):
        MixedEncoding.fit(np.array(values)[:, None], [Feature("X", "x", missing=missing)])


def test_what_to_write_in_the_card_is_told_by_its_keys():
    """Keys that a card takes: its model is closed, so others would be refused."""
    from mcrage.datasets.column_model import Column

    def told(rows, missing: str) -> str:
        with pytest.raises(UserError) as no:
            MixedEncoding.fit(np.array(rows)[:, None], [Feature("X", "x", missing=missing)])
        return str(no.value)

    empty = told([np.nan, np.nan], "impute")
    assert "columns.X.type: ignored, or .missing: keep, in the card" in empty
    assert "columns.X.na_values in the card" in told([1.0, np.inf], "keep")
    with pytest.raises(UserError, match=r"1 rows with a missing .* columns.X.missing: impute in"):
        codes_of(np.array([MISSING, AMOUNT]), (AMOUNT,), Feature("X", "x", missing="keep"))
    assert {"type", "missing", "na_values", "minimum"} <= set(Column.model_fields)


def test_a_table_of_categories_alone_has_no_numbers():
    features = [Feature(name, name, kind="category", levels=("a", "b")) for name in "XY"]
    rows = np.array([[0.0, 1.0], [1.0, 1.0]])
    encoding = MixedEncoding.fit(rows, features, scaling="quantile")
    numbers, codes = encoding.transform(rows, jitter_seed=0)
    assert numbers.shape == (2, 0)
    # What is constant needs no column.
    assert encoding.cardinalities == (2,)
    np.testing.assert_array_equal(encoding.inverse(numbers, codes), rows)


def test_values_that_stand_out_have_a_state_and_leave_the_amounts_their_distribution():
    rng = np.random.default_rng(0)
    hours = np.clip(np.round(rng.normal(38, 12, 4000)), 1, 98)
    hours[rng.random(4000) < 0.45] = 40
    hours[rng.random(4000) < 0.04] = 99
    feature = Feature("HOURS", "Hours", kind="integer", resolution=1.0)
    encoding = MixedEncoding.fit(hours[:, None], [feature], spikes="all")
    assert encoding.codes[0].spikes == (40.0, 99.0)
    numbers, codes = encoding.transform(hours[:, None])
    assert encoding.states == ((0, 2),)
    amounts = codes[:, 0] == 2
    np.testing.assert_array_equal(amounts, (hours != 40) & (hours != 99))
    assert abs(numbers[amounts].std() - 1) < 0.02
    drawn = encoding.inverse(rng.normal(size=(3, 1)), np.array([[1], [0], [0]]))
    assert drawn.ravel().tolist() == [99.0, 40.0, 40.0]


@pytest.mark.parametrize(
    ("values", "grain", "spikes"),
    [
        (np.repeat(np.arange(1.0, 8), [90, 300, 500, 700, 500, 300, 90]), 1.0, ()),
        (np.concatenate([np.zeros(30), np.arange(100.0)]), 1.0, (0.0,)),
        (np.concatenate([np.full(19, 7.5), np.linspace(0, 1, 50)]), 0.0, ()),
        (np.concatenate([np.full(20, 7.5), np.linspace(0, 1, 50)]), 0.0, (7.5,)),
        (np.concatenate([np.full(20, 7.5), np.linspace(0, 1, 500)]), 0.0, ()),
        (np.full(50, 3.0), 1.0, ()),
        (np.array([np.nan, np.nan]), 0.0, ()),
    ],
)
def test_what_stands_out(values, grain, spikes):
    assert spikes_of(values, Feature("X", "x", resolution=grain), "all") == spikes
