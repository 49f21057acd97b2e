# SPDX-License-Identifier: MIT
"""Utility against fairness: what a smaller gap between subgroups costs everyone."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.errors import UserError
from mcrage.figures.labels import place_labels
from mcrage.figures.style import INK, MUTED, figure_style, legend_columns, panel_grid
from mcrage.figures.words import EVERYONE, capital, metric_name, treatment_name
from mcrage.metrics.names import NULL, OVERALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OF_SCORES = ("auroc", "worst_auroc_difference")
OF_DECISIONS = ("balanced_accuracy", "worst_equalised_odds_difference")
"""Utility, higher is better, and gap, lower is better."""
_FRONT, _BEYOND, _CONTROL = "#0072B2", "#a6a6a6", "#000000"
_MOST_NAMED = 9
_MAX_PANELS = 12

Row = Mapping[str, Any]
Key = tuple[str, str, str]
"""Threshold (rule), attribute, metric."""


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a utility, a gap of one attribute, and the rule of decisions."""

    threshold: str
    attribute: str
    utility: str
    gap: str


def panels_of(keys: Sequence[Key]) -> list[Panel]:
    """Return the panels that there are numbers for, attribute by attribute.

    AUROC needs no decisions, so it has one panel for an attribute; balanced accuracy has one for
    each rule.
    """
    found = set(keys)
    rules = list(dict.fromkeys(rule for rule, *_ in keys))
    attributes = list(dict.fromkeys(name for _, name, _ in keys if name != OVERALL))
    panels = [
        Panel(rule, attribute, *pair)
        for attribute in attributes
        for pair, own in ((OF_SCORES, rules[:1]), (OF_DECISIONS, rules))
        for rule in own
        if (rule, attribute, pair[1]) in found
    ]
    return panels[:_MAX_PANELS]


def front(points: np.ndarray) -> np.ndarray:
    """Return which points no other beats: bool, shape (n,).

    Parameters
    ----------
    points : ndarray of float64, shape (n, 2)
        Utility, the higher the better, and gap, the lower the better. A point is beaten by one
        that is no worse in both and better in one; NaN is on no front.
    """
    utility, gap = points.T
    known = ~np.isnan(points).any(axis=1)
    with np.errstate(invalid="ignore"):
        no_worse = np.greater_equal.outer(utility, utility) & np.less_equal.outer(gap, gap)
        better = np.greater.outer(utility, utility) | np.less.outer(gap, gap)
    return known & ~(no_worse & better).any(axis=0)


