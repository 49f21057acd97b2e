# SPDX-License-Identifier: MIT
"""Draw utility against gaps between subgroups, with the Pareto front.

Inputs: roles, comparisons, summary. Outputs: svg, png. Settings: ``treatments``, in order;
``baseline``, that differences are drawn to; ``controls``, treatments that no user has.
Wildcards: dataset, scenario, classifier.
"""

import pyarrow.compute as pc

from mcrage.datasets.roles import read_roles
from mcrage.figures.style import save
from mcrage.figures.tradeoff import draw_tradeoff
from mcrage.figures.words import EVERYONE, attribute_words
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = params["settings"]
    comparisons, summary = read_table(input.comparisons), read_table(input.summary)
    for column in ("dataset", "scenario", "classifier"):
        chosen = pc.field(column) == getattr(wildcards, column)
        comparisons, summary = comparisons.filter(chosen), summary.filter(chosen)
    of_baseline = (pc.field("treatment") == settings["baseline"]) & (
        pc.field("subgroup") == EVERYONE
    )
    of_everyone = summary.filter(of_baseline).to_pylist()
    figure = draw_tradeoff(
        comparisons.filter(pc.field("baseline") == settings["baseline"]).to_pylist(),
        baseline_means={
            (row["threshold"], row["attribute"], row["metric"]): row["mean"] for row in of_everyone
        },
        baseline=settings["baseline"],
        treatments=settings["treatments"],
        controls=settings["controls"],
        attribute_words=attribute_words(read_roles(input.roles)),
        n_rows=max(row["support"] for row in of_everyone if row["metric"] == "auroc"),
    )
    save(figure, output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
