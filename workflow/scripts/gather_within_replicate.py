# SPDX-License-Identifier: MIT
"""Gather the comparisons within all replicates.

Inputs: within of each replicate; leakage, only an order: nothing is told before the guard passes.
Output: within.
"""

import pyarrow as pa

from mcrage.stage import run_stage
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    tables = [read_table(path).replace_schema_metadata() for path in input.within]
    write_table(pa.concat_tables(tables), output.within, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
