# SPDX-License-Identifier: MIT
"""mcrage: rebalance health records with a conditional diffusion model, and judge whether it helped."""

__version__ = "0.1.0"
