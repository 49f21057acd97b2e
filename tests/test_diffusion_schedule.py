# SPDX-License-Identifier: MIT
"""Schedules against closed forms and the exact product of Gaussians."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from mcrage.diffusion.process import DiscreteProcess, EdmProcess
from mcrage.diffusion.schedule import (
    cosine_schedule,
    diameter,
    karras_sigmas,
    linear_schedule,
    log_normal_sigmas,
    timesteps_rule,
)

SCHEDULES = [linear_schedule(35, 1e-10, 0.2), cosine_schedule(100), cosine_schedule(50, 0.2)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_marginals_are_the_chain_composed_step_by_step(schedule):
    signal, variance = 1.0, 0.0
    for t, beta in enumerate(schedule.betas.tolist()):
        signal *= math.sqrt(1 - beta)
        variance = (1 - beta) * variance + beta
        a, s = schedule.marginal(t)
        assert a == pytest.approx(signal, rel=1e-9)
        assert s**2 == pytest.approx(variance, rel=1e-6)


def test_marginals_by_simulation():
    schedule = linear_schedule(35, 1e-10, 0.2)
    rng = np.random.default_rng(0)
    x = np.full(200_000, 1.7)
    for t, beta in enumerate(schedule.betas.tolist()):
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * rng.normal(size=x.shape)
        if t in (5, 20, 34):
            a, s = schedule.marginal(t)
            assert x.mean() == pytest.approx(1.7 * a, abs=0.01)
            assert x.std() == pytest.approx(s, abs=0.01)


def test_the_papers_schedule_ends_at_the_stated_signal():
    schedule = linear_schedule(35, 1e-10, 0.2)
    assert schedule.marginal(34)[0] ** 2 == pytest.approx(0.021, abs=5e-4)
    assert float(schedule.sigmas[0]) == pytest.approx(0.076, abs=5e-4)
    assert float(schedule.sigmas[-1]) == pytest.approx(6.9, abs=0.05)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_posterior_is_the_product_of_gaussians(schedule):
    """q(x_{t-1} | x_t, x_0) ∝ q(x_t | x_{t-1}) q(x_{t-1} | x_0), by precisions."""
    for t in range(2, schedule.n_timesteps):
        beta = float(schedule.betas[t])
        before, spread = schedule.marginal(t - 1)
        precision = (1 - beta) / beta + 1 / spread**2
        from_data, from_state, variance = schedule.posterior(t)
        assert variance == pytest.approx(1 / precision, rel=1e-6)
        assert from_data == pytest.approx(before / spread**2 / precision, rel=1e-6)
        assert from_state == pytest.approx(math.sqrt(1 - beta) / beta / precision, rel=1e-6)


def test_posterior_mean_is_the_noise_form_of_ho_et_al():
    schedule = linear_schedule(35, 1e-10, 0.2)
    x0, noise = 0.8, -1.3
    for t in range(1, 35):
        a, s = schedule.marginal(t)
        state = a * x0 + s * noise
        from_data, from_state, _ = schedule.posterior(t)
        beta = float(schedule.betas[t])
        expected = (state - beta * noise / s) / math.sqrt(1 - beta)
        assert from_data * x0 + from_state * state == pytest.approx(expected, rel=1e-6)


def test_the_last_step_returns_the_data():
    assert SCHEDULES[0].posterior(0) == (1.0, 0.0, 0.0)


def test_cosine_caps_its_variances():
    assert float(cosine_schedule(100, 0.2).betas.max()) == 0.2
    free = cosine_schedule(100)
    progress = np.cos((np.arange(1, 100) / 100 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = progress / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(free.alphas_bar[:-1].numpy(), expected, rtol=1e-9)


def test_the_papers_rule_gives_50_for_the_papers_numbers():
    assert timesteps_rule(0.2, 16.29) == 50
    assert timesteps_rule(0.5, 0.0) == 32


def test_diameter_is_the_largest_distance():
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [-3.0, -4.0]])
    assert diameter(rows, chunk=2) == pytest.approx(10.0)


def test_noise_levels_are_log_normal():
    uniform = torch.linspace(0.0005, 0.9995, 1000)
    logs = log_normal_sigmas(uniform, -0.5, 1.2).log().numpy()
    assert kstest(logs, "norm", args=(-0.5, 1.2)).pvalue > 0.999
    assert torch.isfinite(log_normal_sigmas(torch.tensor([0.0, 1.0]), 0.0, 1.0)).all()


def test_karras_grid():
    sigmas = karras_sigmas(5, 0.01, 20.0)
    assert len(sigmas) == 6
    assert sigmas[0] == pytest.approx(20.0)
    assert sigmas[4] == pytest.approx(0.01)
    assert sigmas[5] == 0
    roots = sigmas[:-1] ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots.numpy(), 2), 0, atol=1e-12)


@pytest.mark.parametrize(
    "process",
    [
        DiscreteProcess(linear_schedule(35, 1e-4, 0.2), "epsilon"),
        DiscreteProcess(cosine_schedule(20), "v"),
        EdmProcess(),
    ],
)
def test_a_network_that_returns_the_target_denoises_exactly(process):
    torch.manual_seed(0)
    rows, noise = torch.randn(64, 3), torch.randn(64, 3)
    for sigma in process.sigmas(6)[:-1].tolist():
        x = rows + sigma * noise
        if isinstance(process, EdmProcess):
            scale = math.sqrt(1 + sigma**2)
            target = (sigma * rows - noise) / scale
        else:
            a, s = 1 / math.sqrt(1 + sigma**2), sigma / math.sqrt(1 + sigma**2)
            target = noise if process.target == "epsilon" else a * noise - s * rows
        clean = process.denoise(lambda inputs, level, target=target: target, x, sigma)
        torch.testing.assert_close(clean, rows, atol=2e-3 * max(1.0, sigma), rtol=0)


@pytest.mark.parametrize("target", ["epsilon", "v"])
def test_corrupted_rows_follow_the_marginal_of_their_step(target):
    schedule = linear_schedule(10, 0.01, 0.2)
    process = DiscreteProcess(schedule, target)
    rows, noise = torch.full((10, 2), 3.0), torch.full((10, 2), -1.0)
    inputs, level, wanted = process.corrupt(rows, torch.arange(10) / 10 + 0.01, noise)
    for t in range(10):
        a, s = schedule.marginal(t)
        assert inputs[t, 0].item() == pytest.approx(3 * a - s, rel=1e-5)
        assert wanted[t, 0].item() == pytest.approx(
            -1.0 if target == "epsilon" else -a - 3 * s, rel=1e-5
        )
    torch.testing.assert_close(level, torch.arange(1, 11) / 10)


def test_edm_targets_have_unit_variance_for_unit_data():
    torch.manual_seed(1)
    rows, noise = torch.randn(200_000, 1), torch.randn(200_000, 1)
    inputs, _, target = EdmProcess().corrupt(rows, torch.rand(200_000), noise)
    assert inputs.var().item() == pytest.approx(1.0, abs=0.02)
    assert target.var().item() == pytest.approx(1.0, abs=0.02)
