# SPDX-License-Identifier: MIT
"""Numbers that stand in a file as text."""

import pyarrow as pa
import pyarrow.compute as pc

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""What a number looks like, with a point before its fraction."""


def with_point(texts: pa.Array, decimal: str) -> pa.Array:
    """Return texts with a point before the fraction.

    Where a comma begins the fraction, a point parts thousands: it becomes a blank, so that such a
    text is no number, and not one that is a thousand times too small.

    Parameters
    ----------
    texts : pyarrow.Array of string
    decimal : {".", ","}

    Examples
    --------
    >>> with_point(pa.array(["2,5", "1.250"]), ",").to_pylist()
    ['2.5', '1 250']
    """
    if decimal == ".":
        return texts
    return pc.replace_substring(pc.replace_substring(texts, ".", " "), decimal, ".")


def as_numbers(values: pa.Array, decimal: str) -> pa.Array:
    """Return numbers as float64, whether they are written as text or not."""
    if pa.types.is_string(values.type):
        # What Arrow does not take is a leading plus sign.
        values = pc.ascii_ltrim(with_point(values, decimal), "+")
    # Of whole numbers above 2**53 the nearest that float64 holds.
    return values.cast(pa.float64(), safe=False)


def only_numbers(values: pa.Array, decimal: str) -> pa.Array:
    """Return the values without texts that are no numbers."""
    if not pa.types.is_string(values.type):
        return values
    return values.filter(pc.match_substring_regex(with_point(values, decimal), NUMBER))
