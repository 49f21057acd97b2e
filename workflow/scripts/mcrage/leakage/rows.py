# SPDX-License-Identifier: MIT
"""Rows: that tables share none which should be apart, by number and by content."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.errors import UserError
from mcrage.leakage.keys import Keys, row_digests, row_keys
from mcrage.leakage.table_file import TableFile
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, ROW_ID

# Where columns are coarse, honest synthetic rows equal held-out rows by chance: this share of them
# is passed over, and more only as far as `by_chance` explains it.
MAX_SHARE_OF_COPIES = 0.01
# How many times as often as real rows honest synthetic ones may meet held-out rows.
_COMMONER = 2.0


def check_tables(
    tables: Mapping[str, pa.Table | TableFile],
    columns: Sequence[str],
    cluster: Sequence[str],
    whole: pa.Table | TableFile | None = None,
) -> list[str]:
    """Check that the training tables share no row, and no patient, with those held out.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table or TableFile
        ``train``, ``original``, ``validation`` and ``test``, each with row_id.
    columns : sequence of str
        The user's columns: a row's content.
    cluster : sequence of str
        Columns that name the patient or hospital.
    whole : pyarrow.Table or TableFile, optional
        The prepared table. Different patients may have the same values; content that it holds
        more than once proves nothing and is passed over.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    problems = []
    rows = {name: _Digests(table, columns, cluster) for name, table in tables.items()}
    alike = repeated(row_digests(whole, columns)) if whole is not None else _NONE
    pairs = [(seen, held) for seen in ("train", "original") for held in ("validation", "test")] + [
        ("validation", "test")
    ]
    for seen, held in pairs:
        one, other = rows[seen], rows[held]
        if ids := _shared(one.ids, other.ids):
            problems.append(f"{ids} row(s) of {held} are in {seen}, by row_id")
        if content := _shared(one.content, other.content, alike):
            problems.append(f"{content} row(s) of {held} are in {seen}, by content")
        for column in cluster:
            if patients := _shared(one.clusters[column], other.clusters[column]):
                problems.append(f"{patients} value(s) of {column} are in both {held} and {seen}")
    return problems


_NONE = np.empty(0, dtype=np.uint64)


class _Digests:
    """What the rows of a table are compared by, each value once, rising."""

    def __init__(
        self, table: pa.Table | TableFile, columns: Sequence[str], cluster: Sequence[str]
    ) -> None:
        self.ids = np.unique(row_digests(table, [ROW_ID]))
        self.content = np.unique(row_digests(table, columns))
        self.clusters = {name: np.unique(row_digests(table, [name])) for name in cluster}


def check_treatment(
    treatment: str,
    rebalanced: pa.Table | TableFile,
    weights: pa.Table,
    learnt_from: pa.Table | TableFile,
    held_out: Sequence[pa.Table | TableFile],
    columns: Sequence[str],
    group: Sequence[str] = (),
) -> tuple[list[str], dict[str, int]]:
    """Check that a rebalanced table holds rows of its training table and synthetic ones only.

    Parameters
    ----------
    treatment : str
    rebalanced, weights : pyarrow.Table or TableFile
        As `mcrage.rebalancing.rebalance` wrote them.
    learnt_from : pyarrow.Table or TableFile
        The table that the treatment may use, with row_id.
    held_out : sequence of pyarrow.Table or TableFile
        Validation and test rows.
    columns : sequence of str
        The user's columns.
    group : sequence of str
        Those of them that make a group.

    Returns
    -------
    problems : list of str
    facts : dict of str to int
        Rows, and synthetic rows that equal a held-out row.
    """
    problems = []
    if weights.num_rows != rebalanced.num_rows:
        return [
            f"{treatment}: weights.parquet has {weights.num_rows} rows, not {rebalanced.num_rows}"
        ], {}
    synthetic = rebalanced.column(IS_SYNTHETIC)
    ids = weights.column(ROW_ID)
    if pc.any(pc.and_(synthetic, pc.is_valid(ids))).as_py():
        problems.append(f"{treatment}: a row marked synthetic has a row_id")
    drawn_rows = synthetic.to_numpy()
    keys = row_keys(rebalanced, columns, group)
    real, drawn = keys.digests[~drawn_rows], keys.take(drawn_rows)
    trained = row_keys(learnt_from, columns, group)
    known, place = _places(
        learnt_from.column(ROW_ID).to_numpy(), pc.fill_null(ids, -1).to_numpy()[~drawn_rows]
    )
    if foreign := int(np.sum(~known)):
        problems.append(
            f"{treatment}: {foreign} real row(s) are not of its training set, by row_id"
        )
    if altered := int(np.sum(trained.digests[place[known]] != real[known])):
        problems.append(
            f"{treatment}: {altered} real row(s) differ from their original, by content"
        )
    held = Keys.together([row_keys(table, columns, group) for table in held_out])
    fresh = np.setdiff1d(held.digests, trained.digests)
    copies = int(np.isin(drawn.digests, fresh).sum())
    allowed_copies = by_chance(drawn, trained, held)
    n_drawn = len(drawn)
    if LABEL_WEIGHT in rebalanced.column_names:
        # One that stands in the table with every label is one row, and weighs as one.
        weighted = rebalanced.column(LABEL_WEIGHT).filter(synthetic)
        n_drawn = round(pc.sum(weighted).as_py() or 0)
    # Of no more rows than there are to learn from: a share of many would hide a test set.
    passed_over = MAX_SHARE_OF_COPIES * min(n_drawn, len(trained))
    if copies > max(passed_over, allowed_copies):
        problems.append(
            f"{treatment}: {copies} of {n_drawn} synthetic rows equal a test or validation row, "
            "more than chance explains"
        )
    facts = {
        "real_rows": len(real),
        "synthetic_rows": n_drawn,
        "synthetic_rows_equal_to_a_held_out_row": copies,
    }
    return problems, facts


