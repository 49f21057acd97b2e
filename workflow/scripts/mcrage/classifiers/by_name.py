# SPDX-License-Identifier: MIT
"""What some classifiers need and others don't: loaded by name, and in the digest of these alone."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

KINDS = {
    "exponentiated_gradient": "mcrage.classifiers.exponentiated_gradient",
    "group_dro": "mcrage.classifiers.group_dro",
}
"""Modules of kinds that have one of their own."""
RECALIBRATION = "mcrage.classifiers.recalibration"

_LIBRARIES = {"exponentiated_gradient": ("fairlearn",), "group_dro": ("torch",)}


def learner(kind: str) -> Callable[..., Callable[[Any], Any]]:
    """Return the function of a kind that fits it, importing it only now."""
    return import_module(KINDS[kind]).learn


def is_recalibrated(settings: Mapping[str, Any]) -> bool:
    """Say whether a classifier's scores are recalibrated."""
    return settings.get("recalibration", "none") != "none"


def modules_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules that a classifier, its members among it, loads by name; sorted."""
    found = set()
    for part in _parts(settings):
        if part["kind"] in KINDS:
            found.add(KINDS[part["kind"]])
        if is_recalibrated(part):
            found.add(RECALIBRATION)
    return tuple(sorted(found))


def libraries_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the packages that only such a classifier needs, sorted."""
    kinds = {part["kind"] for part in _parts(settings)}
    return tuple(sorted(name for kind in kinds for name in _LIBRARIES.get(kind, ())))


def needs_left_out(settings: Mapping[str, Any]) -> bool:
    """Say whether a classifier learns from held-out scores of real rows."""
    return any(map(is_recalibrated, _parts(settings)))


def _parts(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield settings
    for member in settings.get("members", []):
        yield from _parts(member)
