# SPDX-License-Identifier: MIT
"""Draw the rows that each group lacks, n(π̂_k* − π̂_k) of Algorithm 3.1, or what treatments take.

Inputs: train (for the groups' sizes, the columns and the gate against memorising), weights, model,
roles. Output: synthetic, written as it is drawn, so that memory does not grow with the rows, but
where they pass a gate.
"""

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mcrage.checkpoint_folders import remove_checkpoints
from mcrage.datasets.roles import read_roles
from mcrage.generators.base import TrainingData
from mcrage.groups import GroupSchema, plan_rows
from mcrage.progress import Progress
from mcrage.rebalancing import rows_to_add, synthetic_schema, synthetic_table
from mcrage.stage import run_stage
from mcrage.tables import read_table, table_writer


def draw_past_gate(
    memorising: str,
    draw: Callable[[np.ndarray, int], np.ndarray],
    groups: np.ndarray,
    train: TrainingData,
    seed: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw rows, and act on those that lie too near to training rows.

    Parameters
    ----------
    memorising : {"drop", "stop"}
    draw : callable
        See `mcrage.fidelity.gate.Draw`.
    groups : ndarray of int64, shape (m,)
    train : TrainingData
        Real training rows, also where the generator learnt from a table made of them.
    seed : int

    Returns
    -------
    features : ndarray of float64, shape (m, d)
    dropped : ndarray of int64, shape (n_groups,), or None
        Rows of each group that were drawn and left out; None where none is.
    """
    # By name: rows that pass no gate do not depend on it.
    gate = import_module("mcrage.fidelity.gate").Gate.of(
        train.features, train.groups, train.schema, train.roles.features
    )
    if memorising == "drop":
        return gate.draw(draw, groups, seed)
    features = draw(groups, seed)
    near = groups[~gate.keep(features, groups)]
    gate.refuse(train.schema.counts(near), train.schema.counts(groups))
    return features, None


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    # Snakemake starts this job only after it has taken note of the training.
    names = (wildcards.dataset, wildcards.scenario, wildcards.replicate, wildcards.generator)
    remove_checkpoints(params["local"]["checkpoints"], *names)
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    settings = params["settings"]
    real = schema.counts(schema.index(read_table(input.train, schema.columns)))
    plan = np.max([rows_to_add(real, schema, **demand) for demand in settings["demands"]], axis=0)
    counts = {schema.label(group): int(wanted) for group, wanted in enumerate(plan)}
    logging.info("rows to draw by group: %s", counts)
    # By name: another generator in the registry is no reason to make this one's output again.
    registry = import_module("mcrage.generators.registry")
    kind = registry.generator_class(settings["kind"])
    generator = kind.load(Path(input.model).parent, settings["sampling"])
    # By name: how a device is found changes no result.
    accelerator = import_module("mcrage.accelerator")
    local = params["local"]
    seed, template = params["seeds"]["sample"], pq.read_schema(input.train).empty_table()
    with accelerator.given_device(**local["device"], gpus=local["gpus"]) as device:
        if settings["memorising"] == "keep":
            chunks = generator.draw(plan, seed=seed, device=device)
        else:
            groups = plan_rows(plan)
            features, dropped = draw_past_gate(
                settings["memorising"],
                lambda groups, seed: generator.sample(groups, seed=seed, device=device),
                groups,
                TrainingData.of(read_table(input.train), roles),
                seed,
            )
            chunks = [(features, groups)]
            if dropped is not None:
                origin["dropped_by_group"] = {
                    schema.label(k): int(n) for k, n in enumerate(dropped)
                }
                logging.info("rows drawn anew by group: %s", origin["dropped_by_group"])
        with (
            table_writer(
                output.synthetic, synthetic_schema(template.schema), origin, counts
            ) as write,
            Progress(int(plan.sum()), "drawing", "rows") as progress,
        ):
            for features, groups in chunks:
                write(synthetic_table(features, groups, template, roles))
                progress.update(len(groups))


if __name__ == "__main__":
    run_stage(snakemake, main)
