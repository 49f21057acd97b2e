# SPDX-License-Identifier: MIT
"""Prove for one replicate that no test or validation row was learnt from; fail if one was.

Inputs: train, original, validation, test, table (all rows), roles; models (model.json), arrays
(model.safetensors) and synthetic of every generator; rebalanced and weights of every treatment;
metrics and predictions of every run. Output: leakage (what was checked).
"""

from functools import partial
from pathlib import Path

from mcrage.datasets.roles import read_roles
from mcrage.generators.base import TrainingData
from mcrage.generators.storage import read_arrays
from mcrage.groups import GroupSchema
from mcrage.leakage.fitted import (
    check_ancestors,
    check_model,
    check_scaler,
    check_stored_rows,
    check_weights,
    forbidden_files,
)
from mcrage.leakage.judged import check_run
from mcrage.leakage.rows import check_tables, check_treatment, refuse
from mcrage.lineage import Lineage
from mcrage.provenance import read_origin
from mcrage.stage import run_stage
from mcrage.tables import content_hash, read_json, read_table, write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    settings = params["settings"]
    lineage = Lineage(Path.cwd())
    forbidden = partial(
        forbidden_files,
        files={"validation": input.validation, "test": input.test},
        judged=settings["judged_on_validation"],
        learns_from=settings["learns_from"],
    )
    tables = {name: read_table(input[name]) for name in ("train", "original", "validation", "test")}
    held_out = [tables["validation"], tables["test"]]
    problems = check_tables(tables, list(roles.columns), roles.cluster, read_table(input.table))

    rebalanced, treatments = {}, {}
    for treatment, path, beside in zip(
        settings["treatments"], input.rebalanced, input.weights, strict=True
    ):
        name = treatment["name"]
        rebalanced[name], weights = read_table(path), read_table(beside)
        found, treatments[name] = check_treatment(
            name,
            rebalanced[name],
            weights,
            tables[treatment["train_on"]],
            held_out,
            list(roles.columns),
            schema.columns,
        )
        problems += found
        if weights.num_rows == rebalanced[name].num_rows:
            problems += check_weights(name, weights, rebalanced[name], schema, treatment["weights"])
        made = {f"{name}'s rebalanced table": path, f"{name}'s weights": beside}
        problems += check_ancestors(made, forbidden(treatment["generator"]), lineage)

    for (name, source), model, arrays, synthetic in zip(
        settings["trained_on"].items(), input.models, input.arrays, input.synthetic, strict=True
    ):
        table = rebalanced[source] if source else tables["train"]
        facts = read_json(model)
        problems += check_model(name, facts["trained_on"]["content"], content_hash(table))
        seed = (read_origin(model) or {"seeds": {"train": 0}})["seeds"]["train"]
        kept, data = read_arrays(arrays), TrainingData.of(table, roles)
        problems += check_scaler(name, kept, facts, data, seed)
        problems += check_stored_rows(name, kept, facts, data, seed)
        made = {f"{name}'s model": model, f"{name}'s synthetic rows": synthetic}
        problems += check_ancestors(made, forbidden(name), lineage)

    for run, metrics, predictions in zip(
        settings["runs"], input.metrics, input.predictions, strict=True
    ):
        problems += check_run(
            run,
            read_table(metrics),
            read_table(predictions),
            tables["test"],
            schema,
            settings["threshold"],
        )
    refuse(problems, str(Path(output.leakage).parent))
    facts = {
        "rows": {name: table.num_rows for name, table in tables.items()},
        "treatments": treatments,
        "generators": list(settings["trained_on"]),
        "runs": settings["runs"],
    }
    write_json(facts, output.leakage, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
