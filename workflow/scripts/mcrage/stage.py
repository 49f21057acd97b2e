# SPDX-License-Identifier: MIT
"""What every script does around its work: logging, clear errors, where its outputs come from."""

import logging
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from mcrage.errors import UserError, refused_by_disk
from mcrage.interruption import Interrupted, Interruption
from mcrage.provenance import make_origin, parents_of
from mcrage.tables import sweep

logger = logging.getLogger(__name__)

_ON_TERMINAL = ("mcrage.progress", "mcrage.datasets.completing")


def configure_logging(path: str | None) -> None:
    """Log to a file, when one is given, and to stderr.

    Parameters
    ----------
    path : str or None
        The rule's log file; started afresh.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    # A log that can't be written (a full disk) must not bury the message that says so.
    logging.raiseExceptions = False
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    # A line for each job is Snakemake's business; ours goes to the log and, from warnings on, to
    # the terminal, except progress, which people wait for, and what columns were taken for.
    handlers[0].addFilter(
        lambda record: record.levelno >= logging.WARNING or record.name in _ON_TERMINAL
    )


def run_stage(snakemake: Any, main: Callable[..., None]) -> None:
    """Run a script's `main` with what Snakemake gives it.

    A `UserError`, or a disk that takes no more, ends the job with its message; any other exception
    is logged with its traceback, since it is ours to mend.

    Parameters
    ----------
    snakemake : object
        Snakemake's job object. An input named ``after`` is an order only: nothing is read from it,
        and it is no parent of what is written.
    main : callable
        Called as ``main(input=, output=, params=, wildcards=, threads=, origin=)`` where `params`
        is the rule's one params dict and, under ``"local"``, what is of this machine and must not
        rerun anything (device, GPUs asked for, mirror); `origin` says where the outputs come from
        (see `mcrage.provenance`).
    """
    try:
        with Interruption() as interruption, interruption.at_once():
            _run(snakemake, main)
    except Interrupted as stop:
        logger.warning("%s: %s", snakemake.rule, stop)
        raise
    except UserError as error:
        logger.error("%s: %s", snakemake.rule, error)
        sys.exit(1)
    except OSError as error:
        refused = refused_by_disk(error, f"outputs of {snakemake.rule}")
        if refused is None:
            _log_defect(snakemake.rule)
        else:
            logger.error("%s: %s", snakemake.rule, refused)
        sys.exit(1)
    except Exception:
        _log_defect(snakemake.rule)
        sys.exit(1)


def _run(snakemake: Any, main: Callable[..., None]) -> None:
    configure_logging(str(snakemake.log[0]) if len(snakemake.log) else None)
    local = {name: value for name, value in snakemake.params.items() if name != "stage"}
    local["gpus"] = snakemake.resources.get("gpu")
    params = {**snakemake.params.stage, "local": local}
    wildcards = dict(snakemake.wildcards.items())
    logger.info("rule %s, wildcards %s", snakemake.rule, wildcards)
    logger.info("settings %s", _without_queries(str(params["settings"])))
    logger.info("seeds %s, versions %s", params["seeds"], params["versions"])
    for path in snakemake.output:
        sweep(path)
    code = PlannedCode(snakemake.rule, params)
    main(
        input=snakemake.input,
        output=snakemake.output,
        params=params,
        wildcards=snakemake.wildcards,
        threads=snakemake.threads,
        origin=make_origin(snakemake.rule, wildcards, params, parents_of(snakemake.input)),
    )
    code.check()


class PlannedCode:
    """The code and libraries that a job was planned with, and so says that it was made with.

    Parameters
    ----------
    rule : str
    params : dict
        The rule's params dict. Without ``modules``, the roots of its digest, nothing is checked:
        no code decides its result.

    Raises
    ------
    UserError
        If they are others now.
    """

    def __init__(self, rule: str, params: dict[str, Any]) -> None:
        self._rule, self._params = rule, params
        # By name: what checks the code is no part of what it checks.
        self._digests = import_module("mcrage.code_digest")
        self._dates: dict[Path, int] = {}
        self.check()

    def check(self) -> None:
        """Raise a UserError if code or libraries are not what was planned."""
        if "modules" not in self._params:
            return
        files = self._digests.code_files(self._rule, *self._params["modules"])
        dates = {path: path.stat().st_mtime_ns for path in files}
        if dates == self._dates:
            return
        self._dates = dates
        self._digests.forget()
        found = self._digests.code_digest(self._rule, *self._params["modules"])
        versions = self._digests.versions(*self._params["versions"])
        if found == self._params["code"] and versions == self._params["versions"]:
            return
        what = "its code" if found != self._params["code"] else "a library"
        raise UserError(
            f"{what} was changed after this run was planned, so what it would write is not what "
            "it would say. Run snakemake again: it plans with what is there now."
        )


def _log_defect(rule: str) -> None:
    logger.exception("%s failed; this is a defect of mcrage, not of your input", rule)


def _without_queries(text: str) -> str:
    # An address may carry a token behind its question mark; a log may be mailed around.
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\"]*", r"\1?...", text)
