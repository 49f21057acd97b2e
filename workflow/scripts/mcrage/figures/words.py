# SPDX-License-Identifier: MIT
"""The reader's words for groups, subgroups, metrics, features and treatments."""

from collections.abc import Sequence
from itertools import combinations, product

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.metrics.names import LOWER_IS_BETTER, NO_DIRECTION, WORDS

__all__ = ["LOWER_IS_BETTER", "NO_DIRECTION"]  # of the neighbours that draw metrics

EVERYONE = "all"


def metric_name(metric: str) -> str:
    """Return a metric's name in a sentence; an unknown one keeps its own, without underscores."""
    return WORDS.get(metric, metric.replace("_", " "))


def treatment_name(treatment: str) -> str:
    """Return a treatment's (or generator's, scenario's) name as it is shown."""
    return treatment.replace("_", " ")


def capital(text: str) -> str:
    """Return text with a capital first letter and the rest untouched."""
    return text[:1].upper() + text[1:]


def feature_axis(feature: Feature) -> str:
    """Return a feature's axis label: its name, and its unit in parentheses."""
    return f"{feature.label} ({feature.unit})" if feature.unit else feature.label


def group_name(roles: Roles, group: int) -> str:
    """Return a group in the reader's words, e.g. ``"women, inpatient care"``.

    Parameters
    ----------
    roles : Roles
    group : int
        Group number; the first sensitive attribute is its fastest digit, the target its slowest.
    """
    return part_name((*roles.sensitive, roles.target), group)


def subgroup_name(roles: Roles, subgroup: int) -> str:
    """Return a subgroup in the reader's words, e.g. ``"women"``."""
    return part_name(roles.sensitive, subgroup)


def part_name(parts: Sequence[Attribute | Target], index: int) -> str:
    """Return the level labels of a mixed-radix number, the first part's digit being the fastest."""
    names = []
    for part in parts:
        index, digit = divmod(index, len(part.levels))
        names.append(part.level_labels[digit])
    return ", ".join(names)


def attribute_words(roles: Roles) -> dict[str, str]:
    """Return the reader's words of every attribute that metric tables use.

    Returns
    -------
    dict of str to str
        ``"SEX"`` to ``"sex"``, and all of them together, ``"SEX*RACE"`` to ``"sex and race"``.
    """
    words = {one.column: one.label[:1].lower() + one.label[1:] for one in roles.sensitive}
    return words | {"*".join(words): " and ".join(words.values())}


def is_intersection(subgroup: str) -> bool:
    """Say whether a subgroup's label, such as ``"SEX=F, RACE=Black"``, names several attributes."""
    return ", " in subgroup and subgroup.count("=") > 1


def subgroup_words(roles: Roles) -> dict[str, str]:
    """Return the reader's words of every subgroup label that metric tables use.

    Parameters
    ----------
    roles : Roles

    Returns
    -------
    dict of str to str
        ``"SEX=F"`` to ``"women"``, for each attribute and each combination of attributes;
        ``"all"`` to ``"everyone"``.
    """
    words = {EVERYONE: "everyone"}
    for size in range(1, len(roles.sensitive) + 1):
        for attributes in combinations(roles.sensitive, size):
            parts = [
                [
                    (f"{attribute.column}={level}", label)
                    for level, label in zip(attribute.levels, attribute.level_labels, strict=True)
                ]
                for attribute in attributes
            ]
            for choice in product(*parts):
                words[", ".join(key for key, _ in choice)] = ", ".join(name for _, name in choice)
    return words
