# SPDX-License-Identifier: MIT
"""How the generators learnt: loss, and validation F1 where it chooses the checkpoint."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcrage.figures.style import INK, MUTED, WIDTH, figure_style, new_figure, series_style
from mcrage.figures.words import treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Columns of one history, arrays of equal length; `step`, `loss` and, if there are several
# networks, `member`; `validation_f1` (NaN between checks) where it is used.
History = Mapping[str, np.ndarray]
_MAX_COLUMNS = 3


def lines_of(history: History, column: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return steps and finite values of a column, per member of the ensemble.

    Returns
    -------
    list of (ndarray, ndarray)
        In order of member; members without a finite value are left out.
    """
    steps, values = np.asarray(history["step"]), np.asarray(history[column], dtype=float)
    members = np.asarray(history.get("member", np.zeros(len(steps), dtype=int)))
    out = []
    for member in np.unique(members):
        rows = (members == member) & np.isfinite(values)
        if rows.any():
            order = np.argsort(steps[rows], kind="stable")
            out.append((steps[rows][order], values[rows][order]))
    return out


def mean_line(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of lines over the steps that all of them reach, interpolated linearly."""
    last = min(steps[-1] for steps, _ in lines)
    grid = np.unique(np.concatenate([steps for steps, _ in lines]))
    grid = grid[grid <= last]
    return grid, np.mean([np.interp(grid, *line) for line in lines], axis=0)


def draw_training_curves(histories: Mapping[str, Sequence[History]]) -> "Figure":
    """Draw a column per generator: the loss, and the validation F1 below it if there is one.

    Parameters
    ----------
    histories : mapping of str to sequence of History
        Name of generator to its histories, one per replicate. Generators that learn without
        steps have empty ones and are named in a note.

    Returns
    -------
    matplotlib.figure.Figure
    """
    trained = {
        name: [history for history in replicates if len(history.get("step", ()))]
        for name, replicates in histories.items()
    }
    without = [treatment_name(name) for name, replicates in trained.items() if not replicates]
    trained = {name: replicates for name, replicates in trained.items() if replicates}
    judged = {
        name
        for name, replicates in trained.items()
        if any(lines_of(h, "validation_f1") for h in replicates if "validation_f1" in h)
    }
    note = f"Not trained in steps, so without a curve: {', '.join(without)}." if without else ""
    with figure_style():
        if not trained:
            figure = new_figure(WIDTH, 0.6)
            figure.text(0.01, 0.5, note or "No generator in this experiment.", va="center")
            return figure
        columns = min(len(trained), _MAX_COLUMNS)
        blocks = -(-len(trained) // columns)
        per_block = 2 if judged else 1
        figure = new_figure(WIDTH, 2.75 * blocks * per_block + 0.3)
        axes = figure.subplots(blocks * per_block, columns, squeeze=False)
        for axis in axes.flat:
            axis.set_visible(False)
        for number, (name, replicates) in enumerate(trained.items()):
            block, column = divmod(number, columns)
            style = series_style(number)
            upper = axes[block * per_block, column]
            _panel(upper, replicates, "loss", style.colour)
            upper.set_title(treatment_name(name), fontsize=10)
            upper.set_ylabel("training loss")
            if name in judged:
                lower = axes[block * per_block + 1, column]
                _panel(lower, replicates, "validation_f1", style.colour, mark_best=True)
                lower.set_ylabel("validation F1")
        if note:
            figure.supxlabel(note, fontsize=8.5, x=0.01, ha="left")
    return figure


def _panel(
    axis: "Axes",
    replicates: Sequence[History],
    column: str,
    colour: str,
    *,
    mark_best: bool = False,
) -> None:
    axis.set_visible(True)
    groups = [lines_of(history, column) for history in replicates if column in history]
    lines = [line for group in groups for line in group]
    for steps, values in lines:
        axis.plot(
            steps, values, color=colour, linewidth=0.7, alpha=max(0.15, 0.7 / len(lines) ** 0.4)
        )
    if len(lines) > 1:
        axis.plot(*mean_line(lines), color=INK, linewidth=1.8)
    if mark_best:
        for group in groups:
            best = max(group, key=lambda line: line[1].max(), default=None)
            if best is not None:
                top = int(np.argmax(best[1]))
                axis.plot(
                    best[0][top], best[1][top], marker="D", markersize=6, color=colour,
                    markeredgecolor=INK, zorder=4,
                )  # fmt: skip
    n = f"{len(groups)} replicate{'s' if len(groups) != 1 else ''}"
    if len(lines) > len(groups):
        n += f", {len(lines)} networks"
    axis.set_xlabel("step", labelpad=1)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.locator_params(axis="x", nbins=4)
    axis.text(
        0.98, 0.96, n, transform=axis.transAxes, ha="right", va="top", fontsize=8.5, color=MUTED
    )
