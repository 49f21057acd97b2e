# SPDX-License-Identifier: MIT
"""The digest changes when the code does, and only then."""

import pytest

from mcrage import code_digest as module
from mcrage.code_digest import code_digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "mcrage").mkdir()
    (tmp_path / "mcrage" / "__init__.py").write_text("")
    (tmp_path / "mcrage" / "used.py").write_text('"""Doc."""\nX = 1\n')
    (tmp_path / "mcrage" / "lazy.py").write_text("Y = 1\n")
    (tmp_path / "mcrage" / "unused.py").write_text("Z = 1\n")
    (tmp_path / "mcrage" / "named.py").write_text("N = 1\n")
    (tmp_path / "stage.py").write_text(
        "from mcrage.used import X\n\ndef main():\n    from mcrage import lazy\n    return lazy\n"
    )
    monkeypatch.setattr(module, "SCRIPTS", tmp_path)
    module._analyse.cache_clear()
    yield tmp_path
    module._analyse.cache_clear()


def digest_after(path, text, *modules):
    path.write_text(text)
    module._analyse.cache_clear()
    return code_digest("stage", *modules)


@pytest.mark.parametrize(
    "text", ['"""Other doc."""\nX = 1\n', "# comment\nX = 1\n", "X   =   (1)\n"]
)
def test_comments_docstrings_and_formatting_do_not_count(project, text):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / "used.py", text) == before


@pytest.mark.parametrize("name", ["used.py", "lazy.py", "__init__.py"])
def test_an_edit_of_what_is_imported_counts_also_inside_functions(project, name):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / name, "X = Y = 2\n") != before


def test_an_edit_of_what_is_not_imported_does_not_count(project):
    before = code_digest("stage")
    assert digest_after(project / "mcrage" / "unused.py", "Z = 2\n") == before


def test_what_is_loaded_by_name_counts_when_passed(project):
    before = code_digest("stage", "mcrage.named")
    assert digest_after(project / "mcrage" / "named.py", "N = 2\n", "mcrage.named") != before
