# SPDX-License-Identifier: MIT
"""Samplers against the ideal denoiser of a Gaussian for each group."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mcrage.diffusion.condition import group_condition
from mcrage.diffusion.network import PaperNetwork, ResidualNetwork, StackedParameters
from mcrage.diffusion.process import DiscreteProcess, EdmProcess
from mcrage.diffusion.sampling import (
    SOLVERS,
    BlockNoise,
    ancestral,
    dpm_solver_2m,
    draw,
    guided_denoiser,
    heun,
    uni_pc,
)
from mcrage.diffusion.schedule import (
    cosine_schedule,
    geometric_sigmas,
    karras_sigmas,
    linear_schedule,
)

MEANS = torch.tensor([[1.0, -0.5], [-2.0, 0.3]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[0.5, 0.3], [0.3, 0.6]], [[1.0, -0.4], [-0.4, 0.3]]], dtype=torch.float64
)
N = 40_000
GROUPS = torch.arange(2).repeat_interleave(N)


def ideal(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return E(x_0 | x) for x = x_0 + σ ε with x_0 normal, by group."""
    out = torch.empty_like(x)
    for group in range(2):
        rows = group == GROUPS
        mean, covariance = MEANS[group], COVARIANCES[group]
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(2).double())
        out[rows] = mean + (x[rows] - mean) @ gain.T
    return out


def start(sigma: float, seed: int = 0) -> torch.Tensor:
    """Return white noise at the first noise level."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(2 * N, 2, generator=source, dtype=torch.float64)
    return noise * math.sqrt(1 + sigma**2)


def assert_recovers(rows: torch.Tensor, tolerance: float) -> None:
    """Check mean and covariance of each group."""
    for group in range(2):
        drawn = rows[group == GROUPS].numpy()
        np.testing.assert_allclose(drawn.mean(axis=0), MEANS[group], atol=tolerance)
        np.testing.assert_allclose(np.cov(drawn.T), COVARIANCES[group], atol=tolerance)


def noise_of(seed: int):
    """Return a source of white noise for both groups."""
    source = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(2 * N, 2, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("sampler", SOLVERS.values())
def test_deterministic_samplers_recover_mean_and_covariance(sampler):
    sigmas = karras_sigmas(100, 0.01, 80.0)
    assert_recovers(sampler(ideal, start(80.0), sigmas), 0.02)


@pytest.mark.parametrize("sampler", SOLVERS.values())
def test_deterministic_samplers_follow_the_exact_trajectory(sampler):
    """For a Gaussian each principal coordinate scales by √((λ + σ²) / (λ + σ_max²))."""
    sigmas = karras_sigmas(64, 0.01, 20.0)
    x = start(20.0)
    drawn = sampler(ideal, x, sigmas)
    values, vectors = torch.linalg.eigh(COVARIANCES[0])
    offsets = (x[:N] - MEANS[0]) @ vectors
    exact = MEANS[0] + (offsets * (values / (values + 400.0)).sqrt()) @ vectors.T
    assert (drawn[:N] - exact).abs().max() < 0.02


@pytest.mark.parametrize("sampler", [heun, dpm_solver_2m])
def test_deterministic_samplers_are_of_second_order(sampler):
    """Twice the steps leave about a quarter of the error in the scale of a normal column."""

    def error(n_steps):
        x = torch.tensor([math.sqrt(0.5 + 20.0**2)], dtype=torch.float64)
        sigmas = karras_sigmas(n_steps, 0.01, 20.0)
        drawn = sampler(lambda x, sigma: x * 0.5 / (0.5 + sigma**2), x, sigmas)
        return abs(float(drawn) - math.sqrt(0.5))

    assert 3.0 < error(25) / error(50) < 6.0


def variance_error(sampler, sigmas, variance: float) -> float:
    """Return by how much a normal column's variance is off, its start being exact."""
    x = torch.tensor([math.sqrt(variance + float(sigmas[0]) ** 2)], dtype=torch.float64)
    drawn = sampler(lambda x, sigma: x * variance / (variance + sigma**2), x, sigmas)
    return abs(float(drawn) ** 2 / variance - 1)


