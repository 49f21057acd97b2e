# SPDX-License-Identifier: MIT
"""What was done about rare groups, for the reader."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema
from mcrage.rare_groups import table

HEADS = ("Group", "Training rows", "What generators learnt from")


@dataclass(frozen=True)
class RareGroupsTable:
    """The rare groups of one dataset under one scenario.

    Attributes
    ----------
    title : str
    rows : list of (str, str, str)
        See `mcrage.rare_groups.table`.
    """

    title: str
    rows: list[tuple[str, str, str]]


def rare_tables(
    counts: Iterable[Mapping[str, Any]],
    roles: Mapping[str, Roles],
    scenarios: Sequence[str],
    n_replicates: int,
    settings: Mapping[str, Any],
) -> list[RareGroupsTable]:
    """Return a table for each dataset and scenario with a rare group.

    Parameters
    ----------
    counts : iterable of mapping
        What `check_groups` wrote, by dataset, scenario and replicate, in this order.
    roles : mapping of str to Roles
        By dataset, in order.
    scenarios : sequence of str
    n_replicates : int
    settings : mapping
        ``fewer_than`` and ``then``.
    """
    files = iter(counts)
    tables = []
    for dataset, one in roles.items():
        for scenario in scenarios:
            several = [next(files)["train"] for _ in range(n_replicates)]
            if rows := table(several, GroupSchema.of(one), settings):
                tables.append(RareGroupsTable(f"{dataset}, {scenario}", rows))
    return tables
