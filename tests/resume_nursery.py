# SPDX-License-Identifier: MIT
"""Runs stages in children that share one import of torch, so that they can be killed cheaply.

Started as a program. Each line of its input is a request (JSON, see `Nursery.start`); it forks a
child that runs the stage, prints the child's number, and its wait status once it has ended.
"""

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).resolve().parent


class Nursery:
    """The program, and requests to it."""

    def __init__(self) -> None:
        paths = [str(TESTS.parent / "workflow" / "scripts"), str(TESTS)]
        self._program = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        return self._program.stdout.readline().strip()

    def start(self, **request) -> int:
        """Run ``main`` of train_generator in a child; return its number.

        Parameters
        ----------
        job : dict
            input, output, params (Snakemake's: stage and the local ones), wildcards, log.
        progress : str, optional
            A named pipe that gets a byte a step, and ``o`` when outputs are about to be written.
        cadence : bool
            A checkpoint after every step.
        signal : int, optional
            That the child sends itself ...
        step : int, optional
            ... after this step, or
        judged : int, optional
            ... while this member is judged.
        kill_at_event : int, optional
            Kill -9 at this file operation, counted from the first output on.
        """
        self._program.stdin.write(json.dumps(request) + "\n")
        return int(self._line())

    def wait(self) -> int:
        """Return the child's exit code; minus the signal's number if one killed it."""
        return os.waitstatus_to_exitcode(int(self._line()))

    def run(self, **request) -> int:
        """Start and wait."""
        self.start(**request)
        return self.wait()

    def close(self) -> None:
        """End the program."""
        self._program.stdin.close()
        self._program.wait()


class Names(list):
    """Values with names, as Snakemake gives them to scripts."""

    def __init__(self, values: dict) -> None:
        super().__init__(value for value in values.values() if value != [])
        self._values = values

    def __getattr__(self, name: str):
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def items(self):
        return self._values.items()

    def get(self, name: str, default=None):
        return self._values.get(name, default)


class Job:
    """What Snakemake gives to a script."""

    def __init__(self, job: dict) -> None:
        self.rule, self.threads = "train_generator", job.get("threads", 1)
        self.input, self.output = Names(job["input"]), Names(job["output"])
        self.params, self.wildcards = Names(job["params"]), Names(job["wildcards"])
        self.log, self.resources = [job["log"]], {}


def _arrange(request: dict) -> None:
    """Put what a request asks for into the child."""
    from mcrage.diffusion.training import Trainer
    from mcrage.generators import cddpm, checkpoint

    if request.get("cadence"):
        checkpoint._LEAST_SECONDS, checkpoint._SHARE = 0.0, 1e9
    pipe = os.open(request["progress"], os.O_WRONLY) if request.get("progress") else None
    step, save = Trainer.step, cddpm.CddpmGenerator.save

    def stepped(self) -> None:
        step(self)
        if pipe is not None:
            os.write(pipe, b".")
        if self.n_steps == request.get("step"):
            os.kill(os.getpid(), request["signal"])

    def saved(self, folder) -> None:
        if pipe is not None:
            os.write(pipe, b"o")
        left = request.get("kill_at_event", -1)

        def hook(event: str, args: tuple) -> None:
            nonlocal left
            if event == "open" or event.startswith(("os.", "shutil.")):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        if left > 0:
            sys.addaudithook(hook)
        save(self, folder)

    Trainer.step, cddpm.CddpmGenerator.save = stepped, saved
    if request.get("judged"):
        validation = import_module("mcrage.classifiers.validation")
        fit_and_score = validation.fit_and_score
        calls = 0

        def judged(*args, **options):
            nonlocal calls
            calls += 1
            if calls == request["judged"]:
                os.kill(os.getpid(), request["signal"])
            return fit_and_score(*args, **options)

        validation.fit_and_score = judged


def _child(request: dict) -> int:
    import train_generator
    from mcrage.stage import run_stage

    errors = os.open(request["job"]["log"] + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    _arrange(request)
    try:
        run_stage(Job(request["job"]), train_generator.main)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def main() -> None:
    """Serve requests until the input ends."""
    for module in (
        *("torch", "sklearn.ensemble", "safetensors.numpy", "pyarrow.parquet", "train_generator"),
        *("mcrage.generators.cddpm_fit", "mcrage.generators.cddpm_draw", "mcrage.generators.cddpm"),
        *("mcrage.generators.registry", "mcrage.classifiers.validation"),
    ):
        import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                code = _child(json.loads(line))
            finally:
                # Not a normal exit: the parent's buffers and handlers are its own.
                os._exit(code)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
