# SPDX-License-Identifier: MIT
"""What more rows of a kind bring: paired differences to doing nothing, by dose."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.errors import UserError
from mcrage.figures.style import (
    INK,
    MUTED,
    figure_style,
    label_bottom,
    legend_columns,
    panel_grid,
    series_style,
)
from mcrage.figures.words import (
    EVERYONE,
    LOWER_IS_BETTER,
    capital,
    is_intersection,
    metric_name,
    treatment_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOR_SUBGROUPS = "auroc"
_FOR_EVERYONE = ("f1", "brier")
_MAX_SUBGROUPS = 8
# Half the room that the marks of one dose take, as a share of the axis.
_DODGE = 0.012

Row = Mapping[str, Any]


def panels_of(rows: Sequence[Row], subgroups: Sequence[str]) -> list[tuple[str, str]]:
    """Return the panels that there are numbers for: (subgroup, metric), in order.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of comparisons.parquet.
    subgroups : sequence of str
        Their order; ``"all"`` has panels of its own. Of more than eight, those of one attribute.
    """
    found = {(row["subgroup"], row["metric"]) for row in rows}
    wanted = [(name, _FOR_SUBGROUPS) for name in subgroups if name != EVERYONE]
    if sum(panel in found for panel in wanted) > _MAX_SUBGROUPS:
        wanted = [(name, metric) for name, metric in wanted if not is_intersection(name)]
    wanted += [(EVERYONE, metric) for metric in _FOR_EVERYONE]
    return [panel for panel in wanted if panel in found]


def draw_dose_response(
    rows: Sequence[Row],
    *,
    doses: Mapping[str, Mapping[str, float]],
    subgroup_words: Mapping[str, str],
) -> "Figure":
    """Draw a panel per subgroup (AUROC) and for everyone (F1, Brier score), a line per treatment.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of comparisons.parquet of one dataset, scenario, classifier, threshold and of the
        baseline that is a dose of 0.
    doses : mapping of str to mapping of str to float
        Treatment: names of its doses, and the doses.
    subgroup_words : mapping of str to str
        See `mcrage.figures.words.subgroup_words`; sets the order of the subgroups too.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UserError
        If no row fits.
    """
    taken = {name for of_one in doses.values() for name in of_one}
    rows = [row for row in rows if row["treatment"] in taken]
    panels = panels_of(rows, list(subgroup_words))
    baselines = sorted({row["baseline"] for row in rows})
    if not panels or len(baselines) != 1:
        raise UserError(
            f"no dose-response to draw: found the baselines {baselines}, doses "
            f"{sorted(taken)} and panels {panels}; one baseline and at least one of each other "
            "are needed. Give a treatment a list of doses, or leave the figure out."
        )
    found = {(row["subgroup"], row["metric"], row["treatment"]): row for row in rows}
    n_replicates = max(row["n_replicates"] for row in rows)
    with figure_style():
        columns = 2 if len(panels) <= 4 else 3
        figure, axes = panel_grid(
            len(panels), columns=columns, aspect=0.48, extra_height=0.35, sharex=True
        )
        for axis, (subgroup, metric) in zip(axes, panels, strict=True):
            lines = {
                family: [
                    (dose, found.get((subgroup, metric, name))) for name, dose in dosed.items()
                ]
                for family, dosed in doses.items()
            }
            _panel(axis, lines)
            better = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
            axis.set_title(
                f"{capital(metric_name(metric))}, {subgroup_words[subgroup]} ({better})",
                fontsize=10,
            )
            axis.set_ylabel("difference", fontsize=8.5)
        label_bottom(axes, "dose: rows added, as a share of the rows that each group lacks")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
        title = f"Difference to “{treatment_name(baselines[0])}”, a dose of 0, within a replicate"
        title += (
            f": mean and 95 % interval over {n_replicates} replicates"
            if n_replicates > 1
            else "; one replicate, which gives no interval"
        )
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _panel(axis: "Axes", lines: Mapping[str, Sequence[tuple[float, Row | None]]]) -> None:
    axis.axhline(0, color=INK, linewidth=0.9, zorder=1)
    known = sorted({dose for points in lines.values() for dose, _ in points})
    for number, (family, points) in enumerate(lines.items()):
        style = series_style(number)
        # Side by side, so that intervals of one dose do not hide each other.
        shift = (number - (len(lines) - 1) / 2) * 2 * _DODGE * known[-1]
        drawn = [(dose, row) for dose, row in points if row and np.isfinite(row["mean_difference"])]
        x = np.array([0.0, *(dose + shift for dose, _ in drawn)])
        y = np.array([0.0, *(row["mean_difference"] for _, row in drawn)])
        # A lone replicate has no interval.
        half = [row["ci_high"] - row["mean_difference"] for _, row in drawn]
        order = np.argsort(x)
        axis.plot(x[order], y[order], color=style.colour, linestyle=style.line, linewidth=1.4)
        axis.errorbar(
            x[1:], y[1:], yerr=np.nan_to_num(half), color=style.colour, marker=style.marker,
            markersize=6, linestyle="none", elinewidth=1.3, capsize=2.5,
            label=treatment_name(family),
        )  # fmt: skip
        if len(drawn) < len(points):
            axis.text(0.98, 0.04, "undefined doses left out", transform=axis.transAxes,
                      ha="right", fontsize=8, color=MUTED)  # fmt: skip
    axis.plot(0, 0, marker="o", color=INK, markersize=4, zorder=4)
    axis.set_xticks([0, *known], [f"{dose:g}" for dose in (0, *known)])
    axis.margins(x=0.04)
