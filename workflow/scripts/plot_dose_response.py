# SPDX-License-Identifier: MIT
"""Draw what each dose of a treatment brings against doing nothing.

Inputs: roles, comparisons. Outputs: svg, png. Settings: ``doses``, treatment: name of each dose:
dose; ``baseline``, the treatment that does nothing; ``threshold``, the rule whose decisions are
shown. Wildcards: dataset, scenario, classifier.
"""

import pyarrow.compute as pc

from mcrage.datasets.roles import read_roles
from mcrage.figures.dose_response import draw_dose_response
from mcrage.figures.style import save
from mcrage.figures.words import subgroup_words
from mcrage.metrics.rules import rule_name
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    settings = params["settings"]
    roles = read_roles(input.roles)
    table = read_table(input.comparisons)
    rule = rule_name(settings["threshold"], len(roles.target.levels))
    table = table.filter(pc.field("threshold") == rule)
    for column in ("dataset", "scenario", "classifier"):
        table = table.filter(pc.field(column) == getattr(wildcards, column))
    figure = draw_dose_response(
        table.filter(pc.field("baseline") == settings["baseline"]).to_pylist(),
        doses=settings["doses"],
        subgroup_words=subgroup_words(roles),
    )
    save(figure, output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
