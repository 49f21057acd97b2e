# SPDX-License-Identifier: MIT
"""All that is said of a generator's rows, in one long table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.encoding.usual import completed, usual_values
from mcrage.fidelity.coverage import Coverage, coverage
from mcrage.fidelity.likeness import FEWEST_ROWS, shape, thinned, told_apart, trend
from mcrage.fidelity.memorising import memorised
from mcrage.fidelity.structure import (
    off_resolution,
    out_of_bounds,
    unseen_levels,
    violated_identities,
)
from mcrage.generators.base import TrainingData

EVERYWHERE = "all"
_SCHEMA = pa.schema(
    [
        ("group", pa.string()),
        ("column", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("support", pa.int64()),
        ("reference", pa.float64()),
        ("std_error", pa.float64()),
    ]
)
# Distances and trees of a large group are taken of this many of its rows.
_MAX_ROWS = 10_000
_NAN = float("nan")


def judge_synthetic(
    synthetic: pa.Table,
    train: pa.Table,
    held_out: pa.Table,
    roles: Roles,
    *,
    dropped: Mapping[str, int] | None = None,
    seed: int = 0,
) -> pa.Table:
    """Hold a generator's rows against real ones of the same group.

    Parameters
    ----------
    synthetic, train, held_out : pyarrow.Table
        Drawn rows, the real training rows, and real rows that nothing was learnt from. In the
        real ones, what is missing and to be imputed is what is usual in the training rows, as the
        generator saw it.
    roles : Roles
    dropped : mapping of str to int, optional
        By group's label, rows that the gate left out while these were drawn.
    seed : int
        Of thinning and folds.

    Returns
    -------
    pyarrow.Table
        Long: group (its label, or "all": the mean over groups, weighted by their synthetic rows),
        column (empty: all of them), metric, value, support (synthetic rows that it rests on),
        reference (what real rows give), std_error (of value - reference, if an honest generator
        drew the rows). Undefined numbers are NaN.

        ============================  =======================  ==================================
        metric                        value                    reference
        ============================  =======================  ==================================
        identity_violations           share of rows            held-out rows
        out_of_bounds                 share of rows            held-out rows
        off_resolution                share of rows            held-out rows
        unseen_levels                 share of rows            held-out rows
        missing                       share of values          held-out rows
        shape, trend,                 to held-out rows         training rows to held-out rows
        alpha_precision, beta_recall
        told_apart                    AUROC against held-out   0.5
        nearest_..., much_nearer...,  share of rows; see       held-out rows; 0.5 for
        copies, nearer_to_training    `fidelity.memorising`    nearer_to_training
        dropped                       share of drawn rows      NaN
        ============================  =======================  ==================================

        Of ``unseen_levels``, ``missing`` and ``identity_violations`` there is also a row for each
        column that can have them, of ``shape`` for each column.
    """
    made, known, fresh = (TrainingData.of(table, roles) for table in (synthetic, train, held_out))
    usual = usual_values(known.features, roles.features)
    made, known, fresh = (
        replace(data, rows=completed(data.features, roles.features, usual))
        for data in (made, known, fresh)
    )
    rows = _Rows(made)
    label = made.schema.label
    for group in np.flatnonzero(made.counts):
        mine, real = (data.features[data.groups == group] for data in (made, fresh))
        _structure(rows, label(group), mine, real, known.features, roles)
        _missing(rows, label(group), mine, real, roles)
        learnt = known.features[known.groups == group]
        rng = np.random.default_rng([seed, group])
        _likeness(rows, label(group), thinned(mine, _MAX_ROWS, rng), real, learnt, roles, seed)
    kept, held = (_some_of_each_group(data, seed) for data in (made, fresh))
    for share in memorised(
        *(made.features[kept], made.groups[kept]),
        *(known.features, known.groups),
        *(fresh.features[held], fresh.groups[held]),
        *(roles.features, seed),
    ):
        rows.add(label(share.group), "", share.metric, share.value, share.reference, share.error)
    for group, n in (dropped or {}).items():
        drawn = rows.support.get(group, 0) + n
        rows.add(group, "", "dropped", n / drawn if drawn else _NAN, _NAN, _NAN)
    return rows.table()


def _some_of_each_group(data: TrainingData, seed: int) -> np.ndarray:
    """Return the numbers of the rows whose distances are taken, in order."""
    taken = [
        thinned(np.flatnonzero(data.groups == k), _MAX_ROWS, np.random.default_rng([seed, k]))
        for k in np.flatnonzero(data.counts)
    ]
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.int64)


class _Rows:
    """The long table while it grows."""

    def __init__(self, made: TrainingData) -> None:
        self.support = made.schema.counts_by_label(made.groups)
        self._rows: list[dict] = []

    def add(
        self, group: str, column: str, metric: str, value: float, reference: float, error: float
    ) -> None:
        self._rows.append(
            {
                "group": group,
                "column": column,
                "metric": metric,
                "value": value,
                "support": self.support[group],
                "reference": reference,
                "std_error": error,
            }
        )

    def table(self) -> pa.Table:
        """Return all rows, those of "all" first."""
        whole = defaultdict(list)
        for row in self._rows:
            if row["support"]:
                whole[row["column"], row["metric"]].append(row)
        pooled = [_mean(*key, rows) for key, rows in whole.items()]
        return pa.Table.from_pylist([*pooled, *self._rows], schema=_SCHEMA)


def _mean(column: str, metric: str, rows: list[dict]) -> dict:
    """Return the mean over groups, of those where it is defined; so for the reference."""
    known = [row for row in rows if not np.isnan(row["value"])]
    beside = [row for row in known if not np.isnan(row["reference"])]

    def mean(name: str, of: list[dict], power: int = 1) -> float:
        support = np.array([row["support"] for row in of], dtype=float)
        values = np.array([row[name] for row in of])
        return float((support / support.sum()) ** power @ values**power) if of else _NAN

    return {
        "group": EVERYWHERE,
        "column": column,
        "metric": metric,
        "value": mean("value", known),
        "support": sum(row["support"] for row in known),
        "reference": mean("reference", beside),
        "std_error": float(np.sqrt(mean("std_error", beside, power=2))),
    }


def _structure(
    rows: _Rows,
    group: str,
    mine: np.ndarray,
    real: np.ndarray,
    learnt: np.ndarray,
    roles: Roles,
) -> None:
    features = roles.features
    broken = [violated_identities(each, features) for each in (mine, real)]
    unseen = [unseen_levels(each, learnt, features) for each in (mine, real)]
    checks = {}
    for metric, (found, expected) in (("identity_violations", broken), ("unseen_levels", unseen)):
        checks |= {(metric, column): (found[column], expected[column]) for column in found}
        if found:
            whole = [np.any(list(each.values()), axis=0) for each in (found, expected)]
            checks[metric, ""] = tuple(whole)
    for metric, check in (("out_of_bounds", out_of_bounds), ("off_resolution", off_resolution)):
        checks[metric, ""] = (check(mine, features), check(real, features))
    for (metric, column), (value, reference) in checks.items():
        rows.add(group, column, metric, *_shares(value, reference))


def _missing(rows: _Rows, group: str, mine: np.ndarray, real: np.ndarray, roles: Roles) -> None:
    places = [i for i, feature in enumerate(roles.features) if feature.missing == "keep"]
    for place in places:
        gaps = [np.isnan(each[:, place]) for each in (mine, real)]
        rows.add(group, roles.features[place].column, "missing", *_shares(*gaps))
    if places:
        # No error: a row's values are missing together.
        shares = [_share(np.isnan(each[:, places])) for each in (mine, real)]
        rows.add(group, "", "missing", *shares, _NAN)


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else _NAN


def _shares(value: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """Return two shares and the standard error of their difference, if they expect the same."""
    error = _NAN
    if len(reference):
        pooled = (value.sum() + reference.sum()) / (len(value) + len(reference))
        error = float(np.sqrt(pooled * (1 - pooled) * (1 / len(value) + 1 / len(reference))))
    return _share(value), _share(reference), error


def _likeness(
    rows: _Rows,
    group: str,
    mine: np.ndarray,
    real: np.ndarray,
    learnt: np.ndarray,
    roles: Roles,
    seed: int,
) -> None:
    features = roles.features
    if min(len(mine), len(real)) < FEWEST_ROWS:
        nothing = np.full(len(features), _NAN)
        shapes, expected, trends, apart = nothing, nothing, (_NAN, _NAN), (_NAN, _NAN)
        covers = [Coverage(_NAN, _NAN)] * 2
    else:
        shapes, expected = shape(mine, real, features), shape(learnt, real, features)
        trends = trend(mine, real, features), trend(learnt, real, features)
        apart = told_apart(mine, real, features, seed)
        covers = [coverage(each, real, features, seed) for each in (mine, learnt)]
    for column, value, reference in zip(roles.feature_columns, shapes, expected, strict=True):
        rows.add(group, column, "shape", value, reference, _NAN)
    rows.add(group, "", "shape", float(shapes.mean()), float(expected.mean()), _NAN)
    rows.add(group, "", "trend", *trends, _NAN)
    for metric in ("alpha_precision", "beta_recall"):
        rows.add(group, "", metric, *(getattr(each, metric) for each in covers), _NAN)
    rows.add(group, "", "told_apart", apart[0], 0.5, apart[1])
