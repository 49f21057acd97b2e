# SPDX-License-Identifier: MIT
"""Check where every result comes from, or print it for one file.

Settings: ``config``, the resolved config. Local: ``file``, the one to tell of, or None for all;
``cards`` and ``published``, folders of this checkout. Writes nothing but its log.
"""

import logging
import sys
from pathlib import Path

from mcrage.config.model import Config
from mcrage.datasets.cards import read_card
from mcrage.errors import UserError
from mcrage.lineage import Lineage, result_files, tell, verdict
from mcrage.plan import Plan
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    local = params["local"]
    config = Config.model_validate(params["settings"]["config"])
    cards = {name: read_card(name, local["cards"]) for name in config.experiment.datasets}
    published = {path.stem: path for path in Path(local["published"]).glob("*.yaml")}
    root = Path.cwd()
    lineage = Lineage(root, Plan(config, cards, published).expected_digest)
    if file := local["file"]:
        path = Path(file)
        path = path.relative_to(root) if path.is_absolute() else path
        if not path.is_file():
            raise UserError(
                f"config key lineage: found {file!r}, which is not a file here; write the path of "
                "a result, e.g. results/metrics.parquet, or null to check all"
            )
        steps = lineage.steps([path.as_posix()])
        shown = steps
    else:
        steps = lineage.steps(result_files(root))
        shown = [step for step in steps if step.problems or step.outdated]
    text = "\n".join([*map(tell, shown), verdict(steps)])
    logging.info("%s", text)
    sys.stdout.write(text + "\n")
    if any(step.problems for step in steps):
        raise UserError(
            "the chain is broken: a file was changed, lost or exchanged after others were made "
            "from it. Delete what is marked BROKEN and run snakemake again; it makes these anew."
        )


if __name__ == "__main__":
    run_stage(snakemake, main)
