# SPDX-License-Identifier: MIT
"""Numeric features to a float matrix and back, with derived columns, rounding and bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mcrage.datasets.formula import evaluate
from mcrage.datasets.recorded import as_recorded, grain_of
from mcrage.datasets.roles import Feature, features_from
from mcrage.encoding.scaling import SCALINGS, Scaling
from mcrage.errors import UserError

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class NumericEncoding:
    """What was learnt from training rows about their numeric features.

    Attributes
    ----------
    features : tuple of Feature
        All features, in the order of the raw matrix's columns.
    modelled : tuple of int
        Which of them a network sees; the others are recomputed from their formula.
    scaling : Scaling
        Of the modelled columns.
    lower, upper : ndarray of float64, shape (n_modelled,)
        Declared bounds, or the training range where none is declared.

    Examples
    --------
    >>> rows = np.array([[10.0], [12.5], [11.0]])
    >>> encoding = NumericEncoding.fit(rows, [Feature("HGB", "Haemoglobin", resolution=0.1)])
    >>> encoding.inverse(encoding.transform(rows)).ravel().tolist()
    [10.0, 12.5, 11.0]
    """

    features: tuple[Feature, ...]
    modelled: tuple[int, ...]
    scaling: Scaling
    lower: np.ndarray
    upper: np.ndarray

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
    ) -> "NumericEncoding":
        """Learn from training rows, and from nothing else.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, n_features), raw units
        features : sequence of Feature
            In the order of the columns of `rows`.
        scaling : {"standard", "quantile", "within_subgroup", "within_group"}
        derive : bool
            Leave columns with a formula out of the model and recompute them in `inverse`.
        seed : int
            Of the jitter that breaks the ties of rounded values before quantiles are taken.
        within : ndarray of int64, shape (n,), optional
            Number of each row's subgroup, or group, where the scaling is within it; also needed
            in `transform` and `inverse` then.

        Raises
        ------
        UserError
            If there is no row or no modelled column, or a value is missing or infinite.
        """
        rows = np.asarray(rows, dtype=np.float64)
        _check_rows(rows, features)
        modelled = tuple(
            column
            for column, feature in enumerate(features)
            if not (derive and feature.formula is not None)
        )
        if not modelled:
            raise UserError(
                "every feature has a formula, so none is left to model: "
                "take the formula off the columns that were recorded."
            )
        values = rows[:, modelled]
        kept = [features[column] for column in modelled]
        lowest, highest = values.min(axis=0), values.max(axis=0)
        lower = np.array(
            [low if f.lower is None else f.lower for f, low in zip(kept, lowest, strict=True)]
        )
        upper = np.array(
            [high if f.upper is None else f.upper for f, high in zip(kept, highest, strict=True)]
        )
        if scaling == "quantile":
            # A row at each end stays there: moved inwards by half a grain, the recorded extreme
            # would lie beyond the last quantile and decode to its neighbour.
            ends, columns = (values.argmin(axis=0), values.argmax(axis=0)), range(len(kept))
            values = _jitter(values, kept, np.random.default_rng(seed))
            values[ends[0], columns] = np.minimum(values[ends[0], columns], lowest)
            values[ends[1], columns] = np.maximum(values[ends[1], columns], highest)
        fitted = SCALINGS[scaling].fit(values, seed, within)
        return cls(tuple(features), modelled, fitted, lower, upper)

    @property
    def n_modelled(self) -> int:
        """Number of columns of the encoded matrix."""
        return len(self.modelled)

    def transform(
        self,
        rows: np.ndarray,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, n_features), raw units
        jitter_seed : int, optional
            Spread rounded values over their interval of rounding, so that a network sees a
            density and not a comb.
        within : ndarray of int64, shape (n,), optional

        Returns
        -------
        ndarray of float32, shape (n, n_modelled)
        """
        rows = np.asarray(rows, dtype=np.float64)
        _check_rows(rows, self.features)
        kept = [self.features[column] for column in self.modelled]
        rng = None if jitter_seed is None else np.random.default_rng(jitter_seed)
        encoded = np.empty((len(rows), self.n_modelled), dtype=np.float32)
        for part in _parts(len(rows)):
            values = rows[part][:, self.modelled]
            encoded[part] = self.scaling.transform(
                _jitter(values, kept, rng) if rng else values, _of(within, part)
            )
        return encoded

    def inverse(self, encoded: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Decode: raw units, rounded as recorded, within bounds, derived columns recomputed.

        Parameters
        ----------
        encoded : ndarray of float, shape (n, n_modelled)
        within : ndarray of int64, shape (n,), optional

        Returns
        -------
        ndarray of float64, shape (n, n_features)

        Raises
        ------
        UserError
            If a formula gives no finite number.
        """
        # By column, which is how they are computed and written.
        rows = np.empty((len(encoded), len(self.features)), order="F")
        for part in _parts(len(encoded)):
            self._decode(encoded[part], _of(within, part), rows[part])
        return rows

    def _decode(self, encoded: np.ndarray, within: np.ndarray | None, out: np.ndarray) -> None:
        values = self.scaling.inverse(np.asarray(encoded, dtype=np.float64), within)
        columns: dict[str, np.ndarray] = {}
        for place, column in enumerate(self.modelled):
            feature = self.features[column]
            rounded = as_recorded(values[:, place], feature)
            columns[feature.column] = np.clip(rounded, self.lower[place], self.upper[place])
        for column, feature in enumerate(self.features):
            if column in self.modelled:
                continue
            derived = evaluate(feature.formula, columns)
            if not np.isfinite(derived).all():
                raise UserError(
                    f"column {feature.column}: the formula '{feature.formula}' divides by zero for "
                    "drawn rows. Declare a `lower` bound above 0 for its denominator."
                )
            columns[feature.column] = as_recorded(derived, feature)
        for column, feature in enumerate(self.features):
            out[:, column] = columns[feature.column]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that is needed to rebuild it: float64 arrays, and plain JSON values."""
        arrays = {"lower": self.lower, "upper": self.upper, **self.scaling.arrays()}
        facts = {
            "features": [asdict(feature) for feature in self.features],
            "modelled": list(self.modelled),
            "scaling": self.scaling.name,
        }
        return arrays, facts

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> "NumericEncoding":
        """Rebuild from the result of `state`."""
        arrays = dict(arrays)
        lower, upper = arrays.pop("lower"), arrays.pop("upper")
        return cls(
            features=features_from(facts["features"]),
            modelled=tuple(facts["modelled"]),
            scaling=SCALINGS[facts["scaling"]](**arrays),
            lower=lower,
            upper=upper,
        )


def _check_rows(rows: np.ndarray, features: Sequence[Feature]) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(features) or len(rows) == 0:
        raise UserError(
            f"the feature matrix has shape {rows.shape}; "
            f"it needs at least one row and {len(features)} columns."
        )
    bad = sum((~np.isfinite(rows[part])).sum(axis=0) for part in _parts(len(rows)))
    if bad.any():
        column = int(np.argmax(bad > 0))
        raise UserError(
            f"column {features[column].column}: {int(bad[column])} missing or infinite "
            "values; generators need complete rows. Drop or impute them when preparing the table."
        )


def _of(within: np.ndarray | None, part: slice) -> np.ndarray | None:
    return None if within is None else within[part]


def _parts(n_rows: int) -> Iterator[slice]:
    """Cut rows, so that what is computed on the way takes little memory beside the result."""
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)


def _jitter(
    values: np.ndarray, features: Sequence[Feature], rng: np.random.Generator
) -> np.ndarray:
    grains = np.array([grain_of(feature) for feature in features])
    return values + rng.uniform(-0.5, 0.5, values.shape) * grains
