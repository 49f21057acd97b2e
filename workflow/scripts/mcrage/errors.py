# SPDX-License-Identifier: MIT
"""The one exception that a user's mistake ends in, and what a disk's refusal means."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend: shown as its message, never as a traceback.

    The message names the file, column or key, what was found, what is allowed and what to do.
    """


@contextmanager
def told_of(file: str) -> Iterator[None]:
    """Name the file that a mistake is in, where what finds the mistake knows a column alone.

    Parameters
    ----------
    file : str
        Put before the message of a `UserError` that does not name it.
    """
    try:
        yield
    except UserError as error:
        if file in str(error):
            raise
        raise UserError(f"{file}: {error}") from None


_REFUSED = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "your quota of the disk is used up; free some space or ask for more",
    errno.EROFS: "the disk is mounted read-only; have it mounted for writing, or work elsewhere",
    errno.EACCES: "you may not write there; change the folder's permissions, or work elsewhere",
    errno.EPERM: "you may not write there; change the folder's permissions, or work elsewhere",
}


def refused_by_disk(error: OSError, place: str) -> str | None:
    """Return what to do about a disk that takes no more, or None for another kind of error.

    Parameters
    ----------
    error : OSError
    place : str
        What was being written, where the error does not say it.
    """
    if error.errno not in _REFUSED:
        return None
    return (
        f"{error.filename or place}: {_REFUSED[error.errno]}, then run snakemake again. "
        "Finished results are kept, and nothing half-written has a result's name."
    )
