# SPDX-License-Identifier: MIT
"""How the generators learnt: loss, and the score that chose setting and step, if one did."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcrage.figures.style import INK, MUTED, WIDTH, figure_style, new_figure, series_style
from mcrage.figures.words import treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Columns of one history, arrays of equal length; `step`, `loss` and, if there are several
# networks, `member`; the scores below (NaN between checks) where they are used.
History = Mapping[str, np.ndarray]
# Column, its label, and which value is the best.
_SCORES = (
    ("validation_f1", "validation F1", np.argmax),
    ("heldout_loss", "held-out loss", np.argmin),
)
SETTING = (
    *("learning_rate", "condition_dropout", "weight_decay", "dropout"),
    *("batch_size", "noise_mean", "noise_std"),
)
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


def _by_setting(
    history: History, lines: Sequence[tuple[np.ndarray, np.ndarray]], column: str
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return the lines of a history's members by what tells settings apart, where it says so."""
    values = np.asarray(history[column], dtype=float)
    members = np.asarray(history.get("member", np.zeros(len(values), dtype=int)))
    names = [name for name in SETTING if name in history]
    found: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    finite = np.unique(members[np.isfinite(values)])
    for member, line in zip(finite, lines, strict=True):
        row = int(np.flatnonzero(members == member)[0])
        own = tuple(history[name][row] for name in names) if column == "heldout_loss" else member
        # NaN where a setting is the schedule's, which is unlike itself.
        own = str(own)
        found.setdefault(own, []).append(line)
    return list(found.values())


def mean_line(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of lines over the steps that all of them reach, interpolated linearly."""
    last = min(steps[-1] for steps, _ in lines)
    grid = np.unique(np.concatenate([steps for steps, _ in lines]))
    grid = grid[grid <= last]
    return grid, np.mean([np.interp(grid, *line) for line in lines], axis=0)


def draw_training_curves(histories: Mapping[str, Sequence[History]]) -> "Figure":
    """Draw a column per generator: the loss, and below it the score that chose, if one did.

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
    scored = {
        name: score
        for name, replicates in trained.items()
        for score in _SCORES
        if any(lines_of(h, score[0]) for h in replicates if score[0] in h)
    }
    note = f"Not trained in steps, so without a curve: {', '.join(without)}." if without else ""
    with figure_style():
        if not trained:
            figure = new_figure(WIDTH, 0.6)
            figure.text(0.01, 0.5, note or "No generator in this experiment.", va="center")
            return figure
        columns = min(len(trained), _MAX_COLUMNS)
        blocks = -(-len(trained) // columns)
        per_block = 2 if scored else 1
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
            if name in scored:
                score, label, best = scored[name]
                lower = axes[block * per_block + 1, column]
                _panel(lower, replicates, score, style.colour, best=best)
                lower.set_ylabel(label)
        if note:
            figure.supxlabel(note, fontsize=8.5, x=0.01, ha="left")
    return figure


def _panel(
    axis: "Axes",
    replicates: Sequence[History],
    column: str,
    colour: str,
    *,
    best: Callable[[np.ndarray], int] | None = None,
) -> None:
    axis.set_visible(True)
    replicates = [history for history in replicates if column in history]
    groups = [lines_of(history, column) for history in replicates]
    lines = [line for group in groups for line in group]
    for steps, values in lines:
        axis.plot(
            steps, values, color=colour, linewidth=0.7, alpha=max(0.15, 0.7 / len(lines) ** 0.4)
        )
    if len(lines) > 1:
        axis.plot(*mean_line(lines), color=INK, linewidth=1.8)
    if best is not None:
        for history, group in zip(replicates, groups, strict=True):
            # What is chosen is a mean over the folds of a setting, where there are folds.
            means = [mean_line(own) for own in _by_setting(history, group, column)]
            if means:
                top = [int(best(values)) for _, values in means]
                line = int(best(np.array([m[1][t] for m, t in zip(means, top, strict=True)])))
                steps, values = means[line]
                axis.plot(
                    steps[top[line]], values[top[line]], marker="D", markersize=6, color=colour,
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
