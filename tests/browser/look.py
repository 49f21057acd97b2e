# SPDX-License-Identifier: MIT
"""Open a report in a real browser, say what a reader would trip over, and leave pictures of it.

    .venv/bin/python tests/browser/look.py results/report.html --pictures results/report-pictures

On a telephone (390 pixels wide), on a desktop and on paper: nothing is wider than the window or the
page, every image loads and has words, links within the page lead somewhere, downloads have content,
nothing is asked of the network, the console has no error, and what is folded away is printed. In
the folder are the whole page on either screen, in parts from the top, and print.pdf. Ends with 1 if
anything is wrong. Without Chromium (Debian: apt-get install chromium; or its path in CHROMIUM) it
says so and ends with 0.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from chromium import NAMES, Page, address_of, browser, executable

SCREENS = {"phone": (390, 844), "desktop": (1280, 900)}
# A4 less Chromium's margins of .4 inches, in CSS pixels.
PAPER = (717, 1046)
_PART = 2400
"""Rows of pixels in a picture, so that a viewer need not shrink it; Chromium draws up to 16,384."""
_SCRIPT = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
_SAID = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
NO_BROWSER = f"skipped: none of {', '.join(NAMES)} is here (Debian: apt-get install chromium)"


def look(page: Page, report: Path, pictures: Path | None = None) -> tuple[list[str], list[str]]:
    """Return what is wrong with a report, and what was seen.

    Parameters
    ----------
    page : Page
    report : Path
    pictures : Path, optional
        An existing folder for PNG and PDF files.

    Returns
    -------
    problems, facts : list of str
    """
    problems: list[str] = []
    facts: list[str] = []
    for screen, (width, height) in SCREENS.items():
        page.resize(width, height, phone=screen == "phone")
        page.open(address_of(report))
        found = page.run(_SCRIPT)
        problems += [f"{screen}: {problem}" for problem in found["problems"]]
        problems += [f"{screen}: {problem}" for problem in _heard(page.events)]
        facts.append(
            f"{screen}, {width} px: {found['height']:,} px long, {found['images']} images, "
            f"{found['links']} links, {found['downloads']} downloads"
        )
        for number, top in enumerate(range(0, found["height"], _PART) if pictures else (), 1):
            part = page.picture(top, width, min(_PART, found["height"] - top))
            (pictures / f"{screen}-{number:02}.png").write_bytes(part)
    page.send("Emulation.setEmulatedMedia", media="print")
    page.resize(*PAPER)
    found = page.run(_SCRIPT)
    problems += [f"print: {problem}" for problem in found["problems"]]
    if found["shut"]:
        problems.append(f"print: folded away and not printed: {found['shut']} of {found['closed']}")
    pdf = page.printed()
    if not pdf.startswith(b"%PDF-"):
        problems.append("print: what is printed is no PDF")
    facts.append(f"print: {pdf.count(b'/Type /Page') - pdf.count(b'/Type /Pages')} pages")
    if pictures:
        (pictures / "print.pdf").write_bytes(pdf)
    page.send("Emulation.setEmulatedMedia", media="")
    return problems, facts


def _heard(events: list[dict[str, Any]]) -> list[str]:
    """Return a line for each error that the page made, and each thing it asked the network for."""
    told = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            address = params["request"]["url"]
            if address.partition(":")[0] not in ("file", "data", "blob"):
                told.append(f"asks the network for {address}")
        elif method in _SAID:
            entry = params.get("entry") or params.get("exceptionDetails") or params
            if entry.get("level", entry.get("type", "error")) in ("error", "assert"):
                words = [str(a.get("value", "")) for a in entry.get("args", [])]
                said = entry.get("text") or " ".join(words)
                thrown = entry.get("exception", {}).get("description", "")
                told.append(f"error in the console: {said} {thrown}".strip())
    return told


def main() -> None:
    """Look at one report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for PNG and PDF files")
    options = parser.parse_args()
    if not options.report.is_file():
        parser.error(f"{options.report} is not there; run snakemake, or name another report")
    program = executable()
    if program is None:
        print(NO_BROWSER)
        return
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    with browser(program) as page:
        problems, facts = look(page, options.report, options.pictures)
    print("\n".join([*facts, *problems, f"{len(problems)} problems"]))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
