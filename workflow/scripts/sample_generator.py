# SPDX-License-Identifier: MIT
"""Draw the rows that each group lacks, n(π̂_k* − π̂_k) of Algorithm 3.1, or what treatments take.

Inputs: train (for the groups' sizes, the columns and the gate against memorising), weights, model,
roles. Output: synthetic, written as it is drawn, so that memory does not grow with the rows; what
passes a gate is put down in a file without a name until all of it has.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcrage.checkpoint_folders import remove_checkpoints
from mcrage.datasets.roles import Roles, read_roles
from mcrage.generators.base import TrainingData
from mcrage.groups import GroupSchema
from mcrage.progress import Progress
from mcrage.rebalancing import rows_to_add, synthetic_schema, synthetic_table
from mcrage.spool import PortionSpool
from mcrage.stage import run_stage
from mcrage.tables import read_table, table_writer

Chunks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Features and groups of one part of the drawn rows after another."""

_AT_ONCE = 131_072
"""Rows that pass a gate at a time, if there are as many."""


def past_gate(
    memorising: str,
    chunks: Chunks,
    draw: Callable[[np.ndarray, int], np.ndarray],
    train: TrainingData,
    seed: int,
) -> tuple[Chunks, np.ndarray | None]:
    """Act on drawn rows that lie too near to training rows.

    Parameters
    ----------
    memorising : {"drop", "stop"}
    chunks : iterable of (ndarray, ndarray)
        Drawn rows, see `mcrage.generators.base.Generator.draw`.
    draw : callable
        See `mcrage.fidelity.gate.Draw`.
    train : TrainingData
        Real training rows, also where the generator learnt from a table made of them.
    seed : int

    Returns
    -------
    chunks : iterable of (ndarray, ndarray)
        As given, but larger, and but for the rows drawn anew.
    dropped : ndarray of int64, shape (n_groups,), or None
        Rows of each group that were drawn and left out, once all chunks were taken; None where
        none is.
    """
    # By name: rows that pass no gate do not depend on it.
    gate = import_module("mcrage.fidelity.gate").Gate.of(
        train.features, train.groups, train.schema, train.roles.features
    )
    chunks = _gathered(chunks)
    if memorising == "stop":
        return gate.honest(chunks), None
    dropped = np.zeros(train.schema.n_groups, dtype=np.int64)
    return gate.passed(chunks, draw, seed, dropped), dropped


def _gathered(chunks: Chunks) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield chunks of at least so many rows: rows drawn anew depend on where a chunk begins."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(len(groups) for _, groups in waiting) >= _AT_ONCE:
            yield tuple(np.concatenate(part) for part in zip(*waiting, strict=True))
            waiting = []
    if waiting:
        yield tuple(np.concatenate(part) for part in zip(*waiting, strict=True))


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
        chunks = generator.draw(plan, seed=seed, device=device)
        gated = settings["memorising"] != "keep"
        if gated:
            chunks, dropped = past_gate(
                settings["memorising"],
                chunks,
                lambda groups, seed: generator.sample(groups, seed=seed, device=device),
                TrainingData.of(read_table(input.train), roles),
                seed,
            )
        tables = _tables(chunks, int(plan.sum()), template, roles)
        if gated:
            # A file begins with how many rows were dropped, which is known last.
            spool = PortionSpool(synthetic_schema(template.schema))
            for table in tables:
                spool.put(table)
            tables = spool.portions()
            if dropped is not None:
                origin["dropped_by_group"] = {
                    schema.label(k): int(n) for k, n in enumerate(dropped)
                }
                logging.info("rows drawn anew by group: %s", origin["dropped_by_group"])
        with table_writer(
            output.synthetic, synthetic_schema(template.schema), origin, counts
        ) as write:
            for table in tables:
                write(table)


def _tables(chunks: Chunks, n_rows: int, template: pa.Table, roles: Roles) -> Iterator[pa.Table]:
    with Progress(n_rows, "drawing", "rows") as progress:
        for features, groups in chunks:
            yield synthetic_table(features, groups, template, roles)
            progress.update(len(groups))


if __name__ == "__main__":
    run_stage(snakemake, main)
