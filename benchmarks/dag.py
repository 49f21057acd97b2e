# SPDX-License-Identifier: MIT
"""Measure what Snakemake and this workflow do before the first job: parsing, digests, the DAG.

    .venv/bin/python benchmarks/dag.py                     # 100, 1 000 and 10 000 jobs, minutes
    .venv/bin/python benchmarks/dag.py --jobs 1000         # one size
    .venv/bin/python benchmarks/dag.py --jobs 1000 --profile 25

Everything is run as a user runs it, in new processes, on a copy of the project in a temporary
folder. Printed are, in seconds of wall time and of CPU time (user + system, the steadier one):

- the bare start of Snakemake (`snakemake --version`), and parsing: `snakemake --list` less that
  start, so importing this project's modules, checking the config and reading the rules;
- the digests of the code of all rules, and the versions of their libraries, once and with nothing
  cached, in a Python that has the modules imported;
- `snakemake --dry-run --quiet rules` of the default experiment with more replicates, less the
  start and the parsing: with nothing done yet; with everything done ("Nothing to be done"); and
  with everything done and then a classifier's setting edited, so that every evaluation is due.

Nothing is run to have everything done: small files stand for the outputs, dated in the order of
the DAG, and Snakemake's own persistence writes the records of how they were made. So dates, params
and inputs are there for every job, and are compared.
"""

import argparse
import multiprocessing
import os
import pstats
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import pyarrow as pa
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

from mcrage.provenance import PNG_KEY, make_origin, to_json  # noqa: E402
from mcrage.tables import write_json, write_table  # noqa: E402
from project import Project  # noqa: E402

SNAKEMAKE = ["-m", "snakemake", "--cores", "2"]
DRY_RUN = [*SNAKEMAKE, "--dry-run", "--quiet", "rules"]
# All that a rule's params take from files: the code, and the metadata of installed packages.
DIGESTS = """
import sys, time
sys.path.insert(0, "workflow/scripts")
from pathlib import Path
from mcrage.code_digest import code_digest, versions
from mcrage.generators.registry import needs
from mcrage.rule_settings.base import LIBRARIES
wall, cpu = time.perf_counter(), time.process_time()
for rule in sorted(path.stem for path in Path("workflow/scripts").glob("*.py")):
    code_digest(rule)
for kind in ("cddpm", "smote"):
    for stage in ("train", "sample"):
        found = needs(stage, {"kind": kind, "selection": "criterion", "scaling": "quantile"})
        code_digest(f"{stage}_generator", *found.modules)
        versions(*found.libraries)
for libraries in LIBRARIES.values():
    versions(*libraries)
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


class Times(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float

    def less(self, *others: "Times") -> "Times":
        """Return what remains without the others."""
        return Times(*(mine - sum(theirs) for mine, *theirs in zip(self, *others, strict=True)))


def measure(folder: Path, *arguments: str) -> tuple[Times, str]:
    """Run Python with the arguments; return its times and what it printed."""
    before, started = os.times(), time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        check=False,
    )
    wall, after = time.monotonic() - started, os.times()
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout[-3000:]}")
    cpu = after.children_user + after.children_system
    return Times(wall, cpu - before.children_user - before.children_system), done.stdout


def median(folder: Path, *arguments: str, repeats: int = 5) -> Times:
    """Return the median times of several runs."""
    runs = [measure(folder, *arguments)[0] for _ in range(repeats)]
    return Times(*(statistics.median(seconds) for seconds in zip(*runs, strict=True)))


def digests(folder: Path, repeats: int = 5) -> Times:
    """Return the median times of all digests and versions, each time in a new process."""
    texts = [measure(folder, "-c", DIGESTS)[1] for _ in range(repeats)]
    runs = [map(float, text.split()) for text in texts]
    return Times(*(statistics.median(seconds) for seconds in zip(*runs, strict=True)))


def count(text: str) -> int:
    """Return the number of jobs in what a dry run printed."""
    if "Nothing to be done" in text:
        return 0
    return int(re.search(r"^total +(\d+)$", text, re.MULTILINE)[1])


def replicates_for(jobs: int, folder: Path) -> int:
    """Return how many replicates make an experiment of about this many jobs."""
    one, two = (count(measure(folder, *DRY_RUN, *override(folder, n))[1]) for n in (1, 2))
    return max(1, round((jobs - one) / (two - one)) + 1)


def override(folder: Path, replicates: int, **sections: dict) -> list[str]:
    """Write a config with this many replicates; return the arguments that name it."""
    path = folder / "override.yaml"
    sections["experiment"] = {"replicates": replicates}
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return ["--configfile", path.name]


def stand_in(path: Path, origin: dict) -> None:
    """Write a small file that says where it comes from, as the real one would."""
    match path.suffix:
        case ".parquet":
            write_table(pa.table({"x": [0]}), path, origin)
        case ".json":
            write_json({}, path, origin)
        case ".svg":
            text = escape(to_json(origin))
            space = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
            path.write_text(f"<svg {space}><dc:description>{text}</dc:description></svg>")
        case ".png":
            told = PngInfo()
            told.add_text(PNG_KEY, to_json(origin))
            Image.new("1", (1, 1)).save(path, pnginfo=told)
        case ".html":
            text = escape(to_json(origin), {'"': "&quot;"})
            path.write_text(f'<meta name="mcrage-provenance" content="{text}">')
        case _:
            path.write_text(f"{path}\n", encoding="utf-8")


def pretend(folder: Path, configfile: str) -> None:
    """Make every output of the experiment, and Snakemake's records of it, without running a job."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import (
        ConfigSettings,
        ExecutionSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[folder / configfile]),
            snakefile=folder / "Snakefile",
            workdir=folder,
        )
        workflow.dag()
        # The API stops at running jobs: below it is what it calls itself.
        workflow = workflow._workflow
        workflow.execution_settings = ExecutionSettings()
        workflow._prepare_dag(forceall=True, ignore_incomplete=False, lock_warn_only=False)
        workflow._build_dag()
        yesterday = time.time() - 24 * 3600

        async def finish() -> None:
            # A second apart by level, as if jobs had been run.
            for number, level in enumerate(workflow.dag.toposorted()):
                for job in level:
                    if not job.output:
                        continue
                    wildcards, params = dict(job.wildcards.items()), job.params.stage
                    origin = make_origin(job.rule.name, wildcards, params, job.input)
                    for file in job.output:
                        path = Path(file)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        stand_in(path, origin)
                        os.utime(path, (yesterday + number, yesterday + number))
                    await workflow.persistence.finished(job)

        workflow.async_run(finish())


