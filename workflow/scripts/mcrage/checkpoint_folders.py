# SPDX-License-Identifier: MIT
"""Folders of checkpoints, each of one training: removed once Snakemake has taken note of it.

Not by the training itself. Until Snakemake has written down that a job ended well, it deletes the
job's outputs when it starts again (a run that is killed in between, a cluster that tells late),
and the training is then continued from its last step instead of done once more.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mcrage.lineage import is_noted

NAMES = ("dataset", "scenario", "replicate", "generator")
"""What tells trainings apart, and the folders below that of all checkpoints."""


def remove_checkpoints(root: str | os.PathLike, *names: str) -> None:
    """Delete the folder of one training and those above it that are empty now.

    Parameters
    ----------
    root : path-like
        Folder of all checkpoints.
    *names : str
        Folders below it, of which the last belongs to this training alone.
    """
    root = Path(root)
    place = root.joinpath(*names)
    shutil.rmtree(place, ignore_errors=True)
    for folder in place.parents:
        if not folder.is_relative_to(root):
            break
        try:
            folder.rmdir()
        except OSError:
            break


def sweep_checkpoints(
    working_folder: Path, root: str, outputs: Iterable[str], outputs_of_batch: Iterable[str] = ()
) -> None:
    """Delete the checkpoints of trainings of which Snakemake has noted every output.

    Parameters
    ----------
    working_folder : Path
    root : str
        Folder of all checkpoints, relative to it.
    outputs : iterable of str
        What a training writes, with `NAMES` in braces.
    outputs_of_batch : iterable of str
        What the training of a batch of replicates writes, with ``batch`` in place of the replicate.
    """
    alone, together = list(map(str, outputs)), list(map(str, outputs_of_batch))
    top = working_folder / root
    for place in sorted(top.glob("/".join("*" * len(NAMES)))):
        names = place.relative_to(top).parts
        told = dict(zip(NAMES, names, strict=True))
        patterns = alone if told["replicate"].isdigit() else together
        paths = [pattern.format(**told, batch=told["replicate"]) for pattern in patterns]
        if paths and all(is_noted(working_folder, path) for path in paths):
            remove_checkpoints(top, *names)
