# SPDX-License-Identifier: MIT
"""Whether a probability means what it says, for each subgroup: calibration curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
from mcrage.figures.predictions import Predictions, mean_count, subgroup_panels, within
from mcrage.figures.style import (
    FAINT,
    MUTED,
    WIDTH,
    SeriesStyle,
    figure_style,
    legend_columns,
    new_figure,
    treatment_styles,
)
from mcrage.figures.words import treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_BINS = 10
_FEWEST = 20  # rows in a bin
_COLUMNS = 3
_Z = 1.959963984540054


@dataclass(frozen=True)
class Curve:
    """A calibration curve, one entry per bin.

    Attributes
    ----------
    score, share : ndarray of float64, shape (bins,)
        Mean score, and share of rows that have the outcome.
    low, high : ndarray of float64, shape (bins,)
        95 % interval of the share (Wilson), which counts each row once however many replicates
        it was tested in.
    """

    score: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve_of(replicates: Sequence[Predictions], n_bins: int = N_BINS) -> Curve | None:
    """Pool the predictions of replicates, and take them apart by quantiles of the score.

    With more than two levels each level is held against the rest, all in one curve. Equal scores
    share a bin, so there may be fewer; there are also fewer where bins would hold fewer than 20
    rows.

    Parameters
    ----------
    replicates : sequence of Predictions
    n_bins : int

    Returns
    -------
    Curve or None
        None with fewer than 20 rows.
    """
    pooled = [
        (np.arange(len(y)) if one.row_id is None else one.row_id, y, score)
        for one in replicates
        for y, score in one.against_the_rest()
    ]
    if not pooled:
        return None
    row_id, y, score = (np.concatenate(column) for column in zip(*pooled, strict=True))
    n_bins = min(n_bins, len(np.unique(row_id)) // _FEWEST)
    if not n_bins:
        return None
    edges = np.quantile(score, np.linspace(0, 1, n_bins + 1)[1:-1])
    place = np.unique(np.searchsorted(np.unique(edges), score, side="right"), return_inverse=True)[
        1
    ]
    n = np.bincount(place)
    share = np.bincount(place, y) / n
    once = np.array([len(np.unique(row_id[place == bin_])) for bin_ in range(len(n))])
    low, high = wilson(share, once)
    return Curve(np.bincount(place, score) / n, share, low, high)


def wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of a share of n rows."""
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return centre - half, centre + half


def draw_calibration(roles: Roles, predictions: Mapping[str, Sequence[Predictions]]) -> "Figure":
    """Draw a panel for everyone and one per subgroup, with the scores' histogram below each.

    With more than eight subgroups, one per level of each sensitive attribute.

    Parameters
    ----------
    roles : Roles
    predictions : mapping of str to sequence of Predictions
        Name of treatment to its predictions, one per replicate.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = subgroup_panels(roles)
    styles = treatment_styles(list(predictions))
    rows = -(-len(panels) // _COLUMNS)
    columns = -(-len(panels) // rows)
    with figure_style():
        figure = new_figure(WIDTH, rows * (WIDTH / columns * 0.95 + 0.75) + 0.4)
        heights = [3.4, 1.0] * rows
        grid = figure.subplots(
            2 * rows, columns, squeeze=False, sharex=True,
            gridspec_kw={"height_ratios": heights},
        )  # fmt: skip
        for axis in grid[:, :].flat:
            axis.set_visible(False)
        for number, (who, subgroups) in enumerate(panels):
            line, column = divmod(number, columns)
            shown = within(predictions, subgroups)
            _panel(grid[2 * line, column], grid[2 * line + 1, column], who, shown, styles)
        axis = grid[0, 0]
        target = roles.target
        outcome = target.level_labels[1] if target.is_binary else "each outcome"
        axis.set_ylabel(f"share with {outcome}", fontsize=8.5)
        grid[1, 0].set_ylabel("rows", fontsize=8.5)
        handles, labels = axis.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
        n = max(len(replicates) for replicates in predictions.values())
        pooled = f"pooled over {n} replicates" if n > 1 else "one replicate"
        figure.suptitle(
            f"Share of rows with the outcome, by the predicted probability: {pooled}; bars are 95 "
            "% intervals",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _panel(
    axis: "Axes",
    below: "Axes",
    who: str,
    predictions: Mapping[str, Sequence[Predictions]],
    styles: Mapping[str, SeriesStyle],
) -> None:
    one = next(iter(predictions.values()))
    told = mean_count([len(replicate.y) for replicate in one])
    for shown in (axis, below):
        shown.set_visible(True)
    axis.set_title(f"{who} ({told} test rows)", fontsize=9.5)
    axis.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=1)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    below.set_yticks([])
    below.grid(False)
    below.set_xlabel("predicted probability", fontsize=8.5)
    below.tick_params(labelbottom=True)
    axis.tick_params(labelbottom=False)
    bins = np.linspace(0, 1, 26)
    for number, (treatment, replicates) in enumerate(predictions.items()):
        style, curve = styles[treatment], curve_of(replicates)
        name = treatment_name(treatment)
        if curve is None:
            axis.plot([], [], color=style.colour, label=name)
            axis.text(0.5, 0.4 - 0.08 * number, f"{name}: too few rows", ha="center",
                      fontsize=8, color=MUTED)  # fmt: skip
            continue
        bars = np.abs(np.array([curve.low, curve.high]) - curve.share)
        axis.errorbar(
            curve.score, curve.share, yerr=bars, color=style.colour, linestyle=style.line,
            marker=style.marker, markersize=4.5, linewidth=1.2, elinewidth=0.8, label=name,
        )  # fmt: skip
        scores = np.concatenate(
            [score for replicate in replicates for _, score in replicate.against_the_rest()]
        )
        below.hist(scores, bins=bins, histtype="step", color=style.colour,
                   linestyle=style.line, linewidth=1.1)  # fmt: skip
