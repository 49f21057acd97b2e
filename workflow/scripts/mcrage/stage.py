# SPDX-License-Identifier: MIT
"""What every script does around its work: logging, clear errors, where its outputs come from."""

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcrage.errors import UserError, refused_by_disk
from mcrage.interruption import Interrupted, Interruption
from mcrage.provenance import make_origin, parents_of
from mcrage.tables import sweep

logger = logging.getLogger(__name__)


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
    # the terminal, except progress, which people wait for.
    handlers[0].addFilter(
        lambda record: record.levelno >= logging.WARNING or record.name == "mcrage.progress"
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
        rerun anything (device, mirror); `origin` says where the outputs come from (see
        `mcrage.provenance`).
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
    params = {**snakemake.params.stage, "local": local}
    wildcards = dict(snakemake.wildcards.items())
    logger.info("rule %s, wildcards %s", snakemake.rule, wildcards)
    logger.info("settings %s", _without_queries(str(params["settings"])))
    logger.info("seeds %s, versions %s", params["seeds"], params["versions"])
    for path in snakemake.output:
        sweep(path)
    main(
        input=snakemake.input,
        output=snakemake.output,
        params=params,
        wildcards=snakemake.wildcards,
        threads=snakemake.threads,
        origin=make_origin(snakemake.rule, wildcards, params, parents_of(snakemake.input)),
    )


def _log_defect(rule: str) -> None:
    logger.exception("%s failed; this is a defect of mcrage, not of your input", rule)


def _without_queries(text: str) -> str:
    # An address may carry a token behind its question mark; a log may be mailed around.
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\"]*", r"\1?...", text)
