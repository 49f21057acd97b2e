# SPDX-License-Identifier: MIT
"""Rows per group where there are many groups: a table whose cells are bars."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
from mcrage.figures.style import INK, MUTED, WIDTH, figure_style, lighten, new_figure
from mcrage.figures.words import capital, subgroup_name, treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mcrage.figures.group_composition import Composition

MAX_ROWS = 80
_MAX_COLUMNS = 6
_LINE = 0.185  # inches
_KINDS = {"real": "#0072B2", "repeated": "#56B4E9", "synthetic": "#E69F00"}


def draw_composition_table(
    roles: Roles, compositions: Mapping[str, "Composition"], rare_below: int
) -> "Figure":
    """Draw a line per group, under its outcome, and a column per training set.

    Of more than 80 groups those with the fewest real rows are drawn.

    Parameters
    ----------
    roles : Roles
    compositions : mapping of str to Composition
        Name of treatment to its rows, in the order of the columns.
    rare_below : int
        A group with fewer real rows in every training set is marked as rare.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.patches import Patch

    n_subgroups = int(np.prod([len(attribute.levels) for attribute in roles.sensitive]))
    real = np.max([rows.real for rows in compositions.values()], axis=0)
    fewest = np.sort(np.argsort(real, kind="stable")[:MAX_ROWS])
    # A line per group, and one above each outcome for its name.
    lines, ticks = [], {}
    for level, outcome in enumerate(roles.target.level_labels):
        groups = fewest[fewest // n_subgroups == level]
        if len(groups):
            lines.append(f"{roles.target.label}: {outcome}")
            for group in groups:
                ticks[int(group)] = len(lines)
                mark = "† " if real[group] < rare_below else ""
                lines.append(mark + capital(subgroup_name(roles, int(group) % n_subgroups)))
    names = list(compositions)
    blocks = [names[k : k + _MAX_COLUMNS] for k in range(0, len(names), _MAX_COLUMNS)]
    longest = max(rows.total.max() for rows in compositions.values())
    with figure_style():
        figure = new_figure(WIDTH, len(blocks) * (_LINE * len(lines) + 0.55) + 0.75)
        columns = min(len(names), _MAX_COLUMNS)
        axes = figure.subplots(len(blocks), columns, squeeze=False, sharex=True, sharey=True)
        for line, block in enumerate(blocks):
            for column in range(columns):
                axis = axes[line, column]
                axis.set_visible(column < len(block))
                if column < len(block):
                    _column(axis, block[column], compositions[block[column]], ticks, longest)
        first = axes[0, 0]
        first.set(ylim=(len(lines) - 0.4, -0.6), xlim=(0, longest), yticks=range(len(lines)))
        for axis in axes[:, 0]:
            axis.set_yticklabels(lines, fontsize=7.5)
            for label in axis.get_yticklabels():
                if label.get_text().startswith(f"{roles.target.label}: "):
                    label.set(fontweight="bold", fontsize=8.5)
        handles = [
            Patch(facecolor=lighten(colour, 0.55), label=f"{kind} rows")
            for kind, colour in _KINDS.items()
            if any(getattr(rows, kind).any() for rows in compositions.values())
        ]
        handles.append(Patch(alpha=0, label=f"a full cell: {int(longest):,} rows"))
        if any(real[list(ticks)] < rare_below):
            handles.append(Patch(alpha=0, label=f"†: fewer than {rare_below} real rows"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        if len(fewest) < len(real):
            figure.suptitle(
                f"The {len(fewest)} of {len(real)} groups with the fewest real rows",
                fontsize=10, x=0.01, ha="left",
            )  # fmt: skip
    return figure


def _column(
    axis: "Axes", name: str, rows: "Composition", ticks: Mapping[int, int], longest: float
) -> None:
    groups, places = np.array(list(ticks)), np.array(list(ticks.values()))
    start = np.zeros(len(groups))
    for kind, colour in _KINDS.items():
        counts = getattr(rows, kind)[groups]
        axis.barh(places, counts, left=start, height=0.86, color=lighten(colour, 0.55))
        start = start + counts
    for group, place in ticks.items():
        axis.text(0.02 * longest, place, _told(rows, group), fontsize=7, va="center", color=INK)
    told = textwrap.fill(treatment_name(name), 17)
    axis.set_title(f"{told}\n", fontsize=9, linespacing=1.15)
    axis.text(0, 1.004, _total(rows), transform=axis.transAxes, fontsize=7.5, color=MUTED)
    axis.grid(False)
    axis.tick_params(length=0, labelbottom=False)
    axis.spines["bottom"].set_visible(False)


def _told(rows: "Composition", group: int) -> str:
    parts: Sequence[str] = [f"{getattr(rows, kind)[group]:,}" for kind in _KINDS]
    told = " + ".join(text for text in parts if text != "0") or "0"
    if rows.weighted is not None:
        told += f" (as {rows.weighted[group]:,.0f})"
    return told


def _total(rows: "Composition") -> str:
    told = f"{int(rows.real.sum()):,} real"
    if extra := int(rows.total.sum() - rows.real.sum()):
        told += f" + {extra:,}"
    return told
