# SPDX-License-Identifier: MIT
"""Noise schedules: discrete ones with their closed forms, and the continuous one of EDM.

References
----------
Ho et al. 2020 (arXiv 2006.11239), Nichol and Dhariwal 2021 (arXiv 2102.09672),
Karras et al. 2022 (arXiv 2206.00364), MCRAGE (arXiv 2310.18430).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiscreteSchedule:
    """A variance-preserving chain of T steps; index t = 0 is the paper's first step, t = 1.

    Attributes
    ----------
    betas : Tensor of float64, shape (T,)
        Variance added at each step, in [0, 1).
    """

    betas: Tensor

    @property
    def n_timesteps(self) -> int:
        """T."""
        return len(self.betas)

    @property
    def alphas(self) -> Tensor:
        """1 - β_t, shape (T,)."""
        return 1.0 - self.betas

    @property
    def alphas_bar(self) -> Tensor:
        """Product of α_s over s <= t, shape (T,)."""
        return torch.cumprod(self.alphas, dim=0)

    @property
    def sigmas(self) -> Tensor:
        """Noise-to-signal ratio √((1 - ᾱ_t) / ᾱ_t), shape (T,): the σ of the EDM frame."""
        # 1 - cumprod loses all digits while β is near 1e-10; expm1 of the summed logs does not.
        log_alpha_bar = torch.log1p(-self.betas).cumsum(dim=0)
        return torch.expm1(-log_alpha_bar).sqrt()

    def marginal(self, t: int) -> tuple[float, float]:
        """Return a and s of q(x_t | x_0) = N(a x_0, s² I): a = √ᾱ_t and s = √(1 - ᾱ_t)."""
        sigma = float(self.sigmas[t])
        return 1.0 / math.sqrt(1.0 + sigma**2), sigma / math.sqrt(1.0 + sigma**2)

    def posterior(self, t: int) -> tuple[float, float, float]:
        """Return a, b and v of q(x_{t-1} | x_t, x_0) = N(a x_0 + b x_t, v I).

        Ho et al. 2020, equations 6 and 7. With x_0 = (x_t - √(1 - ᾱ_t) ε) / √ᾱ_t the mean equals
        (x_t - β_t ε / √(1 - ᾱ_t)) / √α_t; MCRAGE prints both without some of the bars.
        """
        if t == 0:
            return 1.0, 0.0, 0.0
        beta = float(self.betas[t])
        noise = self.marginal(t)[1]
        signal_before, noise_before = self.marginal(t - 1)
        from_data = signal_before * beta / noise**2
        from_state = math.sqrt(1.0 - beta) * noise_before**2 / noise**2
        return from_data, from_state, beta * noise_before**2 / noise**2


def linear_schedule(n_timesteps: int, beta_min: float, beta_max: float) -> DiscreteSchedule:
    """Return variances that rise linearly from `beta_min` at t = 0 to `beta_max` at t = T.

    As in MCRAGE's notebook the grid has T + 1 points and the chain begins at t = 1: at the
    paper's ``beta_min`` of 1e-10 a step adds no noise that could be predicted.
    """
    grid = torch.linspace(beta_min, beta_max, n_timesteps + 1, dtype=torch.float64)
    return DiscreteSchedule(grid[1:])


def cosine_schedule(n_timesteps: int, beta_max: float = 0.999) -> DiscreteSchedule:
    """Return Nichol and Dhariwal's schedule, ᾱ ~ cos², with every β at most `beta_max`."""
    steps = torch.arange(n_timesteps + 1, dtype=torch.float64) / n_timesteps
    alpha_bar = torch.cos((steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return DiscreteSchedule((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(0.0, beta_max))


def timesteps_rule(beta_bar: float, diameter: float) -> int:
    """Return T' = ⌈2⁶ β̄ (1 + log(1 + diam))⌉ of MCRAGE, Algorithm 3.1, line 4.

    Parameters
    ----------
    beta_bar : float
        Upper bound of the variances.
    diameter : float
        Largest distance between two encoded training rows.
    """
    return math.ceil(2**6 * beta_bar * (1.0 + math.log1p(diameter)))


def diameter(rows: Tensor, chunk: int = 1024) -> float:
    """Return the largest Euclidean distance between two rows of shape (n, d)."""
    rows = rows.double()
    return max(float(torch.cdist(part, rows).max()) for part in rows.split(chunk))


def log_normal_sigmas(uniform: Tensor, mean: float, std: float) -> Tensor:
    """Map numbers in (0, 1) to noise levels with ln σ ~ N(mean, std²), Karras et al. 2022."""
    # float32 cannot tell the last 1e-7 from 1, whose quantile is infinite.
    return torch.exp(mean + std * torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)))


def karras_sigmas(n_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Return n_steps + 1 falling noise levels, the last one 0 (Karras et al. 2022, equation 5)."""
    ramp = torch.linspace(0.0, 1.0, n_steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def geometric_sigmas(n_steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Return n_steps + 1 falling noise levels at equal ratios, the last one 0."""
    ends = math.log(sigma_max), math.log(sigma_min)
    levels = torch.linspace(*ends, n_steps, dtype=torch.float64).exp()
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
