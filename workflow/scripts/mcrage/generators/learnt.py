# SPDX-License-Identifier: MIT
"""Models that were learnt together, from where each replicate's training takes its own.

A folder for each key, with the model, its curve, its facts and a checksum of every file. As of a
checkpoint, what is foreign, outdated or damaged is refused, and the training then learns by itself.
"""

import logging
import os
import shutil
from pathlib import Path

import pyarrow as pa

from mcrage.errors import UserError
from mcrage.generators.base import Generator
from mcrage.provenance import file_hash
from mcrage.tables import read_json, read_table, write_json, write_table

logger = logging.getLogger(__name__)

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
) -> tuple[dict[str, list], dict] | None:
    """Copy a model into a folder; return its curve and facts, or None if there is none to take.

    Parameters
    ----------
    root, key
        See `keep`.
    folder : path-like
        Where ``model.safetensors`` and ``model.json`` go.
    """
    place = Path(root) / key
    try:
        sums = read_json(place / _SUMS)
    except UserError as error:
        logger.warning("no model of this replicate is taken, so it learns by itself: %s", error)
        return None
    damaged = [
        name for name in (*_MODEL, _HISTORY, _FACTS) if sums.get(name) != _hash(place / name)
    ]
    if damaged:
        logger.warning("%s is damaged (%s); the replicate learns by itself", place, damaged[0])
        return None
    for name in _MODEL:
        shutil.copyfile(place / name, Path(folder) / name)
    return read_table(place / _HISTORY).to_pydict(), read_json(place / _FACTS)


def _hash(path: Path) -> str | None:
    return file_hash(path) if path.is_file() else None
