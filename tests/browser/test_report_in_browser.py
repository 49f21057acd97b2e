# SPDX-License-Identifier: MIT
"""The report in a real browser, and that what is wrong in a page is found: look.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import look
from chromium import Page, browser, executable
from look import look as looked
from mcrage.report.page import FigureFile, render_report
from test_report import DATASET, PRIMARY, PUBLISHED, SCENARIO, read_published, sections, settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason=look.NO_BROWSER),
]
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"><rect width="9"/></svg>'


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser(executable()) as opened:
        yield opened


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("figures")
    place = folder / DATASET / SCENARIO / "random_forest"
    place.mkdir(parents=True)
    drawn = [place / "roc.svg", place / "differences_to_imbalanced.svg"]
    for path in drawn:
        path.write_text(PICTURE)
    return render_report(
        sections(),
        settings=settings() | {"primary": PRIMARY},
        figures=[FigureFile.of(path, folder) for path in drawn],
        published=[read_published(PUBLISHED)],
    )


def problems(page: Page, folder: Path, html: str) -> list[str]:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return looked(page, path)[0]


def test_the_report_is_whole_on_every_screen_and_on_paper(page, html, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    found, facts = looked(page, path, tmp_path)
    assert found == []
    assert facts[0].startswith("phone, 390 px: ")
    assert ", 2 images, " in facts[0]
    pictures = {each.name for each in tmp_path.glob("*.p[nd][gf]")}
    assert {"phone-01.png", "desktop-01.png", "print.pdf"} <= pictures
    assert (tmp_path / "phone-01.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ('<p style="width: 700px">x</p>', "phone: wider than the window: "),
        ('<div style="width: 1400px">x</div>', "desktop: wider than the window: "),
        ('<img src="data:image/svg+xml;base64,AAAA" alt="x">', "images that do not load: 1"),
        ('<img src="nothing.svg" alt="x">', "images that do not load: 1, first <img> x"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "images without words: 1"),
        ('<a href="#nowhere">x</a>', "links to nowhere in the page: 1, first <a> x"),
        ('<p id="limits">x</p>', "identifiers that stand twice: 1, first limits"),
        ('<a download href="data:text/csv,">x</a>', "downloads without content: 1, first <a> x"),
        ("<script>console.error('no')</script>", "error in the console: no"),
        ("<script>nobody()</script>", "nobody is not defined"),
        ('<img src="http://127.0.0.1:9/a.png" alt="x">', "asks the network for http://127.0.0.1:9/a"),
        ("<style>details::details-content { content-visibility: hidden !important }</style>",
         "print: folded away and not printed: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(page, html, tmp_path, added, told):
    broken = html.replace("</main>", f"{added}</main>")
    assert broken != html
    assert any(told in problem for problem in problems(page, tmp_path, broken))


def test_a_script_that_fails_is_not_taken_for_a_page_without_problems(page):
    with pytest.raises(RuntimeError, match="nobody is not defined"):
        page.run("nobody()")
    with pytest.raises(RuntimeError, match="ERR_FILE_NOT_FOUND"):
        page.open("file:///nowhere/page.html")