def draw_tradeoff(
    rows: Sequence[Row],
    *,
    baseline_means: Mapping[Key, float],
    baseline: str,
    treatments: Sequence[str],
    controls: Sequence[str] = (),
    attribute_words: Mapping[str, str],
    n_rows: float,
) -> "Figure":
    """Draw a panel for each attribute and pair of utility and gap, a point for each treatment.

    A point lies at the baseline's mean and the mean difference to it; bars are intervals of the
    difference, which is paired and so surer than either mean.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of comparisons.parquet of one dataset, scenario, classifier and baseline.
    baseline_means : mapping of (threshold, attribute, metric) to float
        The baseline's metrics, means over replicates.
    baseline : str
    treatments : sequence of str
        In the order of the legend.
    controls : sequence of str
        Treatments that no user has; they are on no front.
    attribute_words : mapping of str to str
        See `mcrage.figures.words.attribute_words`.
    n_rows : float
        Test rows, mean over replicates.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UserError
        If there are no gaps.
    """
    found = {
        (row["threshold"], row["attribute"], row["metric"], row["treatment"]): row
        for row in rows
        if row["subgroup"] == EVERYONE
    }
    panels = panels_of([key[:3] for key in found])
    if not panels:
        raise UserError(
            f"no gaps between subgroups to draw against “{baseline}”; give an experiment with "
            "treatments beside it"
        )
    present = {key[-1] for key in found}
    names = [name for name in treatments if name in present and name != baseline]
    told = {name: number for number, name in enumerate([baseline, *names], 1)}
    n_replicates = max(row["n_replicates"] for row in found.values())
    with figure_style():
        figure, axes = panel_grid(len(panels), columns=2, aspect=0.62, extra_height=0.45)
        labels = []
        for axis, panel in zip(axes, panels, strict=True):
            place = (panel.threshold, OVERALL, panel.utility)
            gap = (panel.threshold, panel.attribute, panel.gap)
            own = {
                name: (found[*place, name], found[*gap, name])
                for name in names
                if (*place, name) in found and (*gap, name) in found
            }
            origin = baseline_means.get(place, np.nan), baseline_means.get(gap, np.nan)
            chance = baseline_means.get((*gap[:2], panel.gap + NULL), np.nan)
            labels.append(_panel(axis, own, origin, chance, baseline, controls, told))
            axis.set_title(_title(panel, attribute_words), fontsize=10)
            axis.set_xlabel(f"{metric_name(panel.utility)} of everyone (right is better)")
            gap_words = textwrap.fill(metric_name(panel.gap), 30) + "\n(lower is fairer)"
            axis.set_ylabel(gap_words, fontsize=8.5)
        _legend(figure, told, bool(set(controls) & set(names)), n_replicates > 1)
        figure.suptitle(
            f"Difference to “{treatment_name(baseline)}” within a replicate, from its mean: "
            f"means and 95 % intervals over {n_replicates} replicates of {n_rows:,.0f} test rows"
            if n_replicates > 1
            else f"Difference to “{treatment_name(baseline)}” in one replicate ({n_rows:,.0f} test "
            "rows), which gives no interval",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        figure.draw_without_rendering()
        for axis, own in zip(axes, labels, strict=True):
            place_labels(axis, own)
    return figure


def _title(panel: Panel, words: Mapping[str, str]) -> str:
    by = words.get(panel.attribute, panel.attribute)
    title = f"{capital(metric_name(panel.utility))}, and gaps by {by}"
    return title if panel.utility == OF_SCORES[0] else f"{title}, threshold {panel.threshold}"


def _panel(
    axis: "Axes",
    own: Mapping[str, tuple[Row, Row]],
    origin: tuple[float, float],
    chance: float,
    baseline: str,
    controls: Sequence[str],
    told: Mapping[str, int],
) -> list[tuple[np.ndarray, str, str]]:
    """Draw the points; return their labels."""
    names = [baseline, *own]
    differences = [(0.0, 0.0)] + [
        (one["mean_difference"], other["mean_difference"]) for one, other in own.values()
    ]
    points = np.array(origin) + np.array(differences, dtype=np.float64)
    contesting = np.array([name not in controls for name in names])
    on_front = np.zeros(len(names), dtype=bool)
    on_front[contesting] = front(points[contesting])
    if np.isnan(points).all(axis=0).any():
        axis.text(0.5, 0.5, "undefined", transform=axis.transAxes, ha="center", color=MUTED)
        return []
    for axis_name, values in zip("xy", points.T, strict=True):
        low, high = np.nanmin(values), np.nanmax(values)
        room = 0.35 * (high - low) or 0.01
        getattr(axis, f"set_{axis_name}lim")(low - room, high + room)
    axis.axvline(origin[0], color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    axis.axhline(origin[1], color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
    if np.isfinite(chance) and axis.get_ylim()[0] < chance < axis.get_ylim()[1]:
        axis.axhline(chance, color=INK, linewidth=0.9, linestyle=(0, (6, 3)), zorder=1)
        axis.annotate(
            "what chance gives", (1, chance), xycoords=("axes fraction", "data"), fontsize=7.5,
            xytext=(-2, 2), textcoords="offset points", ha="right", color=MUTED,
        )  # fmt: skip
    steps = points[on_front][np.argsort(points[on_front][:, 0])]
    axis.plot(*steps.T, color=_FRONT, linewidth=1.3, zorder=2)
    labels = []
    for number, name in enumerate(names):
        if np.isnan(points[number]).any():
            continue
        colour = _CONTROL if name in controls else _FRONT if on_front[number] else _BEYOND
        if name in own:
            for row, along in zip(own[name], (0, 1), strict=True):
                _bar(axis, points[number], origin[along], row, along, colour)
        marker = "s" if name == baseline else "*" if name in controls else "o"
        axis.plot(
            *points[number], marker=marker, color=colour, zorder=4,
            markersize=11 if marker == "*" else 7,
            markerfacecolor="white" if name in controls else colour,
        )  # fmt: skip
        text = treatment_name(name) if len(told) <= _MOST_NAMED else str(told[name])
        labels.append((points[number], text, INK if on_front[number] else MUTED))
    axis.locator_params(nbins=5)
    return labels


def _bar(axis: "Axes", point: np.ndarray, base: float, row: Row, along: int, colour: str) -> None:
    ends = np.array([row["ci_low"], row["ci_high"]], dtype=np.float64) + base
    if np.isfinite(ends).all():
        across = [point[1 - along]] * 2
        line = (ends, across) if along == 0 else (across, ends)
        axis.plot(*line, color=colour, linewidth=1.1, alpha=0.75, zorder=3,
                  scalex=False, scaley=False)  # fmt: skip


def _legend(
    figure: "Figure", told: Mapping[str, int], with_controls: bool, with_bars: bool
) -> None:
    from matplotlib.lines import Line2D

    def mark(text: str, colour: str, marker: str, line: str = "none", face: str = "") -> Line2D:
        return Line2D([], [], color=colour, marker=marker, linestyle=line, label=text,
                      markersize=9 if marker == "*" else 6.5,
                      markerfacecolor=face or colour)  # fmt: skip

    handles = [
        mark("on the front: no other treatment is better in both", _FRONT, "o", "-"),
        mark("beaten by another", _BEYOND, "o"),
    ]
    handles += [mark("baseline", INK, "s")]
    if with_controls:
        handles.append(mark("a control that no user has", _CONTROL, "*", face="white"))
    if len(told) > _MOST_NAMED:
        handles += [
            mark(f"{number}  {treatment_name(name)}", "none", "none")
            for name, number in told.items()
        ]
    labels = [handle.get_label() for handle in handles]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(labels))
