# SPDX-License-Identifier: MIT
"""Which classifiers take no weights, and what they learn from in their place."""

from collections.abc import Mapping
from typing import Any

from mcrage.figures.words import treatment_name
from mcrage.report.numbers import listing

WITHOUT_WEIGHTS = {
    "nearest_neighbours": "votes of neighbours have none",
    "exponentiated_gradient": "fairlearn sets them itself",
}
"""Kinds that are given rows drawn in proportion to their weights, and why."""


def weights_note(classifiers: Mapping[str, Any], names: list[str]) -> str:
    """Say which of some classifiers get weighted draws; empty if all take weights.

    Parameters
    ----------
    classifiers : mapping of str to mapping
        Of the config, resolved.
    names : list of str
        Of classifiers, in the order of the sentence.
    """
    without = [name for name in names if _kinds(classifiers, name) & set(WITHOUT_WEIGHTS)]
    if not without:
        return ""
    why = dict.fromkeys(
        WITHOUT_WEIGHTS[kind]
        for name in without
        for kind in WITHOUT_WEIGHTS
        if kind in _kinds(classifiers, name)
    )
    verb = "take" if len(without) > 1 else "takes"
    return (
        f"Weighted resampling: {listing([treatment_name(name) for name in without])} {verb} no "
        f"weights ({'; '.join(why)}). Where a treatment weights rows, or says how likely an "
        "outcome is, it gets as many rows drawn with replacement, each as likely as it weighs: "
        "what differs from a classifier that takes weights may be that lottery."
    )


def _kinds(classifiers: Mapping[str, Any], name: str) -> set[str]:
    settings = classifiers.get(name, {})
    members = settings.get("members", [])
    return {settings.get("kind", "")}.union(*(_kinds(classifiers, member) for member in members))
