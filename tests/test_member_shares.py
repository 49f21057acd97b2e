# SPDX-License-Identifier: MIT
"""Shares of an ensemble's members: the likeliest ones, and how far rows are sure of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mcrage.classifiers.member_shares import most_likely_shares, shares_of


def told_by(blur: list[float], n: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Return scores of members that see the log odds through noise of these sizes, and outcomes."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, n)
    y = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    seen = [odds + random.normal(0, size, n) for size in blur]
    return [1 / (1 + np.exp(-one)) for one in seen], y


def loss(shares: np.ndarray, scores: list[np.ndarray], y: np.ndarray) -> float:
    score = np.average(scores, axis=0, weights=shares)
    return -np.mean(np.log(np.where(y == 1, score, 1 - score)))


@pytest.mark.parametrize("seed", range(3))
def test_the_likeliest_shares_are_those_that_an_optimiser_finds(seed):
    scores, y = told_by([0.3, 0.5, 0.6, 2.0], 300, seed)
    told = np.where(y == 1, scores, 1 - np.array(scores)).T
    expected = minimize(
        loss,
        np.full(4, 0.25),
        args=(scores, y),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    found = most_likely_shares(told)
    assert loss(found, scores, y) == pytest.approx(expected.fun, abs=1e-7)
    np.testing.assert_allclose(found, expected.x, atol=0.01)


def test_members_that_see_as_well_count_the_same():
    scores, y = told_by([0.8, 0.8, 0.8], 400)
    np.testing.assert_array_equal(shares_of(scores, y), np.full(3, 1 / 3))


def test_few_rows_are_not_sure_of_what_many_are():
    blur = [0.3, 0.3, 2.0]
    np.testing.assert_array_equal(shares_of(*told_by(blur, 30)), np.full(3, 1 / 3))
    shares = shares_of(*told_by(blur, 20_000))
    assert shares[2] < 0.1
    assert shares[:2].min() > 0.2


def test_shares_go_no_farther_than_two_standard_errors():
    scores, y = told_by([0.3, 0.6, 1.5], 2_000)
    told = np.where(y == 1, scores, 1 - np.array(scores)).T
    found, best = shares_of(scores, y), most_likely_shares(told)
    assert np.abs(found - 1 / 3).max() > 0.01
    assert np.abs(found - best).max() > 0.01
    worse = np.log(told @ best) - np.log(told @ found)
    error = worse.std(ddof=1) / np.sqrt(len(y))
    assert 1.9 * error < worse.mean() <= 2 * error


def test_a_member_that_is_sure_and_wrong_once_is_not_infinitely_bad():
    scores, y = told_by([0.5, 0.5], 500)
    scores[0] = scores[0].copy()
    scores[0][:2] = 1 - y[:2]
    shares = shares_of(scores, y)
    assert np.isfinite(shares).all()
    assert shares[0] > 0.2


def test_of_three_levels_the_one_that_came_counts():
    random = np.random.default_rng(0)
    truth = random.dirichlet(np.ones(3), 4_000)
    y = np.array([random.choice(3, p=row) for row in truth])
    shares = shares_of([truth, np.full((4_000, 3), 1 / 3)], y)
    assert shares[0] > 0.9
    # Two levels in two columns are the same as the second alone.
    scores, y = told_by([0.3, 1.5], 2_000)
    columns = [np.stack([1 - score, score], axis=1) for score in scores]
    np.testing.assert_allclose(shares_of(columns, y), shares_of(scores, y))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.lists(st.floats(0, 4), min_size=2, max_size=5),
)
def test_shares_are_shares_and_no_worse_than_the_mean(seed, n, blur):
    scores, y = told_by(blur, n, seed)
    shares = shares_of(scores, y)
    assert shares.shape == (len(blur),)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)
    if n:
        equal = np.full(len(blur), 1 / len(blur))
        assert loss(shares, scores, y) <= loss(equal, scores, y) + 1e-9
