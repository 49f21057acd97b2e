# SPDX-License-Identifier: MIT
"""Multinomial diffusion against transition matrices, Bayes' rule, scipy and simulation."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import entropy

from mcrage.diffusion.multinomial import Multinomial
from mcrage.diffusion.schedule import cosine_schedule, linear_schedule

SCHEDULES = [cosine_schedule(100), cosine_schedule(1000, 0.2), linear_schedule(35, 1e-10, 0.2)]


def step_matrix(schedule, t: int, n_levels: int) -> np.ndarray:
    """Return q(x_t | x_{t-1}), rows are x_{t-1}."""
    beta = float(schedule.betas[t])
    return (1 - beta) * np.eye(n_levels) + beta / n_levels


def until_matrix(schedule, t: int, n_levels: int) -> np.ndarray:
    """Return q(x_t | x_0), the product of all steps; t = -1 is before the first."""
    return all_until(tuple(schedule.betas.tolist()), n_levels)[t + 1]


@lru_cache
def all_until(betas: tuple[float, ...], n_levels: int) -> list[np.ndarray]:
    """Return the products of the first 0, 1, ... steps."""
    products = [np.eye(n_levels)]
    for beta in betas:
        step = (1 - beta) * np.eye(n_levels) + beta / n_levels
        products.append(products[-1] @ step)
    return products


def bayes(schedule, t: int, start: np.ndarray, noised: int) -> np.ndarray:
    """Return q(x_{t-1} | x_t, x_0), with x_0 as a distribution over levels."""
    n_levels = len(start)
    joint = step_matrix(schedule, t, n_levels)[:, noised] * (
        start @ until_matrix(schedule, t - 1, n_levels)
    )
    return joint / joint.sum()


def steps(schedule) -> list[int]:
    """Return both ends of a chain and some steps between."""
    last = schedule.n_timesteps - 1
    return [0, 1, last // 2, last - 1, last]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_marginals_are_products_of_step_matrices(schedule):
    chain = Multinomial([2, 7], schedule)
    for t in steps(schedule):
        codes = torch.tensor([[1, 3], [0, 6]])
        found = chain.marginal(codes, torch.tensor([t, t])).numpy()
        for row in range(2):
            for column, part in enumerate((slice(0, 2), slice(2, 9))):
                n_levels = part.stop - part.start
                expected = until_matrix(schedule, t, n_levels)[codes[row, column]]
                np.testing.assert_allclose(found[row, part], expected, atol=1e-6, rtol=2e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_posteriors_and_predictions_follow_bayes_rule(schedule):
    chain = Multinomial([5], schedule)
    logits = np.random.default_rng(0).normal(size=5) * 3
    for t in steps(schedule):
        for noised in range(5):
            # Before the first step nothing but x_0 is possible, whatever a row shows.
            place = torch.tensor([t]), torch.tensor([[noised]])
            for code in range(5):
                found = chain.posterior(torch.tensor([[code]]), place[1], place[0])[0]
                expected = bayes(schedule, t, np.eye(5)[code], noised)
                np.testing.assert_allclose(found.numpy(), expected, atol=1e-6, rtol=1e-4)
            output = torch.tensor(logits[None], dtype=torch.float32)
            found = chain.prediction(output, place[1], place[0])[0]
            expected = bayes(schedule, t, np.exp(log_softmax(logits)), noised)
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_losses_are_scipys_relative_entropy(schedule):
    rng = np.random.default_rng(1)
    counts = [2, 3, 11]
    chain = Multinomial(counts, schedule)
    output = rng.normal(size=(80, sum(counts))) * 2
    codes = np.stack([rng.integers(0, n, 80) for n in counts], axis=1)
    noised = np.where(
        rng.random(codes.shape) < 0.5,
        codes,
        np.stack([rng.integers(0, n, 80) for n in counts], axis=1),
    )
    t = rng.choice(steps(schedule), 80)
    found = chain.kl(
        torch.tensor(output, dtype=torch.float32),
        *(torch.from_numpy(x) for x in (codes, noised, t)),
    ).numpy()
    edges = np.cumsum([0, *counts])
    for row in range(80):
        for column in range(3):
            logits = output[row, edges[column] : edges[column + 1]]
            own = np.eye(counts[column])[codes[row, column]]
            true = bayes(schedule, t[row], own, noised[row, column])
            guess = bayes(schedule, t[row], np.exp(log_softmax(logits)), noised[row, column])
            assert found[row, column] == pytest.approx(entropy(true, guess), abs=5e-6, rel=1e-4)


def test_the_first_step_costs_the_negative_log_likelihood():
    """Also where x̂_0 is 0 in float32."""
    chain = Multinomial([3], cosine_schedule(100))
    output = torch.tensor([[0.0, 150.0, 0.0]], requires_grad=True)
    codes, t = torch.tensor([[0]]), torch.tensor([0])
    loss = chain.kl(output, codes, codes, t)
    beta = float(cosine_schedule(100).betas[0])
    same, other = 1 - beta + beta / 3, beta / 3
    expected = 150 + np.log(other) - np.log(same)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.sum().backward()
    assert torch.isfinite(output.grad).all()
    assert output.grad[0, 1] == pytest.approx(1.0, abs=1e-4)


def sliced_cumulative(logits: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """Normalise as differences of one cumulative sum of exponentials, in float32."""
    ends = torch.tensor([0, *counts]).cumsum(0)
    cumulative = torch.cat([logits.new_tensor([-torch.inf]), torch.logcumsumexp(logits, 0)])
    high, low = cumulative[ends[1:]], cumulative[ends[:-1]]
    totals = high + torch.log(-torch.expm1(low - high))
    return logits - totals.repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize("n_columns", [1, 8, 120, 400])
def test_any_number_of_columns_is_exact(n_columns):
    rng = np.random.default_rng(2)
    counts = rng.choice([2, 2, 2, 3, 40], n_columns).tolist()
    chain = Multinomial(counts, cosine_schedule(1000))
    # As certain as a trained network, and of any size.
    logits = rng.normal(size=sum(counts)) * 8 + np.repeat(rng.normal(size=n_columns) * 20, counts)
    expected = np.concatenate([log_softmax(x) for x in np.split(logits, np.cumsum(counts)[:-1])])
    given = torch.tensor(logits, dtype=torch.float32)
    found = chain.log_softmax(given[None])[0].numpy()
    assert np.abs(found - expected).max() < 3e-5
    assert np.abs(np.exp(found) - np.exp(expected)).max() < 1e-5
    if n_columns >= 120:
        # What the published code does is lost here, so that the columns are hard enough.
        other = sliced_cumulative(given, counts).numpy()
        assert not np.abs(np.exp(other) - np.exp(expected)).max() < 1e-2

    codes = torch.from_numpy(np.stack([rng.integers(0, n, 64) for n in counts], axis=1))
    t = torch.arange(64) * 15
    noised = chain.noised(codes, t, torch.from_numpy(rng.random(codes.shape)).float())
    output = given.repeat(64, 1).requires_grad_()
    loss = chain.kl(output, codes, noised, t)
    assert torch.isfinite(loss).all()
    assert loss.min() > -1e-4
    loss.sum().backward()
    assert torch.isfinite(output.grad).all()
    totals = chain.prediction(output.detach(), noised, t).split(counts, dim=1)
    for part in totals:
        np.testing.assert_allclose(part.sum(1).numpy(), 1.0, atol=1e-5)


def test_gradients_are_those_of_plain_formulas():
    schedule, counts = cosine_schedule(100), [2, 4]
    chain = Multinomial(counts, schedule)
    rng = np.random.default_rng(3)
    t = torch.tensor([0, 1, 30, 98, 99])
    codes = torch.tensor([[0, 1], [1, 3], [1, 0], [0, 2], [1, 2]])
    noised = torch.tensor([[0, 1], [1, 2], [0, 0], [0, 3], [1, 2]])
    output = torch.tensor(rng.normal(size=(5, 6)), dtype=torch.float32, requires_grad=True)
    chain.kl(output, codes, noised, t).sum().backward()
    plain = output.detach().double().requires_grad_()
    total = 0.0
    for row in range(5):
        for column, part in enumerate((slice(0, 2), slice(2, 6))):
            n_levels, step = counts[column], int(t[row])
            before = torch.from_numpy(until_matrix(schedule, step - 1, n_levels))
            likelihood = torch.from_numpy(step_matrix(schedule, step, n_levels))
            likelihood = likelihood[:, noised[row, column]]
            true = likelihood * before[codes[row, column]]
            guess = likelihood * (torch.softmax(plain[row, part], 0) @ before)
            true, guess = true / true.sum(), guess / guess.sum()
            total = total - (true * guess.log()).sum()
    total.backward()
    np.testing.assert_allclose(output.grad.numpy(), plain.grad.numpy(), atol=2e-6)


def test_noising_draws_from_the_marginals():
    chain = Multinomial([2, 5], cosine_schedule(100))
    n = 40_000
    codes = torch.tensor([[1, 3]]).repeat(n, 1)
    # All quantiles of a uniform number, in an order that differs by column.
    ramp = (torch.arange(n, dtype=torch.float32) + 0.5) / n
    uniform = torch.stack([ramp, ramp.flip(0)], dim=1)
    for t in (0, 40, 99):
        steps = torch.full((n,), t)
        expected = chain.marginal(codes[:1], steps[:1])[0]
        found = chain.one_hot(chain.noised(codes, steps, uniform)).mean(0)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-4)
    np.testing.assert_allclose(
        chain.one_hot(chain.start(uniform)).mean(0).numpy(), [0.5] * 2 + [0.2] * 5, atol=1e-4
    )
    ends = torch.tensor([[0.0, 1.0]])
    assert chain.start(ends).tolist() == [[0, 4]]
    assert chain.noised(codes[:1], torch.tensor([99]), ends).tolist() == [[0, 3]]


def test_levels_of_probability_zero_are_never_drawn():
    chain = Multinomial([3, 4], cosine_schedule(100))
    never = -1e4
    output = torch.tensor([[never, 0.0, never, never, never, 0.0, never]]).repeat(3, 1)
    noised = torch.tensor([[0, 3]]).repeat(3, 1)
    for uniform in (0.0, 0.5, 1.0):
        drawn = chain.before(
            output, noised, torch.zeros(3, dtype=torch.int64), torch.full((3, 2), uniform)
        )
        assert drawn.tolist() == [[1, 2]] * 3


def test_draws_have_the_predicted_probabilities():
    chain = Multinomial([2, 5], cosine_schedule(100))
    n = 40_000
    output = torch.randn(1, 7, generator=torch.Generator().manual_seed(0)).repeat(n, 1)
    noised, t = torch.tensor([[1, 3]]).repeat(n, 1), torch.full((n,), 60)
    ramp = (torch.arange(n, dtype=torch.float32) + 0.5) / n
    drawn = chain.before(output, noised, t, torch.stack([ramp, ramp.flip(0)], dim=1))
    expected = chain.prediction(output[:1], noised[:1], t[:1])[0]
    np.testing.assert_allclose(chain.one_hot(drawn).mean(0).numpy(), expected.numpy(), atol=2e-4)


def test_the_exact_denoiser_draws_the_distribution_that_it_knows():
    """Two columns that depend on each other; x̂_0 of one given the noised other is exact."""
    schedule = cosine_schedule(100)
    chain = Multinomial([2, 3], schedule)
    table = np.array([[0.4, 0.05, 0.05], [0.02, 0.08, 0.4]])
    n = 10_000
    generator = torch.Generator().manual_seed(4)

    def uniforms() -> torch.Tensor:
        return torch.rand(n, 2, generator=generator)

    state = chain.start(uniforms())
    for t in reversed(range(schedule.n_timesteps)):
        seen = [until_matrix(schedule, t, 2), until_matrix(schedule, t, 3)]
        first = (table @ seen[1]).T[state[:, 1]]  # p(first | noised second), up to a factor
        second = (table.T @ seen[0]).T[state[:, 0]]
        output = torch.from_numpy(np.log(np.concatenate([first, second], axis=1))).float()
        state = chain.before(output, state, torch.full((n,), t), uniforms())
    drawn = np.bincount(state[:, 0] * 3 + state[:, 1], minlength=6) / n
    # What is left: draws of 10,000 rows, and columns that move independently within a step.
    np.testing.assert_allclose(drawn.reshape(2, 3), table, atol=0.02)


def test_one_column_is_drawn_exactly_in_any_number_of_steps():
    """The chain's own matrices, without chance: p is exact for a column that stands alone."""
    wanted = np.array([0.7, 0.2, 0.1])
    for n_steps in (5, 100):
        schedule = cosine_schedule(n_steps)
        chain = Multinomial([3], schedule)
        output = torch.tensor(np.log(wanted)[None], dtype=torch.float32).repeat(3, 1)
        levels = torch.arange(3).unsqueeze(1)
        state = wanted @ until_matrix(schedule, n_steps - 1, 3)
        for t in reversed(range(n_steps)):
            state = state @ chain.prediction(output, levels, torch.full((3,), t)).double().numpy()
        np.testing.assert_allclose(state, wanted, atol=1e-5)
