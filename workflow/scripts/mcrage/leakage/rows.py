# SPDX-License-Identifier: MIT
"""Rows: that tables share none which should be apart, by number and by content."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcrage.errors import UserError
from mcrage.leakage.keys import row_keys
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, ROW_ID

# Where columns are coarse, honest synthetic rows equal held-out rows by chance: this share of them
# is passed over, and more only as far as `by_chance` explains it.
MAX_SHARE_OF_COPIES = 0.01
# How many times as often as real rows honest synthetic ones may meet held-out rows.
_COMMONER = 2.0


def check_tables(
    tables: Mapping[str, pa.Table],
    columns: Sequence[str],
    cluster: Sequence[str],
    whole: pa.Table | None = None,
) -> list[str]:
    """Check that the training tables share no row, and no patient, with those held out.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        ``train``, ``original``, ``validation`` and ``test``, each with row_id.
    columns : sequence of str
        The user's columns: a row's content.
    cluster : sequence of str
        Columns that name the patient or hospital.
    whole : pyarrow.Table, optional
        The prepared table. Different patients may have the same values; content that it holds
        more than once proves nothing and is passed over.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    problems = []
    alike = set() if whole is None else repeated(row_keys(whole, columns))
    pairs = [(seen, held) for seen in ("train", "original") for held in ("validation", "test")] + [
        ("validation", "test")
    ]
    for seen, held in pairs:
        ids = _shared(tables[seen], tables[held], [ROW_ID])
        if ids:
            problems.append(f"{ids} row(s) of {held} are in {seen}, by row_id")
        content = _shared(tables[seen], tables[held], columns, alike)
        if content:
            problems.append(f"{content} row(s) of {held} are in {seen}, by content")
        for column in cluster:
            patients = _shared(tables[seen], tables[held], [column])
            if patients:
                problems.append(f"{patients} value(s) of {column} are in both {held} and {seen}")
    return problems


def check_treatment(
    treatment: str,
    rebalanced: pa.Table,
    weights: pa.Table,
    learnt_from: pa.Table,
    held_out: Sequence[pa.Table],
    columns: Sequence[str],
    group: Sequence[str] = (),
) -> tuple[list[str], dict[str, int]]:
    """Check that a rebalanced table holds rows of its training table and synthetic ones only.

    Parameters
    ----------
    treatment : str
    rebalanced, weights : pyarrow.Table
        As `mcrage.rebalancing.rebalance` wrote them.
    learnt_from : pyarrow.Table
        The table that the treatment may use, with row_id.
    held_out : sequence of pyarrow.Table
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
    real = rebalanced.filter(pc.invert(synthetic))
    real_ids = ids.filter(pc.invert(synthetic)).to_pylist()
    allowed = dict(
        zip(
            learnt_from.column(ROW_ID).to_pylist(),
            row_keys(learnt_from, columns, group),
            strict=True,
        )
    )
    foreign = sum(row_id not in allowed for row_id in real_ids)
    if foreign:
        problems.append(
            f"{treatment}: {foreign} real row(s) are not of its training set, by row_id"
        )
    altered = sum(
        allowed.get(row_id, key) != key
        for row_id, key in zip(real_ids, row_keys(real, columns, group), strict=True)
    )
    if altered:
        problems.append(
            f"{treatment}: {altered} real row(s) differ from their original, by content"
        )
    drawn = row_keys(rebalanced.filter(synthetic), columns, group)
    trained = list(allowed.values())
    held = {key for table in held_out for key in row_keys(table, columns, group)}
    fresh = held - set(trained)
    copies = sum(key in fresh for key in drawn)
    allowed_copies = by_chance(drawn, trained, held, range(1, 1 + len(group)))
    n_drawn = len(drawn)
    if LABEL_WEIGHT in rebalanced.column_names:
        # One that stands in the table with every label is one row, and weighs as one.
        n_drawn = round(pc.sum(rebalanced.column(LABEL_WEIGHT).filter(synthetic)).as_py() or 0)
    # Of no more rows than there are to learn from: a share of many would hide a test set.
    passed_over = MAX_SHARE_OF_COPIES * min(n_drawn, len(trained))
    if copies > max(passed_over, allowed_copies):
        problems.append(
            f"{treatment}: {copies} of {n_drawn} synthetic rows equal a test or validation row, "
            "more than chance explains"
        )
    facts = {
        "real_rows": real.num_rows,
        "synthetic_rows": n_drawn,
        "synthetic_rows_equal_to_a_held_out_row": copies,
    }
    return problems, facts


def by_chance(
    drawn: Sequence[tuple],
    trained: Sequence[tuple],
    held: Set[tuple],
    group: Sequence[int] = (),
) -> float:
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

    Parameters
    ----------
    drawn : sequence of tuple
        Synthetic rows' content, or keys of it (`mcrage.leakage.keys.row_keys`).
    trained : sequence of tuple
        Training rows' content.
    held : set of tuple
        Held-out rows' content.
    group : sequence of int
        Which values of a row name its group. Most rows are drawn for groups that have few training
        rows, so a rate over all groups would be theirs of others.

    Examples
    --------
    >>> patients = [(number,) for number in range(300)]
    >>> trained, held = patients[:200], patients[200:]
    >>> round(by_chance(trained + held, trained, set(held)))
    11
    """
    if not trained:
        return 0.0
    times = Counter(drawn)
    met = defaultdict(list)
    for key in set(trained):
        met[_values(key, group)].append(times[key])
    like_training = spread = 0.0
    for name, fresh in Counter(_values(key, group) for key in held.difference(trained)).items():
        known = np.array(met.get(name, [0]))
        # One more than was seen: none seen is not none possible.
        rate = (known.sum() + 1) / len(known)
        like_training += rate * fresh
        spread += max(rate, known.var()) * fresh * (1 + fresh / len(known))
    draws = len(drawn) / len(trained)
    like_fresh = (sum(key in held for key in trained) + 1) * draws
    return min(
        like_training + 4 * spread**0.5,
        # Both counts are Poisson, that of training rows scaled up.
        _COMMONER * like_fresh + 4 * (like_fresh * (1 + draws)) ** 0.5,
    )


def _values(key: tuple, places: Sequence[int]) -> tuple:
    return tuple(key[place] for place in places)


def refuse(problems: Sequence[str], context: str) -> None:
    """Raise one UserError for all problems, if there are any."""
    if problems:
        raise UserError(
            f"{context}: rows that judge were learnt from, so no result would be honest:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nIf rows of one patient are meant, name the cluster column in the dataset card; "
            "otherwise delete the folder and run snakemake again."
        )


def repeated(keys: Sequence[tuple]) -> set[tuple]:
    """Return the values that occur more than once."""
    return {key for key, n in Counter(keys).items() if n > 1}


def _shared(
    first: pa.Table, second: pa.Table, columns: Sequence[str], but: Set[tuple] = frozenset()
) -> int:
    return len((set(row_keys(first, columns)) & set(row_keys(second, columns))) - but)
