# SPDX-License-Identifier: MIT
"""Numbers and names that cards, tables and messages share."""

from pathlib import Path

MAXIMUM_LEVELS = 32
"""Levels of a sensitive attribute, or of the target: each makes groups that need rows."""
MAXIMUM_GROUPS = 1024
"""Groups of a dataset."""
MAXIMUM_FEATURE_LEVELS = 1000
"""Levels of a feature: with more it is a name or an identifier, of which nothing is learnt."""
MISSING_LEVEL = "(missing)"
"""The level of a sensitive attribute that stands for its missing values."""


def is_parquet(path: Path) -> bool:
    """Return whether a raw file is Parquet, by its name; others are CSV."""
    return path.suffix.lower() == ".parquet"
