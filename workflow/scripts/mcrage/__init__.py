# SPDX-License-Identifier: MIT
"""mcrage: rebalance health records with a conditional diffusion model, and judge the result."""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["MCRAGE"]


def __getattr__(name: str) -> object:
    """Load the sampler only when it is asked for: no stage pays for it, or has it in its digest."""
    if name == "MCRAGE":
        return import_module("mcrage.sampler").MCRAGE
    raise AttributeError(f"module 'mcrage' has no attribute {name!r}")
