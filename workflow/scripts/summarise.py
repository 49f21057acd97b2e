# SPDX-License-Identifier: MIT
"""Gather the metrics of all runs, their means, and the paired comparisons.

Inputs: metrics of every run. Outputs: metrics, summary, comparisons.
"""

import pyarrow as pa

from mcrage.stage import run_stage
from mcrage.statistics.summary import Margins, as_table, compare, summarise
from mcrage.tables import read_table, write_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    metrics = pa.concat_tables(read_table(path).replace_schema_metadata() for path in input.metrics)
    settings = params["settings"]
    frame = metrics.to_pandas()
    write_table(metrics, output.metrics, origin)
    write_table(as_table(summarise(frame)), output.summary, origin)
    comparisons = compare(
        frame,
        settings["baselines"],
        settings["test_to_train"],
        settings["controls"],
        Margins(**settings["margins"]),
    )
    write_table(as_table(comparisons), output.comparisons, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
