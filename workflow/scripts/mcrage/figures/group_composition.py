# SPDX-License-Identifier: MIT
"""How many rows of each group a classifier sees before and after each treatment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles
from mcrage.figures.style import INK, MUTED, figure_style, lighten, panel_grid
from mcrage.figures.words import capital, group_name, treatment_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REAL, _SYNTHETIC = "#0072B2", "#E69F00"


@dataclass(frozen=True)
class Composition:
    """Rows per group of one training set.

    Attributes
    ----------
    real, synthetic : ndarray of int64, shape (n_groups,)
    weighted : ndarray of float64, shape (n_groups,), or None
        The rows that each group counts for by its weights, scaled to the same total; None when
        all weights are equal.
    """

    real: np.ndarray
    synthetic: np.ndarray
    weighted: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        groups: np.ndarray,
        synthetic: np.ndarray,
        n_groups: int,
        weights: np.ndarray | None = None,
    ) -> "Composition":
        """Count a training set's rows.

        Parameters
        ----------
        groups : ndarray of int, shape (n,)
        synthetic : ndarray of bool, shape (n,)
        n_groups : int
        weights : ndarray of float, shape (n,), optional
        """
        weighted = None
        if weights is not None and len(weights) and not np.allclose(weights, weights[0]):
            weighted = np.bincount(groups, weights, minlength=n_groups)
            weighted = weighted * (len(groups) / weighted.sum())
        return cls(
            real=np.bincount(groups[~synthetic], minlength=n_groups),
            synthetic=np.bincount(groups[synthetic], minlength=n_groups),
            weighted=weighted,
        )


def draw_group_composition(roles: Roles, compositions: Mapping[str, Composition]) -> "Figure":
    """Draw a panel per training set with a stacked bar per group.

    Parameters
    ----------
    roles : Roles
    compositions : mapping of str to Composition
        Name of treatment to its rows, in the order of the panels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    n_groups = len(next(iter(compositions.values())).real)
    names = [capital(group_name(roles, group)) for group in range(n_groups)]
    ticks = np.arange(n_groups)
    longest = max(
        max((c.real + c.synthetic).max(), c.weighted.max() if c.weighted is not None else 0)
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
            axis.barh(ticks, rows.real, height=0.66, color=_REAL, edgecolor=_REAL, linewidth=0.6)
            drawn = rows.synthetic > 0
            axis.barh(
                ticks[drawn], rows.synthetic[drawn], left=rows.real[drawn], height=0.66, linewidth=0.6,
                color=lighten(_SYNTHETIC, 0.45), edgecolor=_SYNTHETIC, hatch="////",
            )  # fmt: skip
            for tick, real, synthetic in zip(ticks, rows.real, rows.synthetic, strict=True):
                told = f"{real:,}" + (f" + {synthetic:,}" if synthetic else "")
                axis.annotate(
                    told, (real + synthetic, tick), (4, 0), textcoords="offset points",
                    va="center", fontsize=8, color=INK,
                )  # fmt: skip
            if rows.weighted is not None:
                axis.plot(
                    rows.weighted, ticks, linestyle="", marker="D", markersize=6,
                    markerfacecolor="white", markeredgecolor=INK, markeredgewidth=1.2, zorder=4,
                )  # fmt: skip
            n_real, n_synthetic = int(rows.real.sum()), int(rows.synthetic.sum())
            axis.set_title(f"{treatment_name(treatment)}\n", fontsize=10)
            axis.text(
                0, 1.02, f"{n_real:,} real" + (f" + {n_synthetic:,} synthetic" if n_synthetic else ""),
                transform=axis.transAxes, fontsize=8.5,
            )  # fmt: skip
            axis.grid(False, axis="y")
            axis.tick_params(axis="y", length=0)
            axis.locator_params(axis="x", nbins=4)
            axis.xaxis.set_major_formatter("{x:,.0f}")
        axes[0].set(
            yticks=ticks, yticklabels=names, ylim=(n_groups - 0.45, -0.55),
            xlim=(0, 1.32 * longest),
        )  # fmt: skip
        for axis in axes:
            axis.set_xlabel("rows", fontsize=8.5)
        handles = [
            Patch(color=_REAL, label="real rows"),
            Patch(
                facecolor=lighten(_SYNTHETIC, 0.45), edgecolor=_SYNTHETIC, hatch="////",
                label="synthetic rows",
            ),
        ]  # fmt: skip
        if any(rows.weighted is not None for rows in compositions.values()):
            handles.append(
                Line2D(
                    [], [], linestyle="", marker="D", markerfacecolor="white",
                    markeredgecolor=INK, color=MUTED, label="what the rows count for by weight",
                )
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
