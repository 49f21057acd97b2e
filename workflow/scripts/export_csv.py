# SPDX-License-Identifier: MIT
"""Write a rebalanced table as CSV: the same columns and order, missing values empty.

Input: table. Output: csv, UTF-8 with a header; texts in quotation marks only where they need them.
"""

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from mcrage.stage import run_stage
from mcrage.tables import atomic_output

_ROWS_AT_ONCE = 65_536


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    source = pq.ParquetFile(input.table)
    schema = pa.schema([_plain(field) for field in source.schema_arrow])
    options = pa_csv.WriteOptions(quoting_style="needed")
    with (
        atomic_output(output.csv) as temporary,
        pa_csv.CSVWriter(temporary, schema, write_options=options) as writer,
    ):
        for batch in source.iter_batches(_ROWS_AT_ONCE):
            writer.write_batch(batch.cast(schema))


def _plain(field: pa.Field) -> pa.Field:
    """Return a field without a dictionary, which CSV has no way to write."""
    kind = field.type
    return pa.field(field.name, kind.value_type if pa.types.is_dictionary(kind) else kind)


if __name__ == "__main__":
    run_stage(snakemake, main)
