# SPDX-License-Identifier: MIT
"""Write a rebalanced table as CSV: the same columns and order, missing values empty.

Input: table. Output: csv, UTF-8 with a header, with the delimiter, the decimal sign and the form of
dates of the user's own file; texts in quotation marks only where they need them.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcrage.carried import DATE_FORMAT, carried_by
from mcrage.encoding.columns import as_text
from mcrage.stage import run_stage
from mcrage.tables import atomic_output

_ROWS_AT_ONCE = 65_536


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    delimiter, decimal = params["settings"]["delimiter"], params["settings"]["decimal"]
    source = pq.ParquetFile(input.table)
    fields = list(source.schema_arrow)
    with (
        atomic_output(output.csv) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        names = _quoted(pa.array(source.schema_arrow.names), delimiter)
        stream.write(delimiter.join(names.to_pylist()) + "\n")
        for batch in source.iter_batches(_ROWS_AT_ONCE):
            columns = [
                _quoted(_written(values, field, decimal), delimiter)
                for values, field in zip(batch.columns, fields, strict=True)
            ]
            lines = pc.binary_join_element_wise(*columns, delimiter).to_pylist()
            stream.write("\n".join(lines) + "\n")


def _written(values: pa.Array, field: pa.Field, decimal: str) -> pa.Array:
    """Return values as text, as the user's file has them."""
    kind = values.type
    layout = carried_by(field).get(DATE_FORMAT)
    # Arrow writes no fractions of a second alone.
    if layout is not None and b"%f" not in layout:
        # Otherwise seconds have a fraction.
        whole = values.cast(pa.timestamp("s")) if pa.types.is_timestamp(kind) else values
        return pc.strftime(whole, layout.decode())
    texts = as_text(values)
    if decimal != "." and (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return pc.replace_substring(texts, ".", decimal)
    return texts


def _quoted(texts: pa.Array, delimiter: str) -> pa.Array:
    """Return texts as they stand in a CSV file; one without a letter is not a missing one."""
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    special = pc.or_(
        pc.match_substring_regex(texts, r'["\r\n]|^$'), pc.match_substring(texts, delimiter)
    )
    return pc.fill_null(pc.if_else(special, quoted, texts), "")


if __name__ == "__main__":
    run_stage(snakemake, main)
