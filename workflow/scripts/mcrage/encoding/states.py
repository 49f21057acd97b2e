# SPDX-License-Identifier: MIT
"""What a code of a column stands for, and the amounts beside it: of one column, or some rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from mcrage.datasets.formula import names
from mcrage.datasets.roles import Feature
from mcrage.encoding.rows import Rows
from mcrage.encoding.usual import usual_value
from mcrage.errors import UserError

MISSING, AMOUNT = -1, 100
"""States of a number; a spike is its place among the column's spikes, fewer than `AMOUNT`."""


def imputed_value(values: np.ndarray, feature: Feature) -> float:
    """Return what is put in for a missing value; NaN where nothing is."""
    if feature.missing != "impute":
        return np.nan
    found = usual_value(values, feature)
    if np.isnan(found):
        raise UserError(
            f"column {feature.column}: no training row has a value, so there is none to impute. "
            f"Write columns.{feature.column}.type: ignored, or .missing: keep, in the card."
        )
    return found


def imputed(values: np.ndarray, usual: float) -> np.ndarray:
    """Return values with the usual one where one is missing; as they are if there is none."""
    return values if np.isnan(usual) else np.where(np.isnan(values), usual, values)


def recomputed_from(rows: Rows, features: Sequence[Feature]) -> dict[str, list[str]]:
    """Return the columns with a formula all of whose columns are complete, and these columns."""
    used = {f.column: names(f.formula) for f in features if f.formula is not None}
    asked = set(used).union(*used.values())
    complete = {
        feature.column
        for place, feature in enumerate(features)
        if feature.column in asked
        and (feature.missing == "impute" or not np.isnan(rows.column(place)).any())
    }
    return {
        column: others for column, others in used.items() if complete.issuperset([column, *others])
    }


def levels_of(values: np.ndarray, feature: Feature) -> np.ndarray:
    """Return the level of each value, -1 where it is missing."""
    missing = np.isnan(values)
    _check_missing(missing, feature)
    return np.where(missing, MISSING, values).astype(np.int64)


def states_of(values: np.ndarray, feature: Feature, spikes: Sequence[float]) -> np.ndarray:
    """Return the state of each number."""
    missing = np.isnan(values)
    _check_missing(missing, feature)
    if np.isinf(values).any():
        raise UserError(
            f"column {feature.column}: {int(np.isinf(values).sum())} infinite values; "
            f"generators need finite ones. List them under columns.{feature.column}.na_values in "
            "the card, or mend the file."
        )
    kinds = np.where(missing, MISSING, AMOUNT)
    for place, spike in enumerate(spikes):
        kinds[values == spike] = place
    return kinds


def _check_missing(missing: np.ndarray, feature: Feature) -> None:
    if feature.missing == "none" and missing.any():
        raise UserError(
            f"column {feature.column}: {int(missing.sum())} missing values, and the roles of the "
            "dataset say that there are none. Run snakemake again, which prepares the table anew."
        )


def codes_of(kinds: np.ndarray, known: tuple[int, ...], feature: Feature) -> np.ndarray:
    """Return the code of each kind."""
    places = np.minimum(np.searchsorted(known, kinds), len(known) - 1)
    other = np.asarray(known)[places] != kinds
    if other.any():
        told = "a missing value" if kinds[np.argmax(other)] == MISSING else "a value of a kind"
        raise UserError(
            f"column {feature.column}: {int(other.sum())} rows with {told} that no training row "
            f"has, so there is no code for it; write columns.{feature.column}.missing: impute in "
            "the card, list the value under its na_values, or learn from rows that have it."
        )
    return places


class Spread:
    """Numbers of training rows, with others of the same part in place of those without an amount.

    Columns are made when they are asked for, each once and in order, since they are drawn with.
    """

    def __init__(
        self,
        rows: Rows,
        features: Sequence[Feature],
        numbers: Sequence[int],
        usual: np.ndarray,
        spikes: Mapping[int, Sequence[float]],
        within: np.ndarray | None,
        seed: int,
    ) -> None:
        self.shape = (rows.shape[0], len(numbers))
        self._rows, self._features, self._numbers = rows, features, numbers
        self._usual, self._spikes, self._within = usual, spikes, within
        self._rng = np.random.default_rng(seed)

    def column(self, place: int) -> np.ndarray:
        """Return one number of all rows; see `mcrage.encoding.rows.ByColumn`."""
        number = self._numbers[place]
        values = imputed(self._rows.column(number), self._usual[number])
        kinds = states_of(values, self._features[number], self._spikes[number])
        return _spread(values, kinds == AMOUNT, self._within, self._rng)


class Amounts:
    """Numbers to encode, with 0 where there is no amount: what comes of it is overwritten."""

    def __init__(
        self,
        rows: Rows,
        numbers: Sequence[int],
        usual: np.ndarray,
        absent: Mapping[int, np.ndarray],
    ) -> None:
        self.shape = (rows.shape[0], len(numbers))
        self._rows, self._numbers, self._usual, self._absent = rows, numbers, usual, absent

    def column(self, place: int) -> np.ndarray:
        """Return one number of all rows; see `mcrage.encoding.rows.Rows`."""
        return self._amounts(place, self._rows.column(self._numbers[place]), slice(None))

    def part(self, part: slice) -> np.ndarray:
        """Return some rows; see `mcrage.encoding.rows.Rows`."""
        rows = self._rows.part(part)
        out = np.empty((len(rows), self.shape[1]), order="F")
        for place, number in enumerate(self._numbers):
            out[:, place] = self._amounts(place, rows[:, number], part)
        return out

    def _amounts(self, place: int, values: np.ndarray, part: slice) -> np.ndarray:
        number = self._numbers[place]
        amounts = imputed(values, self._usual[number])
        absent = self._absent.get(number)
        return amounts if absent is None else np.where(absent[part], 0.0, amounts)


def _spread(
    values: np.ndarray, amounts: np.ndarray, within: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return values with others of the same part in place of those that are no amounts.

    They stand at equal distances along the sorted amounts, so that means, deviations and quantiles
    of what is returned are those of the amounts.
    """
    if amounts.all():
        return values
    values = values.copy()
    parts = np.zeros(len(values), dtype=np.int64) if within is None else within
    everywhere = values[amounts]
    for part in np.unique(parts[~amounts]):
        own = np.sort(values[amounts & (parts == part)])
        own = own if len(own) else np.sort(everywhere)
        lacking = np.flatnonzero(~amounts & (parts == part))
        places = (np.arange(len(lacking)) + 0.5) / len(lacking) * len(own)
        values[lacking] = rng.permutation(own[places.astype(np.int64)])
    return values
