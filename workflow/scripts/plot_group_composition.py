# SPDX-License-Identifier: MIT
"""Draw how many rows of each group every treatment gives to the classifier.

Inputs: roles, rebalanced and weights (one of each per treatment). Outputs: svg, png.
Settings: ``treatments``, in the order of the tables.
"""

import pyarrow.parquet as pq

from mcrage.datasets.roles import read_roles
from mcrage.figures.group_composition import Composition, draw_group_composition
from mcrage.figures.style import save
from mcrage.groups import GroupSchema
from mcrage.stage import run_stage
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    schema = GroupSchema.of(roles)
    compositions = {}
    for treatment, rebalanced, weights in zip(
        params["settings"]["treatments"], input.rebalanced, input.weights, strict=True
    ):
        soft = LABEL_WEIGHT in pq.read_schema(rebalanced).names
        marks = [IS_SYNTHETIC, LABEL_WEIGHT] if soft else [IS_SYNTHETIC]
        table = read_table(rebalanced, [*schema.columns, *marks])
        beside = read_table(weights, ["row_id", "weight"])
        compositions[treatment] = Composition.of(
            schema.index(table),
            table.column(IS_SYNTHETIC).to_numpy(),
            schema.n_groups,
            row_id=beside.column("row_id").to_pandas().to_numpy(),
            weights=beside.column("weight").to_numpy(),
            label_weights=table.column(LABEL_WEIGHT).to_numpy() if soft else None,
        )
    save(draw_group_composition(roles, compositions), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
