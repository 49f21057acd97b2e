# SPDX-License-Identifier: MIT
"""Raw files: from a mirror, an address, a path or a library, checked before they get their name."""

import hashlib
import http.client
import logging
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib import error, request
from urllib.parse import urljoin, urlsplit, urlunsplit

from mcrage.datasets.columns_kept import keep_columns
from mcrage.datasets.embedded import write_embedded
from mcrage.datasets.file_model import LOOPBACK, Archive, CsvFormat, File, Source
from mcrage.errors import UserError
from mcrage.progress import Progress
from mcrage.tables import atomic_output

logger = logging.getLogger(__name__)

MAXIMUM_BYTES = 4 * 1024**3
_BLOCK = 1024 * 1024
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # an encrypted zip file
    OSError,
)
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class SourceError(Exception):
    """One source did not deliver; the message says why, and the next source is tried."""


class _AbsentError(SourceError):
    """A folder that lacks the file, as a mirror may: no reason to warn."""


class _TransientError(SourceError):
    """A failure that may go away when tried again."""


@dataclass(frozen=True)
class Patience:
    """How long to try one address.

    Attributes
    ----------
    attempts : int
        Tries in all.
    first_pause : float
        Seconds before the second try, doubled before each further one.
    timeout : float
        Seconds without any answer after which a try fails.
    sleep : callable
        Waits for a number of seconds.
    """

    attempts: int = 4
    first_pause: float = 1.0
    timeout: float = 30.0
    sleep: Callable[[float], None] = time.sleep


def fetch(
    file: File,
    output: str | os.PathLike,
    *,
    dataset: str,
    mirror: str | None = None,
    layout: CsvFormat | None = None,
    patience: Patience = Patience(),
) -> str:
    """Get one raw file from the first source that delivers it with the right checksum.

    Of a file with `File.keep` only those columns are ever written to a named file.

    Parameters
    ----------
    file : File
        Name, checksum and sources, from a dataset card.
    output : path-like
        Where to put it; written beside and renamed only when the checksum holds.
    dataset : str
        The dataset's name: the mirror's folder.
    mirror : str, optional
        Folder tried before the card's sources, as ``<mirror>/<dataset>/<file>``.
    layout : CsvFormat, optional
        Of the file, where only some of its columns are kept.
    patience : Patience
        How long to try each address.

    Returns
    -------
    str
        The source that delivered, without credentials.

    Raises
    ------
    UserError
        If the mirror is not a folder, or no source delivered: with every source and its failure,
        and how to place the file by hand.
    """
    if mirror is not None and not Path(mirror).is_dir():
        raise UserError(
            f"config key mirror: found {mirror!r}, which is not a folder; write the path of a "
            f"folder that holds <dataset>/<file>, or null for no mirror"
        )
    sources = list(file.sources)
    if mirror is not None:
        sources.insert(0, Source(path=str(Path(mirror) / dataset / file.name)))
    failures = []
    for source in sources:
        told = describe(source)
        try:
            with atomic_output(output) as temporary, _room(file, temporary) as whole:
                _get(source, file, whole, patience)
                _check(whole, file)
                if file.keep is not None:
                    keep_columns(whole, temporary, file.keep, layout or CsvFormat(), file.name)
        except SourceError as failure:
            level = logging.INFO if isinstance(failure, _AbsentError) else logging.WARNING
            logger.log(level, "%s: %s: %s", file.name, told, failure)
            failures.append(f"  - {told}: {failure}")
        else:
            logger.info("%s: from %s, SHA-256 %s", file.name, told, file.sha256)
            return told
    raise UserError(
        f"dataset {dataset}: no source delivered {file.name}. Tried in this order:\n"
        + "\n".join(failures)
        + f"\n{_by_hand(file, output, dataset, mirror)}"
    )


def describe(source: Source) -> str:
    """Return a source as text that may be logged: no user, password, token or query."""
    if source.url is not None:
        return redact(source.url)
    return source.path if source.path is not None else f"embedded table {source.embedded}"


