# SPDX-License-Identifier: MIT
"""Where the synthetic rows lie among the real ones: Figure 2 of the paper.

One UMAP is fitted on the original real rows; every panel's rows are transformed into its axes, so
that positions can be compared between panels. The paper does not say how its axes relate.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Feature, Roles
from mcrage.fidelity.space import Space
from mcrage.figures.parts import part_names, part_of, shown_parts
from mcrage.figures.samples import Sample
from mcrage.figures.style import (
    INK,
    figure_style,
    label_bottom,
    legend_columns,
    lighten,
    panel_grid,
    series_style,
)
from mcrage.figures.words import treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 5000
"""Rows fitted and rows drawn per panel at most."""

_MAX_COLOURS = 8
_TURNS = 8


def coordinates(reference: np.ndarray, rows: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Write out the space of `mcrage.fidelity.space`, learnt from the reference rows.

    A number is a standard score (0 if missing, and its state beside it if missing is information);
    levels are one-hot codes over √2, with one for all that the reference does not have.

    Parameters
    ----------
    reference, rows : ndarray of float, shape (n, d) and (m, d)
    features : sequence of Feature

    Returns
    -------
    ndarray of float32, shape (m, D)
    """
    space = Space.of(reference, features)
    known, points = space.points(reference), space.points(rows)
    parts = [points.numbers]
    for column in range(points.codes.shape[1]):
        levels = np.unique(known.codes[:, column])
        codes = points.codes[:, column]
        hot = codes[:, None] == levels
        parts.append(np.column_stack([hot, ~hot.any(axis=1)]) / np.sqrt(2))
    return np.concatenate(parts, axis=1).astype(np.float32)


def embed(
    reference: np.ndarray,
    panels: Mapping[str, np.ndarray],
    features: Sequence[Feature],
    *,
    seed: int,
    n_neighbors: int = 15,
) -> dict[str, np.ndarray]:
    """Fit UMAP on the reference rows and place the rows of every panel.

    A row that equals a reference row gets that row's fitted place; others are transformed.

    Parameters
    ----------
    reference : ndarray of float, shape (n, d)
    panels : mapping of str to ndarray of float, shape (m, d)
    features : sequence of Feature
        In the order of the columns.
    seed : int
    n_neighbors : int
        UMAP's neighbourhood; lowered when there are fewer rows.

    Returns
    -------
    dict of str to ndarray of float32, shape (m, 2)
    """
    from umap import UMAP

    known = coordinates(reference, reference, features)
    model = UMAP(
        n_neighbors=min(n_neighbors, len(known) - 1),
        min_dist=0.25,
        random_state=seed,
        transform_seed=seed,
        n_jobs=1,
    )
    fitted = model.fit_transform(known)
    place = {row.tobytes(): position for row, position in zip(known, fitted, strict=True)}

    scaled = {name: coordinates(reference, rows, features) for name, rows in panels.items()}
    unseen = {row.tobytes(): row for rows in scaled.values() for row in rows}
    unseen = {key: row for key, row in unseen.items() if key not in place}
    if unseen:
        moved = model.transform(np.stack(list(unseen.values())))
        place.update(zip(unseen, moved, strict=True))
    return {
        name: np.array([place[row.tobytes()] for row in rows], dtype=np.float32).reshape(-1, 2)
        for name, rows in scaled.items()
    }


def draw_umap(
    roles: Roles,
    original: Sample,
    panels: Mapping[str, Sample],
    *,
    seed: int,
    max_rows: int = MAX_ROWS,
    embedding: Callable[..., dict[str, np.ndarray]] = embed,
) -> "Figure":
    """Draw one panel per table in the axes of the original real table.

    Parameters
    ----------
    roles : Roles
    original : Sample
        The real rows that the embedding is fitted on.
    panels : mapping of str to Sample
        Name of treatment to its rows, in the order of the panels; include the original table.
    seed : int
    max_rows : int
        Rows fitted and rows drawn per panel at most; titles count all.
    embedding : callable
        Called like `embed`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.lines import Line2D

    shown = {name: sample.thinned(max_rows, seed) for name, sample in panels.items()}
    positions = embedding(
        original.thinned(max_rows, seed).features,
        {name: sample.features for name, sample in shown.items()},
        roles.features,
        seed=seed,
    )
    # With more groups than colours, parts of the rows that hold several of them.
    parts = shown_parts(roles, _MAX_COLOURS, first=roles.target.column)
    names = part_names(parts)
    styles = {number: series_style(number) for number in range(len(names))}

    # Few rows would be lost as specks, many would hide each other.
    scale = float(np.clip(3000 / max(map(len, shown.values())), 1.0, 4.0))
    limits = np.concatenate(list(positions.values()))
    low, high = limits.min(axis=0), limits.max(axis=0)
    margin = 0.04 * (high - low)
    with figure_style():
        figure, axes = panel_grid(
            len(panels), columns=3, aspect=0.85, extra_height=0.55, sharex=True, sharey=True
        )
        for axis, (name, sample) in zip(axes, shown.items(), strict=True):
            place = part_of(roles, parts, sample.groups)
            _panel(axis, sample, place, positions[name], styles, scale)
            n_real, n_synthetic = sample.whole
            told = f"{n_real:,} real"
            told += f" + {n_synthetic:,} synthetic rows" if n_synthetic else " rows"
            if len(sample) < n_real + n_synthetic:
                told += f" ({len(sample):,} drawn)"
            axis.set_title(f"{treatment_name(name)}\n", fontsize=10)
            axis.text(0, 1.02, told, transform=axis.transAxes, fontsize=8.5, color=INK)
        axes[0].set(
            xlim=(low[0] - margin[0], high[0] + margin[0]),
            ylim=(low[1] - margin[1], high[1] + margin[1]),
            xticks=[],
            yticks=[],
        )
        label_bottom(axes, "UMAP 1")
        for axis in axes:
            if axis.get_subplotspec().is_first_col():
                axis.set_ylabel("UMAP 2", fontsize=8.5)
            axis.tick_params(labelbottom=False)
        handles = [
            Line2D(
                [], [], linestyle="", marker=style.marker, markersize=6.5, color=style.colour,
                label=names[number],
            )
            for number, style in styles.items()
        ]  # fmt: skip
        grey = {"linestyle": "", "marker": "o", "markersize": 6.5}
        handles.append(Line2D([], [], color="#c4c4c4", label="pale: real", **grey))
        handles.append(
            Line2D(
                [], [], color="#8a8a8a", markeredgecolor=INK, label="outlined: synthetic", **grey
            )
        )
        columns = legend_columns([str(handle.get_label()) for handle in handles])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _panel(
    axis: "Axes",
    sample: Sample,
    place: np.ndarray,
    position: np.ndarray,
    styles: dict,
    scale: float,
) -> None:
    for synthetic in (False, True):
        rows = {
            number: np.flatnonzero((place == number) & (sample.synthetic == synthetic))
            for number in styles
        }
        # One after another would hide the first one drawn: each gives a share in turn.
        for turn, (number, style) in product(range(_TURNS), styles.items()):
            axis.scatter(
                *position[rows[number][turn::_TURNS]].T,
                s=(8 if synthetic else 6) * scale,
                marker=style.marker,
                color=style.colour if synthetic else lighten(style.colour, 0.6),
                edgecolors=INK if synthetic else "none",
                linewidths=0.25 if synthetic else 0,
                rasterized=True,
                zorder=3 if synthetic else 2,
            )
    axis.grid(False)
