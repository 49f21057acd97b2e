# SPDX-License-Identifier: MIT
"""Generators: each learns the distribution of features given the group, and draws rows."""

from mcrage.generators.base import Criterion, Generator, TrainingData

__all__ = ["Criterion", "Generator", "TrainingData"]
