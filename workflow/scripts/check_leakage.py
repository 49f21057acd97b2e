# SPDX-License-Identifier: MIT
"""Prove for one replicate that no test or validation row was learnt from; fail if one was.

Inputs: train, original, validation, test, table (all rows), roles; models (model.json), arrays
(model.safetensors) and synthetic of every generator; rebalanced and weights of every treatment;
metrics and predictions of every run, and held_out where a rule for decisions is fitted on it.
Output: leakage (what was checked).
"""

from pathlib import Path

from mcrage.datasets.roles import read_roles
from mcrage.leakage.replicate import Replicate, check_all
from mcrage.leakage.rows import check_tables, refuse
from mcrage.leakage.table_file import TableFile
from mcrage.lineage import Lineage
from mcrage.stage import run_stage
from mcrage.tables import write_json

_MADE = (
    *("rebalanced", "weights", "models", "arrays", "synthetic"),
    *("metrics", "predictions", "held_out"),
)


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles, settings = read_roles(input.roles), params["settings"]
    tables = {name: TableFile(input[name]) for name in ("train", "original", "validation", "test")}
    problems = check_tables(tables, list(roles.columns), roles.cluster, TableFile(input.table))
    replicate = Replicate(
        tables=tables,
        held_out={"validation": input.validation, "test": input.test},
        roles=roles,
        settings=settings,
        lineage=Lineage(Path.cwd()),
    )
    found, treatments = check_all(
        replicate, threads=threads, **{name: input[name] for name in _MADE}
    )
    refuse(problems + found, str(Path(output.leakage).parent))
    facts = {
        "rows": {name: table.num_rows for name, table in tables.items()},
        "treatments": treatments,
        "generators": list(settings["trained_on"]),
        "runs": [f"{treatment}, {classifier}" for treatment, classifier in settings["runs"]],
        "fitted_anew": settings["refitted"],
    }
    write_json(facts, output.leakage, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
