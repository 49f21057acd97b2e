# SPDX-License-Identifier: MIT
"""What settings of several kinds of generators have in common."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from mcrage.config.base import Closed

Memorising = Literal["keep", "drop", "stop"]
MEMORISING = (
    "What becomes of drawn rows that lie nearer to a training row of their group than all but 1 % "
    "of training rows do to each other. keep (paper): they stay, and the report tells how many "
    "there are. drop: they are drawn anew. stop: the run ends if there are more than chance "
    "explains. No held-out row is looked at. Cost: about 1 % of the rows are drawn again, of "
    "SMOTE's most."
)

TRAINED_ON = "Name of a treatment whose rebalanced table is learnt from; null: the training set."


class PlainSettings(Closed):
    """Settings without presets."""

    def resolved(self) -> dict[str, Any]:
        """Return all values, plain JSON."""
        return self.model_dump()

    def departures_told(self) -> str:
        """Return a sentence for the reader of the report, or nothing."""
        given = self.resolved()
        usual = type(self)(kind=given["kind"]).resolved()
        return told(
            {key: (value, usual[key]) for key, value in given.items() if value != usual[key]}
        )

    def shortfall_told(self) -> str:
        """Return nothing: none has a published budget of training."""
        return ""


class PluginSettings(PlainSettings):
    """What settings of a generator from another package begin with; see docs/library.md.

    They add ``kind: Literal["NAME"]`` and fields of their own, each with a default.
    """

    trained_on: str | None = Field(None, description=TRAINED_ON)
    memorising: Memorising = Field("keep", description=MEMORISING)


_UNITS = ("epochs", "steps")


def told(departures: dict[str, tuple[Any, Any]]) -> str:
    """Return a sentence on settings that depart from what is usual, or nothing.

    Parameters
    ----------
    departures : dict
        Key to (value, the usual value).
    """
    words = [
        f"{key} {_short(value)} instead of {_short(usual)}"
        for key, (value, usual) in departures.items()
    ]
    return f" Here with {'; '.join(words)}." if words else ""


def shortfall(
    values: Mapping[str, Any], preset: Mapping[str, Any], name: str, grid: Sequence[str] = ()
) -> str:
    """Return what a training lacks of a preset's budget, in words, or nothing.

    Parameters
    ----------
    values, preset : mapping
        Resolved settings: ``epochs`` or ``steps``, and what `grid` names.
    name : str
        The preset's.
    grid : sequence of str
        Keys of lists that span the settings to choose among.
    """
    parts = []
    for unit in _UNITS:
        given, usual = values.get(unit), preset.get(unit)
        if given is not None and usual is not None and given < usual:
            parts.append(f"{given:,} of the {usual:,} {unit}")
        elif given is not None and usual is None:
            # Of another unit; which is more depends on the rows.
            other, number = next((k, v) for k, v in preset.items() if k in _UNITS and v is not None)
            parts.append(f"{given:,} {unit} instead of the {number:,} {other}")
    given, usual = (math.prod(len(each[key] or [0]) for key in grid) for each in (values, preset))
    if given < usual:
        parts.append(f"{given} of the {usual} settings")
    return f"{' and '.join(parts)} of preset {name}" if parts else ""


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{len(value)} values from {_short(min(value))} to {_short(max(value))}"
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
