# SPDX-License-Identifier: MIT
"""What a generator is given to learn from one replicate, and what tells that from all else."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from mcrage.datasets.roles import Roles
from mcrage.generators.base import Criterion, TrainingData
from mcrage.rare_groups import settle
from mcrage.tables import content_hash, content_hash_of_file, read_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One replicate, to be learnt.

    Attributes
    ----------
    train : TrainingData
    criterion : callable or None
        Judges drawn rows, where the checkpoint is chosen by them.
    seed : int
    rare : list of dict
        What was done about rare groups.
    n_rows : int
        Of the table.
    counts : dict of str to int
        Rows of each group of the table.
    content : str
        Hash of the table's content.
    key : str
        Digest of all that decides what is learnt: params, roles and the tables' content.
    """

    train: TrainingData
    criterion: Criterion | None = field(repr=False)
    seed: int
    rare: list[dict[str, Any]]
    n_rows: int
    counts: dict[str, int]
    content: str
    key: str


def read_task(
    table: str | os.PathLike,
    validation: str | os.PathLike | None,
    roles: Roles,
    params: Mapping[str, Any],
) -> Task:
    """Read what a replicate's generator learns from.

    Parameters
    ----------
    table, validation : path-like
        Parquet files of training and validation rows; the second only where rows are judged on it.
    roles : Roles
    params : mapping
        The params dict of rule ``train_generator`` for this replicate.
    """
    settings, seed = params["settings"], params["seeds"]["train"]
    train = TrainingData.read(table, roles)
    n_rows, counts = len(train.groups), train.schema.counts_by_label(train.groups)
    logger.info("rows by group: %s", counts)
    train, rare = settle(train, settings["rare_groups"], seed)
    for one in rare:
        logger.info("rare group: %s", one)
    contents, criterion = [content_hash_of_file(table)], None
    if judge := settings.get("judge"):
        rows = read_table(validation)
        contents.append(content_hash(rows))
        # By name: only generators that are judged have its code in their digest.
        criterion = import_module("mcrage.classifiers.validation").validation_f1(
            *(judge, read_table(table), rows, roles), seed=seed, threads=settings["threads"]
        )
    key = training_key(params, roles.to_dict(), contents)
    return Task(train, criterion, seed, rare, n_rows, counts, contents[0], key)


def training_key(params: Mapping[str, Any], roles: dict, tables: list[str]) -> str:
    """Return the digest of all that decides what is learnt: params, roles and tables' content."""
    shaping = {name: value for name, value in params.items() if name != "local"}
    text = json.dumps([shaping, roles, tables], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