@pytest.mark.parametrize("variance", [0.03, 0.1, 0.3, 1.0, 2.5, 4.0])
def test_twenty_steps_leave_variances_within_half_a_percent(variance):
    assert variance_error(uni_pc, geometric_sigmas(20, 0.01, 20.0), variance) < 0.005
    assert variance_error(uni_pc, geometric_sigmas(60, 0.001, 20.0), variance) < 2e-4


def test_steps_are_exact_where_the_denoiser_is_linear_in_the_logarithm_of_the_noise():
    """With D = 1 + 2 l of l = -ln σ, d(e^l x)/dl = e^l D has a closed solution.

    The first step knows one value of D only; that it is right afterwards is the corrector's work.
    """
    seen = {}

    def linear(x, sigma):
        seen[-math.log(sigma)] = float(x)
        return torch.full_like(x, 1 - 2 * math.log(sigma))

    sigmas = torch.tensor([3.0, 1.5, 1.0, 0.4, 0.1, 0.0], dtype=torch.float64)
    uni_pc(linear, torch.tensor([2.0], dtype=torch.float64), sigmas)
    (first, start), (second, guess), *others = seen.items()

    def exact(place: float) -> float:
        def integral(at: float) -> float:
            return math.exp(at) * (2 * at - 1)

        return math.exp(-place) * (math.exp(first) * start + integral(place) - integral(first))

    assert abs(guess - exact(second)) > 0.01
    assert len(others) == 3
    for place, x in others:
        assert x == pytest.approx(exact(place), rel=1e-9)


@pytest.mark.parametrize(("sampler", "calls"), [("dpm2m", 1), ("unipc", 1), ("heun", 2)])
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_a_draw_costs_so_many_passes_of_the_network(sampler, calls, guidance):
    network, condition, values = network_and_values()
    passes = []

    def counting(*arguments):
        passes.append(arguments)
        return network(*arguments)

    counting.parameters = network.parameters
    groups = torch.zeros(2, 3, dtype=torch.int64)
    draw(
        *(counting, condition, EdmProcess(), values, groups),
        **{"seeds": [0], "block_rows": 4, "sampler": sampler, "n_steps": 6, "guidance": guidance},
    )
    evaluations = 6 * calls - (calls - 1)
    assert len(passes) == evaluations * (1 if guidance == 0 else 2)
    # One level for all rows, so that the network embeds it once.
    assert {level.shape for _, _, level, _ in passes} == {(2, 1)}


def test_ancestral_sampling_recovers_mean_and_covariance():
    schedule = cosine_schedule(400)
    sigma = float(schedule.sigmas[-1])
    drawn = ancestral(ideal, start(sigma), schedule, noise_of(1))
    assert_recovers(drawn, 0.03)


def test_ancestral_sampling_with_the_larger_variance_is_wider():
    schedule = linear_schedule(35, 1e-10, 0.2)
    x = start(float(schedule.sigmas[-1]))
    spread = {}
    for variance in ("posterior", "beta"):
        drawn = ancestral(ideal, x, schedule, noise_of(1), variance)
        spread[variance] = drawn[:N].var(dim=0).sum().item()
    assert spread["beta"] > spread["posterior"] * 1.01


def network_and_values(members: int = 2):
    """Return a paper network on 2 columns with random parameters, and its condition."""
    condition = group_condition(2, null_tokens=False)
    network = PaperNetwork(2, condition, width=8)
    stacked = StackedParameters(network.parameters, members)
    stacked.flat.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.3)
    return network, condition, stacked.views()


