# SPDX-License-Identifier: MIT
"""All that is said of a generator's rows, in one long table."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mcrage.datasets.roles import Roles
from mcrage.fidelity.likeness import FEWEST_ROWS, shape, told_apart, trend
from mcrage.fidelity.memorising import memorised
from mcrage.fidelity.structure import off_resolution, out_of_bounds, violated_identities
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
        Drawn rows, the real training rows, and real rows that nothing was learnt from.
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
        shape                         1 - KS to held-out rows  training rows to held-out rows
        trend                         to held-out rows         training rows to held-out rows
        told_apart                    AUROC against held-out   0.5
        nearest_..., much_nearer...,  share of rows; see       held-out rows; 0.5 for
        copies, nearer_to_training    `fidelity.memorising`    nearer_to_training
        dropped                       share of drawn rows      NaN
        ============================  =======================  ==================================
    """
    made, known, fresh = (TrainingData.of(table, roles) for table in (synthetic, train, held_out))
    rows = _Rows(made)
    label = made.schema.label
    for group in np.flatnonzero(made.counts):
        mine, real = (data.features[data.groups == group] for data in (made, fresh))
        _structure(rows, label(group), mine, real, roles)
        learnt = known.features[known.groups == group]
        rng = np.random.default_rng([seed, group])
        _likeness(rows, label(group), _thinned(mine, rng), real, learnt, roles, seed)
    kept = np.sort(
        np.concatenate(
            [
                _thinned(np.flatnonzero(made.groups == group), np.random.default_rng([seed, group]))
                for group in np.flatnonzero(made.counts)
            ]
            or [np.empty(0, dtype=np.int64)]
        )
    )
    for share in memorised(
        *(made.features[kept], made.groups[kept]),
        *(known.features, known.groups),
        *(fresh.features, fresh.groups),
        seed,
    ):
        rows.add(label(share.group), "", share.metric, share.value, share.reference, share.error)
    for group, n in (dropped or {}).items():
        drawn = rows.support.get(group, 0) + n
        rows.add(group, "", "dropped", n / drawn if drawn else _NAN, _NAN, _NAN)
    return rows.table()


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
    """Return the mean over groups, of those where it is defined."""
    known = [row for row in rows if not np.isnan(row["value"])]
    support = np.array([row["support"] for row in known], dtype=float)
    weight = support / support.sum()
    value, reference, error = (
        np.array([row[name] for row in known]) for name in ("value", "reference", "std_error")
    )
    return {
        "group": EVERYWHERE,
        "column": column,
        "metric": metric,
        "value": float(weight @ value) if known else _NAN,
        "support": int(support.sum()),
        "reference": float(weight @ reference) if known else _NAN,
        "std_error": float(np.sqrt(weight**2 @ error**2)) if known else _NAN,
    }


def _structure(rows: _Rows, group: str, mine: np.ndarray, real: np.ndarray, roles: Roles) -> None:
    broken, real_broken = (violated_identities(each, roles.features) for each in (mine, real))
    checks = {
        ("identity_violations", column): (broken[column], real_broken[column]) for column in broken
    }
    if broken:
        whole = [np.any(list(each.values()), axis=0) for each in (broken, real_broken)]
        checks["identity_violations", ""] = tuple(whole)
    for metric, check in (("out_of_bounds", out_of_bounds), ("off_resolution", off_resolution)):
        checks[metric, ""] = (check(mine, roles.features), check(real, roles.features))
    for (metric, column), (value, reference) in checks.items():
        shares = [float(each.mean()) if len(each) else _NAN for each in (value, reference)]
        error = _NAN
        if len(reference):
            pooled = (value.sum() + reference.sum()) / (len(value) + len(reference))
            error = float(np.sqrt(pooled * (1 - pooled) * (1 / len(value) + 1 / len(reference))))
        rows.add(group, column, metric, *shares, error)


def _likeness(
    rows: _Rows,
    group: str,
    mine: np.ndarray,
    real: np.ndarray,
    learnt: np.ndarray,
    roles: Roles,
    seed: int,
) -> None:
    if min(len(mine), len(real)) < FEWEST_ROWS:
        nothing = np.full(mine.shape[1], _NAN)
        shapes, expected, trends, apart = nothing, nothing, (_NAN, _NAN), (_NAN, _NAN)
    else:
        shapes, expected = shape(mine, real), shape(learnt, real)
        trends = trend(mine, real), trend(learnt, real)
        apart = told_apart(mine, real, seed)
    for column, value, reference in zip(roles.feature_columns, shapes, expected, strict=True):
        rows.add(group, column, "shape", value, reference, _NAN)
    rows.add(group, "", "shape", float(shapes.mean()), float(expected.mean()), _NAN)
    rows.add(group, "", "trend", *trends, _NAN)
    rows.add(group, "", "told_apart", apart[0], 0.5, apart[1])


def _thinned(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) <= _MAX_ROWS:
        return rows
    return rows[np.sort(rng.choice(len(rows), _MAX_ROWS, replace=False))]
