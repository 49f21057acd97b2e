# SPDX-License-Identifier: MIT
"""A headless Chromium, told what to do over a pair of pipes: no driver and no package needed.

The protocol is Chrome's own (DevTools): messages of JSON, each ended by a zero byte.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 180.0
"""Seconds for one answer: a report of megabytes is drawn on a machine that does other work, too."""


def executable() -> str | None:
    """Return the browser's path: that in CHROMIUM, or the first of `NAMES` that there is."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a browser."""

    def __init__(self, out: int, back: int) -> None:
        self._out, self._back, self._rest, self._number = out, back, b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the answer to a command; what happens meanwhile is kept in `events`.

        Raises
        ------
        RuntimeError
            If the browser refuses, has gone, or does not answer.
        """
        self._number += 1
        told = {"id": self._number, "method": method, "params": params}
        if self._session:
            told["sessionId"] = self._session
        os.write(self._out, json.dumps(told).encode() + b"\0")
        while True:
            message = self._next(method)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def open(self, address: str) -> None:
        """Load an address and wait until all of it is there."""
        self.events.clear()
        failure = self.send("Page.navigate", url=address).get("errorText")
        if failure:
            raise RuntimeError(f"{address}: {failure}")
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next("Page.loadEventFired"))

    def run(self, script: str) -> Any:
        """Return what JavaScript evaluates to; of a promise, what it is kept with."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Show the page at a size in CSS pixels, as a telephone does or as a desktop."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, top: int, width: int, height: int) -> bytes:
        """Return a PNG of a part of the page."""
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        shown = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shown["data"])

    def printed(self) -> bytes:
        """Return the page as a PDF on A4."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        return base64.b64decode(self.send("Page.printToPDF", **paper)["data"])

    def _next(self, waiting_for: str) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise RuntimeError(f"{waiting_for}: no answer in {PATIENCE:.0f} s")
            part = os.read(self._back, 1 << 20)
            if not part:
                raise RuntimeError(f"{waiting_for}: the browser has ended")
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def browser(program: str) -> Iterator[Page]:
    """Start a browser of its own, without the user's settings, and end it."""
    to_read, out = os.pipe()
    back, to_write = os.pipe()
    # Away from 3 and 4, which the browser wants these two to be.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (to_read, to_write)]
    for end in (to_read, to_write):
        os.close(end)

    def in_place() -> None:
        for place, end in enumerate(theirs, 3):
            os.dup2(end, place)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
            *("--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"),
            # Paper has none, and a telephone's take no room.
            "--hide-scrollbars",
            # Chromium refuses its sandbox to root; what is opened is a file of ours.
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=in_place,
            start_new_session=True,
        )
        try:
            for end in theirs:
                os.close(end)
            yield Page(out, back)
        finally:
            # With its helpers, whose group it leads.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(out)
            os.close(back)


def address_of(path: str | os.PathLike) -> str:
    """Return the address of a file."""
    return Path(path).resolve().as_uri()
