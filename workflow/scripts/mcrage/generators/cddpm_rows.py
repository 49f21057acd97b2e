# SPDX-License-Identifier: MIT
"""Between features and the rows of one matrix that the diffusion model learns and draws."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.rows import Rows, parts_of
from mcrage.errors import UserError

Categories = Literal["one_hot", "masked"]


class RowEncoding:
    """A mixed encoding whose codes stand in the same matrix as the numbers, behind them.

    Parameters
    ----------
    mixed : MixedEncoding
    categories : {"one_hot", "masked"}
        ``one_hot``: an indicator a code, standardised like a number of its own; the largest tells
        the code of a drawn row. ``masked``: the codes themselves.
    """

    def __init__(self, mixed: MixedEncoding, categories: Categories) -> None:
        self.mixed, self.categories = mixed, categories
        shares = [np.array(counts) / sum(counts) for counts in mixed.code_counts]
        self._mean = np.concatenate(shares) if shares else np.empty(0)
        self._deviation = np.sqrt(self._mean * (1.0 - self._mean))
        self._first = np.cumsum([0, *mixed.cardinalities])

    @classmethod
    def fit(
        cls,
        rows: np.ndarray | Rows,
        features: Sequence[Feature],
        *,
        categories: Categories,
        scaling: str,
        derive: bool,
        seed: int,
        within: np.ndarray,
    ) -> "RowEncoding":
        """Learn from training rows; see `mcrage.encoding.mixed.MixedEncoding.fit`.

        Zeros are amounts to a model that takes categories for numbers.

        Raises
        ------
        UserError
            If no column differs between rows.
        """
        mixed = MixedEncoding.fit(
            rows,
            features,
            scaling=scaling,
            derive=derive,
            seed=seed,
            within=within,
            spikes="all" if categories == "masked" else "none",
        )
        if mixed.n_numbers + len(mixed.cardinalities) == 0:
            raise UserError(
                "no feature has more than one value in the training rows, so there is nothing to "
                "model. Keep more rows in the scenario, or name other features in the card."
            )
        return cls(mixed, categories)

    @property
    def n_numbers(self) -> int:
        """Columns of numbers, before those of codes."""
        return self.mixed.n_numbers

    @property
    def has_codes(self) -> bool:
        """Whether the last columns are codes, and no numbers."""
        return self.categories == "masked" and len(self.mixed.cardinalities) > 0

    @property
    def n_columns(self) -> int:
        """Columns of the encoded matrix."""
        codes = self.mixed.cardinalities
        return self.n_numbers + (len(codes) if self.categories == "masked" else sum(codes))

    def transform(
        self,
        rows: np.ndarray | Rows,
        *,
        jitter_seed: int | None = None,
        within: np.ndarray | None = None,
    ) -> np.ndarray:
        """Encode rows, float32 of shape (n, n_columns); see `MixedEncoding.transform`."""
        if self.categories == "masked" or not self.mixed.cardinalities:
            return self.mixed.matrix(rows, jitter_seed=jitter_seed, within=within)
        numbers, codes = self.mixed.compact(rows, jitter_seed=jitter_seed, within=within)
        mean, deviation = self._mean.astype(np.float32), self._deviation.astype(np.float32)
        out = np.zeros((len(codes), self.n_columns), dtype=np.float32)
        for part in parts_of(len(codes)):
            out[part, : self.n_numbers] = numbers[part]
            indicators = out[part, self.n_numbers :]
            np.put_along_axis(indicators, codes[part] + self._first[:-1], 1.0, axis=1)
            indicators -= mean
            indicators /= deviation
        return out

    def inverse(self, encoded: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """Decode rows, float64 of shape (n, n_features); see `MixedEncoding.inverse`."""
        numbers, rest = np.split(encoded, [self.n_numbers], axis=1)
        if self.categories == "masked":
            return self.mixed.inverse(numbers, rest.astype(np.int64), within)
        indicators = rest * self._deviation + self._mean
        codes = np.empty((len(rest), len(self.mixed.cardinalities)), dtype=np.int64)
        for place in range(codes.shape[1]):
            own = indicators[:, self._first[place] : self._first[place + 1]]
            codes[:, place] = own.argmax(axis=1)
        return self.mixed.inverse(numbers, codes, within)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the arrays and plain JSON values of the mixed encoding."""
        return self.mixed.state()

    @classmethod
    def from_state(
        cls, arrays: dict[str, np.ndarray], facts: dict[str, Any], categories: Categories
    ) -> "RowEncoding":
        """Rebuild from the result of `state`."""
        return cls(MixedEncoding.from_state(arrays, facts), categories)


def sort_by_group(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sort encoded rows (n, n_columns) by their groups, in place, and return these in order.

    So sorted, batches are drawn from the rows themselves and not from a copy.
    """
    order = np.argsort(groups, kind="stable")
    for column in rows.T:
        column[:] = column[order]
    return groups[order]
