# SPDX-License-Identifier: MIT
"""Treatments ranked over datasets: a critical-difference figure, a panel for each metric."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mcrage.figures.style import FAINT, INK, MUTED, figure_style, new_figure
from mcrage.figures.words import capital, metric_name, treatment_name
from mcrage.metrics.rules import decided_by
from mcrage.statistics.paired import ALPHA
from mcrage.statistics.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIFFERENT, _CONTROL = "#0072B2", "#000000"
_COLUMNS = 2
_WIDTH = 10.0
NOTHING_RANKED = "No ranks: no metric is defined for all treatments on five datasets."


def draw_ranks(rankings: Mapping[str, Ranking], control: str, rule: str) -> "Figure":
    """Draw mean ranks as dots, beside the ranks on each dataset, and the control's neighbourhood.

    Parameters
    ----------
    rankings : mapping of str to Ranking
        By metric. Empty where too few datasets have one: the figure then says so, since a rule
        may be undefined on a dataset.
    control : str
    rule : str
        By which decisions are made, of `mcrage.metrics.rules.RULES`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    title = f"Ranks over datasets (1 is best), against “{treatment_name(control)}”"
    title += f"; {decided_by(rule)}"
    with figure_style():
        if not rankings:
            figure = new_figure(_WIDTH, 1.2)
            figure.text(0.01, 0.3, NOTHING_RANKED, fontsize=9)
        else:
            figure = _panels(rankings)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _panels(rankings: Mapping[str, Ranking]) -> "Figure":
    one = next(iter(rankings.values()))
    columns = min(_COLUMNS, len(rankings))
    lines = -(-len(rankings) // columns)
    figure = new_figure(_WIDTH, lines * (0.27 * len(one.names) + 1.15) + 0.75)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[len(rankings) :]:
        axis.set_visible(False)
    for axis, (metric, ranking) in zip(axes, rankings.items(), strict=False):
        _panel(axis, metric, ranking)
    _legend(figure, one)
    return figure


def _panel(axis: "Axes", metric: str, ranking: Ranking) -> None:
    order = np.argsort(ranking.mean_ranks, kind="stable")
    place = ranking.names.index(ranking.control)
    middle = ranking.mean_ranks[place]
    axis.axvspan(
        middle - ranking.critical_difference, middle + ranking.critical_difference, color=FAINT,
        alpha=0.5, linewidth=0,
    )  # fmt: skip
    axis.axvline(middle, color=INK, linewidth=0.9)
    for line, number in enumerate(order):
        axis.plot(
            ranking.ranks[:, number], np.full(len(ranking.ranks), line), "|", color=MUTED,
            markersize=7, markeredgewidth=1.0,
        )  # fmt: skip
        different = bool(ranking.different[number])
        colour = _CONTROL if number == place else _DIFFERENT if different else MUTED
        axis.plot(
            ranking.mean_ranks[number], line, marker="s" if number == place else "o",
            markersize=7, color=colour, markeredgewidth=1.3,
            markerfacecolor=colour if different or number == place else "white",
        )  # fmt: skip
    n = len(ranking.names)
    axis.set(
        xlim=(0.5, n + 0.5), ylim=(n - 0.4, -0.6), yticks=range(n), xticks=range(1, n + 1),
        yticklabels=[treatment_name(ranking.names[k]) for k in order],
    )  # fmt: skip
    p = ranking.p_value
    told = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    axis.set_title(capital(metric_name(metric)), fontsize=9.5)
    axis.set_xlabel(f"rank; {len(ranking.ranks)} datasets, Friedman {told}", fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _legend(figure: "Figure", ranking: Ranking) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(text: str, colour: str, marker: str, face: str) -> Line2D:
        return Line2D([], [], color=colour, marker=marker, linestyle="none", label=text,
                      markersize=7, markerfacecolor=face, markeredgewidth=1.3)  # fmt: skip

    few = ranking.least_p_value >= ALPHA
    shown = "too few datasets for the test" if few else "no difference shown"
    handles = [
        mark(f"mean rank of {treatment_name(ranking.control)}", _CONTROL, "s", _CONTROL),
        mark("mean rank: differs (Wilcoxon, Holm, 5 %)", _DIFFERENT, "o", _DIFFERENT),
        mark(f"mean rank: {shown}", MUTED, "o", "white"),
        mark("rank on one dataset", MUTED, "|", MUTED),
        Patch(color=FAINT, alpha=0.5, label="critical difference (Bonferroni-Dunn, 5 %)"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