def nothing_done(folder: Path, replicates: int) -> None:
    """Leave the copy of the project as it is."""


def all_done(folder: Path, replicates: int) -> None:
    """Pretend in a process of its own: Snakemake takes its modules, folder and logging."""
    configfile = override(folder, replicates)[-1]
    process = multiprocessing.get_context("spawn").Process(
        target=pretend, args=(folder, configfile)
    )
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"pretending that {replicates} replicates were done failed")


def setting_edited(folder: Path, replicates: int) -> None:
    """Edit a setting of the classifier."""
    override(folder, replicates, classifiers={"random_forest": {"n_trees": 30}})


def profile(folder: Path, rows: int, *arguments: str) -> None:
    """Print where a run spends its time, by function, callees included."""
    file = folder / "profile"
    measure(folder, "-m", "cProfile", "-o", str(file), *arguments)
    pstats.Stats(str(file)).strip_dirs().sort_stats("cumulative").print_stats(rows)


def show(name: str, times: Times, jobs: int | str = "") -> None:
    """Print one line of the table."""
    print(f"{name:<44}{jobs:>8}{times.wall:>10.2f}{times.cpu:>10.2f}", flush=True)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--jobs",
        type=int,
        nargs="+",
        default=[100, 1000, 10_000],
        help="how many jobs the experiments have, to the nearest whole replicate",
    )
    parser.add_argument(
        "--profile", type=int, metavar="ROWS", default=0, help="profile each dry run once more"
    )
    arguments = parser.parse_args()
    print(f"{'':<44}{'jobs due':>8}{'wall s':>10}{'CPU s':>10}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Project(Path(temporary)).folder
        start = median(folder, *SNAKEMAKE, "--version")
        show("start of Snakemake", start)
        parse = median(folder, *SNAKEMAKE, "--list").less(start)
        show("parsing", parse)
        show("digests of all rules", digests(folder))
        replicates = [replicates_for(jobs, folder) for jobs in arguments.jobs]
    for n in replicates:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Project(Path(temporary)).folder
            dry_run = [*DRY_RUN, *override(folder, n)]
            for state in (nothing_done, all_done, setting_edited):
                state(folder, n)
                times, text = measure(folder, *dry_run)
                name = state.__name__.replace("_", " ")
                show(f"dry run, {n} replicates, {name}", times.less(start, parse), count(text))
                if arguments.profile:
                    profile(folder, arguments.profile, *dry_run)


if __name__ == "__main__":
    main()