@pytest.mark.parametrize("target", ["epsilon", "v"])
def test_guidance_is_that_of_the_noise(target):
    network, condition, values = network_and_values()
    process = DiscreteProcess(linear_schedule(20, 1e-4, 0.2), target)
    groups, t, w = torch.tensor([[0, 1, 1], [1, 0, 0]]), 12, 3.0
    sigma = float(process.schedule.sigmas[t])
    x = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(3))
    clean = guided_denoiser(network, condition, process, values, groups, w)(x, sigma)
    a, s = process.schedule.marginal(t)
    state, level = a * x, torch.full((2, 3), 13 / 20)

    def noise(encoded):
        output = network(values, state, level, encoded)
        return output if target == "epsilon" else s * state + a * output

    guided = (1 + w) * noise(condition.encode(groups)) - w * noise(torch.zeros(2, 3, 2))
    torch.testing.assert_close(clean, (state - s * guided) / a, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_the_unconditional_pass_is_left_out_without_guidance(guidance):
    network, condition, values = network_and_values()
    calls = []

    def counting(values, inputs, level, encoded, drop=None):
        calls.append(encoded)
        return network(values, inputs, level, encoded, drop)

    groups = torch.zeros(2, 3, dtype=torch.int64)
    guided_denoiser(counting, condition, EdmProcess(), values, groups, guidance)(
        torch.zeros(2, 3, 2), 1.0
    )
    assert len(calls) == (1 if guidance == 0 else 2)


def test_one_level_for_all_rows_is_the_same_as_one_for_each():
    network, condition, _ = network_and_values()
    x = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(3))
    encoded = condition.encode(torch.tensor([[0, 1, 1], [1, 0, 0]]))
    for candidate in (network, ResidualNetwork(2, condition, width=8, depth=1)):
        stacked = StackedParameters(candidate.parameters, 2)
        stacked.flat.normal_(generator=torch.Generator().manual_seed(0))
        once, each = (
            candidate(stacked.views(), x, torch.full((2, n), 0.3), encoded) for n in (1, 3)
        )
        torch.testing.assert_close(once, each)


def test_noise_of_a_block_depends_on_its_seed_alone():
    together = BlockNoise([5, 6, 7], (2, 16, 3), 40, "cpu")
    alone = BlockNoise([6], (2, 16, 3), 16, "cpu")
    cut = BlockNoise([6], (2, 16, 3), 5, "cpu")
    for _ in range(2):
        rows, block, part = together(), alone(), cut()
        assert rows.shape == (2, 40, 3)
        assert torch.equal(rows[:, 16:32], block)
        assert torch.equal(block[:, :5], part)
    assert rows.std() == pytest.approx(1, abs=0.15)
    assert not torch.equal(rows[:, :16], rows[:, 16:32])


@pytest.mark.parametrize("sampler", ["ancestral", *SOLVERS])
def test_draw_returns_a_row_for_every_request(sampler):
    network, condition, values = network_and_values()
    process = DiscreteProcess(linear_schedule(8, 1e-4, 0.2))
    groups = torch.randint(0, 2, (2, 11), generator=torch.Generator().manual_seed(0))

    def drawn(n_rows: int, seeds: list[int]) -> torch.Tensor:
        return draw(
            *(network, condition, process, values, groups[:, :n_rows]),
            **{"seeds": seeds, "block_rows": 4, "sampler": sampler, "n_steps": 5},
        )

    rows = drawn(11, [5, 6, 7])
    assert rows.shape == (2, 11, 2)
    assert torch.isfinite(rows).all()
    assert torch.equal(rows, drawn(11, [5, 6, 7]))
    torch.testing.assert_close(rows[:, :4], drawn(4, [5]))
    assert not torch.allclose(rows, drawn(11, [5, 6, 8]))


def test_ancestral_sampling_needs_a_schedule():
    network, condition, values = network_and_values()
    groups = torch.zeros(2, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match="discrete schedule"):
        draw(
            *(network, condition, EdmProcess(), values, groups),
            **{"seeds": [0], "block_rows": 1, "sampler": "ancestral"},
        )


def test_start_noise_is_normal_at_the_first_level():
    """With a denoiser that returns its input nothing moves, and the start can be seen."""
    x = start(3.0)
    still = heun(lambda x, sigma: x, x, torch.tensor([3.0, 1.0, 0.0]))
    torch.testing.assert_close(still, x)
    share = (x[:, 0] < math.sqrt(10)).double().mean().item()
    assert share == pytest.approx(norm.cdf(1), abs=0.01)
