# SPDX-License-Identifier: MIT
"""The rules and what they hand to each other: Figure 1 of the paper, drawn from the workflow.

Snakemake prints the rule graph as DOT text. Drawing it here spares the reader graphviz, which is
no Python package. The layout is Sugiyama's: layers by longest path, order within a layer by
barycentres, long edges bent through every layer they cross.
"""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from mcrage.errors import UserError
from mcrage.figures.style import INK, MUTED, WIDTH, figure_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NODE = re.compile(r'^\s*(\d+)\s*\[label\s*=\s*"([^"\\]+)')
_EDGE = re.compile(r"^\s*(\d+)\s*->\s*(\d+)")
_SWEEPS = 24
_LAYER_HEIGHT = 0.74  # inches
_BOX_HEIGHT = 0.34  # inches
_GAP = 0.22  # inches between boxes of a layer

Edge = tuple[str, str]
Node = tuple[str, int]  # a rule in its own layer, or the bend of an edge ("a>b") in another


def parse_dot(text: str, without: Collection[str] = ("all",)) -> list[tuple[str, str]]:
    """Return the edges of the DOT text of ``snakemake --rulegraph dot``.

    Parameters
    ----------
    text : str
        Lines before ``digraph`` are passed over.
    without : collection of str
        Rules to leave out with their edges. ``all`` only collects.

    Returns
    -------
    list of (str, str)
        Sorted pairs (rule, rule that uses its output). Snakemake's own order changes by run.

    Raises
    ------
    UserError
        If there is no edge in it.
    """
    names: dict[str, str] = {}
    numbers: list[tuple[str, str]] = []
    for line in text.splitlines():
        if match := _NODE.match(line):
            names[match[1]] = match[2]
        elif match := _EDGE.match(line):
            numbers.append((match[1], match[2]))
    edges = {(names[a], names[b]) for a, b in numbers if a in names and b in names and a != b}
    edges = sorted(edge for edge in edges if not set(edge) & set(without))
    if not edges:
        raise UserError(
            "the rule graph has no edges: expected the text that `snakemake --rulegraph dot` "
            f"prints, found {text.strip()[:80]!r}. Run that command to see what is wrong."
        )
    return edges


def feedback_of(edges: Sequence[Edge], order: Sequence[str] = ()) -> list[Edge]:
    """Return the edges that lead back, without which the others form no cycle.

    Jobs never form a cycle, but their rules do when a generator learns from a table that another
    generator filled.

    Parameters
    ----------
    edges : sequence of (str, str)
    order : sequence of str
        Nodes as they are written in the workflow; of a cycle the first one is taken to come first.
    """
    feedback = []
    remaining = sorted({node for edge in edges for node in edge})
    remaining.sort(key=lambda node: order.index(node) if node in order else len(order))
    while remaining:
        left = [(a, b) for a, b in edges if a in remaining and b in remaining]
        ready = [node for node in remaining if not any(sink == node for _, sink in left)]
        if not ready:
            first = next(node for node in remaining if node in _reached(node, left))
            feedback += [edge for edge in left if edge[1] == first]
            ready = [first]
        remaining = [node for node in remaining if node not in ready]
    return feedback


def _reached(start: str, edges: Sequence[Edge]) -> set[str]:
    reached: set[str] = set()
    todo = [start]
    while todo:
        node = todo.pop()
        new = {sink for source, sink in edges if source == node} - reached
        reached |= new
        todo += new
    return reached


def layers_of(edges: Sequence[Edge]) -> dict[str, int]:
    """Return each node's layer: the length of the longest path that leads to it.

    Nodes that nothing leads to are then moved down beside their first user.

    Parameters
    ----------
    edges : sequence of (str, str)
        Without a cycle.
    """
    nodes = sorted({node for edge in edges for node in edge})
    layers = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for source, sink in edges:
            layers[sink] = max(layers[sink], layers[source] + 1)
    for node in nodes:
        if not any(sink == node for _, sink in edges):
            layers[node] = min(layers[sink] for source, sink in edges if source == node) - 1
    return layers


def _with_bends(
    edges: Sequence[tuple[str, str]], layers: dict[str, int]
) -> tuple[list[list[Node]], dict[tuple[str, str], list[Node]]]:
    """Return the nodes of each layer, bends included, and the chain of nodes of each edge."""
    rows: list[list[Node]] = [[] for _ in range(max(layers.values()) + 1)]
    for node, layer in sorted(layers.items()):
        rows[layer].append((node, layer))
    chains = {}
    for source, sink in edges:
        chain: list[Node] = [(source, layers[source])]
        for layer in range(layers[source] + 1, layers[sink]):
            # Edges of one source share their bends, so that fans stay narrow.
            bend = (f"{source}>", layer)
            if bend not in rows[layer]:
                rows[layer].append(bend)
            chain.append(bend)
        chain.append((sink, layers[sink]))
        chains[source, sink] = chain
    return rows, chains


def _neighbours(chains: dict[tuple[str, str], list[Node]]) -> tuple[dict, dict]:
    above: dict[Node, set[Node]] = {}
    below: dict[Node, set[Node]] = {}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            above.setdefault(lower, set()).add(upper)
            below.setdefault(upper, set()).add(lower)
    return above, below


def _mean(values: Sequence[float], fallback: float) -> float:
    return sum(values) / len(values) if values else fallback


