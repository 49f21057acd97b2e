# SPDX-License-Identifier: MIT
"""Who is helped and who is harmed: paired differences to a baseline with their intervals."""

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.errors import UserError
from mcrage.figures.difference_table import draw_difference_table, table_height
from mcrage.figures.style import INK, MUTED, WIDTH, figure_style, new_figure
from mcrage.figures.words import (
    LOWER_IS_BETTER,
    NO_DIRECTION,
    capital,
    metric_name,
    treatment_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("accuracy", "f1", "balanced_accuracy", "auroc")
_MAX_SUBGROUPS = 6
_BETTER, _WORSE = "#0072B2", "#D55E00"

Row = Mapping[str, Any]


def verdict(row: Row) -> str:
    """Say what an interval shows: "better", "worse", "changed" or "unclear".

    Parameters
    ----------
    row : mapping
        A row of comparisons.parquet. "changed" is for a metric without a better side.
    """
    low, high = row["ci_low"], row["ci_high"]
    if not has_interval(row) or low <= 0 <= high:
        return "unclear"
    if row["metric"] in NO_DIRECTION:
        return "changed"
    return "better" if (low > 0) != (row["metric"] in LOWER_IS_BETTER) else "worse"


def has_interval(row: Row) -> bool:
    """Say whether a row of comparisons.parquet has an interval; a lone replicate gives none."""
    return bool(np.isfinite(row["ci_low"]) and np.isfinite(row["ci_high"]))


def draw_differences(
    rows: Sequence[Row],
    *,
    treatments: Sequence[str],
    subgroup_words: Mapping[str, str],
    metrics: Sequence[str] = METRICS,
) -> "Figure":
    """Draw a forest plot: a panel per subgroup and metric, a line per treatment.

    With more than six subgroups the panels are for everyone, and the subgroups follow as a table of
    the leading metric, a line each (see `mcrage.figures.difference_table`).

    A difference of one replicate has no interval: it gets an open diamond without a bar, and the
    legend says so.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of comparisons.parquet of one dataset, scenario, classifier, threshold and baseline.
    treatments : sequence of str
        Order of the lines, from the top; those without rows are left out.
    subgroup_words : mapping of str to str
        See `mcrage.figures.words.subgroup_words`; sets the order of the subgroups too.
    metrics : sequence of str
        Order of the columns; those without rows are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UserError
        If no row fits.
    """
    found = {(row["subgroup"], row["metric"], row["treatment"]): row for row in rows}
    baselines = sorted({row["baseline"] for row in rows})
    thresholds = sorted({row["threshold"] for row in rows})
    treatments = [name for name in treatments if any(key[2] == name for key in found)]
    metrics = [metric for metric in metrics if any(key[1] == metric for key in found)]
    subgroups = [name for name in subgroup_words if any(key[0] == name for key in found)]
    one = len(baselines) == len(thresholds) == 1
    if not (treatments and metrics and subgroups and one):
        raise UserError(
            f"no differences to draw: found the baselines {baselines}, thresholds {thresholds}, "
            f"treatments {treatments}, metrics {metrics}, subgroups {subgroups}; one baseline, "
            "one threshold and at least one of each other are needed. Add treatments, or leave "
            "the figure out."
        )
    baseline = treatment_name(baselines[0])
    n_replicates = max(row["n_replicates"] for row in rows)
    tabled = subgroups[1:] if len(subgroups) > _MAX_SUBGROUPS + 1 else []
    subgroups = subgroups[:1] if tabled else subgroups
    height = len(subgroups) * (0.23 * len(treatments) + 0.55) + 0.75
    with figure_style():
        below = table_height(tabled) if tabled else 0.0
        whole = new_figure(WIDTH, height + below)
        figure, table = (
            whole.subfigures(2, 1, height_ratios=[height, below]) if tabled else (whole, None)
        )
        if tabled:
            marked = {key: verdict(row) for key, row in found.items()}
            draw_difference_table(table, found, marked, tabled, treatments, subgroup_words)
        axes = figure.subplots(
            len(subgroups), len(metrics), sharex="col", sharey=True, squeeze=False
        )
        for column, metric in enumerate(metrics):
            limit = _limit([row for key, row in found.items() if key[1] == metric])
            for line, subgroup in enumerate(subgroups):
                axis = axes[line, column]
                _panel(axis, found, subgroup, metric, treatments, limit)
                if column == 0:
                    axis.set_title(capital(subgroup_words[subgroup]), fontsize=10)
            better = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
            axes[-1, column].set_xlabel(
                f"difference in {metric_name(metric)}"
                + ("" if metric in NO_DIRECTION else f"\n({better})"),
                fontsize=9,
            )
        axes[0, 0].set(
            yticks=range(len(treatments)),
            yticklabels=[treatment_name(name) for name in treatments],
            ylim=(len(treatments) - 0.4, -0.6),
        )
        drawn = [row for row in found.values() if np.isfinite(row["mean_difference"])]
        _legend(figure, {has_interval(row) for row in drawn})
        figure.suptitle(
            f"Difference to “{baseline}” within a replicate: mean and 95 % interval over "
            f"{n_replicates} replicates"
            if n_replicates > 1
            else f"Difference to “{baseline}” in one replicate, which gives no interval",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
    return whole


def _limit(rows: Sequence[Row]) -> float:
    """Return half the width of an axis; the widest tenth of the intervals may run out of it."""
    ends = np.abs([end for row in rows for end in (row["ci_low"], row["ci_high"])])
    means = np.abs([row["mean_difference"] for row in rows])
    ends, means = ends[np.isfinite(ends)], means[np.isfinite(means)]
    widest = max(np.quantile(ends, 0.9) if len(ends) else 0.0, means.max() if len(means) else 0.0)
    return 1.15 * widest or 0.01


def _panel(
    axis: "Axes", found: dict, subgroup: str, metric: str, treatments: Sequence[str], limit: float
) -> None:
    axis.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for tick, treatment in enumerate(treatments):
        row = found.get((subgroup, metric, treatment))
        if row is None or not np.isfinite(row["mean_difference"]):
            axis.text(0, tick, " undefined", fontsize=8, color=MUTED, va="center")
            continue
        shown = verdict(row)
        colour, marker = {
            "better": (_BETTER, "^" if metric not in LOWER_IS_BETTER else "v"),
            "worse": (_WORSE, "v" if metric not in LOWER_IS_BETTER else "^"),
            "changed": (INK, "s"),
            "unclear": (MUTED, "o" if has_interval(row) else "D"),
        }[shown]
        low, high = row["ci_low"], row["ci_high"]
        if has_interval(row):
            inside = np.clip([low, high], -limit, limit)
            axis.plot(inside, [tick, tick], color=colour, linewidth=1.6, solid_capstyle="butt")
            for end, tip in ((low, "<"), (high, ">")):
                if abs(end) > limit:
                    axis.plot(np.sign(end) * limit * 0.985, tick, marker=tip, color=colour,
                              markersize=4.5)  # fmt: skip
        axis.plot(
            row["mean_difference"], tick, marker=marker, markersize=6.5, color=colour,
            markerfacecolor="white" if shown == "unclear" else colour, markeredgewidth=1.3,
        )  # fmt: skip
    axis.set_xlim(-limit, limit)
    axis.locator_params(axis="x", nbins=5)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _legend(figure: "Figure", with_interval: Set[bool]) -> None:
    from matplotlib.lines import Line2D

    of_intervals = (
        ("interval excludes 0: better", _BETTER, "^", _BETTER),
        ("interval excludes 0: worse", _WORSE, "v", _WORSE),
        ("interval includes 0: no difference shown", MUTED, "o", "white"),
    )
    of_one = (("one replicate: no interval, so no difference shown", MUTED, "D", "white"),)
    texts = of_intervals * (True in with_interval) + of_one * (False in with_interval)
    handles = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=face, markersize=6.5,
               markeredgewidth=1.3, label=text, linestyle="none" if marker == "D" else "-")
        for text, colour, marker, face in texts
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(texts) < 4 else 2)
