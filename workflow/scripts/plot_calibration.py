# SPDX-License-Identifier: MIT
"""Draw calibration curves per subgroup, pooled over replicates.

Inputs: roles, predictions (for each treatment, one table per replicate). Outputs: svg, png.
Settings: ``treatments``, ``n_replicates``: the tables come treatment by treatment.
"""

from mcrage.datasets.roles import read_roles
from mcrage.figures.calibration import draw_calibration
from mcrage.figures.predictions import read_predictions
from mcrage.figures.style import save
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    predictions = read_predictions(params["settings"], input.predictions)
    save(draw_calibration(read_roles(input.roles), predictions), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