def place(
    rows: list[list[Node]], chains: dict[tuple[str, str], list[Node]], widths: dict[Node, float]
) -> dict[Node, float]:
    """Return the horizontal centre of every node, in inches, boxes of a layer apart.

    Barycentre sweeps set the order; more sweeps then pull every node towards the mean of its
    neighbours as far as the boxes beside it allow.
    """
    above, below = _neighbours(chains)
    order = {node: float(i) for row in rows for i, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            near = above if down else below
            centre = {n: _mean([order[m] for m in sorted(near.get(n, ()))], order[n]) for n in row}
            row.sort(key=lambda node, centre=centre: (centre[node], node))
            order.update({node: float(i) for i, node in enumerate(row)})

    position: dict[Node, float] = {}
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0), widths, position)
    for _ in range(_SWEEPS):
        for row in (*rows, *reversed(rows)):
            wish = {
                node: _mean(
                    [position[m] for m in sorted(above.get(node, set()) | below.get(node, set()))],
                    position[node],
                )
                for node in row
            }
            _spread(row, wish, widths, position)
    return position


def _spread(
    row: list[Node], wish: dict[Node, float], widths: dict[Node, float], position: dict[Node, float]
) -> None:
    """Put a row's nodes as near to their wishes as non-overlap allows (pool adjacent violators)."""
    offsets, offset = {}, 0.0
    for previous, node in zip([None, *row], row, strict=False):
        if previous is not None:
            offset += (widths[previous] + widths[node]) / 2 + _GAP
        offsets[node] = offset
    blocks: list[list[float]] = []  # [sum of wishes less offsets, count]
    for node in row:
        blocks.append([wish[node] - offsets[node], 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    starts = [total / count for total, count in blocks for _ in range(int(count))]
    for node, start in zip(row, starts, strict=True):
        position[node] = start + offsets[node]


def draw_rule_graph(
    dot: str, without: Collection[str] = ("all",), order: Sequence[str] = ()
) -> "Figure":
    """Draw the rule graph that Snakemake printed.

    Parameters
    ----------
    dot : str
        What ``snakemake --rulegraph dot`` printed.
    without : collection of str
        Rules to leave out.
    order : sequence of str
        Rules as they are written; see `feedback_of`. Edges that lead back are dashed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UserError
        If the text holds no edge.
    """
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    edges = parse_dot(dot, without)
    feedback = feedback_of(edges, order)
    edges = [edge for edge in edges if edge not in feedback]
    layers = layers_of(edges)
    rows, chains = _with_bends(edges, layers)
    widths = {n: 0.08 if n[0].endswith(">") else 0.3 + 0.078 * len(n[0]) for r in rows for n in r}
    x = place(rows, chains, widths)
    left = min(x[node] - widths[node] / 2 for node in x)
    right = max(x[node] + widths[node] / 2 for node in x)
    height = len(rows) * _LAYER_HEIGHT

    with figure_style():
        figure = new_figure(WIDTH, height * min(1.0, WIDTH / (right - left)) + 0.1)
        axis = figure.subplots()
        span = max(right - left, WIDTH)
        middle = (left + right) / 2
        axis.set(xlim=(middle - span / 2, middle + span / 2), ylim=(-height, 0), aspect="equal")
        axis.axis("off")

        def y(node: Node) -> float:
            return -(node[1] + 0.5) * _LAYER_HEIGHT

        for chain in chains.values():
            points, codes = [(x[chain[0]], y(chain[0]) - _BOX_HEIGHT / 2)], [Path.MOVETO]
            for node in chain[1:]:
                # Curves stay between the layers and run straight past their boxes.
                start, end = points[-1], (x[node], y(node) + _BOX_HEIGHT / 2)
                bend = (start[1] + end[1]) / 2
                points += [(start[0], bend), (end[0], bend), end]
                codes += [Path.CURVE4] * 3
                if node is not chain[-1]:
                    points.append((x[node], y(node) - _BOX_HEIGHT / 2))
                    codes.append(Path.LINETO)
            axis.add_patch(
                FancyArrowPatch(
                    path=Path(points, codes),
                    arrowstyle="-|>,head_length=4,head_width=2.2",
                    color=MUTED,
                    linewidth=1.0,
                    shrinkA=0,
                    shrinkB=0,
                )
            )
        for source, sink in feedback:
            ends = [(name, layers[name]) for name in (source, sink)]
            start, end = ((x[node] + widths[node] / 2, y(node)) for node in ends)
            axis.add_patch(
                FancyArrowPatch(
                    start,
                    end,
                    connectionstyle="arc3,rad=0.45",
                    arrowstyle="-|>,head_length=4,head_width=2.2",
                    color=MUTED,
                    linewidth=1.0,
                    linestyle=(0, (4, 2)),
                    shrinkA=0,
                    shrinkB=0,
                )
            )
        for row in rows:
            for node in row:
                if node[0].endswith(">"):
                    continue
                width = widths[node]
                axis.add_patch(
                    FancyBboxPatch(
                        (x[node] - width / 2, y(node) - _BOX_HEIGHT / 2),
                        width,
                        _BOX_HEIGHT,
                        boxstyle="round,pad=0,rounding_size=0.07",
                        facecolor="#e8f1f8",
                        edgecolor="#0072B2",
                        linewidth=1.1,
                    )
                )
                scale = min(1.0, WIDTH / span)
                axis.text(
                    x[node], y(node), node[0], ha="center", va="center", color=INK,
                    fontsize=9.5 * scale,
                )  # fmt: skip
    return figure
