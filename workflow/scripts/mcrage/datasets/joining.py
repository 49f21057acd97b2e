# SPDX-License-Identifier: MIT
"""Columns of other files put beside the rows of the first."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.assembly_model import Join
from mcrage.errors import UserError

logger = logging.getLogger(__name__)


def joined(table: pa.Table, other: pa.Table, join: Join, path: Path) -> pa.Table:
    """Return a table with columns of another one beside its own.

    Parameters
    ----------
    table : pyarrow.Table
        The first file's rows, as text.
    other : pyarrow.Table
        The other file's rows, as text: the key, what is taken, and what `Join.where` names.
    join : Join
    path : Path
        The other file, for messages.

    Returns
    -------
    pyarrow.Table
        The same rows in the same order; null where the other file has no such key.

    Raises
    ------
    UserError
        If a key stands twice in the other file, or another number of rows than expected has no
        partner.
    """
    for column, text in join.where.items():
        other = other.filter(pc.fill_null(pc.equal(other.column(column), text), False))
    key = other.column(join.key).combine_chunks()
    known = pc.drop_null(key)
    repeated = len(known) - len(pc.unique(known))
    if repeated:
        raise UserError(
            f"{path}: {repeated} line(s) have a {join.key} that an earlier line has; a join needs "
            "one line for each key, so name those to use under joins.where in the card"
        )
    # A missing key is nobody's: it meets no other missing one.
    partner = pc.index_in(table.column(join.key), value_set=known)
    unmatched = partner.null_count
    logger.info(
        "%s: %d of %d rows have a partner by %s", path.name, table.num_rows - unmatched,
        table.num_rows, join.key,
    )  # fmt: skip
    if join.unmatched is not None and unmatched != join.unmatched:
        raise UserError(
            f"{path}: {unmatched} row(s) have no partner by {join.key}, the card expects "
            f"{join.unmatched}; use the right files, or correct joins.unmatched in the card"
        )
    lines = other.filter(pc.is_valid(key))
    for name in join.columns:
        table = table.append_column(name, lines.column(name).take(partner))
    return table
