# SPDX-License-Identifier: MIT
"""Write a rebalanced table as CSV: the same columns and order, missing values empty.

Input: table. Output: csv, UTF-8 with a header; texts in quotation marks only where they need them.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcrage.encoding.columns import as_text
from mcrage.stage import run_stage
from mcrage.tables import atomic_output

_ROWS_AT_ONCE = 65_536
_SPECIAL = r'[",\r\n]'


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    source = pq.ParquetFile(input.table)
    with (
        atomic_output(output.csv) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        names = _fields(pa.array(source.schema_arrow.names))
        stream.write(",".join(names.to_pylist()) + "\n")
        for batch in source.iter_batches(_ROWS_AT_ONCE):
            fields = [_fields(as_text(column)) for column in batch.columns]
            lines = pc.binary_join_element_wise(*fields, ",").to_pylist()
            stream.write("\n".join(lines) + "\n")


def _fields(texts: pa.Array) -> pa.Array:
    """Return texts as they stand in a CSV file."""
    doubled = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise('"', doubled, '"', "")
    special = pc.match_substring_regex(texts, _SPECIAL)
    return pc.fill_null(pc.if_else(special, quoted, texts), "")


if __name__ == "__main__":
    run_stage(snakemake, main)
