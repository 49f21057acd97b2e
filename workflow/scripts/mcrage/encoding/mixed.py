# SPDX-License-Identifier: MIT
"""Features of any type to numbers and codes, and back.

Numbers and dates go through `mcrage.encoding.numeric`. A category or an ordinal becomes one column
of codes. What a number cannot say as an amount becomes a code beside it, its *state*: whether it
is missing, and, where many are, whether it is exactly zero. A network then learns how often a
laboratory value is recorded, or a capital gain is none, apart from how large it is.

Only what training rows hold has a code, so nothing can be drawn that they don't hold. A column of
codes of which there would be one kind only is none at all: `MixedEncoding.inverse` puts its value
back.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from mcrage.datasets.formula import names
from mcrage.datasets.roles import Feature, features_from
from mcrage.encoding.numeric import NumericEncoding
from mcrage.encoding.usual import usual_value
from mcrage.errors import UserError

# What a code stands for: a level is its place in `Feature.levels`, a number's state one of these.
_MISSING, _ZERO, _AMOUNT = -1, 0, 1
# A number has a state of its own for zero from this share of zeros among its values.
_MANY_ZEROS = 0.2


class Codes(NamedTuple):
    """One column of codes.

    Attributes
    ----------
    feature : int
        The feature that it belongs to, alone or beside its number.
    kinds : tuple of int
        What each code stands for, rising: -1 missing; else a level's place or, of a number, 0
        zero and 1 an amount.
    """

    feature: int
    kinds: tuple[int, ...]


@dataclass(frozen=True)
class MixedEncoding:
    """What was learnt from training rows about their features.

    Attributes
    ----------
    features : tuple of Feature
        In the order of the raw matrix's columns.
    codes : tuple of Codes
        Of every feature that has any, also those of one kind.
    counts : ndarray of float64, shape (all kinds of all codes,)
        How many training rows have each.
    usual : ndarray of float64, shape (n_features,)
        What is put in where ``missing: impute`` finds nothing: the median, as recorded, or the
        most frequent level, of training rows. NaN for other features.
    numbers : tuple of int
        The features in `numeric`, in its order.
    numeric : NumericEncoding or None
        Of amounts; None if there is no column of them.
    options : dict
        The ``scaling``, ``derive`` and ``split_zeros`` of the fit.

    Examples
    --------
    >>> sex = Feature("SEX", "Sex", kind="category", levels=("F", "M"))
    >>> age = Feature("AGE", "Age", kind="integer", missing="keep")
    >>> rows = np.array([[0.0, 61.0], [1.0, np.nan], [0.0, 58.0]])
    >>> encoding = MixedEncoding.fit(rows, [sex, age])
    >>> numbers, codes = encoding.transform(rows)
    >>> encoding.cardinalities, codes.tolist()
    ((2, 2), [[0, 1], [1, 0], [0, 1]])
    >>> encoding.inverse(numbers, codes).tolist()
    [[0.0, 61.0], [1.0, nan], [0.0, 58.0]]
    """

    features: tuple[Feature, ...]
    codes: tuple[Codes, ...]
    counts: np.ndarray
    usual: np.ndarray
    numbers: tuple[int, ...]
    numeric: NumericEncoding | None
    options: dict[str, Any]

    @classmethod
    def fit(
        cls,
        rows: np.ndarray,
        features: Sequence[Feature],
        *,
        scaling: Literal["standard", "quantile", "within_subgroup", "within_group"] = "standard",
        derive: bool = False,
        seed: int = 0,
        within: np.ndarray | None = None,
        split_zeros: bool = True,
    ) -> "MixedEncoding":
        """Learn from training rows, and from nothing else.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, n_features)
            See `mcrage.encoding.columns.feature_matrix`.
        features : sequence of Feature
        scaling, derive, seed, within
            See `mcrage.encoding.numeric.NumericEncoding.fit`. A formula with a column that lacks
            values recomputes nothing: its column is modelled like the others.
        split_zeros : bool
            Give a number of which a fifth or more are 0 a state for it; numbers in formulas that
            are recomputed have none.

        Raises
        ------
        UserError
            If there is no row, or a value is infinite, missing where the roles say that none is,
            or missing throughout where it is to be imputed.
        """
        rows = np.asarray(rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(features) or len(rows) == 0:
            raise UserError(
                f"the feature matrix has shape {rows.shape}; "
                f"it needs at least one row and {len(features)} columns."
            )
        usual = np.array([_usual(rows[:, i], f) for i, f in enumerate(features)])
        recomputed = _recomputed(rows, features) if derive else {}
        in_formulas = set(recomputed).union(*recomputed.values())
        codes, counts, numbers, states = [], [], [], {}
        for place, feature in enumerate(features):
            values = _imputed(rows[:, place], usual[place])
            split = split_zeros and feature.column not in in_formulas and _has_many_zeros(values)
            if feature.levels:
                states[place] = _levels(values, feature)
            else:
                states[place] = _states(values, feature, split)
                if (states[place] == _AMOUNT).any():
                    numbers.append(place)
            kinds, n_each = np.unique(states[place], return_counts=True)
            if feature.levels or kinds.tolist() != [_AMOUNT]:
                codes.append(Codes(place, tuple(kinds.tolist())))
                counts += n_each.tolist()
        numeric = None
        if numbers:
            rng = np.random.default_rng(seed)
            imputed = (_imputed(rows[:, i], usual[i]) for i in numbers)
            amounts = [
                _spread(values, states[i] == _AMOUNT, within, rng)
                for i, values in zip(numbers, imputed, strict=True)
            ]
            known = [
                replace(features[i], formula=None)
                if derive and features[i].column not in recomputed
                else features[i]
                for i in numbers
            ]
            numeric = NumericEncoding.fit(
                np.stack(amounts, axis=1),
                known,
                scaling=scaling,
                derive=derive,
                seed=seed,
                within=within,
            )
        return cls(
            tuple(features),
            tuple(codes),
            np.array(counts, dtype=np.float64),
            usual,
            tuple(numbers),
            numeric,
            {"scaling": scaling, "derive": derive, "split_zeros": split_zeros},
        )

    @property
    def modelled_codes(self) -> tuple[Codes, ...]:
        """The columns of codes that `transform` returns: those of at least two kinds."""
        return tuple(column for column in self.codes if len(column.kinds) > 1)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each column of codes, at least 2."""
        return tuple(len(column.kinds) for column in self.modelled_codes)

    @property
    def code_counts(self) -> tuple[tuple[int, ...], ...]:
        """How many training rows have each code, of each column of codes."""
        ends = np.cumsum([len(column.kinds) for column in self.codes])
        parts = np.split(self.counts.astype(np.int64), ends[:-1]) if len(ends) else []
        return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)

    @property
    def states(self) -> tuple[tuple[int, int] | None, ...]:
        """The column of codes and the code that make an encoded number an amount; None: always."""
        found: dict[int, tuple[int, int]] = {}
        for place, column in enumerate(self.modelled_codes):
            if not self.features[column.feature].levels:
                found[column.feature] = (place, column.kinds.index(_AMOUNT))
        if self.numeric is None:
            return ()
        return tuple(found.get(self.numbers[column]) for column in self.numeric.modelled)

    @property
    def n_numbers(self) -> int:
        """Number of columns of encoded numbers."""
        return 0 if self.numeric is None else self.numeric.n_modelled

    def transform(
        self,
        rows: np.ndarray,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode rows.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, n_features)
        jitter_seed : int, optional
            Spread rounded values over their interval of rounding, and put standard normal numbers
            where there is no amount, so that a network sees a density without a comb or spike.
            Without one there are zeros, the centre of a column.
        within : ndarray of int64, shape (n,), optional

        Returns
        -------
        numbers : ndarray of float32, shape (n, n_numbers)
        codes : ndarray of int64, shape (n, len(cardinalities))

        Raises
        ------
        UserError
            If a level, or a missing value, is none that training rows hold.
        """
        rows = np.asarray(rows, dtype=np.float64)
        codes = np.empty((len(rows), len(self.cardinalities)), dtype=np.int64)
        absent: dict[int, np.ndarray] = {}
        filled = 0
        for column in self.codes:
            feature = self.features[column.feature]
            values = _imputed(rows[:, column.feature], self.usual[column.feature])
            if feature.levels:
                kinds = _levels(values, feature)
            else:
                kinds = _states(values, feature, _ZERO in column.kinds)
                absent[column.feature] = kinds != _AMOUNT
            places = _places(kinds, column.kinds, feature)
            if len(column.kinds) > 1:
                codes[:, filled] = places
                filled += 1
        return self._numbers(rows, absent, jitter_seed, within), codes

    def _numbers(
        self,
        rows: np.ndarray,
        absent: dict[int, np.ndarray],
        jitter_seed: int | None,
        within: np.ndarray | None,
    ) -> np.ndarray:
        if self.numeric is None:
            return np.empty((len(rows), 0), dtype=np.float32)
        amounts = np.empty((len(rows), len(self.numbers)), order="F")
        for place, feature in enumerate(self.numbers):
            amounts[:, place] = _imputed(rows[:, feature], self.usual[feature])
            if feature in absent:
                # Any number that can be scaled; what comes of it is overwritten.
                amounts[absent[feature], place] = 0.0
        numbers = self.numeric.transform(amounts, jitter_seed=jitter_seed, within=within)
        rng = None if jitter_seed is None else np.random.default_rng([jitter_seed, 1])
        for place, column in enumerate(self.numeric.modelled):
            where = absent.get(self.numbers[column])
            if where is not None:
                n = int(where.sum())
                numbers[where, place] = 0.0 if rng is None else rng.standard_normal(n)
        return numbers

    def inverse(
        self, numbers: np.ndarray, codes: np.ndarray, within: np.ndarray | None = None
    ) -> np.ndarray:
        """Decode: levels, recorded amounts within bounds, zeros, and NaN where a value is missing.

        Parameters
        ----------
        numbers : ndarray of float, shape (n, n_numbers)
        codes : ndarray of int64, shape (n, len(cardinalities))
            Each at least 0 and below its cardinality.
        within : ndarray of int64, shape (n,), optional

        Returns
        -------
        ndarray of float64, shape (n, n_features)
            In column-major order.
        """
        rows = np.empty((len(codes), len(self.features)), order="F")
        if self.numeric is not None:
            rows[:, self.numbers] = self.numeric.inverse(numbers, within)
        used = 0
        for column in self.codes:
            kinds = np.array(column.kinds, dtype=np.float64)
            if len(column.kinds) > 1:
                meant = kinds[codes[:, used]]
                used += 1
            else:
                meant = np.full(len(codes), kinds[0])
            told = np.where(meant == _MISSING, np.nan, meant)
            if self.features[column.feature].levels:
                rows[:, column.feature] = told
            else:
                amount = meant == _AMOUNT
                rows[~amount, column.feature] = told[~amount]
        return rows

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that is needed to rebuild it: float64 arrays, and plain JSON values."""
        arrays, numeric = {"usual": self.usual, "counts": self.counts}, None
        if self.numeric is not None:
            own, numeric = self.numeric.state()
            arrays |= {f"numeric.{name}": array for name, array in own.items()}
        facts = {
            "features": [asdict(feature) for feature in self.features],
            "codes": [[column.feature, list(column.kinds)] for column in self.codes],
            "numbers": list(self.numbers),
            "numeric": numeric,
            "options": self.options,
        }
        return arrays, facts

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> "MixedEncoding":
        """Rebuild from the result of `state`."""
        numeric = None
        if facts["numeric"] is not None:
            prefix = "numeric."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            numeric = NumericEncoding.from_state(own, facts["numeric"])
        return cls(
            features=features_from(facts["features"]),
            codes=tuple(Codes(feature, tuple(kinds)) for feature, kinds in facts["codes"]),
            counts=arrays["counts"],
            usual=arrays["usual"],
            numbers=tuple(facts["numbers"]),
            numeric=numeric,
            options=facts["options"],
        )


