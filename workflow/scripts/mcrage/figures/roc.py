# SPDX-License-Identifier: MIT
"""Receiver operating characteristics per subgroup, averaged over replicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcrage.datasets.roles import Roles, Target
from mcrage.figures.predictions import Predictions, mean_count, subgroup_panels, within
from mcrage.figures.style import (
    FAINT,
    SeriesStyle,
    figure_style,
    panel_grid,
    treatment_styles,
)
from mcrage.figures.words import treatment_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOO_FEW = 10  # test rows below which no curve is worth drawing
_FALSE_POSITIVE_RATES = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True)
class MeanCurve:
    """A mean curve over the replicates in which it is defined.

    Attributes
    ----------
    true_positive_rate : ndarray of float64, shape (201,)
        At equally spaced false positive rates from 0 to 1.
    mean, std : float
        Of the AUROC over replicates; std is NaN for one replicate.
    n_replicates : int
    """

    true_positive_rate: np.ndarray
    mean: float
    std: float
    n_replicates: int


def mean_curve(predictions: Sequence[Predictions]) -> MeanCurve | None:
    """Average the interpolated curves of the replicates.

    With more than two levels a replicate's curve is the mean over those of each level against the
    rest (macro average) that some of the rows have and some have not.

    Returns
    -------
    MeanCurve or None
        None if no replicate has rows of two levels.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    curves, areas = [], []
    for replicate in predictions:
        levels = []
        for y, score in replicate.against_the_rest():
            false_positive, true_positive, _ = roc_curve(y, score)
            curve = np.interp(_FALSE_POSITIVE_RATES, false_positive, true_positive)
            curve[0] = 0.0
            levels.append((curve, roc_auc_score(y, score)))
        if levels:
            curves.append(np.mean([curve for curve, _ in levels], axis=0))
            areas.append(np.mean([area for _, area in levels]))
    if not curves:
        return None
    std = float(np.std(areas, ddof=1)) if len(areas) > 1 else float("nan")
    return MeanCurve(np.mean(curves, axis=0), float(np.mean(areas)), std, len(curves))


def draw_roc(roles: Roles, predictions: Mapping[str, Sequence[Predictions]]) -> "Figure":
    """Draw a panel for everyone and one per subgroup, with a curve per treatment.

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
    with figure_style():
        figure, axes = panel_grid(
            len(panels),
            columns=3,
            aspect=0.85,
            extra_height=0.7 + 0.175 * len(predictions),
            sharex=True,
            sharey=True,
        )
        for axis, (who, subgroups) in zip(axes, panels, strict=True):
            axis.set_title(f"{who}\n", fontsize=10)
            _panel(axis, within(predictions, subgroups), styles, roles.target)
        axes[0].set(xlim=(0, 1), ylim=(0, 1))
        axes[0].set_ylabel("true positive rate")
        for axis in axes:
            axis.set_xlabel("false positive rate", labelpad=1)
            axis.tick_params(labelbottom=True)
        if not roles.target.is_binary:
            figure.suptitle(
                f"Each of {len(roles.target.levels)} outcomes against the rest: the mean of their "
                "curves and of their AUROCs",
                fontsize=10, x=0.01, ha="left",
            )  # fmt: skip
    return figure


def _panel(
    axis: "Axes",
    predictions: Mapping[str, Sequence[Predictions]],
    styles: Mapping[str, SeriesStyle],
    target: Target,
) -> None:
    one = next(iter(predictions.values()))
    rows = [len(r.y) for r in one]
    told = f"{mean_count(rows)} test rows"
    if target.is_binary:
        told += f", {mean_count([int(r.y.sum()) for r in one])} {target.level_labels[1]}"
    axis.text(0, 1.02, told, transform=axis.transAxes, fontsize=8.5)
    axis.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    axis.set_aspect("equal")
    if np.mean(rows) < _TOO_FEW:
        axis.text(0.5, 0.5, f"fewer than {_TOO_FEW} rows:\nno curve", ha="center", va="center")
        return
    for treatment, replicates in predictions.items():
        curve, name = mean_curve(replicates), treatment_name(treatment)
        look = {"color": styles[treatment].colour, "linestyle": styles[treatment].line}
        if curve is None:
            axis.plot([], [], label=f"{name}: undefined", **look)
            continue
        spread = f" ± {curve.std:.3f}" if curve.n_replicates > 1 else ""
        label = f"{curve.mean:.3f}{spread}  {name}"
        axis.plot(
            _FALSE_POSITIVE_RATES, curve.true_positive_rate, linewidth=1.5, label=label, **look
        )
    axis.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, -0.15),
        borderaxespad=0,
        fontsize=8,
        title=("AUROC" if target.is_binary else "mean AUROC")
        + (", mean ± sd" if len(one) > 1 else ""),
        title_fontsize=8.5,
        alignment="left",
        handlelength=2.6,
    )
