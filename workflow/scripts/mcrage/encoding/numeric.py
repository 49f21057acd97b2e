# SPDX-License-Identifier: MIT
"""Numeric features to a float matrix and back, with derived columns, rounding and bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mcrage.datasets.formula import evaluate
from mcrage.datasets.recorded import as_recorded, grain_of
from mcrage.datasets.roles import Feature, features_from
from mcrage.encoding.rows import ByColumn, Rows, as_rows, parts_of
from mcrage.encoding.scaling import SCALINGS, Scaling, fitted_rows
from mcrage.errors import UserError


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
        rows: np.ndarray | ByColumn,
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
        rows : ndarray of float64, shape (n, n_features), raw units, or ByColumn
            Each column is taken up once, in order.
        features : sequence of Feature
            In the order of the columns of `rows`.
        scaling : {"standard", "quantile", "within_subgroup", "within_group"}
        derive : bool
            Leave columns with a formula out of the model and recompute them in `inverse`.
        seed : int
            Of the jitter that breaks the ties of rounded values before quantiles are taken, and of
            the rows that these are taken from where there are more than 100,000.
        within : ndarray of int64, shape (n,), optional
            Number of each row's subgroup, or group, where the scaling is within it; also needed
            in `transform` and `inverse` then.

        Raises
        ------
        UserError
            If there is no row or no modelled column, or a value is missing or infinite.
        """
        rows = as_rows(rows)
        _check_shape(rows, features)
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
        n_rows, kept = rows.shape[0], [features[column] for column in modelled]
        ends: list[tuple[float, float]] = []
        sample = fitted_rows(n_rows, seed) if scaling == "quantile" else None
        noise = None
        if scaling == "quantile":
            n_fitted = n_rows if sample is None else len(sample)
            noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (n_fitted, len(kept)))

        def columns() -> Iterator[np.ndarray]:
            for column, feature in enumerate(features):
                values = np.ascontiguousarray(rows.column(column))
                _check_finite(values, feature)
                if column not in modelled:
                    continue
                place = len(ends)
                ends.append((values.min(), values.max()))
                if noise is not None:
                    values = values if sample is None else values[sample]
                    values = _spread(values, noise[:, place] * grain_of(feature), ends[-1])
                yield values

        fitted = SCALINGS[scaling].fit(columns(), n_rows, within)
        pairs = [*zip(kept, ends, strict=True)]
        lower = np.array([low if f.lower is None else f.lower for f, (low, _) in pairs])
        upper = np.array([high if f.upper is None else f.upper for f, (_, high) in pairs])
        return cls(tuple(features), modelled, fitted, lower, upper)

    @property
    def n_modelled(self) -> int:
        """Number of columns of the encoded matrix."""
        return len(self.modelled)

    def transform(
        self,
        rows: np.ndarray | Rows,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, n_features), raw units, or Rows
        jitter_seed : int, optional
            Spread rounded values over their interval of rounding, so that a network sees a
            density and not a comb.
        within : ndarray of int64, shape (n,), optional

        Returns
        -------
        ndarray of float32, shape (n, n_modelled)
        """
        rows = as_rows(rows)
        encoded = np.empty((rows.shape[0], self.n_modelled), dtype=np.float32)
        self.encode(rows, encoded, jitter_seed=jitter_seed, within=within)
        return encoded

    def encode(
        self,
        rows: np.ndarray | Rows,
        out: np.ndarray,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> None:
        """Do as `transform`, into `out`, ndarray of float32 of shape (n, n_modelled)."""
        rows = as_rows(rows)
        _check_rows(rows, self.features)
        kept = [self.features[column] for column in self.modelled]
        rng = None if jitter_seed is None else np.random.default_rng(jitter_seed)
        for part in parts_of(rows.shape[0]):
            values = rows.part(part)[:, self.modelled]
            out[part] = self.scaling.transform(
                _jitter(values, kept, rng) if rng else values, _of(within, part)
            )

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
        for part in parts_of(len(encoded)):
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
                    "drawn rows. Write a minimum above 0 for its denominator under columns in the "
                    "card, or take the formula off."
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


def _check_shape(rows: ByColumn, features: Sequence[Feature]) -> None:
    if len(rows.shape) != 2 or rows.shape[1] != len(features) or rows.shape[0] == 0:
        raise UserError(
            f"the feature matrix has shape {rows.shape}; "
            f"it needs at least one row and {len(features)} columns."
        )


def _check_finite(values: np.ndarray, feature: Feature) -> None:
    if bad := int((~np.isfinite(values)).sum()):
        raise UserError(
            f"column {feature.column}: {bad} missing or infinite "
            "values; generators need complete rows. Drop or impute them when preparing the table."
        )


def _check_rows(rows: Rows, features: Sequence[Feature]) -> None:
    _check_shape(rows, features)
    for column, feature in enumerate(features):
        _check_finite(rows.column(column), feature)


def _of(within: np.ndarray | None, part: slice) -> np.ndarray | None:
    return None if within is None else within[part]


def _jitter(
    values: np.ndarray, features: Sequence[Feature], rng: np.random.Generator
) -> np.ndarray:
    grains = np.array([grain_of(feature) for feature in features])
    return values + rng.uniform(-0.5, 0.5, values.shape) * grains


def _spread(values: np.ndarray, noise: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Return values with noise, and of the least and the largest at least what was recorded.

    Moved inwards by half a grain, a recorded extreme would lie beyond the last quantile and decode
    to its neighbour.
    """
    low, high = values.argmin(), values.argmax()
    spread = values + noise
    spread[low], spread[high] = min(spread[low], ends[0]), max(spread[high], ends[1])
    return spread
