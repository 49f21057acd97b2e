# SPDX-License-Identifier: MIT
"""Models on disk: named tensors in safetensors, the rest in JSON, both written atomically."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.tables import atomic_output, read_json, write_json

TENSORS = "model.safetensors"
FACTS = "model.json"


def save_model(
    folder: str | os.PathLike, arrays: dict[str, np.ndarray], facts: dict[str, Any]
) -> None:
    """Write arrays and plain JSON values into a folder; equal content gives equal bytes."""
    write_arrays(arrays, Path(folder) / TENSORS)
    write_json(facts, Path(folder) / FACTS)


def load_model(
    folder: str | os.PathLike, kind: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_model` wrote, and check that it is a model of this kind.

    Raises
    ------
    UserError
        If a file is missing or holds another kind.
    """
    facts = read_json(Path(folder) / FACTS)
    if facts.get("kind") != kind:
        raise UserError(
            f"{Path(folder) / FACTS}: holds a model of kind '{facts.get('kind')}', expected "
            f"'{kind}'. Delete the folder and run snakemake again."
        )
    return read_arrays(Path(folder) / TENSORS), facts


def write_arrays(arrays: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write named arrays as one safetensors file, atomically."""
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    with atomic_output(path) as temporary:
        temporary.write_bytes(save(ordered))


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a safetensors file.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. Let Snakemake make it: snakemake --cores all {path}"
        ) from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}). Delete it and run again.") from None


def schema_facts(schema: GroupSchema) -> dict[str, Any]:
    """Return a schema as plain JSON values."""
    facts = {"columns": list(schema.columns), "levels": [list(levels) for levels in schema.levels]}
    # Infinity is no JSON.
    edges = [[str(edge) for edge in edges] for edges in schema.edges]
    return facts | ({"edges": edges} if edges else {})


def schema_from(facts: dict[str, Any]) -> GroupSchema:
    """Rebuild a schema from the result of `schema_facts`."""
    return GroupSchema(
        tuple(facts["columns"]),
        tuple(tuple(level) for level in facts["levels"]),
        tuple(tuple(float(edge) for edge in edges) for edges in facts.get("edges", [])),
    )
