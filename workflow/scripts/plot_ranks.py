# SPDX-License-Identifier: MIT
"""Draw how treatments rank over datasets: a critical-difference figure.

Inputs: summary. Outputs: svg, png. Settings: ``treatments``, those that a user has; ``control``,
that they are tested against. Wildcards: scenario, classifier. Shown are decisions by the first
rule.
"""

import pyarrow.compute as pc

from mcrage.figures.ranks import draw_ranks
from mcrage.figures.style import save
from mcrage.stage import run_stage
from mcrage.statistics.ranking import rank_all
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = params["settings"]
    table = read_table(input.summary)
    for column in ("scenario", "classifier"):
        table = table.filter(pc.field(column) == getattr(wildcards, column))
    summary = table.to_pandas()
    # The first rule of each dataset: where a target has many levels, the rule has another name.
    first = summary.groupby("dataset")["threshold"].transform("first")
    rankings = rank_all(
        summary[summary["threshold"] == first], settings["treatments"], settings["control"]
    )
    save(draw_ranks(rankings), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
