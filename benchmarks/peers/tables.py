# SPDX-License-Identifier: MIT
"""The comparison as tables: Markdown for people, plain values for programs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mcrage.statistics.summary import compare
from peers.comparing import BASELINE, CONTESTANTS, Comparison

NO_VALUE = "–"
COSTS = ("train_seconds", "seconds_per_1000", "peak_mib", "grown_mib")


def summary(comparison: Comparison) -> pd.DataFrame:
    """Return one row for each contestant, and ``original`` for real rows.

    Returns
    -------
    DataFrame
        Indexed by contestant: means over replicates of train_seconds, seconds_per_1000 (drawn
        rows), peak_mib (of memory), grown_mib (beyond the libraries' imports), shape (mean over
        columns), correlation_error, c2st_auc, identity_violations, nearest_training_share (the
        largest group's mean); runs (with quality). NaN where nothing is known.
    """
    rows = {}
    for name in ("original", *CONTESTANTS):
        runs = [run for run in comparison.runs if run["contestant"] == name]
        if not runs:
            continue
        costs = [run["costs"] for run in runs if "costs" in run]
        quality = [run["quality"] for run in runs if "quality" in run]
        shares = by_key(quality, "nearest_training_share")
        rows[name] = {
            "train_seconds": mean(cost["train"]["cpu"] for cost in costs),
            "seconds_per_1000": mean(
                1000 * cost["sample"]["cpu"] / cost["rows"] for cost in costs if cost["rows"]
            ),
            "peak_mib": mean(cost["peak_memory_bytes"] / 2**20 for cost in costs),
            "grown_mib": mean(
                (cost["peak_memory_bytes"] - cost["imported_memory_bytes"]) / 2**20
                for cost in costs
            ),
            "shape": mean(by_key(quality, "shape").values()),
            **{
                key: mean(one[key] for one in quality)
                for key in ("correlation_error", "c2st_auc", "identity_violations")
            },
            "nearest_training_share": max(shares.values(), default=np.nan),
            "runs": len(quality),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def mean(values: Iterable[float]) -> float:
    """Return the mean, NaN without any value."""
    found = list(values)
    return float(np.mean(found)) if found else np.nan


def by_key(quality: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Return the means over replicates of a measure that has a value by column or group."""
    names = dict.fromkeys(name for one in quality for name in one[key])
    return {name: mean(one[key][name] for one in quality) for name in names}


def aurocs(comparison: Comparison) -> pd.DataFrame:
    """Return the AUROC of each treatment less that of the imbalanced table, by subgroup.

    Returns
    -------
    DataFrame
        As `mcrage.statistics.summary.compare`, one line for each treatment and subgroup. Only
        replicates count in which the treatment has a result.
    """
    metrics = pd.DataFrame(comparison.metrics)
    metrics = metrics[(metrics["metric"] == "auroc") & (metrics["attribute"] != "overall")]
    ratio = {comparison.scenario: comparison.test_to_train}
    return compare(metrics, [BASELINE], ratio, controls=["original"])


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything as plain values; undefined numbers are null."""
    frames = {"summary": summary(comparison).reset_index(names="contestant")}
    frames["auroc"] = aurocs(comparison)
    plain = {
        name: frame.astype(object).where(frame.notna(), None).to_dict("records")
        for name, frame in frames.items()
    }
    runs = [_without_nan(run) for run in comparison.runs]
    budgets = {name: contestant.budget for name, contestant in CONTESTANTS.items()}
    return {
        "dataset": comparison.dataset,
        "scenario": comparison.scenario,
        "left_out": comparison.left_out,
        "budgets": budgets,
        "runs": runs,
        **plain,
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def as_markdown(comparison: Comparison) -> str:
    """Return the tables: costs and quality, columns' shapes, and what could not be compared."""
    found, differences = summary(comparison), aurocs(comparison)
    first = found.loc[next((name for name in CONTESTANTS if name in found.index), "original")]
    subgroups = list(dict.fromkeys(differences["subgroup"]))
    n = len({row["replicate"] for row in comparison.metrics})
    lines = [
        f"{comparison.dataset}, {comparison.scenario}; replicates: {n}; costs on one thread, "
        f"in brackets as multiples of {first.name}'s.",
        "",
    ]
    header = ["generator", "budget", "train, CPU s", "1000 rows, CPU s", "peak MiB"]
    header += ["MiB beyond imports", "1 − KS"]
    header += ["correlation error", "C2ST AUROC (.5 best)", "identities broken"]
    header += ["nearest is training row, worst group (.5 best)"]
    header += [f"Δ AUROC {subgroup}" for subgroup in subgroups]
    rows = []
    for name, row in found.iterrows():
        budget = CONTESTANTS[name].budget if name in CONTESTANTS else "real rows, never thinned"
        costs = [_ratio(row[key], first[key]) for key in COSTS]
        measures = [
            _number(row["shape"], 3),
            _number(row["correlation_error"], 3),
            _number(row["c2st_auc"], 3),
            _percent(row["identity_violations"]),
            _number(row["nearest_training_share"], 2),
        ]
        effects = [_effect(differences, name, subgroup) for subgroup in subgroups]
        rows.append([name, budget, *costs, *measures, *effects])
    lines += _table(header, rows)
    lines += ["", "1 − KS by column:", "", *_by_key(comparison, "shape")]
    lines += ["", "Share of drawn rows whose nearest real row is a training row, by group:", ""]
    lines += _by_key(comparison, "nearest_training_share")
    troubles = _troubles(comparison)
    if troubles:
        lines += ["", "Not compared:", "", *troubles]
    return "\n".join(lines) + "\n"


def _by_key(comparison: Comparison, key: str) -> list[str]:
    values = {}
    for name in ("original", *CONTESTANTS):
        quality = [
            r["quality"] for r in comparison.runs if r["contestant"] == name and "quality" in r
        ]
        if means := by_key(quality, key):
            values[name] = means
    columns = list(dict.fromkeys(column for means in values.values() for column in means))
    rows = [
        [name, *(_number(means.get(column, np.nan), 2) for column in columns)]
        for name, means in values.items()
    ]
    return _table(["generator", *columns], rows)


def _troubles(comparison: Comparison) -> list[str]:
    lines = [f"- {name}: {why}" for name, why in comparison.left_out.items()]
    lines += [
        f"- {run['contestant']}, replicate {run['replicate']}: {run['failure']}"
        for run in comparison.runs
        if "failure" in run
    ]
    return lines


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{' --- |' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _number(value: float, digits: int) -> str:
    return NO_VALUE if np.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return NO_VALUE if np.isnan(value) else f"{100 * value:.1f} %"


def _ratio(value: float, reference: float) -> str:
    if np.isnan(value):
        return NO_VALUE
    digits = 3 if value < 0.1 else 1 if value < 100 else 0
    told = f"{value:.{digits}f}"
    if not reference > 0:
        return told
    times = value / reference
    return f"{told} (×{times:.0f})" if times >= 10 else f"{told} (×{times:.2g})"


def _effect(differences: pd.DataFrame, name: str, subgroup: str) -> str:
    found = differences[(differences["treatment"] == name) & (differences["subgroup"] == subgroup)]
    if found.empty or found["n_replicates"].iloc[0] == 0:
        return NO_VALUE
    row = found.iloc[0]
    text = f"{row['mean_difference']:+.3f}"
    if not np.isnan(row["ci_low"]):
        text += f" [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    return text
