# SPDX-License-Identifier: MIT
"""Fit a generator on several replicates at once.

Inputs: train of each replicate, validation of each (if a checkpoint is chosen on it), roles.
Output: learnt, a folder of models.
"""

import hashlib
from importlib import import_module

from mcrage.datasets.roles import read_roles
from mcrage.errors import told_of
from mcrage.generators.checkpoint import CheckpointFile
from mcrage.generators.learnt import keep
from mcrage.generators.task import read_task
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles, local = read_roles(input.roles), params["local"]
    alone = list(params["settings"].values())
    settings = alone[0]["settings"]
    replicates = list(params["settings"])
    validation = input.validation or [None] * len(replicates)
    tasks = []
    for replicate, *files, one in zip(replicates, input.train, validation, alone, strict=True):
        with told_of(f"replicate {replicate}"):
            tasks.append(read_task(*files, roles, one))
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    kind = registry.generator_class(settings["generator"]["kind"])
    names = (wildcards.dataset, wildcards.scenario, wildcards.batch, wildcards.generator)
    keys = " ".join(task.key for task in tasks)
    key = hashlib.sha256(keys.encode()).hexdigest()[:32]
    # Those that don't fit together are trained in turn, and go on from files of their own.
    checkpoints = [
        CheckpointFile(local["checkpoints"], *names, replicate, key=key) for replicate in replicates
    ]
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    with accelerator.given_device(**local["device"], gpus=local["gpus"]) as device:
        generators = kind.fit_together(
            settings["generator"],
            [
                (task.train, task.seed, task.criterion, checkpoint, f"replicate {replicate}")
                for replicate, task, checkpoint in zip(replicates, tasks, checkpoints, strict=True)
            ],
            device=device,
            threads=settings["threads"],
        )
    for task, generator in zip(tasks, generators, strict=True):
        keep(output.learnt, task.key, generator)


if __name__ == "__main__":
    run_stage(snakemake, main)
