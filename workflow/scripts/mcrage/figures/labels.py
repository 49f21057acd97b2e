# SPDX-License-Identifier: MIT
"""Labels beside points that lie close together."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 7.8
_PER_CHARACTER, _LINE = 0.58 * _SIZE, 1.25 * _SIZE  # points, of DejaVu Sans
_RINGS = (7.0, 14.0, 22.0, 32.0, 44.0)
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def place_labels(axis: "Axes", labels: Sequence[tuple[np.ndarray, str, str]]) -> None:
    """Write a text beside each point where it covers no point and no other text, if it can.

    Parameters
    ----------
    axis : Axes
        Its limits are set, and its figure laid out (`Figure.draw_without_rendering`).
    labels : sequence of (point, text, colour)
    """
    if not labels:
        return
    figure = axis.get_figure()
    scale = 72 / figure.dpi
    places = axis.transData.transform(np.array([point for point, *_ in labels])) * scale
    inside = axis.get_window_extent()
    room = np.array([inside.x0, inside.y0, inside.x1, inside.y1]) * scale
    taken = [np.array([x - 5, y - 5, x + 5, y + 5]) for x, y in places]
    for (point, text, colour), (x, y) in zip(labels, places, strict=True):
        width = _PER_CHARACTER * len(text)
        best, least = (0.0, 0.0, taken[0]), np.inf
        for number, (ring, (right, up)) in enumerate(product(_RINGS, _DIRECTIONS)):
            centre_x = x + right * (ring + width / 2)
            centre_y = y + up * (ring if not right else 0.8 * ring)
            box = np.array([centre_x - width / 2, centre_y - _LINE / 2,
                            centre_x + width / 2, centre_y + _LINE / 2])  # fmt: skip
            outside = (
                np.maximum(0, room[:2] - box[:2]).sum() + np.maximum(0, box[2:] - room[2:]).sum()
            )
            cost = sum(_overlap(box, other) for other in taken) + 50 * outside + 0.5 * number
            if cost < least:
                best, least = (centre_x - x, centre_y - y, box), cost
        away_x, away_y, box = best
        far = np.hypot(away_x, away_y) > width / 2 + 16
        axis.annotate(
            text, point, xytext=(away_x, away_y), textcoords="offset points", fontsize=_SIZE,
            color=colour, ha="center", va="center", zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5} if far else None,
        )  # fmt: skip
        taken.append(box)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(0, sides)))
