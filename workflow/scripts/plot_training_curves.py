# SPDX-License-Identifier: MIT
"""Draw loss and, where one chose, the score of every generator against its steps.

Inputs: history (for each generator, one table per replicate). Outputs: svg, png.
Settings: ``generators``, ``n_replicates``: the tables come generator by generator.
"""

from mcrage.figures.style import save
from mcrage.figures.training_curves import SETTING, draw_training_curves
from mcrage.stage import run_stage
from mcrage.tables import read_table


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    histories: dict[str, list] = {}
    names = [
        name
        for name in params["settings"]["generators"]
        for _ in range(params["settings"]["n_replicates"])
    ]
    for name, path in zip(names, input.history, strict=True):
        table = read_table(path)
        columns = {
            column: table.column(column).to_numpy(zero_copy_only=False)
            for column in ("step", "member", "loss", "validation_f1", "heldout_loss", *SETTING)
            if column in table.column_names
        }
        histories.setdefault(name, []).append(columns)
    save(draw_training_curves(histories), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
