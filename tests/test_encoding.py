# SPDX-License-Identifier: MIT
"""Encoding of numeric features: round trips, rounding, bounds, derived columns, state."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer

from mcrage.datasets.roles import Feature
from mcrage.encoding.numeric import NumericEncoding
from mcrage.encoding.scaling import SCALINGS, QuantileScaling
from mcrage.errors import UserError

BLOOD = (
    Feature("HGB", "Haemoglobin", resolution=0.1),
    Feature("RBC", "Erythrocytes", resolution=0.01),
    Feature("MCH", "Haemoglobin of a cell", resolution=0.1, formula="10 * HGB / RBC"),
    Feature("AGE", "Age", kind="integer"),
)


def blood(n: int, seed: int = 0) -> np.ndarray:
    """Return rows whose third column follows from the first two."""
    rng = np.random.default_rng(seed)
    hgb = np.round(rng.normal(13, 2, n).clip(5, 20), 1)
    rbc = np.round(rng.normal(4.7, 0.6, n).clip(2, 8), 2)
    age = rng.integers(1, 99, n).astype(float)
    return np.stack([hgb, rbc, np.round(10 * hgb / rbc, 1), age], axis=1)


@pytest.mark.parametrize("scaling", list(SCALINGS))
@pytest.mark.parametrize("derive", [False, True])
@settings(max_examples=25, deadline=None)
@given(n=st.integers(12, 400), seed=st.integers(0, 10_000))
def test_training_rows_survive_the_round_trip(scaling, derive, n, seed):
    rows = blood(n, seed)
    within = np.random.default_rng(seed).integers(0, 4, n)
    encoding = NumericEncoding.fit(
        rows, BLOOD, scaling=scaling, derive=derive, seed=seed, within=within
    )
    encoded = encoding.transform(rows, within=within)
    assert encoded.dtype == np.float32
    assert encoded.shape == (n, 3 if derive else 4)
    np.testing.assert_array_equal(encoding.inverse(encoded, within), rows)


@pytest.mark.parametrize("scaling", ["within_subgroup", "within_group"])
def test_scaled_within_every_part_has_its_own_margins(scaling):
    rows, within = blood(4000), np.arange(4000) % 3
    rows[within == 1, 0] += 2.0
    encoding = NumericEncoding.fit(rows, BLOOD, scaling=scaling, within=within)
    encoded = encoding.transform(rows, within=within)
    for part in range(3):
        np.testing.assert_allclose(encoded[within == part].mean(axis=0), 0.0, atol=0.01)
        np.testing.assert_allclose(encoded[within == part].std(axis=0), 1.0, atol=0.01)
    # What lies at the centre of each part decodes to that part's mean.
    centres = encoding.inverse(np.zeros((3, 4)), np.arange(3))
    means = [rows[within == part, 0].mean() for part in range(3)]
    np.testing.assert_allclose(centres[:, 0], means, atol=0.06)
    again = NumericEncoding.from_state(*encoding.state())
    np.testing.assert_array_equal(again.inverse(encoded, within), encoding.inverse(encoded, within))


@settings(max_examples=50, deadline=None)
@given(
    noise=arrays(np.float32, (20, 3), elements=st.floats(-30, 30, width=32)),
    scaling=st.sampled_from(["standard", "quantile"]),
)
def test_any_matrix_decodes_to_recordable_rows(noise, scaling):
    rows = blood(100)
    encoding = NumericEncoding.fit(rows, BLOOD, scaling=scaling, derive=True)
    decoded = encoding.inverse(noise)
    for column, decimals in ((0, 1), (1, 2), (2, 1), (3, 0)):
        np.testing.assert_array_equal(decoded[:, column], np.round(decoded[:, column], decimals))
    for column in (0, 1, 3):
        assert decoded[:, column].min() >= rows[:, column].min()
        assert decoded[:, column].max() <= rows[:, column].max()
    np.testing.assert_array_equal(decoded[:, 2], np.round(10 * decoded[:, 0] / decoded[:, 1], 1))


def test_rounding_to_a_grain_that_is_no_power_of_ten():
    feature = Feature("DOSE", "Dose", resolution=0.25, lower=0.0, upper=10.0)
    encoding = NumericEncoding.fit(np.array([[1.0], [3.0]]), [feature])
    np.testing.assert_array_equal(
        encoding.inverse(np.array([[0.1], [0.13], [-1.24]])), [[2.0], [2.25], [0.75]]
    )


def test_declared_bounds_take_the_place_of_the_training_range():
    feature = Feature("SCORE", "Score", lower=0.0, upper=100.0)
    encoding = NumericEncoding.fit(np.array([[40.0], [60.0]]), [feature])
    np.testing.assert_allclose(
        encoding.inverse(np.array([[-50.0], [-1.5], [50.0]])).ravel(), [0.0, 35.0, 100.0]
    )


def test_standard_scores_are_numpys():
    rows = blood(50)
    encoded = NumericEncoding.fit(rows, BLOOD).transform(rows)
    np.testing.assert_allclose(
        encoded, (rows - rows.mean(axis=0)) / rows.std(axis=0), rtol=1e-5, atol=1e-6
    )


def test_quantile_scores_are_scikit_learns():
    values = np.random.default_rng(0).gamma(2.0, size=(900, 2)).round(1)
    theirs = QuantileTransformer(n_quantiles=30, output_distribution="normal", subsample=None)
    expected = theirs.fit_transform(values)
    scaling = QuantileScaling.fit(values.T, len(values))
    assert scaling.quantiles.shape == (30, 2)
    np.testing.assert_allclose(scaling.transform(values), expected, atol=1e-5)
    np.testing.assert_allclose(
        scaling.inverse(expected), theirs.inverse_transform(expected), atol=1e-4
    )


def test_quantile_scores_of_a_normal_column_are_standard_scores():
    values = norm.ppf(np.linspace(0.0005, 0.9995, 1000))[:, None] * 3 + 7
    encoded = NumericEncoding.fit(values, [Feature("X", "x")], scaling="quantile").transform(values)
    middle = slice(50, 950)
    np.testing.assert_allclose(encoded[middle], (values[middle] - 7) / 3, atol=0.03)


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_jitter_stays_within_half_a_resolution(scaling):
    rows = blood(300)
    encoding = NumericEncoding.fit(rows, BLOOD, scaling=scaling)
    jittered = encoding.transform(rows, jitter_seed=1)
    assert (jittered != encoding.transform(rows)).all(axis=1).mean() > 0.9
    moved = np.abs(encoding.scaling.inverse(jittered.astype(float)) - rows)
    assert (moved.max(axis=0) <= np.array([0.05, 0.005, 0.05, 0.5]) + 1e-4).all()
    np.testing.assert_array_equal(jittered, encoding.transform(rows, jitter_seed=1))


def test_a_constant_column_is_kept():
    rows = np.full((20, 1), 4.0)
    for scaling in ("standard", "quantile"):
        encoding = NumericEncoding.fit(rows, [Feature("X", "x")], scaling=scaling)
        assert np.isfinite(encoding.transform(rows)).all()
        np.testing.assert_array_equal(encoding.inverse(np.array([[3.0]])), [[4.0]])


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_state_rebuilds_the_encoding(scaling):
    rows = blood(80)
    encoding = NumericEncoding.fit(rows, BLOOD, scaling=scaling, derive=True)
    state, facts = encoding.state()
    rebuilt = NumericEncoding.from_state(state, json.loads(json.dumps(facts)))
    noise = np.random.default_rng(1).normal(size=(30, 3))
    np.testing.assert_array_equal(rebuilt.inverse(noise), encoding.inverse(noise))
    np.testing.assert_array_equal(rebuilt.transform(rows), encoding.transform(rows))


def test_missing_values_are_refused():
    rows = blood(20)
    rows[3, 1] = np.nan
    with pytest.raises(UserError, match="column RBC: 1 missing"):
        NumericEncoding.fit(rows, BLOOD)


def test_nothing_left_to_model_is_refused():
    with pytest.raises(UserError, match="none is left to model"):
        NumericEncoding.fit(np.ones((3, 1)), [Feature("X", "x", formula="2 * 3")], derive=True)


def test_division_by_zero_is_refused():
    features = (Feature("A", "a"), Feature("B", "b", formula="1 / A"))
    rows = np.array([[-1.0, -1.0], [1.0, 1.0]])
    encoding = NumericEncoding.fit(rows, features, derive=True)
    with pytest.raises(UserError, match="column B: the formula '1 / A' divides by zero") as no:
        encoding.inverse(np.zeros((1, 1)))
    assert "Write a minimum above 0" in str(no.value)


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_how_many_rows_are_coded_at_once_changes_nothing(scaling, monkeypatch):
    rows = blood(100)
    encoding = NumericEncoding.fit(rows, BLOOD, scaling=scaling, derive=True)

    def coded():
        encoded = encoding.transform(rows, jitter_seed=3)
        return encoded, encoding.inverse(encoded)

    whole = coded()
    monkeypatch.setattr("mcrage.encoding.rows._ROWS_AT_ONCE", 7)
    for parts, expected in zip(coded(), whole, strict=True):
        np.testing.assert_array_equal(parts, expected)
    rows[93, 3] = np.inf
    with pytest.raises(UserError, match="column AGE: 1 missing or infinite"):
        encoding.transform(rows)


def test_a_single_quantile_step_decodes():
    encoding = NumericEncoding.fit(blood(40), BLOOD, scaling="quantile")
    far = encoding.inverse(np.array([[-50.0] * 4, [50.0] * 4]))
    np.testing.assert_array_equal(far, [encoding.lower, encoding.upper])


@pytest.mark.parametrize("scaling", ["standard", "within_subgroup", "within_group"])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 37.7, 1e6 + 0.1])
def test_a_constant_feature_is_0_though_its_mean_is_rounded(scaling, value):
    rows, within = np.full((1000, 1), value), np.arange(1000) % 3
    fitted = SCALINGS[scaling].fit(rows.T, len(rows), within)
    scores = fitted.transform(rows, within)
    np.testing.assert_allclose(scores, 0, atol=1e-8 * max(1, value))
    np.testing.assert_allclose(fitted.inverse(scores, within), rows)