def redact(url: str) -> str:
    """Return an address without user, password, query and fragment, which may hold a token."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _by_hand(file: File, output: str | os.PathLike, dataset: str, mirror: str | None) -> str:
    if all(source.path is not None for source in file.sources):
        return (
            "It is a table of this machine, which is not downloaded: put it there, or correct its "
            "path in the card. If it was changed since this run was planned, run again; if the "
            "card says its sha256, write what `sha256sum FILE` prints now, or remove the key."
        )
    if mirror is None:
        place = Path(output).absolute()
        also = f" (or as FOLDER/{dataset}/{file.name}, with mirror: FOLDER in the config)"
    else:
        place, also = (Path(mirror) / dataset / file.name).absolute(), ""
    return (
        f"To place the file by hand, get it elsewhere, put it at {place}{also} and run again. "
        f"Its SHA-256 (sha256sum FILE) must be {file.sha256}."
    )


def _room(file: File, temporary: Path) -> IO[bytes]:
    """Return where a file is received: for one that holds more than is kept, under no name.

    What has no name is gone with the process, however that ends.
    """
    return temporary.open("w+b") if file.keep is None else tempfile.TemporaryFile()


def _get(source: Source, file: File, out: IO[bytes], patience: Patience) -> None:
    limit = file.size or MAXIMUM_BYTES
    if source.embedded is not None:
        # It has nothing to hide, so its file has a name.
        write_embedded(source.embedded, Path(out.name))
    elif source.path is not None:
        _copy(Path(source.path), out)
    elif file.archive is None:
        _download(source.url, out, limit, file.name, patience)
    else:
        with tempfile.TemporaryFile() as archive:
            room = file.archive.size or MAXIMUM_BYTES
            _download(source.url, archive, room, file.name, patience)
            unpack(archive, file.archive, out, limit)


def _copy(source: Path, out: IO[bytes]) -> None:
    if not source.is_file():
        raise _AbsentError("no such file")
    try:
        with source.open("rb") as stream:
            shutil.copyfileobj(stream, out, _BLOCK)
    except OSError as problem:
        raise SourceError(f"could not be read ({problem.strerror})") from None


def _check(whole: IO[bytes], file: File) -> None:
    whole.seek(0)
    found = hashlib.file_digest(whole, "sha256").hexdigest()
    if found != file.sha256:
        raise SourceError(
            f"wrong content: SHA-256 {found} ({whole.tell():,} bytes), the card says {file.sha256}"
        )


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to addresses that a card could have named, and to no others."""

    def http_error_302(self, req, fp, code, msg, headers):
        # urllib itself refuses a file:// target, with a message that holds the whole address.
        location = headers.get("location") or headers.get("uri") or ""
        target = urljoin(req.full_url, location)
        if not _allowed(target, after=req.full_url):
            raise SourceError(f"redirects to {redact(target)}, which is not https: refused")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _allowed(url: str, after: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    return local and urlsplit(after).hostname in LOOPBACK


def _opener(url: str) -> request.OpenerDirector:
    """Return an opener for http and https alone: no file://, ftp:// or data: handlers."""
    opener = request.OpenerDirector()
    proxies = {} if urlsplit(url).hostname in LOOPBACK else None
    for handler in (
        request.ProxyHandler(proxies),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "mcrage")]
    return opener


def _download(url: str, out: IO[bytes], limit: int, label: str, patience: Patience) -> None:
    pause = patience.first_pause
    for attempt in range(1, patience.attempts + 1):
        try:
            out.seek(0)
            out.truncate()
            _download_once(url, out, limit, label, patience.timeout)
        except _TransientError as failure:
            if attempt == patience.attempts:
                raise SourceError(f"{failure} ({attempt} attempts)") from None
            logger.warning("%s: %s; again in %g s", redact(url), failure, pause)
            patience.sleep(pause)
            pause *= 2
        else:
            return


def _download_once(url: str, out: IO[bytes], limit: int, label: str, timeout: float) -> None:
    try:
        with _opener(url).open(url, timeout=timeout) as answer:
            announced = answer.length or 0
            if announced > limit:
                raise SourceError(f"too large: {announced:,} bytes, allowed are {limit:,}")
            received = _stream(answer, out, limit, announced or limit, label)
    except error.HTTPError as failure:
        kind = _TransientError if failure.code in _RETRIED_STATUS else SourceError
        raise kind(f"the server answered {failure.code} {failure.reason}") from None
    except error.URLError as failure:
        raise _TransientError(f"no connection ({failure.reason})") from None
    except (OSError, http.client.HTTPException) as failure:
        reason = getattr(failure, "strerror", None) or type(failure).__name__
        raise _TransientError(f"the transfer failed ({reason})") from None
    if received < announced:
        raise _TransientError(f"broke off after {received:,} of {announced:,} bytes")


def _stream(source: IO[bytes], target: IO[bytes], limit: int, expected: int, label: str) -> int:
    """Copy at most `limit` bytes and return how many came."""
    received = 0
    with Progress(max(1, round(expected / 1e6)), label, unit="MB") as progress:
        while block := source.read(_BLOCK):
            received += len(block)
            if received > limit:
                raise SourceError(f"too large: more than the {limit:,} bytes allowed")
            target.write(block)
            progress.update(round(received / 1e6) - progress.done)
    return received


def unpack(packed: IO[bytes], archive: Archive, out: IO[bytes], limit: int) -> None:
    """Copy one member of a zip or tar file to `out`; nothing else is ever written.

    Parameters
    ----------
    packed : binary file
        The archive.
    archive : Archive
        Names the member.
    out : binary file
        What to write to.
    limit : int
        Largest size of the unpacked member, bytes.

    Raises
    ------
    SourceError
        If the archive is neither, lacks the member, holds a path that leads out of it, or the
        member is a link, not a plain file or too large.
    """
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as opened:
                _check_names(opened.namelist(), archive.member)
                entry = opened.getinfo(archive.member)
                mode = entry.external_attr >> 16
                if entry.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
                    raise SourceError(f"archive: {archive.member} is a link or not a plain file")
                with opened.open(entry) as source:
                    _unpack_stream(source, out, limit)
        else:
            packed.seek(0)
            with tarfile.open(fileobj=packed) as opened:
                _check_names(opened.getnames(), archive.member)
                entry = opened.getmember(archive.member)
                if not entry.isreg():
                    raise SourceError(f"archive: {archive.member} is a link or not a plain file")
                with opened.extractfile(entry) as source:
                    _unpack_stream(source, out, limit)
    except _UNREADABLE as failure:
        raise SourceError(f"not a readable zip or tar file ({failure})") from None


def _check_names(names: list[str], member: str) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1]:
            raise SourceError(f"archive: refused, since its member {name!r} leads out of it")
    if member not in names:
        shown = ", ".join(names[:10])
        raise SourceError(f"archive: it lacks {member!r}; it holds {shown}")


def _unpack_stream(source: IO[bytes], out: IO[bytes], limit: int) -> None:
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        if written > limit:
            raise SourceError(f"archive: the member is larger than the {limit:,} bytes allowed")
        out.write(block)
