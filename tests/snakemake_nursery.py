# SPDX-License-Identifier: MIT
"""Runs snakemake in children that share one import of it, which is half of what a dry run costs.

Started as a program. Each line of its input is a request (JSON, see `Nursery.run`); it forks a
child that becomes the process that ``python -m snakemake`` would be, and prints its wait status.
What is imported before the fork is from the standard library and from installed packages only: the
project's modules are those of the copy that Snakemake is started in. One thing differs: all
children hash strings alike, so that what must not depend on the order of a set needs runs that are
processes of their own as well.
"""

import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

# What a dry run has imported at its end, by the packages that bring the most.
IMPORTED = (
    *("snakemake.cli", "snakemake.workflow", "snakemake.dag", "snakemake.scheduling.job_scheduler"),
    *("snakemake.persistence.file", "snakemake.executors.dryrun", "snakemake.executors.local"),
    *("snakemake.profiles", "snakemake.storage", "snakemake.report.html_reporter", "nbformat"),
    *("pandas", "yaml", "numpy", "pydantic", "pyarrow.parquet", "smart_open"),
)


class Nursery:
    """The program, and requests to it."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
        self._program = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**environment, "OMP_NUM_THREADS": "1"},
            # Where nothing is, so that what is taken from here is soon found out.
            cwd="/",
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        return self._program.stdout.readline().strip()

    def run(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple:
        """Run snakemake; return its exit code and what it printed.

        Parameters
        ----------
        arguments : list of str
        folder : Path
            Where.
        environment : dict of str to str
            The whole of it; of what Python itself reads, ``PYTHONPATH`` alone counts.
        """
        with tempfile.NamedTemporaryFile("r") as printed:
            request = {"arguments": arguments, "folder": str(folder), "environment": environment}
            request["printed"] = printed.name
            self._program.stdin.write(json.dumps(request) + "\n")
            code = os.waitstatus_to_exitcode(int(self._line()))
            return code, printed.read()

    def close(self) -> None:
        """End the program."""
        self._program.stdin.close()
        self._program.wait()


def _serve() -> dict:
    """Fork for every request until the input ends; return only in children, with the request."""
    # Children print where ours went.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    replies.write("ready\n")
    for line in sys.stdin:
        assert threading.active_count() == 1
        child = os.fork()
        if child == 0:
            os.close(replies.fileno())
            return json.loads(line)
        replies.write(f"{os.waitpid(child, 0)[1]}\n")
    sys.exit()


def _become(request: dict) -> None:
    """Take on streams, folder, environment and module path of a process that is started anew."""
    nothing, printed = os.open(os.devnull, os.O_RDONLY), os.open(request["printed"], os.O_WRONLY)
    for source, target in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(printed)
    os.chdir(request["folder"])
    # The one thing that Snakemake takes from the folder when it is imported.
    sys.modules["snakemake.workflow"].Workflow._rundir = os.getcwd()
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [os.getcwd(), *paths]
    sys.argv[1:] = request["arguments"]


if __name__ == "__main__":
    # Not this file's folder, which is the place of the child's own.
    del sys.path[0]
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    _become(_serve())
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
