# SPDX-License-Identifier: MIT
"""Prove for one replicate that no test or validation row was learnt from; fail if one was.

Inputs: train, original, validation, test, table (all rows), roles, models, rebalanced and weights
of every treatment. Output: leakage (what was checked).
"""

from pathlib import Path

from mcrage.datasets.roles import read_roles
from mcrage.leakage import check_model, check_tables, check_treatment, refuse
from mcrage.stage import run_stage
from mcrage.tables import content_hash, read_json, read_table, write_json


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    columns = list(roles.columns)
    tables = {name: read_table(input[name]) for name in ("train", "original", "validation", "test")}
    held_out = [tables["validation"], tables["test"]]
    problems = check_tables(tables, columns, roles.cluster, read_table(input.table))
    settings = params["settings"]
    rebalanced, treatments = {}, {}
    for (name, source), path, weights in zip(
        settings["train_on"].items(), input.rebalanced, input.weights, strict=True
    ):
        rebalanced[name] = read_table(path)
        found, treatments[name] = check_treatment(
            name, rebalanced[name], read_table(weights), tables[source], held_out, columns
        )
        problems += found
    for (name, source), path in zip(settings["trained_on"].items(), input.models, strict=True):
        table = rebalanced[source] if source else tables["train"]
        problems += check_model(name, read_json(path)["trained_on"]["content"], content_hash(table))
    refuse(problems, str(Path(output.leakage).parent))
    facts = {
        "rows": {name: table.num_rows for name, table in tables.items()},
        "treatments": treatments,
        "generators": list(settings["trained_on"]),
    }
    write_json(facts, output.leakage, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