def _places(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the numbers asked for there are, and the place of each that there is."""
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known[order], asked, side="right") - 1
    place = order[place.clip(0)] if len(known) else np.zeros(len(asked), dtype=np.int64)
    found = known[place] == asked if len(known) else np.zeros(len(asked), dtype=bool)
    return found, place


def by_chance(drawn: Keys, trained: Keys, held: Keys) -> float:
    """Return how many synthetic rows may equal a held-out row that is no training row.

    Two things bound it, each with four standard deviations:

    - An honest generator knows training rows at least as well as held-out ones, so it meets a
      held-out row no more often than a training row of the same group: their rate per row. Some
      rows are commoner than others, and the variance between training rows tells how much.
    - It meets held-out rows about as often as fresh real rows do. Training rows are such: they
      were drawn from the same people and nobody fitted them to the held-out rows. Generators
      prefer common values, which coincide more often, so twice their share is allowed.

    The first alone would let through who learns training and test rows by heart, since copies of
    training rows would earn an allowance for those of test rows. The second knows nothing of the
    rows that are suspected. Where many real rows are alike, neither can tell a copy from a
    coincidence.

    A rate is of a group: most rows are drawn for groups that have few training rows, so a rate over
    all groups would be theirs of others.

    Parameters
    ----------
    drawn, trained, held : Keys
        Of synthetic, training and held-out rows.

    Examples
    --------
    >>> patients = Keys(np.arange(300, dtype=np.uint64), np.zeros(300, dtype=np.uint64))
    >>> trained, held = patients.take(slice(0, 200)), patients.take(slice(200, 300))
    >>> round(by_chance(patients, trained, held))
    11
    """
    if not len(trained):
        return 0.0
    values, times = np.unique(drawn.digests, return_counts=True)
    trained_once, held_once = trained.unique(), held.unique()
    found, place = _places(values, trained_once.digests)
    met = np.where(found, times[place] if len(times) else 0, 0)
    fresh = held_once.take(~np.isin(held_once.digests, trained_once.digests))
    like_training = spread = 0.0
    for group, n in zip(*np.unique(fresh.groups, return_counts=True), strict=True):
        known = met[trained_once.groups == group]
        known = known if len(known) else np.zeros(1)
        # One more than was seen: none seen is not none possible.
        rate = (known.sum() + 1) / len(known)
        like_training += rate * n
        spread += max(rate, known.var()) * n * (1 + n / len(known))
    draws = len(drawn) / len(trained)
    like_fresh = (int(np.isin(trained.digests, held_once.digests).sum()) + 1) * draws
    return float(
        min(
            like_training + 4 * spread**0.5,
            # Both counts are Poisson, that of training rows scaled up.
            _COMMONER * like_fresh + 4 * (like_fresh * (1 + draws)) ** 0.5,
        )
    )


def refuse(problems: Sequence[str], context: str) -> None:
    """Raise one UserError for all problems, if there are any."""
    if problems:
        raise UserError(
            f"{context}: rows that judge were learnt from, so no result would be honest:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nIf rows of one patient are meant, name the cluster column in the dataset card; "
            "otherwise delete the folder and run snakemake again."
        )


def repeated(digests: np.ndarray) -> np.ndarray:
    """Return the values that occur more than once, rising."""
    values, times = np.unique(digests, return_counts=True)
    return values[times > 1]


def _shared(first: np.ndarray, second: np.ndarray, but: np.ndarray = _NONE) -> int:
    """Return how many different values both have, of two rising arrays."""
    both = np.intersect1d(first, second, assume_unique=True)
    return int(np.sum(~np.isin(both, but)))
