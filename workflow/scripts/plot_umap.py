# SPDX-License-Identifier: MIT
"""Draw original, imbalanced and rebalanced rows in one UMAP (Figure 2 of the paper).

Inputs: roles, original, rebalanced (one table per treatment). Outputs: svg, png.
Settings: ``treatments``, in the order of the tables. Seeds: ``umap``.
"""

from mcrage.datasets.roles import read_roles
from mcrage.figures.samples import Sample, each_row_once
from mcrage.figures.style import save
from mcrage.figures.umap_embedding import draw_umap
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    original = Sample.of(read_table(input.original), roles)
    panels = {"original": original}
    for treatment, path in zip(params["settings"]["treatments"], input.rebalanced, strict=True):
        panels[treatment] = Sample.of(
            each_row_once(read_table(path), len(roles.target.levels)), roles
        )
    # Where nothing was taken away, the imbalanced rows are the original ones.
    if any(sample.equals(original) for name, sample in panels.items() if name != "original"):
        del panels["original"]
    figure = draw_umap(roles, original, panels, seed=params["seeds"]["umap"])
    save(figure, output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