def _usual(values: np.ndarray, feature: Feature) -> float:
    """Return what is put in for a missing value; NaN where nothing is."""
    if feature.missing != "impute":
        return np.nan
    found = usual_value(values, feature)
    if np.isnan(found):
        raise UserError(
            f"column {feature.column}: no training row has a value, so there is none to impute. "
            "Leave the column out of the features, or set its `missing` to keep."
        )
    return found


def _imputed(values: np.ndarray, usual: float) -> np.ndarray:
    return values if np.isnan(usual) else np.where(np.isnan(values), usual, values)


def _has_many_zeros(values: np.ndarray) -> bool:
    known = np.count_nonzero(~np.isnan(values))
    zeros = np.count_nonzero(values == 0.0)
    return zeros < known and zeros >= _MANY_ZEROS * known


def _recomputed(rows: np.ndarray, features: Sequence[Feature]) -> dict[str, list[str]]:
    """Return the columns with a formula all of whose columns are complete, and these columns."""
    complete = {
        feature.column
        for place, feature in enumerate(features)
        if feature.missing == "impute" or not np.isnan(rows[:, place]).any()
    }
    used = {f.column: names(f.formula) for f in features if f.formula is not None}
    return {
        column: others for column, others in used.items() if complete.issuperset([column, *others])
    }


