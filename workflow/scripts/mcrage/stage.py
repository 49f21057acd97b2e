# SPDX-License-Identifier: MIT
"""What every script does around its work: logging, clear errors, provenance."""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mcrage.errors import UserError
from mcrage.interruption import Interrupted, Interruption

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

    A `UserError` ends the job with its message; any other exception is logged with its
    traceback, since it is ours to mend.

    Parameters
    ----------
    snakemake : object
        Snakemake's job object.
    main : callable
        Called as ``main(input=, output=, params=, wildcards=, threads=)`` where `params` is the
        rule's one params dict and, under ``"local"``, what is of this machine and must not
        rerun anything (device, mirror).
    """
    configure_logging(str(snakemake.log[0]) if len(snakemake.log) else None)
    local = {name: value for name, value in snakemake.params.items() if name != "stage"}
    params = {**snakemake.params.stage, "local": local}
    logger.info("rule %s, wildcards %s", snakemake.rule, dict(snakemake.wildcards.items()))
    logger.info("settings %s", _without_queries(str(params["settings"])))
    logger.info("seeds %s, versions %s", params["seeds"], params["versions"])
    try:
        with Interruption() as interruption, interruption.at_once():
            main(
                input=snakemake.input,
                output=snakemake.output,
                params=params,
                wildcards=snakemake.wildcards,
                threads=snakemake.threads,
            )
    except Interrupted as stop:
        logger.warning("%s: %s", snakemake.rule, stop)
        raise
    except UserError as error:
        logger.error("%s: %s", snakemake.rule, error)
        sys.exit(1)
    except Exception:
        logger.exception("%s failed; this is a defect of mcrage, not of your input", snakemake.rule)
        sys.exit(1)


def _without_queries(text: str) -> str:
    # An address may carry a token behind its question mark; a log may be mailed around.
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\"]*", r"\1?...", text)


def provenance(rule: str, params: dict[str, Any], parents: Iterable[str | os.PathLike]) -> dict:
    """Return what a table says of where it came from: rule, params and its parents' hashes.

    Parameters
    ----------
    rule : str
    params : dict
        The rule's params dict.
    parents : iterable of path-like
        Input files. Their SHA-256 is of the bytes, which equal content makes equal.
    """
    return {
        "rule": rule,
        "params": {name: value for name, value in params.items() if name != "local"},
        "parents": {str(parent): file_hash(parent) for parent in parents},
    }


def file_hash(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
