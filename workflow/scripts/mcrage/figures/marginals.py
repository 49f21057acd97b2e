# SPDX-License-Identifier: MIT
"""One column of real and of synthetic rows in one panel: a density, or the shares of levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.datasets.roles import Feature
from mcrage.figures.style import FAINT, INK, MUTED, SeriesStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOO_FEW = 10  # rows below which a density would pretend to know a shape
MAX_LEVELS = 8
MISSING, OTHERS = "missing", "others"
_GRID = 160
_DIGITS = 4  # of a density's places and heights
_AT_ZERO = 0.3  # share of zeros from which they are told apart from the rest
_SURE = 1.96


@dataclass(frozen=True)
class Values:
    """One column of some rows.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        NaN where missing.
    weights : ndarray of float64, shape (n,), or None
        What the rows count for; None: all the same.
    """

    values: np.ndarray
    weights: np.ndarray | None = None

    def share(self, flags: np.ndarray) -> float:
        """Return the weighted share of rows with a flag; NaN without rows."""
        return float(np.average(flags, weights=self.weights)) if len(flags) else float("nan")

    def where(self, flags: np.ndarray) -> "Values":
        """Return the rows with a flag."""
        weights = None if self.weights is None else self.weights[flags]
        return Values(self.values[flags], weights)

    @property
    def n_effective(self) -> float:
        """Number of equally weighted rows that tell as much (Kish)."""
        if self.weights is None:
            return float(len(self.values))
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())


def has_density(values: np.ndarray) -> bool:
    """Say whether values, of shape (n,), are enough and differ enough to draw a density."""
    values = values[np.isfinite(values)]
    return len(values) >= TOO_FEW and np.ptp(values) > 0


def share_interval(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n rows."""
    centre = (share + _SURE**2 / (2 * n)) / (1 + _SURE**2 / n)
    half = _SURE / (1 + _SURE**2 / n) * np.sqrt(share * (1 - share) / n + _SURE**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def shown_levels(feature: Feature, columns: Sequence[np.ndarray]) -> list[tuple[str, list[int]]]:
    """Return the lines of a panel of levels: a name and the codes that it stands for.

    Parameters
    ----------
    feature : Feature
    columns : sequence of ndarray of float64
        The real rows first: of more than eight levels, their most frequent are shown and the
        others together. Levels that no row has are left out.

    Returns
    -------
    list of (str, list of int)
        In the order of the feature's levels, then "others", then "missing", whose code is -1.
    """
    counts = [
        np.bincount(values[~np.isnan(values)].astype(int), minlength=len(feature.levels))
        for values in columns
    ]
    occurring = np.flatnonzero(np.sum(counts, axis=0) > 0)
    if len(occurring) <= MAX_LEVELS + 1:
        kept, rest = list(occurring), []
    else:
        # Of equally frequent ones those that synthetic rows have more often.
        ranked = sorted(occurring, key=lambda k: (-counts[0][k], -sum(c[k] for c in counts), k))
        kept, rest = sorted(ranked[:MAX_LEVELS]), sorted(ranked[MAX_LEVELS:])
    lines = [(feature.levels[k], [int(k)]) for k in kept]
    if rest:
        lines.append((f"{len(rest)} {OTHERS}", [int(k) for k in rest]))
    if any(np.isnan(values).any() for values in columns):
        lines.append((MISSING, [-1]))
    return lines


def draw_levels(
    axis: "Axes",
    lines: Sequence[tuple[str, list[int]]],
    real: Values,
    sources: Mapping[str, Values],
    styles: Mapping[str, SeriesStyle],
) -> None:
    """Draw a bar for the real share of each level and a mark for each source, with intervals."""
    ticks = np.arange(len(lines))
    for tick, share, low, high in _shares(lines, real):
        axis.barh(tick, share, height=0.78, color=FAINT, edgecolor=MUTED, linewidth=0.7)
        axis.plot([low, high], [tick, tick], color=MUTED, linewidth=1.1, solid_capstyle="butt")
    for number, (name, values) in enumerate(sources.items()):
        shift = 0.62 * ((number + 0.5) / len(sources) - 0.5)
        look = styles[name]
        for tick, share, low, high in _shares(lines, values):
            axis.plot([low, high], [tick + shift] * 2, color=look.colour, linewidth=1.2)
            axis.plot(share, tick + shift, marker=look.marker, color=look.colour, markersize=4)
    axis.set(yticks=ticks, ylim=(len(lines) - 0.4, -0.6))
    axis.tick_params(axis="y", length=0, labelsize=7.5, pad=2)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axis.grid(False, axis="y")


def _shares(
    lines: Sequence[tuple[str, list[int]]], rows: Values
) -> list[tuple[int, float, float, float]]:
    """Return line, share and interval of every level; nothing where there are too few rows."""
    if len(rows.values) < TOO_FEW:
        return []
    codes = np.where(np.isnan(rows.values), -1, rows.values)
    shares = [rows.share(np.isin(codes, wanted)) for _, wanted in lines]
    n = rows.n_effective
    return [(k, share, *share_interval(share, n)) for k, share in enumerate(shares)]


def has_many_zeros(feature: Feature, real: np.ndarray) -> bool:
    """Say whether zeros are so many that they would hide the rest of a density."""
    known = real[~np.isnan(real)]
    if feature.levels or feature.kind == "date" or not len(known):
        return False
    return bool(np.mean(known == 0) >= _AT_ZERO and (known != 0).any())


def window(feature: Feature, columns: Sequence[np.ndarray], zeros: bool) -> tuple[float, float]:
    """Cover the middle 99 % of real and synthetic values with a margin, within the bounds."""
    values = np.concatenate(list(columns))
    values = values[np.isfinite(values)]
    if zeros:
        values = values[values != 0]
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


def draw_density(
    axis: "Axes", rows: Values, limits: tuple[float, float], **look: Any
) -> np.ndarray:
    """Draw a density of Gaussian kernels of Scott's bandwidth, at 160 places, in few digits.

    Two runs draw the same to the byte: the last bits of a density may depend on threads and on
    where numbers lie in memory, and go with the fifth digit.

    Parameters
    ----------
    axis : Axes
    rows : Values
        Present values that differ. If all weight is on one, nothing is drawn.
    limits : (float, float)
        The lowest and the highest place, where kernels reach as far. What lies outside is not
        folded back.
    **look
        For seaborn's ``kdeplot``.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        Places, and heights in steps of 1/10,000 of the highest; (0, 2) if nothing is drawn.
    """
    from seaborn import kdeplot

    if rows.weights is not None and np.ptp(rows.values[rows.weights > 0]) == 0:
        return np.empty((0, 2))
    before = {*axis.lines, *axis.collections}
    kdeplot(
        x=rows.values, weights=rows.weights, ax=axis, clip=limits, gridsize=_GRID,
        bw_method="scott", warn_singular=False, **look,
    )  # fmt: skip
    points = np.empty((0, 2))
    for artist in {*axis.lines, *axis.collections} - before:
        if artist in axis.lines:
            points = _in_few_digits(artist.get_xydata())
            artist.set_data(*points.T)
        else:
            (path,) = artist.get_paths()
            path.vertices = points = _in_few_digits(path.vertices)
    return points


def _in_few_digits(points: np.ndarray) -> np.ndarray:
    """Round each column to 1/10,000 of its extent, which is rounded itself."""
    extents = np.ptp(points, axis=0)
    units = np.array([float(f"{extent:.{_DIGITS}g}") for extent in extents]) / 10**_DIGITS
    return np.round(points / units) * units


def draw_numbers(
    axis: "Axes",
    feature: Feature,
    limits: tuple[float, float],
    real: Values,
    sources: Mapping[str, Values],
    styles: Mapping[str, SeriesStyle],
    *,
    zeros: bool = False,
) -> None:
    """Draw the density of present values, and of those that are not 0 if zeros are told apart."""

    def shown(rows: Values) -> Values:
        return rows.where(~np.isnan(rows.values) & ~(zeros & (rows.values == 0)))

    truth, tops = shown(real), []
    if has_density(truth.values):
        filled = {"fill": True, "facecolor": FAINT, "edgecolor": MUTED, "alpha": 1}
        tops.append(draw_density(axis, truth, limits, linewidth=0.9, **filled))
    else:
        axis.vlines(
            truth.values, 0, 0.12, color=INK, linewidth=0.8, transform=axis.get_xaxis_transform()
        )
    for name, rows in sources.items():
        drawn, look = shown(rows), styles[name]
        if has_density(drawn.values):
            line = {"color": look.colour, "linestyle": look.line, "linewidth": 1.5}
            tops.append(draw_density(axis, drawn, limits, **line))
    axis.set(xlim=limits, yticks=[], ylabel="")
    # By what is drawn and not by what was rounded.
    axis.set_ylim(0, 1.05 * max((points[:, 1].max() for points in tops if len(points)), default=1))
    if feature.kind == "date":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        # Days since 1970-01-01 are matplotlib's dates, too.
        locator = AutoDateLocator(minticks=2, maxticks=4)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axis.locator_params(axis="x", nbins=4)
    axis.spines["left"].set_visible(False)
    axis.grid(False)
