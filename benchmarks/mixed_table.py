# SPDX-License-Identifier: MIT
"""A made-up table of mixed types and any length, and its card: what `scaling.py` measures with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

LEVELS = {
    **{f"four_{i}": [f"level {k}" for k in range(4)] for i in range(6)},
    **{f"many_{i}": [f"code {k:03d}" for k in range(200)] for i in range(3)},
    **{f"flag_{i}": ["false", "true"] for i in range(3)},
    **{f"ordinal_{i}": ["none", "some", "much"] for i in range(3)},
}
NUMBERS = [f"number_{i}" for i in range(14)]
GAPPED = [f"gapped_{i}" for i in range(8)]
COUNTS = [f"count_{i}" for i in range(8)]
DATES = [f"date_{i}" for i in range(3)]
_ROWS = 50_000


def portion(n_rows: int, seed: int) -> pa.Table:
    """Return some rows."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], n_rows)
    died = rng.choice(["no", "yes"], n_rows, p=[0.8, 0.2])
    columns: dict[str, Any] = {name: rng.normal(10, 3, n_rows).round(2) for name in NUMBERS}
    for name in GAPPED:
        gaps = rng.random(n_rows) < 0.1
        columns[name] = pa.array(rng.lognormal(2, 1, n_rows).round(1), mask=gaps)
    columns |= {name: rng.poisson(3, n_rows) for name in COUNTS}
    columns |= {name: rng.choice(levels, n_rows) for name, levels in LEVELS.items()}
    for name in DATES:
        columns[name] = pa.array(rng.integers(15_000, 19_000, n_rows), pa.int32()).cast(pa.date32())
    return pa.table({**columns, "sex": sex, "died": died})


def write_raw(path: Path, n_rows: int) -> None:
    """Write the table as CSV."""
    with pa_csv.CSVWriter(path, portion(1, 0).schema) as writer:
        for rows in portions(n_rows):
            writer.write_table(rows)


def portions(n_rows: int) -> Iterator[pa.Table]:
    """Yield the table in parts."""
    for number, start in enumerate(range(0, n_rows, _ROWS)):
        yield portion(min(_ROWS, n_rows - start), number)


def prepare_settings_of(path: Path) -> dict[str, Any]:
    """Return the settings of `prepare`, as the workflow derives them from a card."""
    from mcrage.datasets.cards import parse_card, prepare_settings
    from mcrage.provenance import file_hash

    columns: dict[str, Any] = {name: {"type": "continuous"} for name in NUMBERS}
    columns |= {name: {"type": "continuous", "missing": "keep"} for name in GAPPED}
    columns |= {name: {"type": "integer"} for name in COUNTS}
    for name, levels in LEVELS.items():
        kind = "ordinal" if name.startswith("ordinal") else "category"
        columns[name] = {"type": kind, **({"levels": levels} if kind == "ordinal" else {})}
    columns |= {name: {"type": "date"} for name in DATES}
    columns |= {"sex": {"type": "category"}, "died": {"type": "category"}}
    card = {
        "name": "mixed",
        "title": "Mixed",
        "description": "Made up.",
        "licence": "none",
        "citation": "none",
        "files": [
            {
                "name": path.name,
                "sha256": file_hash(path),
                "sources": [{"path": str(path)}],
            }
        ],
        "columns": columns,
        "target": {"column": "died", "levels": ["no", "yes"]},
        "sensitive": {"sex": {}},
    }
    return prepare_settings(parse_card(card, "mixed.yaml"))
