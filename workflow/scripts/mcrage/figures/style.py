# SPDX-License-Identifier: MIT
"""One look for every figure: sizes, colours that survive grey print, deterministic writing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcrage.provenance import PNG_KEY, SVG_KEY, Origin, to_json
from mcrage.tables import atomic_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0  # inches; 960 CSS pixels in the report
INK = "#222222"
MUTED = "#6b6b6b"
FAINT = "#d9d9d9"

# Okabe and Ito's palette without its yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B5A2B", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))
HATCHES = ("////", "\\\\\\\\", "xxxx", "....", "++++", "oooo", "----", "||||")

_RC = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "both",
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib, so it looks the same everywhere
    "font.size": 9.5,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # the report shows SVG as an image, which cannot load fonts
    "svg.hashsalt": "mcrage",
    "text.color": INK,
    "text.parse_math": False,  # a label may hold dollars
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one series is told from the others, by colour and without it."""

    colour: str
    marker: str
    line: str | tuple
    hatch: str


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw inside this: sets the look and a backend without a screen, and restores both."""
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}), mpl.rc_context(_RC):
        yield


def new_figure(width: float = WIDTH, height: float = 4.0) -> "Figure":
    """Return an empty figure, in inches, that pyplot does not keep alive."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel_grid(
    n_panels: int, *, columns: int, aspect: float, extra_height: float = 0.0, **options: object
) -> tuple["Figure", list["Axes"]]:
    """Return a figure and its first `n_panels` axes in reading order; the rest are hidden.

    Parameters
    ----------
    n_panels, columns : int
        `columns` is an upper bound.
    aspect : float
        Height of a panel with its titles over its width.
    extra_height : float
        Inches for each row of panels, whatever its width.
    **options
        For `matplotlib.figure.Figure.subplots`, e.g. ``sharex=True``.
    """
    rows = -(-n_panels // columns)
    columns = -(-n_panels // rows)  # as even as can be: 4 panels are 2 × 2, not 3 + 1
    height = rows * (WIDTH / columns * aspect + extra_height)
    figure = new_figure(WIDTH, height)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    axes = list(grid.flat)
    for number, axis in enumerate(axes):
        axis.set_visible(number < n_panels)
        # Shared axes hide the ticks of all but the last row, which may have no panel there.
        axis.tick_params(labelbottom=number + columns >= n_panels)
    return figure, axes[:n_panels]


def label_bottom(axes: Sequence["Axes"], text: str) -> None:
    """Put an x label below the panels that carry tick labels."""
    for axis in axes:
        if axis.xaxis.get_tick_params()["labelbottom"]:
            axis.set_xlabel(text, fontsize=8.5)


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of these labels fit below a figure of full width."""
    return max(1, min(len(labels), int(118 / (max(map(len, labels)) + 6))))


def series_style(number: int) -> SeriesStyle:
    """Return the style of the `number`-th series; every channel repeats with its own period."""
    return SeriesStyle(
        colour=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
        line=LINES[number % len(LINES)],
        hatch=HATCHES[number % len(HATCHES)],
    )


def treatment_styles(treatments: Sequence[str]) -> dict[str, SeriesStyle]:
    """Return a style per treatment; the two controls always look the same, black and grey."""
    controls = {
        "original": SeriesStyle("#000000", "*", "-", ""),
        "imbalanced": SeriesStyle("#7a7a7a", ".", (0, (1, 1)), ""),
    }
    others = [treatment for treatment in treatments if treatment not in controls]
    return {**controls, **{name: series_style(number) for number, name in enumerate(others)}}


def lighten(colour: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with white; `share` 0 leaves it, 1 gives white."""
    from matplotlib.colors import to_rgb

    return tuple(channel + (1 - channel) * share for channel in to_rgb(colour))


def save(figure: "Figure", svg: str, png: str, origin: Origin) -> None:
    """Write a figure as SVG and PNG; equal figures give equal bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn under `figure_style`.
    svg, png : path-like
        Written atomically, without dates and program names.
    origin : dict
        Where the figure comes from; see `mcrage.provenance`.
    """
    told = to_json(origin)
    with figure_style():
        # Axes of equal scales change their place when they are drawn first; both files are to have
        # the layout that follows, or titles and legends lie outside of the first.
        for _ in range(2):
            figure.draw_without_rendering()
        _settle(figure)
        with atomic_output(svg) as path:
            metadata = {"Date": None, "Creator": None, SVG_KEY: told}
            figure.savefig(path, format="svg", metadata=metadata)
        with atomic_output(png) as path:
            figure.savefig(path, format="png", metadata={"Software": None, PNG_KEY: told})


def _settle(figure: "Figure") -> None:
    """Fix the layout, rounded: its solver orders variables by where they lie in memory.

    So the last bits of a place may differ between runs, and with them a pixel or a sixth decimal.
    """
    if figure.get_layout_engine() is None:
        return
    figure.set_layout_engine("none")
    for axis in figure.axes:
        if axis.get_axes_locator() is None:
            axis.set_position([round(at, 5) for at in axis.get_position(original=True).bounds])
