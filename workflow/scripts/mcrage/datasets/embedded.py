# SPDX-License-Identifier: MIT
"""Tables that an installed library carries, written as CSV: nothing to download."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

EmbeddedTable = tuple[list[str], Iterable[Iterable[float]]]


def write_embedded(name: str, path: Path) -> None:
    """Write an embedded table as CSV with a header, the same bytes every time.

    Parameters
    ----------
    name : str
        A key of `TABLES`, as a dataset card writes it.
    path : Path
        The file to write.
    """
    header, rows = TABLES[name]()
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_shortest(value) for value in row] for row in rows)


def _shortest(value: float) -> str:
    """Return the shortest text that reads back as the same number: ``59``, ``32.1``."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _load_diabetes() -> EmbeddedTable:
    """Return the 442 patients of Efron et al. (2004) in raw units, target last."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    rows = ((*row, target) for row, target in zip(bunch.data, bunch.target, strict=True))
    return [*bunch.feature_names, "progression"], rows


TABLES: dict[str, Callable[[], EmbeddedTable]] = {"sklearn.datasets.load_diabetes": _load_diabetes}
