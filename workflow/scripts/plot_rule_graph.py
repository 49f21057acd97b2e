# SPDX-License-Identifier: MIT
"""Draw the workflow's own rule graph (Figure 1 of the paper).

Outputs: svg, png. Settings: ``rules``, the digest of the rule files, and ``shape``, what of the
config decides which rules there are. Local: ``config``, the whole of it, so that the graph is that
of this run, and ``snakefile``. A second Snakemake lists the rules; it takes no lock, runs no job.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mcrage.code_digest import rule_files
from mcrage.errors import UserError
from mcrage.figures.rule_graph import draw_rule_graph
from mcrage.figures.style import save
from mcrage.stage import run_stage
from mcrage.tables import write_json


def rule_graph(snakefile: str, config: dict) -> str:
    """Return the DOT text of a workflow's rule graph.

    Parameters
    ----------
    snakefile : str
    config : dict
        Overrides every key of the workflow's own config file.

    Raises
    ------
    UserError
        If Snakemake fails, with its last lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder) / "config.json"
        write_json(config, overrides)
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", snakefile,
            "--configfile", str(overrides), "--rulegraph", "dot",
            "--nolock", "--forceall", "--workflow-profile", "none",
        ]  # fmt: skip
        # The profile of the run that calls us would ask for its executor again.
        environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise UserError(
            f"snakemake --rulegraph failed for {snakefile} (exit {done.returncode}):\n{last}\n"
            "Run that command to see the whole message."
        )
    return done.stdout


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    text = rule_graph(params["local"]["snakefile"], params["local"]["config"])
    written = "\n".join(path.read_text(encoding="utf-8") for path in rule_files())
    order = re.findall(r"^rule (\w+):", written, re.MULTILINE)
    save(draw_rule_graph(text, order=order), output.svg, output.png, origin)


if __name__ == "__main__":
    run_stage(snakemake, main)
