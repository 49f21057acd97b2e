# SPDX-License-Identifier: MIT
"""Gather what was found of all generators' rows. Inputs: fidelity of each. Output: fidelity."""

import pyarrow as pa

from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    tables = [read_table(path).replace_schema_metadata() for path in input.fidelity]
    write_table(pa.concat_tables(tables), output.fidelity, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
