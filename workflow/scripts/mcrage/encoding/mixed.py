# SPDX-License-Identifier: MIT
"""Features of any type to numbers and codes, and back.

Numbers and dates go through `mcrage.encoding.numeric`. A category or an ordinal becomes one column
of codes. What a number cannot say as an amount becomes a code beside it, its *state*: whether it
is missing, and whether it is exactly one of the values that stand out (`mcrage.encoding.spikes`).
A network then learns how often a laboratory value is recorded, a capital gain is none, or a week
has 40 hours, apart from how large other values are.

Only what training rows hold has a code, so nothing can be drawn that they don't hold. A column of
codes of which there would be one kind only is none at all: `MixedEncoding.inverse` puts its value
back.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from mcrage.datasets.roles import Feature, features_from
from mcrage.encoding.arrays import arrays_below
from mcrage.encoding.numeric import NumericEncoding
from mcrage.encoding.rows import Rows, as_rows
from mcrage.encoding.spikes import Spikes, spikes_of
from mcrage.encoding.states import (
    AMOUNT,
    MISSING,
    Amounts,
    Spread,
    codes_of,
    imputed,
    imputed_value,
    levels_of,
    recomputed_from,
    states_of,
)
from mcrage.errors import UserError


class Codes(NamedTuple):
    """One column of codes.

    Attributes
    ----------
    feature : int
        The feature that it belongs to, alone or beside its number.
    kinds : tuple of int
        What each code stands for, rising: -1 missing; else a level's place or, of a number, the
        place of a spike, and 100 an amount.
    spikes : tuple of float
        Of a number, rising.
    """

    feature: int
    kinds: tuple[int, ...]
    spikes: tuple[float, ...] = ()


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
        The ``scaling``, ``derive`` and ``spikes`` of the fit.

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
        rows: np.ndarray | Rows,
        features: Sequence[Feature],
        *,
        scaling: Literal["standard", "quantile", "within_subgroup", "within_group"] = "standard",
        derive: bool = False,
        seed: int = 0,
        within: np.ndarray | None = None,
        spikes: Spikes = "zero",
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
        spikes : {"none", "zero", "all"}
            Values of a number that have a state of their own; see `mcrage.encoding.spikes`. Numbers
            in formulas that are recomputed have none.

        Raises
        ------
        UserError
            If there is no row, or a value is infinite, missing where the roles say that none is,
            or missing throughout where it is to be imputed.
        """
        rows = as_rows(rows)
        if len(rows.shape) != 2 or rows.shape[1] != len(features) or rows.shape[0] == 0:
            raise UserError(
                f"the feature matrix has shape {rows.shape}; "
                f"it needs at least one row and {len(features)} columns."
            )
        usual = np.array([imputed_value(rows.column(i), f) for i, f in enumerate(features)])
        recomputed = recomputed_from(rows, features) if derive else {}
        in_formulas = set(recomputed).union(*recomputed.values())
        codes, counts, numbers, found_spikes = [], [], [], {}
        for place, feature in enumerate(features):
            values = imputed(rows.column(place), usual[place])
            if feature.levels:
                kinds = levels_of(values, feature)
            else:
                known: Spikes = "none" if feature.column in in_formulas else spikes
                found_spikes[place] = spikes_of(values, feature, known)
                kinds = states_of(values, feature, found_spikes[place])
                if (kinds == AMOUNT).any():
                    numbers.append(place)
            found, n_each = np.unique(kinds, return_counts=True)
            if feature.levels or found.tolist() != [AMOUNT]:
                own = found_spikes.get(place, ())
                codes.append(Codes(place, tuple(found.tolist()), own))
                counts += n_each.tolist()
        numeric = None
        if numbers:
            known = [
                replace(features[i], formula=None)
                if derive and features[i].column not in recomputed
                else features[i]
                for i in numbers
            ]
            numeric = NumericEncoding.fit(
                Spread(rows, features, numbers, usual, found_spikes, within, seed),
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
            {"scaling": scaling, "derive": derive, "spikes": spikes},
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
                found[column.feature] = (place, column.kinds.index(AMOUNT))
        if self.numeric is None:
            return ()
        return tuple(found.get(self.numbers[column]) for column in self.numeric.modelled)

    @property
    def n_numbers(self) -> int:
        """Number of columns of encoded numbers."""
        return 0 if self.numeric is None else self.numeric.n_modelled

    def transform(
        self,
        rows: np.ndarray | Rows,
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
        numbers, codes = self.compact(rows, jitter_seed=jitter_seed, within=within)
        return numbers, codes.astype(np.int64)

    def compact(
        self,
        rows: np.ndarray | Rows,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do as `transform`, with codes in the smallest type of whole numbers that holds them."""
        rows = as_rows(rows)
        kind = np.min_scalar_type(-max(self.cardinalities, default=1))
        numbers = np.empty((rows.shape[0], self.n_numbers), dtype=np.float32)
        codes = np.empty((rows.shape[0], len(self.cardinalities)), dtype=kind)
        self._encode(rows, numbers, codes, jitter_seed, within)
        return numbers, codes

    def matrix(
        self,
        rows: np.ndarray | Rows,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:
        """Do as `transform`, into one matrix: numbers, then codes, float32."""
        rows = as_rows(rows)
        shape = (rows.shape[0], self.n_numbers + len(self.cardinalities))
        out = np.empty(shape, dtype=np.float32)
        numbers, codes = out[:, : self.n_numbers], out[:, self.n_numbers :]
        self._encode(rows, numbers, codes, jitter_seed, within)
        return out

    def _encode(
        self,
        rows: Rows,
        numbers: np.ndarray,
        codes: np.ndarray,
        jitter_seed: int | None,
        within: np.ndarray | None,
    ) -> None:
        """Encode rows into `numbers` and `codes`, codes by column and numbers some rows at once."""
        absent: dict[int, np.ndarray] = {}
        filled = 0
        for column in self.codes:
            feature = self.features[column.feature]
            values = imputed(rows.column(column.feature), self.usual[column.feature])
            if feature.levels:
                kinds = levels_of(values, feature)
            else:
                kinds = states_of(values, feature, column.spikes)
                absent[column.feature] = kinds != AMOUNT
            places = codes_of(kinds, column.kinds, feature)
            if len(column.kinds) > 1:
                codes[:, filled] = places
                filled += 1
        if self.numeric is None:
            return
        amounts = Amounts(rows, self.numbers, self.usual, absent)
        self.numeric.encode(amounts, numbers, jitter_seed=jitter_seed, within=within)
        rng = None if jitter_seed is None else np.random.default_rng([jitter_seed, 1])
        for place, column in enumerate(self.numeric.modelled):
            where = absent.get(self.numbers[column])
            if where is not None:
                n = int(where.sum())
                numbers[where, place] = 0.0 if rng is None else rng.standard_normal(n)

    def inverse(
        self, numbers: np.ndarray, codes: np.ndarray, within: np.ndarray | None = None
    ) -> np.ndarray:
        """Decode: levels, recorded amounts within bounds, spikes, NaN where a value is missing.

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
            told = np.where(meant == MISSING, np.nan, meant)
            if self.features[column.feature].levels:
                rows[:, column.feature] = told
            else:
                amount = meant == AMOUNT
                values = np.array([*column.spikes, np.nan])
                rows[~amount, column.feature] = values[meant[~amount].astype(np.int64)]
        return rows

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that is needed to rebuild it: float64 arrays, and plain JSON values."""
        arrays, numeric = {"usual": self.usual, "counts": self.counts}, None
        if self.numeric is not None:
            own, numeric = self.numeric.state()
            arrays |= {f"numeric.{name}": array for name, array in own.items()}
        facts = {
            "features": [asdict(feature) for feature in self.features],
            "codes": [[each.feature, list(each.kinds), list(each.spikes)] for each in self.codes],
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
            own = arrays_below("numeric.", arrays)
            numeric = NumericEncoding.from_state(own, facts["numeric"])
        return cls(
            features=features_from(facts["features"]),
            codes=tuple(
                Codes(feature, tuple(kinds), tuple(spikes))
                for feature, kinds, spikes in facts["codes"]
            ),
            counts=arrays["counts"],
            usual=arrays["usual"],
            numbers=tuple(facts["numbers"]),
            numeric=numeric,
            options=facts["options"],
        )
