# SPDX-License-Identifier: MIT
"""What a single column shows of itself: the declaration that a card leaves out.

Rules, of the values alone and of the column's name only where it is said. Each is a guess that the
card overrides by listing the column:

- One value in every row, or none: ignored.
- Two different values: category, whatever they are.
- Whole numbers: integer. Those with leading zeros, or more digits than 64 bits hold, are codes:
  category. So are at most 32 different ones of a column whose name ends in id, code or type.
- Numbers: continuous, recorded to the coarsest usual grid that holds them all.
- Dates as in `DATE_FORMATS`: date. Where day and month can't be told apart the day comes first.
- Times of the day: ignored, since no type holds them.
- Numbers or dates but for few rows (one, or one in a hundred; any that are infinite or have
  separators of thousands): the number or date, so that reading the column refuses the first such
  value with its place. With more of them, a fifth of the values at most: a warning says so.
- Other texts: category; never ordinal, since an order can't be seen.
- An identifier is ignored: texts that nearly all differ or whole numbers that all differ and are
  consecutive, or called like one; and a text with more than `MAXIMUM_FEATURE_LEVELS` levels.
"""

import datetime
import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.column_model import Column
from mcrage.datasets.decimals import NUMBER, as_numbers, with_point
from mcrage.datasets.grain import found_resolution
from mcrage.datasets.limits import MAXIMUM_FEATURE_LEVELS, MAXIMUM_LEVELS
from mcrage.encoding.columns import as_text
from mcrage.errors import UserError

DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
)
FEW = 12
"""Different numbers that may be levels."""
_WHOLE = r"^[+-]?[0-9]+$"
_PADDED = r"^[+-]?0[0-9]"
_CLOCK = r"^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$"
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_CALLED_ID = re.compile(
    r"(^|.*[_ .-])(id|ids|uuid|guid|mrn|ssn|nbr|index|key|rowid)$|.*[a-z](ID|Id|Nr|No)$", re.I
)
_CALLED_CODE = re.compile(r"(^|.*[_ .-])(id|code|type)$|.*[a-z](ID|Id|Code|Type)$", re.I)
_MEANT_AS_NUMBER = (
    r"(?i)^[+-]?(inf|infinity|1\.#inf|[0-9]{1,3}([,' \x{a0}\x{202f}_][0-9]{3})+(\.[0-9]+)?)$"
)
_CALLED = {"threshold": "target", "sensitive": "sensitive attribute"}
_ENOUGH = 20
_STRAY = 0.01
"""Share of rows with other values that a number or date may have: mistakes, not levels."""
_SAMPLE = 1000
_NEARLY_ALL = 0.9
_MOSTLY = 0.8


@dataclass(frozen=True)
class Guess:
    """What a column is taken for.

    Attributes
    ----------
    column : Column
    why : str
        What of its values says so.
    warning : str
        What the user should look at, or nothing.
    """

    column: Column
    why: str
    warning: str = ""


def guess(name: str, values: pa.ChunkedArray, role: str | None = None, decimal: str = ".") -> Guess:
    """Return what one column is taken for.

    Parameters
    ----------
    name : str
    values : pyarrow.ChunkedArray
    role : {"target", "threshold", "sensitive", "cluster"}, optional
        None: it is to become a feature.
    decimal : {".", ","}
        What begins the fraction of numbers that are text.
    """
    n_missing = values.null_count
    found = pc.unique(values.combine_chunks().drop_null())
    if pa.types.is_dictionary(found.type):
        found = pc.unique(found.dictionary_decode())
    told = f"{len(found):,} different values"
    # Rows that lack what they need are left out; of others it is information.
    keep = {"missing": "keep"} if n_missing and role in (None, "sensitive") else {}
    if role is None and _PANDAS_INDEX.fullmatch(name):
        return Guess(Column(type="ignored"), "the index of a pandas table")
    if role == "cluster":
        return Guess(Column(type="category"), f"{told}: rows of one stay together")
    if len(found) < 2:
        if role is not None:
            raise UserError(
                f"column {name} is to be the {_CALLED.get(role, role)}, and has "
                f"{'one value' if len(found) else 'no value'} in all rows; choose another column"
            )
        what = "the same value in every row" if len(found) else "no value in any row"
        return Guess(Column(type="ignored"), what, f"{what}: left out")
    if role == "target":
        return _target(name, found, told, decimal)
    if len(found) == 2 and role != "threshold":
        return Guess(Column(type="category", **keep), f"two values: {_shown(found)}")
    # Where a role is named, what looks like an identifier is none.
    n_rows = len(values) - n_missing if role is None else None
    if pa.types.is_dictionary(values.type):
        made = _levels(name, as_text(found), n_rows, keep, f"levels such as {_shown(found)}")
    else:
        made = _typed(name, found, n_rows, keep, decimal, values)
    if role == "threshold" and not made.column.is_numeric:
        raise UserError(
            f"column {name} is the target and has a threshold, but its values are no numbers "
            f"({_shown(found)}); leave the threshold out"
        )
    few = made.column.is_numeric and len(found) <= FEW
    if role == "sensitive" and (made.column.type == "ignored" or few):
        return Guess(Column(type="category", **keep), f"{told}: {_shown(found)}")
    return made


