# SPDX-License-Identifier: MIT
"""Where the synthetic rows lie among the real ones: Figure 2 of the paper.

One UMAP is fitted on the original real rows; every panel's rows are transformed into its axes, so
that positions can be compared between panels. The paper does not say how its axes relate.
"""

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
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
from mcrage.figures.words import capital, group_name, treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLOURS = 8
_REST = "#bdbdbd"
_TURNS = 8


def standardise(reference: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Scale features by the reference's means and deviations; missing values become its means.

    Parameters
    ----------
    reference, features : ndarray of float, shape (n, d) and (m, d)

    Returns
    -------
    ndarray of float32, shape (m, d)
    """
    mean = np.nanmean(reference, axis=0)
    spread = np.nanstd(reference, axis=0)
    scaled = (features - mean) / np.where(spread > 0, spread, 1.0)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


def thin(sample: Sample, max_rows: int, seed: int) -> Sample:
    """Return at most `max_rows` rows, drawn without replacement, in their order."""
    if len(sample) <= max_rows:
        return sample
    rows = np.random.default_rng(seed).choice(len(sample), max_rows, replace=False)
    return sample.take(np.sort(rows))


def embed(
    reference: np.ndarray, panels: Mapping[str, np.ndarray], *, seed: int, n_neighbors: int = 15
) -> dict[str, np.ndarray]:
    """Fit UMAP on the reference rows and place the rows of every panel.

    A row that equals a reference row gets that row's fitted place; others are transformed.

    Parameters
    ----------
    reference : ndarray of float, shape (n, d)
    panels : mapping of str to ndarray of float, shape (m, d)
    seed : int
    n_neighbors : int
        UMAP's neighbourhood; lowered when there are fewer rows.

    Returns
    -------
    dict of str to ndarray of float32, shape (m, 2)
    """
    from umap import UMAP

    known = standardise(reference, reference)
    model = UMAP(
        n_neighbors=min(n_neighbors, len(known) - 1),
        min_dist=0.25,
        random_state=seed,
        transform_seed=seed,
        n_jobs=1,
    )
    fitted = model.fit_transform(known)
    place = {row.tobytes(): position for row, position in zip(known, fitted, strict=True)}

    scaled = {name: standardise(reference, features) for name, features in panels.items()}
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
    max_rows: int = 5000,
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

    shown = {name: thin(sample, max_rows, seed) for name, sample in panels.items()}
    positions = embedding(
        thin(original, max_rows, seed).features,
        {name: sample.features for name, sample in shown.items()},
        seed=seed,
    )
    n_groups = int(np.prod([len(part.levels) for part in (*roles.sensitive, roles.target)]))
    sizes = np.bincount(original.groups, minlength=n_groups)
    # With more groups than colours the smallest keep theirs: they are what is being filled.
    ranked = sorted(range(n_groups), key=lambda group: (sizes[group], group))
    coloured = ranked if n_groups <= _MAX_COLOURS else ranked[: _MAX_COLOURS - 1]
    coloured = sorted(coloured)
    styles = {group: series_style(number) for number, group in enumerate(coloured)}

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
            _panel(axis, sample, positions[name], styles, scale)
            full = panels[name]
            n_synthetic = int(full.synthetic.sum())
            told = f"{len(full) - n_synthetic:,} real"
            told += f" + {n_synthetic:,} synthetic rows" if n_synthetic else " rows"
            if len(sample) < len(full):
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
                label=capital(group_name(roles, group)),
            )
            for group, style in styles.items()
        ]  # fmt: skip
        if len(coloured) < n_groups:
            handles.append(
                Line2D([], [], color=_REST, marker=".", linestyle="", label="larger groups")
            )
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


def _panel(axis: "Axes", sample: Sample, position: np.ndarray, styles: dict, scale: float) -> None:
    rest = ~np.isin(sample.groups, list(styles))
    axis.scatter(
        *position[rest].T, s=3 * scale, color=_REST, linewidths=0, rasterized=True, zorder=1
    )
    for synthetic in (False, True):
        rows = {
            group: np.flatnonzero((sample.groups == group) & (sample.synthetic == synthetic))
            for group in styles
        }
        # Group after group would hide the first one drawn: each gives a share in turn.
        for turn, (group, style) in product(range(_TURNS), styles.items()):
            axis.scatter(
                *position[rows[group][turn::_TURNS]].T,
                s=(8 if synthetic else 6) * scale,
                marker=style.marker,
                color=style.colour if synthetic else lighten(style.colour, 0.6),
                edgecolors=INK if synthetic else "none",
                linewidths=0.25 if synthetic else 0,
                rasterized=True,
                zorder=3 if synthetic else 2,
            )
    axis.grid(False)
