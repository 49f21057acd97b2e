# SPDX-License-Identifier: MIT
"""Hold a generator's rows against real ones: structure, likeness, memorising.

Inputs: train, test, synthetic, roles. Output: fidelity (long). Test rows are the real rows that
nothing was learnt from; nothing but the report is made from what is found, so nothing learns from
them here either. (Validation rows are too few: some groups have five. And they chose the
checkpoint of some generators.)
"""

import pyarrow as pa

from mcrage.datasets.roles import read_roles
from mcrage.fidelity.judge import judge_synthetic
from mcrage.provenance import read_origin
from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    table = judge_synthetic(
        read_table(input.synthetic),
        read_table(input.train),
        read_table(input.test),
        read_roles(input.roles),
        dropped=(read_origin(input.synthetic) or {}).get("dropped_by_group"),
        seed=params["seeds"]["judge"],
    )
    for number, name in enumerate(("dataset", "scenario", "replicate", "generator")):
        value = getattr(wildcards, name)
        values = pa.array([int(value) if name == "replicate" else value] * table.num_rows)
        table = table.add_column(number, name, values)
    write_table(table, output.fidelity, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
