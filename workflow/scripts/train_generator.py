# SPDX-License-Identifier: MIT
"""Fit a generator on the training rows of a replicate.

Inputs: train (or the table of the treatment it learns from), validation (if a checkpoint is
chosen on it), roles, learnt (models of its batch, if replicates learn together). Outputs: weights,
model, history, facts (times and device).
"""

from importlib import import_module
from pathlib import Path

import pyarrow as pa

from mcrage.datasets.roles import read_roles
from mcrage.generators.checkpoint import CheckpointFile
from mcrage.generators.learnt import take
from mcrage.generators.task import Task, read_task
from mcrage.provenance import file_hash
from mcrage.stage import run_stage
from mcrage.tables import read_json, write_json, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    task = read_task(input.train, input.validation, read_roles(input.roles), params)
    folder = Path(output.model).parent
    if input.learnt:
        history, local = take(input.learnt, task.key, folder)
    else:
        history, local = learn(task, params, wildcards, folder)
    facts = {
        **read_json(output.model),
        **({"rare_groups": task.rare} if task.rare else {}),
        "trained_on": {"content": task.content, "rows": task.n_rows},
        "files": {Path(output.weights).name: file_hash(output.weights)},
    }
    write_json(facts, output.model, origin | {"rows_by_group": task.counts})
    write_table(pa.table(history), output.history, origin)
    write_json(local, output.facts)


def learn(task: Task, params: dict, wildcards, folder: Path) -> tuple[dict, dict]:
    """Fit the generator and save it; return its curve and its facts."""
    settings, local = params["settings"], params["local"]
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    generator = registry.generator_class(settings["generator"]["kind"])(settings["generator"])
    checkpoint = CheckpointFile(
        local["checkpoints"],
        *(wildcards.dataset, wildcards.scenario, wildcards.replicate, wildcards.generator),
        key=task.key,
    )
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    with accelerator.given_device(**local["device"], gpus=local["gpus"]) as device:
        generator.fit(
            task.train,
            criterion=task.criterion,
            seed=task.seed,
            device=device,
            checkpoint=checkpoint,
            threads=settings["threads"],
        )
    generator.save(folder)
    return generator.history, generator.facts


if __name__ == "__main__":
    run_stage(snakemake, main)
