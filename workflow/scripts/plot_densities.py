# SPDX-License-Identifier: MIT
"""Draw each feature's density in real test rows and in synthetic rows (Figure 3 of the paper).

Inputs: roles, test, synthetic (one table per generator). Outputs: svg, png.
Settings: ``names``, what each synthetic table is called, in their order.
"""

from mcrage.datasets.roles import read_roles
from mcrage.figures.densities import draw_densities
from mcrage.figures.samples import Sample
from mcrage.figures.style import save
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    roles = read_roles(input.roles)
    real = Sample.of(read_table(input.test), roles)
    synthetic = {
        name: Sample.of(read_table(path), roles, synthetic=True)
        for name, path in zip(params["settings"]["names"], input.synthetic, strict=True)
    }
    save(draw_densities(roles, real, synthetic), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
