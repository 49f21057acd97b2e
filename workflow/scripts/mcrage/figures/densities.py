# SPDX-License-Identifier: MIT
"""How each feature is distributed in real test rows and in synthetic ones: Figure 3 of the paper.

The paper compares with the rows that the generator learned from; here the real rows are test rows,
which no generator has seen. Numbers and dates have densities, levels have shares.
"""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Feature, Roles
from mcrage.fidelity.likeness import shape
from mcrage.figures.marginals import (
    TOO_FEW,
    Values,
    draw_levels,
    draw_numbers,
    has_many_zeros,
    shown_levels,
    window,
)
from mcrage.figures.parts import part_names, part_of, shown_parts
from mcrage.figures.samples import Sample
from mcrage.figures.style import FAINT, MUTED, WIDTH, figure_style, new_figure, series_style
from mcrage.figures.words import feature_axis, treatment_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FEATURES = 12
MAX_COLUMNS = 6
_CHARACTERS = 136  # of the axes' labels, in the width of a figure
_LEVEL_CHARACTERS = 22


def draw_densities(roles: Roles, real: Sample, synthetic: Mapping[str, Sample]) -> "Figure":
    """Draw a grid: a row per feature, a column per group, or per larger part of the rows.

    Of more than 12 features those are shown that differ most (see `differing`). With more than six
    groups a column holds several; its real rows are then weighted so that groups are as frequent
    among them as among the synthetic rows (see `weights`), for these are drawn where rows lack.

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

    parts = shown_parts(roles, MAX_COLUMNS)
    names = part_names(parts)
    samples = {"": real, **synthetic}
    counted = weights(roles, parts, samples)
    place = {name: part_of(roles, parts, sample.groups) for name, sample in samples.items()}
    styles = {generator: series_style(number) for number, generator in enumerate(synthetic)}
    shown = differing(roles, real, synthetic, MAX_FEATURES)
    columns = {row: [sample.features[:, row] for sample in samples.values()] for row in shown}
    lines = {
        row: shown_levels(roles.features[row], columns[row])
        for row in shown
        if roles.features[row].levels
    }
    heights = [0.36 + 0.2 * len(lines[row]) if row in lines else 0.95 for row in shown]
    with figure_style():
        head = 0.75 + 0.17 * len(synthetic) + 0.3 * (len(shown) < len(roles.features))
        figure = new_figure(WIDTH, sum(heights) + head)
        axes = figure.subplots(
            len(shown), len(names), squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        figure.get_layout_engine().set(hspace=0.02, wspace=0.02)
        for line, row in enumerate(shown):
            feature = roles.features[row]
            zeros = has_many_zeros(feature, columns[row][0])
            limits = window(feature, columns[row], zeros)
            for column in range(len(names)):
                axis = axes[line, column]
                rows = {
                    name: _values(sample.features[:, row], place[name] == column, counted[name])
                    for name, sample in samples.items()
                }
                truth, sources = rows[""], {name: rows[name] for name in synthetic}
                if row in lines:
                    draw_levels(axis, lines[row], truth, sources, styles)
                    told = [_short(name) for name, _ in lines[row]] if column == 0 else []
                    axis.set_yticklabels(told or [""] * len(lines[row]))
                else:
                    draw_numbers(axis, feature, limits, truth, sources, styles, zeros=zeros)
                if len(truth.values) == 0 and counted[""] is not None:
                    axis.text(
                        0.5, 0.5, f"groups of fewer than\n{TOO_FEW} real rows", fontsize=7.5,
                        color=MUTED, ha="center", va="center", transform=axis.transAxes,
                    )  # fmt: skip
                axis.tick_params(axis="x", labelsize=7.5, pad=1, length=2)
                width = int(_CHARACTERS / len(names))
                label = [*textwrap.wrap(feature_axis(feature), width)]
                for text in () if row in lines else _left_out(feature, rows, zeros):
                    label += textwrap.wrap(text, int(1.08 * width))
                axis.set_xlabel("\n".join(label), fontsize=8, labelpad=1, linespacing=1.0)
            if row in lines:
                widest = max(axis.dataLim.x1 for axis in axes[line])
                for axis in axes[line]:
                    axis.locator_params(axis="x", nbins=4 if len(names) < 5 else 2)
                    axis.set_xlim(0, 1.03 * min(1.0, widest) if np.isfinite(widest) else 1.0)
        for column, name in enumerate(names):
            told = [
                f"{treatment_name(each) if each else 'real test rows'}: "
                f"{int((place[each] == column).sum()):,}"
                for each in samples
            ]
            axes[0, column].set_title(
                name + "\n" * len(told), fontsize=9.5, linespacing=1.25, pad=4
            )
            axes[0, column].annotate(
                "\n".join(told), (0, 1), (0, 3), xycoords="axes fraction",
                textcoords="offset points", fontsize=8, va="bottom", linespacing=1.25,
            )  # fmt: skip
        if len(shown) < len(roles.features):
            figure.suptitle(
                f"{len(shown)} of {len(roles.features)} features: those whose synthetic rows "
                "differ most from test rows of the same group",
                fontsize=10, x=0.01, ha="left",
            )  # fmt: skip
        handles = [Patch(facecolor=FAINT, edgecolor=MUTED, label="real, test rows")]
        handles += [
            Line2D(
                [], [], color=style.colour, linestyle=style.line, label=treatment_name(name),
                marker=style.marker if lines else "", markersize=4,
            )
            for name, style in styles.items()
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    return figure


def weights(
    roles: Roles, parts: tuple, samples: Mapping[str, Sample]
) -> dict[str, np.ndarray | None]:
    """Return what the rows of each sample count for, so that groups are alike among them.

    Within a column of the figure every sample gets the mix of groups that the synthetic rows have.
    A group with fewer than ten real rows counts for nothing: a few rows cannot stand for hundreds.

    Parameters
    ----------
    roles : Roles
    parts : tuple of Attribute and Target
        What makes the columns.
    samples : mapping of str to Sample
        The real rows under the name "", then the synthetic ones.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,), or None
        By sample; None if every column is one group.
    """
    if len(parts) == len(roles.sensitive) + 1:
        return dict.fromkeys(samples)
    n_groups = 1 + max((int(s.groups.max()) for s in samples.values() if len(s)), default=0)
    counts = {name: np.bincount(s.groups, minlength=n_groups) for name, s in samples.items()}
    mix = np.sum([n for name, n in counts.items() if name], axis=0).astype(float)
    mix[counts[""] < TOO_FEW] = 0.0
    for n in counts.values():
        mix[n == 0] = 0.0
    return {
        name: (mix / np.maximum(counts[name], 1))[sample.groups] for name, sample in samples.items()
    }


def differing(roles: Roles, real: Sample, synthetic: Mapping[str, Sample], most: int) -> list[int]:
    """Return the places of the features that differ most between real and synthetic rows.

    By 1 - shape (see `mcrage.fidelity.likeness.shape`), the mean over generators and groups of ten
    or more rows of either kind, by their synthetic rows.

    Returns
    -------
    list of int
        At most so many, in the order of the table; all if they are no more.
    """
    n_features = len(roles.features)
    if n_features <= most:
        return list(range(n_features))
    total = np.zeros(n_features)
    for sample in synthetic.values():
        for group in np.unique(sample.groups):
            mine, other = sample.groups == group, real.groups == group
            if min(mine.sum(), other.sum()) >= TOO_FEW:
                rows = sample.features[mine], real.features[other]
                total += mine.sum() * (1 - shape(*rows, roles.features))
    return sorted(int(place) for place in np.argsort(-total, kind="stable")[:most])


def _values(column: np.ndarray, mine: np.ndarray, weights: np.ndarray | None) -> Values:
    if weights is None:
        return Values(column[mine])
    mine = mine & (weights > 0)
    return Values(column[mine], weights[mine])


def _left_out(feature: Feature, rows: Mapping[str, Values], zeros: bool) -> list[str]:
    """Return what a density does not show: missing values, and zeros told apart."""
    told = {"missing": np.isnan} if any(np.isnan(one.values).any() for one in rows.values()) else {}
    if zeros:
        told["0"] = np.logical_not
    out = []
    for what, flags in told.items():
        shares = {name: one.share(flags(one.values)) for name, one in rows.items()}
        parts = [
            f"{treatment_name(name) if name else 'real'} {100 * share:.0f} %"
            for name, share in shares.items()
            if not np.isnan(share)
        ]
        if parts:
            out.append(f"{what}: {', '.join(parts)}")
    return out


def _short(name: str) -> str:
    if len(name) <= _LEVEL_CHARACTERS:
        return name
    return f"{name[: _LEVEL_CHARACTERS - 1].rstrip()}…"
