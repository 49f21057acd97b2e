# SPDX-License-Identifier: MIT
"""Draw the rows that each group lacks, n(π̂_k* − π̂_k) of Algorithm 3.1, or twice as many.

Inputs: train (for the groups' sizes), weights, model, roles. Output: synthetic.
"""

import logging
from importlib import import_module
from pathlib import Path

from mcrage.checkpoint_folders import remove_checkpoints
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema, filling_plan, plan_rows
from mcrage.rebalancing import synthetic_table
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    # Snakemake starts this job only after it has taken note of the training.
    names = (wildcards.dataset, wildcards.scenario, wildcards.replicate, wildcards.generator)
    remove_checkpoints(params["local"]["checkpoints"], *names)
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    train = read_table(input.train)
    settings = params["settings"]
    groups = plan_rows(filling_plan(schema.counts(schema.index(train)), settings["fill"]))
    counts = schema.counts_by_label(groups)
    logging.info("rows to draw by group: %s", counts)
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    kind = registry.generator_class(settings["kind"])
    generator = kind.load(Path(input.model).parent, settings["sampling"])
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    local = params["local"]
    with accelerator.given_device(**local["device"], gpus=local["gpus"]) as device:
        features = generator.sample(groups, seed=params["seeds"]["sample"], device=device)
    synthetic = synthetic_table(features, groups, train, schema, roles.feature_columns)
    write_table(synthetic, output.synthetic, origin, counts)


if __name__ == "__main__":
    run_stage(snakemake, main)
