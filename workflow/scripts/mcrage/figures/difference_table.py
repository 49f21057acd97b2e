# SPDX-License-Identifier: MIT
"""Paired differences where there are many subgroups: a line each, a column per treatment."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.figures.style import INK, MUTED, lighten
from mcrage.figures.words import capital, metric_name, treatment_name

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

METRIC = "auroc"
MAX_LINES = 60
_LINE = 0.2  # inches
_HEAD = 0.95
_LOOKS = {
    "better": ("#0072B2", "▲ "),
    "worse": ("#D55E00", "▼ "),
    "changed": (INK, "◆ "),
    "unclear": (MUTED, ""),
}

Key = tuple[str, str, str]


def table_height(subgroups: Sequence[str]) -> float:
    """Return the inches that the table takes."""
    return _LINE * min(len(subgroups), MAX_LINES) + _HEAD


def draw_difference_table(
    figure: "SubFigure",
    found: Mapping[Key, Mapping[str, Any]],
    verdicts: Mapping[Key, str],
    subgroups: Sequence[str],
    treatments: Sequence[str],
    subgroup_words: Mapping[str, str],
) -> None:
    """Draw the mean difference of every subgroup and treatment as a number on its colour.

    Of more than 60 subgroups those are drawn whose largest difference is largest.

    Parameters
    ----------
    figure : SubFigure
    found : mapping of (subgroup, metric, treatment) to mapping
        Rows of comparisons.parquet.
    verdicts : mapping of (subgroup, metric, treatment) to str
        See `mcrage.figures.differences.verdict`.
    subgroups, treatments : sequence of str
    subgroup_words : mapping of str to str
    """
    means = np.array(
        [
            [
                found.get((subgroup, METRIC, name), {}).get("mean_difference", np.nan)
                for name in treatments
            ]
            for subgroup in subgroups
        ]
    )
    largest = np.where(np.isnan(means), 0, np.abs(means)).max(axis=1)
    kept = np.sort(np.argsort(-largest, kind="stable")[:MAX_LINES])
    axis = figure.subplots()
    scale = float(np.nanquantile(np.abs(means), 0.95)) if np.isfinite(means).any() else 1.0
    for line, place in enumerate(kept):
        for column, name in enumerate(treatments):
            key, mean = (subgroups[place], METRIC, name), means[place, column]
            if np.isnan(mean):
                axis.text(column, line, "undefined", fontsize=7, color=MUTED, ha="center",
                          va="center")  # fmt: skip
                continue
            colour, mark = _LOOKS[verdicts[key]]
            if mark:
                axis.barh(
                    line, 0.94, left=column - 0.47, height=0.9,
                    color=lighten(colour, 1 - 0.35 * min(1.0, abs(mean) / (scale or 1.0))),
                )  # fmt: skip
            # A difference that rounds to nothing has no sign.
            told = f"{mark}{round(mean, 3) + 0.0:+.3f}".replace("-", "\N{MINUS SIGN}")
            axis.text(
                column, line, told, fontsize=7.5, ha="center", va="center",
                color=INK if mark else MUTED, fontweight="bold" if mark else "normal",
            )  # fmt: skip
    names = [textwrap.fill(treatment_name(name), 12) for name in treatments]
    axis.set(
        xlim=(-0.5, len(treatments) - 0.5), ylim=(len(kept) - 0.4, -0.6),
        xticks=range(len(treatments)), yticks=range(len(kept)),
    )  # fmt: skip
    axis.set_xticklabels(names, fontsize=8)
    axis.set_yticklabels([capital(subgroup_words[subgroups[k]]) for k in kept], fontsize=8)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    title = f"Difference in {metric_name(METRIC)} by subgroup"
    if len(kept) < len(subgroups):
        title += f": the {len(kept)} of {len(subgroups)} with the largest differences"
    title += "; ▲ better, ▼ worse: the 95 % interval excludes 0"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
