# SPDX-License-Identifier: MIT
"""Rare groups: which have too few rows to learn from, and what is done about it.

A group of three rows teaches a generator three people, and one of none nothing. Where the config
says ``back_off``, such a group borrows rows of groups that share its level of the target and as
many attributes as possible, so that it is filled from what is nearest to it: its own rows first,
then rows that differ in the attribute listed last in the card, and so on to those that share the
target alone. This is the back-off of a smoothed contingency table, done with rows.

How many rows are borrowed from which group follows from the groups' sizes alone; which rows these
are is drawn with a seed. Nothing else than the table that a generator learns from is changed: real
rows, the plan that fills groups, and the gate against copies know own rows only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.bands import within_bands
from mcrage.encoding.rows import CompactRows
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.scenario import apportion
from mcrage.seeds import derive

if TYPE_CHECKING:
    from mcrage.generators.base import TrainingData


@dataclass(frozen=True)
class Loan:
    """What a rare group borrows.

    Attributes
    ----------
    group, own : int
        Its number, and the rows that it has.
    lenders : dict of int to int
        Group to the rows lent, the nearest first. Empty if nothing is to be had, or wanted.
    """

    group: int
    own: int
    lenders: dict[int, int]

    @property
    def rows(self) -> int:
        """Own rows and borrowed ones."""
        return self.own + sum(self.lenders.values())


def loans(counts: np.ndarray, schema: GroupSchema, fewer_than: int, then: str) -> list[Loan]:
    """Return the rare groups, and what each borrows.

    Lenders that differ in the same attributes are one pool, from which rows are taken in proportion
    to what each has. Pools with fewer differing attributes come first, and of those with equally
    many the one that differs in attributes listed later.

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
        Rows of each group.
    schema : GroupSchema
    fewer_than : int
        A group with fewer rows is rare, and borrows up to this number.
    then : {"back_off", "stop", "leave"}
        Only with ``back_off`` anything is borrowed.

    Examples
    --------
    >>> schema = GroupSchema(("SEX", "RACE", "DIED"), (("F", "M"), ("a", "b"), ("no", "yes")))
    >>> (loan,) = loans(np.array([2, 9, 9, 9, 9, 9, 9, 9]), schema, 5, "back_off")
    >>> {schema.label(group): rows for group, rows in loan.lenders.items()}
    {'SEX=F, RACE=b, DIED=no': 3}
    """
    counts = np.asarray(counts)
    found = []
    for group in np.flatnonzero(counts < fewer_than).tolist():
        lenders: dict[int, int] = {}
        missing = fewer_than - int(counts[group])
        for pool in _pools(group, counts, schema) if then == "back_off" else []:
            taken = apportion(counts[pool], min(1.0, missing / counts[pool].sum()))
            lenders |= {int(k): int(n) for k, n in zip(pool, taken, strict=True) if n}
            missing -= int(taken.sum())
            if not missing:
                break
        found.append(Loan(group, int(counts[group]), lenders))
    return found


def _pools(group: int, counts: np.ndarray, schema: GroupSchema) -> list[np.ndarray]:
    """Return the groups with rows and the same target, the nearest pool first."""
    digits = schema.indices_of(np.arange(schema.n_groups))
    alike = np.flatnonzero((digits[-1] == digits[-1, group]) & (counts > 0))
    pools: dict[tuple[int, ...], list[int]] = {}
    for other in alike[alike != group].tolist():
        differing = np.flatnonzero(digits[:-1, other] != digits[:-1, group])
        pools.setdefault(tuple(-differing[::-1]), []).append(other)
    # Few differences first, and late ones: (-2,) before (-1,) before (-2, -1).
    return [np.array(pools[key]) for key in sorted(pools, key=lambda key: (len(key), key))]


def rows_to_learn_from(
    counts: np.ndarray, schema: GroupSchema, settings: Mapping[str, Any]
) -> dict[int, int]:
    """Return the rows that a generator sees of each group that is to be filled.

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
    schema : GroupSchema
    settings : mapping
        ``fewer_than`` and ``then``; see `mcrage.config.rare_groups.RareGroups`.

    Returns
    -------
    dict of int to int
        By group, borrowed rows among them; without the groups that are left as they are.
    """
    rare = {loan.group: loan.rows for loan in loans(counts, schema, **settings)}
    left = rare if settings["then"] == "leave" else {}
    return {k: rare.get(k, int(n)) for k, n in enumerate(counts) if k not in left}


def leave_below(settings: Mapping[str, Any]) -> int:
    """Return the rows below which a group gets no synthetic ones; 0 where all do."""
    return settings["fewer_than"] if settings["then"] == "leave" else 0


def settle(
    train: "TrainingData", settings: Mapping[str, Any], seed: int
) -> tuple["TrainingData", list[dict[str, Any]]]:
    """Do with the rare groups of a training set what the config says.

    Parameters
    ----------
    train : TrainingData
        Returned as it is where no group is rare.
    settings : mapping
        ``fewer_than`` and ``then``; see `mcrage.config.rare_groups.RareGroups`.
    seed : int
        Of the generator's training; what is drawn with is derived from it.

    Returns
    -------
    train : TrainingData
        Borrowed rows last, relabelled as the group's own; numbers in bands are moved into its band.
        Copies share the cluster of the row that they come from.
    facts : list of dict
        For each rare group ``group``, ``own`` and ``borrowed`` (group to rows), or with ``leave``
        ``"left": True``. Plain JSON values.

    Raises
    ------
    UserError
        If `then` is "stop" and a group is rare, or a group without rows can borrow none.
    """
    schema = train.schema
    found = loans(train.counts, schema, **settings)
    if not found:
        return train, []
    if settings["then"] == "stop":
        raise UserError(refusal({schema.label(x.group): x.own for x in found}, **settings))
    if settings["then"] == "leave":
        left = tuple(loan.group for loan in found)
        facts = [{"group": schema.label(x.group), "own": x.own, "left": True} for x in found]
        return replace(train, left=left), facts
    if empty := [schema.label(loan.group) for loan in found if not loan.rows]:
        raise UserError(
            f"no group with the same target has a training row to lend to {'; '.join(empty)}. "
            "Keep more rows in the scenario, or merge levels in the dataset card."
        )
    facts = [
        {
            "group": schema.label(loan.group),
            "own": loan.own,
            "borrowed": {schema.label(lender): n for lender, n in loan.lenders.items()},
        }
        for loan in found
    ]
    if not any(loan.lenders for loan in found):
        return train, facts
    return _lend(train, found, seed), facts


def refusal(rare: Mapping[str, int], fewer_than: int, then: str = "stop") -> str:
    """Return what the user is told where rare groups are to end the run."""
    told = "; ".join(f"{group}: {n}" for group, n in rare.items())
    return (
        f"rare_groups: {len(rare)} group(s) have fewer than {fewer_than} training rows ({told}), "
        "and then: stop refuses them. Set then: back_off to borrow rows of like groups, then: "
        "leave to fill the others alone, a lower fewer_than, or merge levels in the dataset card."
    )


def _lend(train: "TrainingData", found: Sequence[Loan], seed: int) -> "TrainingData":
    rows, groups = [], []
    for loan in found:
        for lender, n in loan.lenders.items():
            # A stream for each pair: one more rare group changes no other's rows.
            rng = np.random.default_rng(derive(seed, "rare_groups", loan.group, lender))
            own = np.flatnonzero(train.groups == lender)
            rows.append(np.sort(rng.choice(own, size=n, replace=False)))
            groups.append(np.full(n, loan.group, dtype=np.int64))
    places, labels = np.concatenate(rows), np.concatenate(groups)
    held = isinstance(train.rows, CompactRows)
    lent = train.rows.take(places) if held else train.rows[places]
    moved = within_bands(lent, labels, train.schema, train.roles)
    # Without clusters every row is its own: a copy in another fold would tell of its original.
    clusters = np.arange(len(train.groups)) if train.clusters is None else train.clusters
    return replace(
        train,
        rows=train.rows.followed_by(moved) if held else np.concatenate([train.rows, moved]),
        groups=np.concatenate([train.groups, labels]),
        clusters=np.concatenate([clusters, clusters[places]]),
        n_borrowed=len(labels),
    )


def table(
    counts: Sequence[Mapping[str, int]], schema: GroupSchema, settings: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Return what was done about rare groups over the replicates, for the reader of the report.

    Parameters
    ----------
    counts : sequence of mapping of str to int
        Training rows by group label, a mapping for each replicate.
    schema : GroupSchema
    settings : mapping
        ``fewer_than`` and ``then``.

    Returns
    -------
    list of (str, str, str)
        A row for each group that is rare in a replicate: its label, own rows, and what was done.
    """
    seen: dict[int, list[Loan]] = {}
    for one in counts:
        sizes = np.array([one[schema.label(group)] for group in range(schema.n_groups)])
        for loan in loans(sizes, schema, **settings):
            seen.setdefault(loan.group, []).append(loan)
    rows = []
    for group, several in sorted(seen.items()):
        if settings["then"] == "leave":
            done = "not filled"
        else:
            lenders = dict.fromkeys(lender for loan in several for lender in loan.lenders)
            done = "; ".join(
                f"{_range([loan.lenders.get(lender, 0) for loan in several])} rows of "
                f"{schema.label(lender)}"
                for lender in lenders
            )
            done = f"borrowed {done}" if done else "nothing to borrow"
        if len(several) < len(counts):
            done += f" (in {len(several)} of {len(counts)} replicates)"
        rows.append((schema.label(group), _range([loan.own for loan in several]), done))
    return rows


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
