# SPDX-License-Identifier: MIT
"""Numbers as readers want them: three decimals, true minus signs, undefined said so."""

import math

_MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 3) -> str:
    """Return a number with fixed decimals, e.g. ``"0.713"``; NaN gives ``"undefined"``."""
    if math.isnan(value):
        return "undefined"
    return f"{value:.{digits}f}".replace("-", _MINUS)


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign, e.g. ``"+0.012"``; zero has none."""
    if math.isnan(value):
        return "undefined"
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """Return an interval, e.g. ``"[0.701, 0.725]"``; without one, an empty string."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def difference(mean: float, low: float, high: float, digits: int = 3) -> str:
    """Return a difference and its interval, e.g. ``"+0.012 [0.003, 0.021]"``."""
    return f"{signed(mean, digits)} {interval(low, high, digits)}".strip()


def p_value(value: float) -> str:
    """Return a p-value with two figures that matter, e.g. ``"p = 0.012"``."""
    if math.isnan(value):
        return ""
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def count(value: float) -> str:
    """Return a number of rows, e.g. ``"4,412"``; a mean over replicates is rounded."""
    return "unknown" if math.isnan(value) else f"{value:,.0f}"


def memory(mib: float) -> str:
    """Return memory given in MiB, in MiB or GiB."""
    return f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.0f} MiB"


def listing(items: list[str]) -> str:
    """Join words as a sentence does: ``"a, b and c"``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
