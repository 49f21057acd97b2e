# SPDX-License-Identifier: MIT
"""The report's tables about synthetic rows: could they be real, and are they copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mcrage.figures.words import capital, group_name, treatment_name
from mcrage.groups import GroupSchema
from mcrage.report.numbers import count, number
from mcrage.report.tables import Entry, Table

if TYPE_CHECKING:
    import pandas as pd

    from mcrage.datasets.roles import Roles

_EVERYWHERE = "all"
# metric: (heading, whether it is told in percent)
_LIKENESS = {
    "identity_violations": ("Break an identity", True),
    "out_of_bounds": ("Out of bounds", True),
    "off_resolution": ("Finer than recorded", True),
    "unseen_levels": ("Have a level that no training row has", True),
    "missing": ("Missing values", True),
    "shape": ("Shape of columns (1: alike)", False),
    "trend": ("Pairs of columns (1: alike)", False),
    "alpha_precision": ("Among real rows (α-precision)", False),
    "beta_recall": ("Real rows reached (β-recall)", False),
    "told_apart": ("Told from real rows (0.5: not at all)", False),
}
_MEMORISING = {
    "nearest_1_percent": ("As near as the nearest 1 % of new people", True),
    "nearest_half": ("As near as the nearest half of them", True),
    "nearer_to_training": ("Nearer to training rows than to as many others", True),
    "much_nearer_to_one": ("Much nearer to one row than to the next", True),
    "copies": ("Exact copies", True),
}
_DROPPED = {"dropped": ("Drawn anew by the gate", True)}
# More than chance: beyond what real rows give by this many standard errors.
_ERRORS = 2.0


@dataclass(frozen=True)
class SyntheticRows:
    """What one section says of the rows of all generators, for one dataset and scenario.

    Attributes
    ----------
    headline : str
    likeness, memorising : Table
        A row per generator.
    by_group : list of Table
        One per metric of memorising, with a column per group.
    n_replicates : int
    gated : bool
        Whether rows of any generator were drawn anew.
    """

    headline: str
    likeness: Table
    memorising: Table
    by_group: list[Table]
    n_replicates: int
    gated: bool


def synthetic_sections(
    fidelity: "pd.DataFrame", roles: Mapping[str, "Roles"], generators: Sequence[str]
) -> list[SyntheticRows]:
    """Return a section for each dataset and scenario.

    Parameters
    ----------
    fidelity : DataFrame
        results/fidelity.parquet.
    roles : mapping of str to Roles
        By dataset.
    generators : sequence of str
        Order of the rows.
    """
    whole = fidelity[fidelity["column"] == ""]
    return [
        _section(block, roles[dataset], scenario, generators)
        for (dataset, scenario), block in whole.groupby(["dataset", "scenario"], sort=True)
    ]


def _section(
    block: "pd.DataFrame", roles: "Roles", scenario: str, generators: Sequence[str]
) -> SyntheticRows:
    means = block.groupby(["generator", "group", "metric"])[
        ["value", "reference", "std_error", "support"]
    ].mean()
    found = {key: row for key, row in zip(means.index, means.to_dict("records"), strict=True)}
    names = [name for name in generators if name in set(block["generator"])]
    schema = GroupSchema.of(roles)
    groups = {
        schema.label(k): group_name(roles, k)
        for k in range(schema.n_groups)
        if schema.label(k) in set(block["group"])
    }
    metrics = {metric for *_, metric in found}
    gated = "dropped" in metrics
    memorising = {**_MEMORISING, **(_DROPPED if gated else {})}
    return SyntheticRows(
        headline=capital(f"{roles.title}, {treatment_name(scenario)}"),
        likeness=_table("", _LIKENESS, metrics, names, found),
        memorising=_table("", memorising, metrics, names, found),
        by_group=[
            _by_group(metric, *told, names, groups, found)
            for metric, told in memorising.items()
            if metric in metrics
        ],
        n_replicates=block["replicate"].nunique(),
        gated=gated,
    )


def _table(
    title: str,
    columns: Mapping[str, tuple[str, bool]],
    metrics: set[str],
    names: Sequence[str],
    found: Mapping,
) -> Table:
    # A table without formulas has no identities to break.
    shown = {metric: told for metric, told in columns.items() if metric in metrics}
    rows = tuple(
        (
            treatment_name(name),
            tuple(
                entry(found.get((name, _EVERYWHERE, metric)), metric, percent)
                for metric, (_, percent) in shown.items()
            ),
        )
        for name in names
    )
    return Table(title, tuple(heading for heading, _ in shown.values()), rows)


def _by_group(
    metric: str,
    heading: str,
    percent: bool,
    names: Sequence[str],
    groups: Mapping[str, str],
    found: Mapping,
) -> Table:
    rows = tuple(
        (
            treatment_name(name),
            tuple(
                entry(found.get((name, label, metric)), metric, percent, rows_told=True)
                for label in groups
            ),
        )
        for name in names
    )
    table = Table(heading, tuple(map(capital, groups.values())), rows).upright()
    return replace(table, first="Group") if table.first else table


def entry(
    row: Mapping[str, float] | None, metric: str, percent: bool, *, rows_told: bool = False
) -> Entry:
    """Return a number with that of real rows below it.

    Parameters
    ----------
    row : mapping or None
        value, reference, std_error and support, means over replicates.
    metric : str
    percent : bool
    rows_told : bool
        Whether to say how many rows it is of.
    """
    if row is None:
        return Entry("no rows", kind="undefined")

    def told(value: float) -> str:
        return f"{number(100 * value, 1)} %" if percent else number(value)

    value, reference, error = row["value"], row["reference"], row["std_error"]
    of = f"n = {count(row['support'])}" if rows_told else ""
    if np.isnan(value):
        return Entry("undefined", of, kind="undefined")
    small = "" if np.isnan(reference) else f"real: {told(reference)}"
    # Nearer than chance explains; what is farther away is no copy, whatever else it is.
    near = metric in _MEMORISING and value - reference > _ERRORS * error
    return Entry(
        told(value), ", ".join(part for part in (small, of) if part), kind="worse" if near else ""
    )
