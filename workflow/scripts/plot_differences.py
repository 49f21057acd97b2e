# SPDX-License-Identifier: MIT
"""Draw the paired differences of every treatment to one baseline.

Inputs: roles, comparisons. Outputs: svg, png. Settings: ``treatments``, in order;
``threshold``, the rule whose decisions are shown.
Wildcards: dataset, scenario, classifier, baseline.
"""

import pyarrow.compute as pc

from mcrage.datasets.roles import read_roles
from mcrage.figures.differences import draw_differences
from mcrage.figures.style import save
from mcrage.figures.words import subgroup_words
from mcrage.metrics.rules import rule_name
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    table = read_table(input.comparisons)
    rule = rule_name(params["settings"]["threshold"], len(roles.target.levels))
    table = table.filter(pc.field("threshold") == rule)
    for column in ("dataset", "scenario", "classifier", "baseline"):
        table = table.filter(pc.field(column) == getattr(wildcards, column))
    figure = draw_differences(
        table.to_pylist(),
        treatments=params["settings"]["treatments"],
        subgroup_words=subgroup_words(roles),
    )
    save(figure, output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
