# SPDX-License-Identifier: MIT
"""Draw the rows that each group lacks, n(π̂_k* − π̂_k) of Algorithm 3.1.

Inputs: train (for the groups' sizes and the columns), weights, model, roles. Output: synthetic,
written as it is drawn, so that memory does not grow with the rows.
"""

import logging
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq

from mcrage.checkpoint_folders import remove_checkpoints
from mcrage.datasets.roles import read_roles
from mcrage.groups import GroupSchema, filling_plan
from mcrage.progress import Progress
from mcrage.rebalancing import synthetic_schema, synthetic_table
from mcrage.stage import run_stage
from mcrage.tables import read_table, table_writer


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    # Snakemake starts this job only after it has taken note of the training.
    names = (wildcards.dataset, wildcards.scenario, wildcards.replicate, wildcards.generator)
    remove_checkpoints(params["local"]["checkpoints"], *names)
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    settings = params["settings"]
    plan = filling_plan(schema.counts(schema.index(read_table(input.train, schema.columns))))
    counts = {schema.label(group): int(wanted) for group, wanted in enumerate(plan)}
    logging.info("rows to draw by group: %s", counts)
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    kind = registry.generator_class(settings["kind"])
    generator = kind.load(Path(input.model).parent, settings["sampling"])
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    local = params["local"]
    template = pq.read_schema(input.train).empty_table()
    with (
        accelerator.given_device(**local["device"], gpus=local["gpus"]) as device,
        table_writer(output.synthetic, synthetic_schema(template.schema), origin, counts) as write,
        Progress(int(plan.sum()), "drawing", "rows") as progress,
    ):
        for features, groups in generator.draw(plan, seed=params["seeds"]["sample"], device=device):
            write(synthetic_table(features, groups, template, schema, roles.feature_columns))
            progress.update(len(groups))


if __name__ == "__main__":
    run_stage(snakemake, main)
