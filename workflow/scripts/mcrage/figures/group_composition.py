# SPDX-License-Identifier: MIT
"""How many rows of each group a classifier sees before and after each treatment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
from mcrage.figures.composition_table import draw_composition_table
from mcrage.figures.style import INK, MUTED, figure_style, label_bottom, panel_grid
from mcrage.figures.words import capital, group_name, treatment_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RARE_BELOW = 20
_MAX_GROUPS = 16
_LOOKS = {
    "real": {"facecolor": "#0072B2", "edgecolor": "#0072B2"},
    "repeated": {"facecolor": "#a9cfe6", "edgecolor": "#0072B2", "hatch": "...."},
    "synthetic": {"facecolor": "#f2cd82", "edgecolor": "#b87f00", "hatch": "////"},
}


@dataclass(frozen=True)
class Composition:
    """Rows per group of one training set.

    Attributes
    ----------
    real, repeated, synthetic : ndarray of int64, shape (n_groups,)
        Different real rows; further copies of them; synthetic rows.
    weighted : ndarray of float64, shape (n_groups,), or None
        The rows that each group counts for by its weights, scaled to the same total; None when
        all weights are equal.
    """

    real: np.ndarray
    repeated: np.ndarray
    synthetic: np.ndarray
    weighted: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """Rows of each group, of whatever kind."""
        return self.real + self.repeated + self.synthetic

    @classmethod
    def of(
        cls,
        groups: np.ndarray,
        synthetic: np.ndarray,
        n_groups: int,
        *,
        row_id: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        label_weights: np.ndarray | None = None,
    ) -> "Composition":
        """Count a training set's rows.

        Parameters
        ----------
        groups : ndarray of int, shape (n,)
        synthetic : ndarray of bool, shape (n,)
        n_groups : int
        row_id : ndarray, shape (n,), optional
            Of real rows; equal ones are copies. Without it all real rows count as different.
        weights : ndarray of float, shape (n,), optional
        label_weights : ndarray of float, shape (n,), optional
            Where a synthetic row stands among the rows once with each outcome: how likely that is.
            It counts for a group by as much, rounded.
        """
        copies = np.zeros(len(groups), dtype=bool)
        if row_id is not None:
            real = np.flatnonzero(~synthetic)
            copies[real] = True
            copies[real[np.unique(row_id[real], return_index=True)[1]]] = False
        weighted = None
        drawn = np.bincount(groups[synthetic], minlength=n_groups)
        mass = np.ones(len(groups))
        if label_weights is not None:
            mass = label_weights
            parts = np.bincount(groups[synthetic], mass[synthetic], minlength=n_groups)
            drawn = np.rint(parts).astype(np.int64)
        if weights is not None and len(weights):
            # Labels that are unlikely weigh little by themselves; what is told is what weights do.
            weighted = np.bincount(groups, weights, minlength=n_groups)
            weighted = weighted * (mass.sum() / weighted.sum())
            if np.allclose(weights * mass.sum(), mass * weights.sum()):
                weighted = None
        return cls(
            real=np.bincount(groups[~synthetic & ~copies], minlength=n_groups),
            repeated=np.bincount(groups[copies], minlength=n_groups),
            synthetic=drawn,
            weighted=weighted,
        )


def draw_group_composition(
    roles: Roles, compositions: Mapping[str, Composition], *, rare_below: int = RARE_BELOW
) -> "Figure":
    """Draw a panel per training set with a stacked bar per group.

    More than 16 groups make a table: see `mcrage.figures.composition_table`.

    Parameters
    ----------
    roles : Roles
    compositions : mapping of str to Composition
        Name of treatment to its rows, in the order of the panels.
    rare_below : int
        Among many groups, one with fewer real rows is marked as rare.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    n_groups = len(next(iter(compositions.values())).real)
    if n_groups > _MAX_GROUPS:
        return draw_composition_table(roles, compositions, rare_below)
    names = [capital(group_name(roles, group)) for group in range(n_groups)]
    ticks = np.arange(n_groups)
    longest = max(
        max(c.total.max(), c.weighted.max() if c.weighted is not None else 0)
        for c in compositions.values()
    )
    with figure_style():
        figure, axes = panel_grid(
            len(compositions),
            columns=3,
            aspect=0.0,
            extra_height=0.24 * n_groups + 0.95,
            sharex=True,
            sharey=True,
        )
        for axis, (treatment, rows) in zip(axes, compositions.items(), strict=True):
            start = np.zeros(n_groups)
            for kind, look in _LOOKS.items():
                counts = getattr(rows, kind)
                drawn = counts > 0
                axis.barh(
                    ticks[drawn], counts[drawn], left=start[drawn], height=0.66, linewidth=0.6,
                    **look,
                )  # fmt: skip
                start += counts
            for tick in ticks:
                told = [f"{getattr(rows, kind)[tick]:,}" for kind in _LOOKS]
                told = " + ".join(text for text in told if text != "0") or "0"
                beside = rows.total[tick]
                # A diamond at the end of a bar would cover the number.
                if rows.weighted is not None and abs(rows.weighted[tick] - beside) < longest / 8:
                    beside = max(beside, rows.weighted[tick]) + longest / 40
                axis.annotate(
                    told, (beside, tick), (4, 0), textcoords="offset points",
                    va="center", fontsize=8, color=INK,
                )  # fmt: skip
            if rows.weighted is not None:
                axis.plot(
                    rows.weighted, ticks, linestyle="", marker="D", markersize=6,
                    markerfacecolor="white", markeredgecolor=INK, markeredgewidth=1.2, zorder=4,
                )  # fmt: skip
            told = [f"{int(rows.real.sum()):,} real"]
            told += [
                f"{n:,} {kind}"
                for kind in ("repeated", "synthetic")
                if (n := int(getattr(rows, kind).sum()))
            ]
            axis.set_title(f"{treatment_name(treatment)}\n", fontsize=10)
            axis.text(0, 1.02, " + ".join(told), transform=axis.transAxes, fontsize=8.5)
            axis.grid(False, axis="y")
            axis.tick_params(axis="y", length=0)
            axis.locator_params(axis="x", nbins=4)
            axis.xaxis.set_major_formatter("{x:,.0f}")
        axes[0].set(
            yticks=ticks, yticklabels=names, ylim=(n_groups - 0.45, -0.55),
            xlim=(0, 1.36 * longest),
        )  # fmt: skip
        label_bottom(axes, "rows")
        handles = [
            Patch(label=f"{kind} rows", **look)
            for kind, look in _LOOKS.items()
            if any(getattr(rows, kind).any() for rows in compositions.values())
        ]
        if any(rows.weighted is not None for rows in compositions.values()):
            handles.append(
                Line2D(
                    [], [], linestyle="", marker="D", markerfacecolor="white",
                    markeredgecolor=INK, color=MUTED, label="what the rows count for by weight",
                )
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
