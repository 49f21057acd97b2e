# SPDX-License-Identifier: MIT
"""Fit a generator on the training rows of a replicate.

Inputs: train (or the table of the treatment it learns from), validation (if a checkpoint is
chosen on it), roles. Outputs:
weights, model, history, facts (times and device).
"""

import hashlib
import json
import logging
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from mcrage.datasets.roles import read_roles
from mcrage.generators.base import TrainingData
from mcrage.generators.checkpoint import CheckpointFile
from mcrage.provenance import file_hash
from mcrage.rare_groups import settle
from mcrage.stage import run_stage
from mcrage.tables import (
    content_hash,
    content_hash_of_file,
    read_json,
    read_table,
    write_json,
    write_table,
)


def training_key(params: dict, roles: dict, tables: list[str]) -> str:
    """Return the digest of all that decides what is learnt: params, roles and tables' content."""
    shaping = {name: value for name, value in params.items() if name != "local"}
    text = json.dumps([shaping, roles, tables], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    settings = params["settings"]
    train = TrainingData.read(input.train, roles)
    n_rows = len(train.groups)
    counts = train.schema.counts_by_label(train.groups)
    logging.info("rows by group: %s", counts)
    train, rare = settle(train, settings["rare_groups"], params["seeds"]["train"])
    for one in rare:
        logging.info("rare group: %s", one)
    contents = [content_hash_of_file(input.train)]
    criterion = None
    if judge := settings.get("judge"):
        validation = read_table(input.validation)
        contents.append(content_hash(validation))
        # By name: only generators that are judged have its code in their digest.
        criterion = import_module("mcrage.classifiers.validation").validation_f1(
            judge,
            read_table(input.train),
            validation,
            roles,
            seed=params["seeds"]["train"],
            threads=settings["threads"],
        )
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    generator = registry.generator_class(settings["generator"]["kind"])(settings["generator"])
    checkpoint = CheckpointFile(
        params["local"]["checkpoints"],
        *(wildcards.dataset, wildcards.scenario, wildcards.replicate, wildcards.generator),
        key=training_key(params, roles.to_dict(), contents),
    )
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    local = params["local"]
    with accelerator.given_device(**local["device"], gpus=local["gpus"]) as device:
        generator.fit(
            train,
            criterion=criterion,
            seed=params["seeds"]["train"],
            device=device,
            checkpoint=checkpoint,
            threads=settings["threads"],
        )
    generator.save(Path(output.model).parent)
    facts = {
        **read_json(output.model),
        **({"rare_groups": rare} if rare else {}),
        "trained_on": {"content": contents[0], "rows": n_rows},
        "files": {Path(output.weights).name: file_hash(output.weights)},
    }
    write_json(facts, output.model, origin | {"rows_by_group": counts})
    write_table(pa.table(generator.history), output.history, origin)
    write_json(generator.facts, output.facts)


if __name__ == "__main__":
    run_stage(snakemake, main)
