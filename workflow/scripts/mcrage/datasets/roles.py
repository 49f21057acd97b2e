# SPDX-License-Identifier: MIT
"""What each column of a prepared table is for: the roles that travel beside it as JSON."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mcrage.tables import read_json


@dataclass(frozen=True)
class Feature:
    """A column that generators model and classifiers use.

    Attributes
    ----------
    column, label, unit : str
        Name in the table; name and unit shown to readers (unit may be empty).
    kind : {"continuous", "integer", "ordinal", "category", "date"}
        A column of two levels is a category.
    resolution : float
        Smallest recorded difference, e.g. 0.1; 0 when values are not rounded.
    lower, upper : float or None
        Bounds that hold by definition, if there are any.
    formula : str or None
        For a derived column, how it follows from others (see `mcrage.datasets.formula`).
    levels : tuple of str
        Of a category, and of an ordinal in rising order; empty for numbers and dates. The names
        come from the whole table, which of them occur how often is learnt from training rows.
    missing : {"none", "keep", "impute"}
        Whether values may be missing, and what is made of it: ``keep`` takes it for information
        that generators draw and classifiers see; with ``impute`` generators and classifiers put
        what is usual in training rows in its place, and synthetic rows are complete.
    level_labels : tuple of str
        The levels in the reader's words, as `with_words` found them; empty before.
    """

    column: str
    label: str
    unit: str = ""
    kind: Literal["continuous", "integer", "ordinal", "category", "date"] = "continuous"
    resolution: float = 0.0
    lower: float | None = None
    upper: float | None = None
    formula: str | None = None
    levels: tuple[str, ...] = ()
    missing: Literal["none", "keep", "impute"] = "none"
    level_labels: tuple[str, ...] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether values are amounts, with differences that mean something; dates are."""
        return not self.levels


@dataclass(frozen=True)
class Attribute:
    """A sensitive attribute and its levels, in the order in which groups are numbered.

    Attributes
    ----------
    levels : tuple of str
        The last may be `mcrage.datasets.limits.MISSING_LEVEL`, which stands for missing values.
    edges : tuple of float
        Of a feature in bands, such as an age: level i holds edges[i] <= value < edges[i + 1], and
        the first and last edge may be infinite. Empty for a column of its own, which holds levels.
    """

    column: str
    label: str
    levels: tuple[str, ...]
    level_labels: tuple[str, ...]
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Target:
    """The column to predict; of two levels, ``levels[1]`` is the positive one."""

    column: str
    label: str
    levels: tuple[str, ...]
    level_labels: tuple[str, ...]

    @property
    def is_binary(self) -> bool:
        """Whether there are two levels."""
        return len(self.levels) == 2


@dataclass(frozen=True)
class Roles:
    """A dataset's columns by what they are for.

    Attributes
    ----------
    columns : tuple of str
        The user's own columns in the table's order.
    cluster : tuple of str
        Columns that name the patient or hospital; rows that agree in one of them stay on one side
        of a split (see `mcrage.clusters`). Empty: every row is its own.
    """

    dataset: str
    title: str
    features: tuple[Feature, ...]
    sensitive: tuple[Attribute, ...]
    target: Target
    columns: tuple[str, ...]
    cluster: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse one column in the place of several: its letters would be taken for columns."""
        if isinstance(self.cluster, str):
            raise TypeError(f"cluster: found {self.cluster!r}, expected a tuple of columns")

    @property
    def feature_columns(self) -> list[str]:
        """Names of the feature columns, in the table's order."""
        return [feature.column for feature in self.features]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        value = asdict(self)
        for attribute in value["sensitive"]:
            # Infinity is no JSON.
            attribute["edges"] = [str(edge) for edge in attribute["edges"]]
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Roles":
        """Rebuild from the result of `to_dict`, also after a trip through JSON."""
        return cls(
            dataset=value["dataset"],
            title=value["title"],
            features=features_from(value["features"]),
            sensitive=tuple(
                Attribute(
                    **_tuples(attribute, "levels", "level_labels")
                    | {"edges": tuple(float(edge) for edge in attribute["edges"])}
                )
                for attribute in value["sensitive"]
            ),
            target=Target(**_tuples(value["target"], "levels", "level_labels")),
            columns=tuple(value["columns"]),
            cluster=tuple(value["cluster"]),
        )


def with_words(roles: Roles, words: dict[str, Any]) -> Roles:
    """Return the same roles in the reader's words.

    Parameters
    ----------
    roles : Roles
        As `prepare` found them, where labels are the columns' and levels' own names.
    words : dict
        ``title``; ``columns``: name to label and unit; ``levels``: column to level to label. What
        it does not name keeps its own name.
    """

    def labels(part: Feature | Attribute | Target) -> tuple[str, ...]:
        found = words["levels"].get(part.column, {})
        return tuple(found.get(level, level) for level in part.levels)

    def told(part: Attribute | Target) -> Attribute | Target:
        label = words["columns"].get(part.column, {}).get("label", part.label)
        return replace(part, label=label, level_labels=labels(part))

    return replace(
        roles,
        title=words["title"],
        features=tuple(
            replace(
                feature, **words["columns"].get(feature.column, {}), level_labels=labels(feature)
            )
            for feature in roles.features
        ),
        sensitive=tuple(told(attribute) for attribute in roles.sensitive),
        target=told(roles.target),
    )


def features_from(values: Sequence[dict[str, Any]]) -> tuple[Feature, ...]:
    """Rebuild features from plain JSON values, as `dataclasses.asdict` made them."""
    return tuple(Feature(**_tuples(value, "levels", "level_labels")) for value in values)


def _tuples(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: tuple(item) if name in keys else item for name, item in value.items()}


def read_roles(path: str | os.PathLike) -> Roles:
    """Read the roles that `prepare` wrote beside the table."""
    return Roles.from_dict(read_json(path))
