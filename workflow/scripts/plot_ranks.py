# SPDX-License-Identifier: MIT
"""Draw how treatments rank over datasets: a critical-difference figure.

Inputs: summary. Outputs: svg, png. Settings: ``treatments``, those that a user has; ``control``,
that they are tested against; ``leading``, the first rule for decisions. Wildcards: scenario,
classifier, threshold (the rule). Metrics of scores are shown by the first rule alone.
"""

import pyarrow.compute as pc

from mcrage.figures.ranks import draw_ranks
from mcrage.figures.style import save
from mcrage.stage import run_stage
from mcrage.statistics.ranking import rank_by_rule
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings, rule = params["settings"], wildcards.threshold
    table = read_table(input.summary)
    for column in ("scenario", "classifier"):
        table = table.filter(pc.field(column) == getattr(wildcards, column))
    rankings = rank_by_rule(
        table.to_pandas(),
        settings["treatments"],
        settings["control"],
        rule,
        leads=rule == settings["leading"],
    )
    save(draw_ranks(rankings, settings["control"], rule), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
