# SPDX-License-Identifier: MIT
"""Draw original, imbalanced and rebalanced rows in one UMAP (Figure 2 of the paper).

Inputs: roles, original, rebalanced (one table per treatment). Outputs: svg, png.
Settings: ``treatments``, in the order of the tables. Seeds: ``umap``.
"""

from mcrage.datasets.roles import read_roles
from mcrage.figures.samples import Sample, same_rows
from mcrage.figures.style import save
from mcrage.figures.umap_embedding import MAX_ROWS, draw_umap
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    seed = params["seeds"]["umap"]
    original = Sample.read(input.original, roles, MAX_ROWS, seed)
    panels = {"original": original}
    paths = dict(zip(params["settings"]["treatments"], input.rebalanced, strict=True))
    for treatment, path in paths.items():
        panels[treatment] = Sample.read(path, roles, MAX_ROWS, seed)
    # Where nothing was taken away, the imbalanced rows are the original ones.
    others = (path for treatment, path in paths.items() if treatment != "original")
    if any(same_rows(path, input.original, roles) for path in others):
        del panels["original"]
    figure = draw_umap(roles, original, panels, seed=seed)
    save(figure, output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
