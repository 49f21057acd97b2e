# SPDX-License-Identifier: MIT
"""Check where every result comes from, or print it for one file.

Settings: ``config``, the resolved config. Local: ``file``, the one to tell of, or None for all;
``cards`` and ``published``, folders of this checkout. Writes nothing but its log.
"""

import logging
import shlex
import sys
from pathlib import Path

from mcrage.config.model import Config
from mcrage.datasets.cards import read_cards
from mcrage.errors import UserError
from mcrage.lineage import DESCRIBED, Lineage, result_files, tell, verdict
from mcrage.plan import Plan
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    local = params["local"]
    config = Config.model_validate(params["settings"]["config"])
    cards = read_cards(config.experiment.datasets, local["cards"])
    published = {path.stem: path for path in Path(local["published"]).glob("*.yaml")}
    root = Path.cwd()
    lineage = Lineage(root, Plan(config, cards, published).expected_digest)
    if file := local["file"]:
        shown = steps = lineage.steps([_inside(file, root)])
    else:
        steps = lineage.steps(result_files(root))
        # Other files that lie about are nobody's result, unless something was made from them.
        parents = {
            parent for step in steps for parent in (step.origin or {"parents": {}})["parents"]
        }
        steps = [step for step in steps if step.origin or step.path in parents]
        shown = [step for step in steps if step.problems or step.outdated]
    text = "\n".join([*map(tell, shown), verdict(steps)])
    logging.info("%s", text)
    sys.stdout.write(text + "\n")
    remake = dict.fromkeys(path for step in steps for path in step.remake)
    if remake:
        raise UserError(
            "the chain is broken: files were changed, lost or exchanged after others were made "
            "from them. This makes them anew, and all that follows from them:\n  snakemake "
            f"--cores all --forcerun {shlex.join(remake)}"
        )


def _inside(file: str, root: Path) -> str:
    """Return the path of a result relative to the working folder."""
    path = (root / file).resolve()
    known = f"write the path of a result ({', '.join(DESCRIBED)}), or null to check all"
    if not path.is_file() or not path.is_relative_to(root):
        raise UserError(
            f"config key lineage: found {file!r}, which is not a file in {root}; {known}"
        )
    if path.suffix not in DESCRIBED:
        raise UserError(
            f"config key lineage: found {file!r}, which can't say where it comes from; {known}"
        )
    return path.relative_to(root).as_posix()


if __name__ == "__main__":
    run_stage(snakemake, main)
