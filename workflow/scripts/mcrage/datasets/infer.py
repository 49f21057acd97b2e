# SPDX-License-Identifier: MIT
"""What a table shows of its columns: the declarations that a card leaves out.

What single columns are taken for is told in `mcrage.datasets.guessing`; of the table as a whole:

- Missing values are kept as information; of a sensitive attribute they are a level of their own.
  Rows without a target or a band are left out, and so are those without a sensitive attribute
  where they are fewer than 25, too few for a group.
- A sensitive attribute that is a number with more than 12 different values, or a date, is cut into
  three bands near its thirds, at round numbers (`mcrage.datasets.grain.usual_bands`).
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mcrage.config.base import closest
from mcrage.datasets.column_model import EPOCH, ISO_DATE, Column, SensitiveCard
from mcrage.datasets.decimals import as_numbers, only_numbers
from mcrage.datasets.grain import usual_bands
from mcrage.datasets.guessing import Guess, guess, is_date
from mcrage.errors import UserError

_A_GROUP = 25


@dataclass(frozen=True)
class Inferred:
    """All that was found of a table.

    Attributes
    ----------
    columns : dict of str to Column
        Every column of the table, in its order: the known ones as they are.
    sensitive : dict of str to SensitiveCard
        As given, with bands where they are needed.
    drop_rows_without : tuple of str
        Columns that a row can't do without.
    guesses : dict of str to Guess
        Of the columns that were not known.
    roles : dict of str to str
        What columns are for; the others are features, or ignored.
    """

    columns: dict[str, Column]
    sensitive: dict[str, SensitiveCard]
    drop_rows_without: tuple[str, ...]
    guesses: dict[str, Guess] = field(repr=False)
    roles: dict[str, str] = field(repr=False)


def infer(
    table: pa.Table,
    *,
    target: str,
    sensitive: Mapping[str, SensitiveCard],
    cluster: Sequence[str] = (),
    known: Mapping[str, Column] | None = None,
    threshold: bool = False,
    decimal: str = ".",
) -> Inferred:
    """Return what a table's columns are, by the rules of this module.

    Parameters
    ----------
    table : pyarrow.Table or RawColumns
        Text, as a CSV file has it, or typed; null where a value is missing.
    target : str
    sensitive : mapping of str to SensitiveCard
        Sensitive attributes, with what is known of them.
    cluster : sequence of str
        Columns that say whose the rows are.
    known : mapping of str to Column, optional
        Columns that the card declares; taken as they are.
    threshold : bool
        Whether the target is a number that a threshold cuts in two.
    decimal : {".", ","}
        What begins the fraction of numbers that are text.

    Raises
    ------
    UserError
        If a role names no column, or the values do not fit it.
    """
    known = known or {}
    roles = {name: "sensitive" for name in sensitive}
    roles |= dict.fromkeys(cluster, "cluster")
    roles |= {target: "target" if not threshold else "threshold"}
    for name, role in roles.items():
        if name not in table.column_names:
            names = table.column_names
            raise UserError(
                f"{role.replace('threshold', 'target')}: found {name!r}{closest(name, names)}, "
                f"which is no column of the table; there are: {', '.join(names)}"
            )
    columns, guesses, needed = {}, {}, []
    for name in table.column_names:
        values = table.column(name)
        if name not in known:
            guesses[name] = guess(name, values, roles.get(name), decimal)
        columns[name] = known[name] if name in known else guesses[name].column
    attributes = {
        name: _with_bands(name, card, columns[name], table.column(name), decimal)
        for name, card in sensitive.items()
    }
    for name, role in roles.items():
        n_missing = table.column(name).null_count if name not in known else 0
        a_level = role == "sensitive" and attributes[name].bands is None and n_missing >= _A_GROUP
        if n_missing and not a_level:
            needed.append(name)
            columns[name] = columns[name].model_copy(update={"missing": "refuse"})
    return Inferred(columns, attributes, tuple(needed), guesses, roles)


def _with_bands(
    name: str, card: SensitiveCard, column: Column, values: pa.ChunkedArray, decimal: str
) -> SensitiveCard:
    """Return a sensitive attribute, with bands if it is a number or a date and has none."""
    if card.bands is not None or column.has_levels or column.type == "ignored":
        return card
    array = values.combine_chunks().drop_null()
    if column.type == "date":
        bands = _date_bands(array, column)
    else:
        # What is no number is refused, with its place, where the column is read.
        numbers = as_numbers(only_numbers(array, decimal), decimal).to_numpy(zero_copy_only=False)
        _refuse_row_numbers(name, column, numbers)
        bands = list(usual_bands(numbers[np.isfinite(numbers)]))
    return SensitiveCard(bands=bands, **card.model_dump(exclude={"bands"}))


def _refuse_row_numbers(name: str, column: Column, numbers: np.ndarray) -> None:
    if (
        column.type != "integer"
        or len(numbers) < _A_GROUP
        or len(np.unique(numbers)) < len(numbers)
    ):
        return
    if np.ptp(numbers) < 1.1 * len(numbers):
        raise UserError(
            f"sensitive: column {name} has a different whole number in each of "
            f"{len(numbers)} rows, as row numbers have: choose another column, or write "
            f"sensitive.{name}.bands if its numbers are to be cut"
        )


def _date_bands(array: pa.Array, column: Column) -> list[datetime.date]:
    """Return the first days of the years nearest to the thirds, or the thirds themselves."""
    days = days_of(array, column)
    cuts = [EPOCH + datetime.timedelta(int(day)) for day in np.quantile(days, [1 / 3, 2 / 3])]
    years = sorted({datetime.date(cut.year + (cut.month > 6), 1, 1) for cut in cuts})
    inside = [edge for edge in years if min(days) < (edge - EPOCH).days <= max(days)]
    return inside or sorted(set(cuts))


def days_of(array: pa.Array, column: Column) -> np.ndarray:
    """Return dates, which may be text, as days since 1970-01-01; none may be missing."""
    if not pa.types.is_string(array.type):
        return array.cast(pa.date32()).cast(pa.int32()).to_numpy()
    layout = column.date_format or ISO_DATE
    # What is no date is refused, with its place, where the column is read.
    texts = [text for text in array.to_pylist() if is_date(text, layout)]
    dates = [datetime.datetime.strptime(text, layout).date() for text in texts]
    return np.array([(date - EPOCH).days for date in dates])


def told(found: Inferred) -> str:
    """Return what was inferred as a table for the log."""
    rows = [("column", "role", "type", "missing", "because")]
    for name, column in found.columns.items():
        role = found.roles.get(name, "" if column.type == "ignored" else "feature")
        role = role.replace("threshold", "target")
        bands = found.sensitive[name].bands if name in found.sensitive else None
        if bands:
            role += f" in bands from {', '.join(map(_plain, bands))}"
        because = found.guesses[name].why if name in found.guesses else "the card says so"
        gaps = "" if column.missing == "refuse" else column.missing
        if name in found.drop_rows_without:
            gaps = "left out"
        rows.append((name, role, column.type, gaps, because))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(
        "  ".join(
            [*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    )


def _plain(edge: float | datetime.date) -> str:
    return f"{edge:g}" if isinstance(edge, float) else str(edge)
