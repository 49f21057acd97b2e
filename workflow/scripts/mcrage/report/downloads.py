# SPDX-License-Identifier: MIT
"""Tables of results as CSV inside the page, where they are small enough for it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcrage.report.numbers import count

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 2_000_000
"""Of one table's CSV; the page holds four thirds of it."""


@dataclass(frozen=True)
class Download:
    """A table that the reader may keep.

    Attributes
    ----------
    name : str
        Of the file that a browser saves.
    uri : str
        The file itself as an address; empty where it is too large for the page.
    told : str
        How many rows, and where all digits are.
    """

    name: str
    uri: str
    told: str


def downloads(
    tables: "Mapping[str, pd.DataFrame]",
    max_bytes: int = MAX_BYTES,
    *,
    computed: "Mapping[str, pd.DataFrame] | None" = None,
) -> list[Download]:
    """Return tables as CSV with six digits, undefined numbers empty.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By the name of the file below results, without its ending.
    max_bytes : int
        Larger ones are named only.
    computed : mapping of str to DataFrame, optional
        Tables that are in no file below results, computed of results/metrics.parquet for the page.
    """
    out = []
    computed = computed or {}
    for name, table in {**tables, **computed}.items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\r\n").encode()
        path = f"results/{name}.parquet"
        told = f"{count(len(table))} rows; all digits in {path}"
        if name in computed:
            path = "computed of results/metrics.parquet"
            told = f"{count(len(table))} rows, {path}"
        uri = ""
        if len(text) <= max_bytes:
            uri = "data:text/csv;charset=utf-8;base64," + base64.b64encode(text).decode()
        else:
            told = f"{count(len(table))} rows, too many for this page: {path}"
        out.append(Download(f"{name}.csv", uri, told))
    return out
