# SPDX-License-Identifier: MIT
"""What was made of a table's columns, for the reader: types, resolution, missing values."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.report.numbers import count

HEADS = ("Column", "Used as", "Values", "Recorded to", "Missing")
_KINDS = {
    "continuous": "number",
    "integer": "whole number",
    "ordinal": "ordered levels",
    "category": "levels",
    "date": "date",
}
_MAX_LEVELS = 6


@dataclass(frozen=True)
class ColumnsTable:
    """The columns of one dataset.

    Attributes
    ----------
    title : str
    rows : list of tuple of str
        A row per column, under `HEADS`.
    """

    title: str
    rows: list[tuple[str, ...]]


def columns_table(roles: Roles, path: str | os.PathLike) -> ColumnsTable:
    """Return what is known of each column.

    Parameters
    ----------
    roles : Roles
    path : path-like
        The prepared table, of which no more than the counts in its footer is read.
    """
    n_rows, missing = missing_counts(path)
    features = {feature.column: feature for feature in roles.features}
    attributes = {attribute.column: attribute for attribute in roles.sensitive}
    rows = []
    for column in roles.columns:
        gaps = missing.get(column, 0)
        rows.append(
            (
                *_told(column, features.get(column), attributes.get(column), roles),
                f"{_percent(gaps / n_rows)}{_treatment(features.get(column))}"
                if gaps and n_rows
                else "none",
            )
        )
    return ColumnsTable(f"{roles.title}: {count(n_rows)} rows", rows)


def missing_counts(path: str | os.PathLike) -> tuple[int, dict[str, int]]:
    """Return the number of rows and of missing values of each column, off a Parquet footer.

    Columns whose counts the writer left out are not among them.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    found: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            if chunk.statistics is not None and chunk.statistics.has_null_count:
                name = chunk.path_in_schema
                found[name] = found.get(name, 0) + chunk.statistics.null_count
    return metadata.num_rows, found


def _told(
    column: str, feature: Feature | None, attribute: Attribute | None, roles: Roles
) -> tuple[str, str, str, str]:
    if column == roles.target.column:
        return (_name(column, roles.target.label), "target", _levels(roles.target), "")
    used = []
    if attribute is not None:
        used.append("sensitive attribute, in bands" if attribute.edges else "sensitive attribute")
    if feature is None:
        if attribute is None:
            told = "names the patient or cluster" if column in roles.cluster else "not used"
            return (column, told, "", "")
        return (_name(column, attribute.label), used[0], _levels(attribute), "")
    used.append("derived feature" if feature.formula else "feature")
    values = _KINDS[feature.kind]
    if feature.levels:
        values = f"{values}: {_listed(feature.levels)}"
    elif feature.lower is not None or feature.upper is not None:
        values += f", {_bounds(feature)}"
    if attribute is not None and attribute.edges:
        values += f"; bands {', '.join(attribute.level_labels)}"
    name = _name(column, feature.label)
    return (name, " and ".join(used), values, _resolution(feature))


def _resolution(feature: Feature) -> str:
    if feature.levels:
        return ""
    if feature.kind == "date":
        return "a day"
    if feature.kind != "continuous" and feature.resolution <= 1:
        return f"1 {feature.unit}".strip()
    return f"{feature.resolution:g} {feature.unit}".strip() if feature.resolution else "not rounded"


def _bounds(feature: Feature) -> str:
    if feature.upper is None:
        return f"at least {feature.lower:g}"
    if feature.lower is None:
        return f"at most {feature.upper:g}"
    return f"{feature.lower:g} to {feature.upper:g}"


def _levels(part: Attribute | Target) -> str:
    return f"levels: {_listed(part.level_labels)}"


def _listed(levels: Sequence[str]) -> str:
    if len(levels) <= _MAX_LEVELS:
        return ", ".join(levels)
    return f"{', '.join(levels[: _MAX_LEVELS - 1])} and {len(levels) - _MAX_LEVELS + 1} more"


def _name(column: str, label: str) -> str:
    return column if label == column else f"{label} ({column})"


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _treatment(feature: Feature | None) -> str:
    if feature is None or feature.missing == "none":
        return ""
    return {
        "keep": ", kept as information",
        "impute": ", usual value put in their place",
    }[feature.missing]