def _target(name: str, found: pa.Array, told: str, decimal: str) -> Guess:
    if len(found) > MAXIMUM_LEVELS:
        numeric = _are_numbers(found, decimal)
        fix = (
            "write target.threshold: median (or a number) with two levels, e.g. levels: [low, high]"
            if numeric
            else "join levels in the file, or choose another column"
        )
        raise UserError(
            f"column {name} is the target and has {len(found)} different values, at most "
            f"{MAXIMUM_LEVELS} are allowed; {fix}"
        )
    return Guess(Column(type="category"), f"{told}: {_shown(found)}")


def _typed(
    name: str,
    found: pa.Array,
    n: int | None,
    keep: dict,
    decimal: str,
    values: pa.ChunkedArray,
) -> Guess:
    """Return the guess for three different values or more.

    Parameters
    ----------
    n : int or None
        Rows that have a value; None: the column is no identifier, whatever it looks like.
    values : pyarrow.ChunkedArray
        Of all rows.
    """
    kind = found.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return Guess(Column(type="date", **keep), "dates")
    if pa.types.is_integer(kind):
        return _whole(name, found.to_numpy(), n, keep)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _continuous(found.cast(pa.float64()).to_numpy(), kind, keep)
    texts = as_text(found)
    fits = pc.match_substring_regex(with_point(texts, decimal), NUMBER)
    if _few_others(texts, fits, values):
        numbers, others = texts.filter(fits), texts.filter(pc.invert(fits))
        made = _number(name, numbers, n and n - len(others), keep, decimal)
        return _with_strays(made, others, "numbers")
    if _all_match(texts, _CLOCK):
        told = "times of the day, which no type holds"
        return Guess(Column(type="ignored"), told, f"{told}: left out")
    warning = _nearly_numbers(texts, fits)
    layouts, fits = _date_layouts(texts)
    if layouts and _few_others(texts, fits, values):
        return _with_strays(_date(layouts, keep), texts.filter(pc.invert(fits)), "dates")
    if layouts:
        warning = (
            f"nearly all values are dates like {layouts[0]}, but not "
            f"{_shown(texts.filter(pc.invert(fits)))}: to make it a date, mend the file, or list "
            "that under the column's na_values if it means missing, with type: date"
        )
    return _levels(name, texts, n, keep, f"texts such as {_shown(texts)}", warning)


def _few_others(texts: pa.Array, fits: pa.Array, values: pa.ChunkedArray) -> bool:
    """Return whether so few rows do not fit that they are mistakes in a column of the others."""
    n_fitting = pc.sum(fits).as_py()
    if n_fitting == len(texts):
        return True
    if n_fitting <= FEW or n_fitting <= _MOSTLY * len(texts):
        return False
    others = texts.filter(pc.invert(fits))
    if _all_match(others, _MEANT_AS_NUMBER):
        return True
    n_rows = pc.sum(pc.is_in(values, value_set=others)).as_py()
    return n_rows <= max(1, _STRAY * (len(values) - values.null_count))


def _with_strays(made: Guess, others: pa.Array, what: str) -> Guess:
    # Codes may be any text.
    if not len(others) or made.column.has_levels:
        return made
    warning = f"its values are {what} but for {_shown(others)}"
    return replace(made, warning="; ".join(filter(None, (warning, made.warning))))


def _nearly_numbers(texts: pa.Array, fits: pa.Array) -> str:
    n_numbers = pc.sum(fits).as_py()
    if n_numbers <= FEW or n_numbers <= _MOSTLY * len(texts):
        return ""
    odd = texts.filter(pc.invert(fits))
    return (
        f"nearly all values are numbers, but not {_shown(odd)}: to make it a number, list that "
        "under the column's na_values if it means missing, or say what it stands for, e.g. "
        f"replace: {{{odd[0].as_py()!r}: '90'}}"
    )


def _number(name: str, texts: pa.Array, n: int | None, keep: dict, decimal: str) -> Guess:
    """Return the guess for texts that are all numbers."""
    if not _all_match(texts, _WHOLE):
        return _continuous(as_numbers(texts, decimal).to_numpy(), texts.type, keep)
    if pc.any(pc.match_substring_regex(texts, _PADDED)).as_py():
        return _levels(name, texts, n, keep, "digits with leading zeros are codes")
    try:
        whole = pc.ascii_ltrim(texts, "+").cast(pa.int64())
    except pa.ArrowInvalid:
        return _levels(name, texts, n, keep, "so many digits are codes")
    return _whole(name, whole.to_numpy(), n, keep)


