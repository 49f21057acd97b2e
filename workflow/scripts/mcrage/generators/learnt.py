# SPDX-License-Identifier: MIT
"""Models that were learnt together, from where each replicate's training takes its own.

A folder for each key, with the model, its curve, its facts and a checksum of every file. What is
foreign, outdated or damaged is refused: to learn instead would be a training without the GPU that
the batch was given.
"""

import os
import shutil
from pathlib import Path

import pyarrow as pa

from mcrage.errors import UserError
from mcrage.generators.base import Generator
from mcrage.provenance import file_hash
from mcrage.tables import read_json, read_table, write_json, write_table

_MODEL = ("model.safetensors", "model.json")
_HISTORY, _FACTS, _SUMS = "history.parquet", "facts.json", "sha256.json"


def keep(root: str | os.PathLike, key: str, generator: Generator) -> None:
    """Write what a generator learnt.

    Parameters
    ----------
    root : path-like
        Folder of the batch.
    key : str
        See `mcrage.generators.task.Task`.
    generator : Generator
        Fitted.
    """
    place = Path(root) / key
    place.mkdir(parents=True)
    generator.save(place)
    write_table(pa.table(generator.history), place / _HISTORY)
    write_json(generator.facts, place / _FACTS)
    sums = {name: file_hash(place / name) for name in (*_MODEL, _HISTORY, _FACTS)}
    write_json(sums, place / _SUMS)


def take(
    root: str | os.PathLike, key: str, folder: str | os.PathLike
) -> tuple[dict[str, list], dict]:
    """Copy a model into a folder; return its curve and facts.

    Parameters
    ----------
    root, key
        See `keep`.
    folder : path-like
        Where ``model.safetensors`` and ``model.json`` go.

    Raises
    ------
    UserError
        If the batch has learnt from other rows or with other settings, or a file is damaged.
    """
    place = Path(root) / key
    again = f"remove {root} and run again: the batch is then learnt anew"
    if not (place / _SUMS).is_file():
        raise UserError(f"{root} holds no model of this replicate's rows and settings: {again}")
    sums = read_json(place / _SUMS)
    for name in (*_MODEL, _HISTORY, _FACTS):
        if sums.get(name) != _hash(place / name):
            raise UserError(f"{place / name} is damaged: {again}")
    for name in _MODEL:
        shutil.copyfile(place / name, Path(folder) / name)
    return read_table(place / _HISTORY).to_pydict(), read_json(place / _FACTS)


def _hash(path: Path) -> str | None:
    return file_hash(path) if path.is_file() else None
