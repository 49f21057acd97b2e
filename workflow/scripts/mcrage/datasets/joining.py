# SPDX-License-Identifier: MIT
"""Which line of another file belongs to each row of the first."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.datasets.assembly_model import Join
from mcrage.encoding.columns import as_text
from mcrage.errors import UserError

logger = logging.getLogger(__name__)


def partners(
    key: pa.ChunkedArray,
    lines: Mapping[str, Callable[[], pa.ChunkedArray]],
    join: Join,
    path: Path,
) -> pa.Array:
    """Return the line of the other file that has the key of each row.

    Parameters
    ----------
    key : pyarrow.ChunkedArray
        Of the first file's rows.
    lines : mapping of str to callable
        What reads each column of the other file: the key, and what `Join.where` names.
    join : Join
    path : Path
        The other file, for messages.

    Returns
    -------
    pyarrow.Array of int64
        Null where the other file has no such key.

    Raises
    ------
    UserError
        If a key stands twice in the other file, or another number of rows than expected has no
        partner.
    """
    other = as_text(lines[join.key]())
    stays = pc.is_valid(other)
    for column, text in join.where.items():
        stays = pc.and_(stays, pc.fill_null(pc.equal(as_text(lines[column]()), text), False))
    known = other.filter(stays)
    repeated = len(known) - len(pc.unique(known))
    if repeated:
        raise UserError(
            f"{path}: {repeated} line(s) have a {join.key} that an earlier line has; a join needs "
            "one line for each key, so name those to use under joins.where in the card"
        )
    # A missing key is nobody's: it meets no other missing one.
    place = pc.index_in(as_text(key), value_set=known)
    unmatched = place.null_count
    logger.info(
        "%s: %d of %d rows have a partner by %s", path.name, len(place) - unmatched, len(place),
        join.key,
    )  # fmt: skip
    if join.unmatched is not None and unmatched != join.unmatched:
        raise UserError(
            f"{path}: {unmatched} row(s) have no partner by {join.key}, the card expects "
            f"{join.unmatched}; use the right files, or correct joins.unmatched in the card"
        )
    numbers = np.flatnonzero(stays.to_numpy(zero_copy_only=False))
    return pa.array(numbers, pa.int64()).take(place)