def _levels(values: np.ndarray, feature: Feature) -> np.ndarray:
    """Return the level of each value, -1 where it is missing."""
    missing = np.isnan(values)
    _check_missing(missing, feature)
    return np.where(missing, _MISSING, values).astype(np.int64)


def _states(values: np.ndarray, feature: Feature, split_zeros: bool) -> np.ndarray:
    """Return the state of each number."""
    missing = np.isnan(values)
    _check_missing(missing, feature)
    if np.isinf(values).any():
        raise UserError(
            f"column {feature.column}: {int(np.isinf(values).sum())} infinite values; "
            "generators need finite ones. Mark them as missing when preparing the table."
        )
    kinds = np.where(missing, _MISSING, _AMOUNT)
    if split_zeros:
        kinds[values == 0.0] = _ZERO
    return kinds


def _check_missing(missing: np.ndarray, feature: Feature) -> None:
    if feature.missing == "none" and missing.any():
        raise UserError(
            f"column {feature.column}: {int(missing.sum())} missing values, and the roles of the "
            "dataset say that there are none. Run snakemake again, which prepares the table anew."
        )


def _places(kinds: np.ndarray, known: tuple[int, ...], feature: Feature) -> np.ndarray:
    """Return the code of each kind."""
    places = np.minimum(np.searchsorted(known, kinds), len(known) - 1)
    other = np.asarray(known)[places] != kinds
    if other.any():
        told = "a missing value" if kinds[np.argmax(other)] == _MISSING else "a value of a kind"
        raise UserError(
            f"column {feature.column}: {int(other.sum())} rows with {told} that no training row "
            "has, so there is no code for it."
        )
    return places


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