def _whole(name: str, found: np.ndarray, n: int | None, keep: dict) -> Guess:
    told = f"{len(found):,} whole numbers"
    n = n or 0
    if len(found) == n and n >= _ENOUGH:
        consecutive = int(found.max()) - int(found.min()) < 1.1 * n
        if consecutive or _CALLED_ID.match(name):
            return _identifier("a different whole number in every row")
    elif _CALLED_ID.match(name) and n / 2 < len(found) <= n:
        return _identifier(f"{told} in {n:,} rows, and the name of an identifier", name)
    if len(found) <= MAXIMUM_LEVELS and _CALLED_CODE.match(name):
        return Guess(Column(type="category", **keep), f"{told} of a column that is called a code")
    warning = ""
    if n and _CALLED_ID.match(name):
        warning = (
            "called like an identifier: write type: ignored if it is one, or cluster: "
            f"{name} if it says whose the rows are"
        )
    column = Column(type="integer", resolution=1, **keep)
    return Guess(column, f"{told} from {found.min()} to {found.max()}", warning)


def _continuous(found: np.ndarray, kind: pa.DataType, keep: dict) -> Guess:
    finite = found[np.isfinite(found)]
    if not len(finite):
        return Guess(Column(type="continuous", **keep), "numbers, none of them finite")
    resolution = found_resolution(finite, 1e-7 if kind == pa.float32() else 1e-12)
    told = f"numbers from {finite.min():g} to {finite.max():g}, "
    told += f"recorded to {resolution:g}" if resolution else "not rounded"
    return Guess(Column(type="continuous", resolution=resolution or None, **keep), told)


def _date_layouts(texts: pa.Array) -> tuple[list[str], pa.Array]:
    """Return the layouts that fit most texts, and which texts the first of them fits."""
    found = texts.to_pylist()
    # A sample first: most texts are no dates, and parsing takes long.
    step = max(1, len(found) // _SAMPLE)
    fits = {}
    for layout in DATE_FORMATS:
        some = [is_date(text, layout) for text in found[::step]]
        if sum(some) > _MOSTLY * len(some):
            fits[layout] = [is_date(text, layout) for text in found]
    most = max(map(sum, fits.values()), default=0)
    if most <= _MOSTLY * len(found):
        return [], pa.array([False] * len(found))
    layouts = [layout for layout, each in fits.items() if sum(each) == most]
    return layouts, pa.array(fits[layouts[0]])


def _date(fits: list[str], keep: dict) -> Guess:
    layout, warning = fits[0], ""
    if {"%d/%m/%Y", "%m/%d/%Y"} <= set(fits):
        warning = "day and month can't be told apart; taken as %d/%m/%Y, so look at date_format"
    if "%H" in layout:
        warning = "only the day is a feature; synthetic rows have no time of the day"
    return Guess(Column(type="date", date_format=layout, **keep), f"dates like {layout}", warning)


def is_date(text: str, layout: str) -> bool:
    """Return whether a text is a date of this layout."""
    # The length first: most texts are no dates, and parsing takes long.
    if not 8 <= len(text) <= 19:
        return False
    try:
        datetime.datetime.strptime(text, layout)
    except ValueError:
        return False
    return True


def _levels(
    name: str, texts: pa.Array, n: int | None, keep: dict, why: str, warning: str = ""
) -> Guess:
    if (
        n is not None
        and n >= _ENOUGH
        and (len(texts) > _NEARLY_ALL * n or (_CALLED_ID.match(name) and len(texts) > n / 2))
    ):
        told = f"{len(texts):,} different texts in {n:,} rows"
        made = _identifier(told, name if len(texts) < n else None)
        return replace(made, warning="; ".join(filter(None, (made.warning, warning))))
    if len(texts) > MAXIMUM_FEATURE_LEVELS:
        told = f"{len(texts):,} different texts, at most {MAXIMUM_FEATURE_LEVELS} are levels"
        left_out = "; ".join(filter(None, (f"{told}: left out", warning)))
        return Guess(Column(type="ignored"), told, left_out)
    return Guess(Column(type="category", **keep), f"{len(texts)} levels, {why}", warning)


def _identifier(told: str, repeated: str | None = None) -> Guess:
    warning = f"{told}, which looks like an identifier: left out"
    if repeated is not None:
        warning += f"; if it says whose the rows are, write cluster: {repeated}"
    return Guess(Column(type="ignored"), told, warning)


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern)).as_py()


def _are_numbers(found: pa.Array, decimal: str) -> bool:
    texts = with_point(as_text(found), decimal)
    return not pa.types.is_boolean(found.type) and _all_match(texts, NUMBER)


def _shown(found: pa.Array, most: int = 3) -> str:
    """Return a few values as text."""
    texts = [_short(text) for text in sorted(as_text(found).to_pylist())]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:17]}..."
