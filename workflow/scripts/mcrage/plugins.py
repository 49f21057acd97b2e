# SPDX-License-Identifier: MIT
"""Generators of installed packages, which give them as entry points; see docs/library.md."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from mcrage.errors import UserError

GROUP = "mcrage.generators"
"""The group of entry points; the name of one is a `kind`, its object a class."""


@cache
def plugins() -> dict[str, Any]:
    """Return the generators of installed packages by kind, sorted.

    Returns
    -------
    dict of str to type
        Classes like `mcrage.generators.base.Generator` with an attribute ``Settings``, a
        `mcrage.config.generators_shared.PluginSettings`. What they may say beside that is told by
        `mcrage.generators.registry.kind_of`.

    Raises
    ------
    UserError
        If one can't be imported, or is no such class.
    """
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    names = [point.name for point in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"entry point '{name}' of {GROUP} is given by several installed packages; remove "
                f"all but one ({', '.join(point.value for point in found if point.name == name)})"
            )
    return {point.name: _loaded(point) for point in found}


def _loaded(point: EntryPoint) -> Any:
    # Only where there is one: most jobs need no model of settings.
    from mcrage.config.generators_shared import PluginSettings

    told = f"entry point '{point.name} = {point.value}' of {GROUP}"
    try:
        plugin = point.load()
    except (ImportError, AttributeError) as problem:
        raise UserError(
            f"{told}: {problem}; mend the package that gives it, or uninstall it"
        ) from None
    settings = getattr(plugin, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, PluginSettings)):
        raise UserError(f"{told}: its attribute Settings has to be a class of PluginSettings")
    kind = settings.model_fields.get("kind")
    if kind is None or get_args(kind.annotation) != (point.name,):
        raise UserError(f"{told}: its Settings need the field kind: Literal[{point.name!r}]")
    return plugin
