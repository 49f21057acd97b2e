# SPDX-License-Identifier: MIT
"""mcrage: rebalance health records with a conditional diffusion model, and judge the result."""

__version__ = "0.1.0"
