# SPDX-License-Identifier: MIT
"""How each feature is distributed in real test rows and in synthetic ones: Figure 3 of the paper.

The paper compares with the rows that the generator learned from; here the real rows are test rows,
which no generator has seen.
"""

import textwrap
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Feature, Roles
from mcrage.figures.samples import Sample
from mcrage.figures.style import FAINT, INK, MUTED, WIDTH, figure_style, new_figure, series_style
from mcrage.figures.words import (
    capital,
    feature_axis,
    part_name,
    treatment_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLUMNS = 6
_TOO_FEW = 10  # rows below which a density would pretend to know a shape
_GRID = 160
_CHARACTERS = 136  # of the axes' labels, in the width of a figure


def has_density(values: np.ndarray) -> bool:
    """Say whether values, of shape (n,), are enough and differ enough to draw a density."""
    values = values[np.isfinite(values)]
    return len(values) >= _TOO_FEW and np.ptp(values) > 0


def columns_of(roles: Roles) -> tuple[int, list[str]]:
    """Return by what number groups fall into columns, and the columns' names.

    Groups when there are at most six, else subgroups, else the cross of as many sensitive
    attributes, from the first, as make at most six, else one column for all rows.

    Returns
    -------
    modulus : int
        A group's column is its number modulo this, since the first attribute is the fastest digit.
    names : list of str
    """
    parts = (*roles.sensitive, roles.target)
    for size in range(len(parts), 0, -1):
        modulus = prod(len(part.levels) for part in parts[:size])
        if modulus <= _MAX_COLUMNS:
            return modulus, [capital(part_name(parts[:size], k)) for k in range(modulus)]
    return 1, ["All rows"]


def draw_densities(roles: Roles, real: Sample, synthetic: Mapping[str, Sample]) -> "Figure":
    """Draw a grid of densities: a row per feature, a column per group.

    Parameters
    ----------
    roles : Roles
    real : Sample
        Test rows.
    synthetic : mapping of str to Sample
        Name of generator to the rows it drew.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    modulus, names = columns_of(roles)
    styles = {generator: series_style(number) for number, generator in enumerate(synthetic)}
    n_rows, n_columns = len(roles.features), len(names)
    with figure_style():
        figure = new_figure(WIDTH, 0.95 * n_rows + 0.75 + 0.17 * len(synthetic))
        axes = figure.subplots(n_rows, n_columns, squeeze=False)
        figure.get_layout_engine().set(hspace=0.02, wspace=0.02)
        for row, feature in enumerate(roles.features):
            window = _window(feature, row, [real, *synthetic.values()])
            for column in range(n_columns):
                axis = axes[row, column]
                sources = {
                    name: sample.features[sample.groups % modulus == column, row]
                    for name, sample in synthetic.items()
                }
                truth = real.features[real.groups % modulus == column, row]
                _panel(axis, window, truth, sources, styles)
                label = textwrap.fill(feature_axis(feature), int(_CHARACTERS / n_columns))
                axis.set_xlabel(label, fontsize=8, labelpad=1, linespacing=1.0)
        for column, name in enumerate(names):
            counts = [f"real test rows: {(real.groups % modulus == column).sum():,}"]
            counts += [
                f"{treatment_name(generator)}: {(sample.groups % modulus == column).sum():,}"
                for generator, sample in synthetic.items()
            ]
            axes[0, column].set_title(
                name + "\n" * len(counts), fontsize=9.5, linespacing=1.25, pad=4
            )
            axes[0, column].annotate(
                "\n".join(counts), (0, 1), (0, 3), xycoords="axes fraction",
                textcoords="offset points", fontsize=8, va="bottom", linespacing=1.25,
            )  # fmt: skip
        handles = [Patch(facecolor=FAINT, edgecolor=MUTED, label="real, test rows")]
        handles += [
            Line2D([], [], color=style.colour, linestyle=style.line, label=treatment_name(name))
            for name, style in styles.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    return figure


def _window(feature: Feature, index: int, samples: list[Sample]) -> tuple[float, float]:
    """Cover the middle 99 % of real and synthetic values with a margin, within the bounds."""
    values = np.concatenate([sample.features[:, index] for sample in samples])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.005, 0.995])
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin
    if feature.lower is not None:
        low = max(low, feature.lower)
    if feature.upper is not None:
        high = min(high, feature.upper)
    return float(low), float(high)


def _panel(
    axis: "Axes",
    window: tuple[float, float],
    truth: np.ndarray,
    sources: dict[str, np.ndarray],
    styles: dict,
) -> None:
    from seaborn import kdeplot

    # Gaussian kernels of Scott's bandwidth; what lies outside the window is not folded back.
    shared = {"ax": axis, "clip": window, "gridsize": _GRID, "bw_method": "scott"}
    if has_density(truth):
        kdeplot(
            x=truth, fill=True, facecolor=FAINT, edgecolor=MUTED, linewidth=0.9, alpha=1, **shared
        )
    else:
        axis.vlines(truth, 0, 0.12, color=INK, linewidth=0.8, transform=axis.get_xaxis_transform())
    for name, values in sources.items():
        if has_density(values):
            style = styles[name]
            kdeplot(x=values, color=style.colour, linestyle=style.line, linewidth=1.5, **shared)
    axis.set(xlim=window, yticks=[], ylabel="")
    axis.set_ylim(bottom=0)
    axis.locator_params(axis="x", nbins=4)
    axis.tick_params(axis="x", labelsize=7.5, pad=1, length=2)
    axis.spines["left"].set_visible(False)
    axis.grid(False)
