# SPDX-License-Identifier: MIT
"""Which groups are shown apart when there are more of them than a figure has room for."""

from collections.abc import Sequence
from itertools import combinations
from math import prod

import numpy as np

from mcrage.datasets.roles import Attribute, Roles, Target
from mcrage.figures.words import capital, part_name

Part = Attribute | Target


def shown_parts(roles: Roles, most: int, *, first: str | None = None) -> tuple[Part, ...]:
    """Return the sensitive attributes and the target whose cross has at most so many levels.

    All of them if they fit; else the cross of most levels among those that fit, and of equal ones
    that of the parts which come first.

    Parameters
    ----------
    roles : Roles
    most : int
    first : str, optional
        Column of a part that is kept if it alone fits.

    Returns
    -------
    tuple of Attribute and Target
        In the order of the roles; empty if none fits.
    """
    parts = (*roles.sensitive, roles.target)
    found: tuple[Part, ...] = ()
    for size in range(1, len(parts) + 1):
        for chosen in combinations(parts, size):
            n, known = n_levels(chosen), any(part.column == first for part in found)
            kept = any(part.column == first for part in chosen)
            if n <= most and (kept, n) > (known, n_levels(found)):
                found = chosen
    return found


def n_levels(parts: Sequence[Part]) -> int:
    """Return the number of levels of a cross, 0 without parts."""
    return prod(len(part.levels) for part in parts) if parts else 0


def part_of(roles: Roles, parts: Sequence[Part], groups: np.ndarray) -> np.ndarray:
    """Return the number of the cross of some parts that each group lies in.

    Parameters
    ----------
    roles : Roles
    parts : sequence of Attribute and Target
        Some of the roles', in their order.
    groups : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
        0 everywhere without parts.
    """
    groups = np.asarray(groups, dtype=np.int64)
    out, step = np.zeros(len(groups), dtype=np.int64), 1
    columns = {part.column for part in parts}
    for part in (*roles.sensitive, roles.target):
        groups, digit = np.divmod(groups, len(part.levels))
        if part.column in columns:
            out += step * digit
            step *= len(part.levels)
    return out


def part_names(parts: Sequence[Part]) -> list[str]:
    """Return the names of a cross in the reader's words, in the order of `part_of`."""
    if not parts:
        return ["All rows"]
    return [capital(part_name(parts, number)) for number in range(n_levels(parts))]
