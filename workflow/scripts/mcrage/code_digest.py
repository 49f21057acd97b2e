# SPDX-License-Identifier: MIT
"""The digest of the code that a stage runs: what makes reruns exact.

Snakemake does not see edits of imported modules, and takes a touched script for a changed one.
The digest is over the import closure of a script within this project, of the syntax trees
without docstrings, comments and formatting, so it changes when, and only when, the code does.
Imports inside functions count; what a registry loads by name is passed in as a further root. Files
of a package that are not Python (the report's templates) count by their bytes. A few modules that
no result depends on are passed over (`BESIDE_RESULTS`). A generator of another package is a root
like any other, with what it imports of its own package and of this project.

To parse the library takes a second, which each dry run would pay, so what was found of a file is
noted beside Snakemake's records, with the hash of its bytes: it holds for these bytes alone.
"""

import ast
import hashlib
import io
import json
import os
import sys
import tokenize
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
# In the working folder.
_NOTES = Path(".snakemake", "mcrage_code.json")
# They can end a job or tell of it, but not change what it writes, so that the digest passes over
# them and what they import: a better message or another pace of checkpoints trains nothing anew.
BESIDE_RESULTS = frozenset(
    {
        "mcrage.stage",  # logs, and says what an exception means; hands on what it was given
        "mcrage.errors",  # what is said of mistakes and full disks
        "mcrage.progress",  # how far it is
        "mcrage.interruption",  # when it ends, told by a signal
        "mcrage.checkpoint_folders",  # when states are deleted
        "mcrage.generators.checkpoint",  # how often a state is kept; a wrong one is refused
    }
)


def code_digest(script: str, *modules: str) -> str:
    """Return the digest of a script and of the project's modules that it imports.

    Parameters
    ----------
    script : str
        Name of a file in workflow/scripts, without ``.py``.
    *modules : str
        Further roots that are loaded by name, e.g. ``"mcrage.generators.cddpm"``.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    files = _closure(script, modules)
    digest = hashlib.sha256()
    for path in files:
        digest.update(_name(path).encode())
        digest.update(_analyse(path)[0].encode())
    for path in _data_files(files):
        digest.update(_name(path).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def code_files(script: str, *modules: str) -> list[Path]:
    """Return the files that `code_digest` of the same arguments reads, sorted."""
    files = _closure(script, modules)
    return sorted([*files, *_data_files(files)])


def forget() -> None:
    """Read files anew from now on; within one process each is read once."""
    for function in _READING:
        function.cache_clear()


def remember() -> None:
    """Note what was found of files, for who plans or works in this folder next."""
    notes = _notes()
    if not notes.unwritten or not _NOTES.parent.is_dir():
        return
    text = json.dumps({"by": _who_analyses(), "files": notes.files})
    # Whole or not at all, since others read it at the same time; a folder may be read-only.
    with suppress(OSError):
        temporary = _NOTES.with_name(f"{_NOTES.name}.{os.urandom(8).hex()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(_NOTES)
    notes.unwritten = False


def closure(script: str, *modules: str) -> tuple[str, ...]:
    """Return the names of the modules that `code_digest` of the same arguments is over."""
    names = (
        ".".join(Path(_name(path)).with_suffix("").parts) for path in _closure(script, modules)
    )
    return tuple(name.removesuffix(".__init__") for name in names)


def _closure(script: str, modules: Iterable[str]) -> list[Path]:
    todo = [SCRIPTS / f"{script}.py", *(_file_of(module) for module in modules)]
    found: set[Path] = set()
    beside = {_file_of(module) for module in BESIDE_RESULTS}
    while todo:
        path = todo.pop()
        if path is None or path in found or path in beside:
            continue
        found.add(path)
        todo += _imported(path)
    return sorted(found)


@cache
def rules_digest() -> str:
    """Return the digest of the Snakefile and the rule files without comments and docstrings.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in rule_files():
        digest.update(path.name.encode())
        digest.update(repr(_tokens(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()[:16]


def rule_files() -> list[Path]:
    """Return the Snakefile and the rule files, sorted."""
    return [SCRIPTS.parents[1] / "Snakefile", *sorted((SCRIPTS.parent / "rules").glob("*.smk"))]


def _tokens(text: str) -> list[str]:
    # Rule files are Python to the tokenizer only. A docstring is a triple-quoted string alone on
    # its logical line.
    unread = {tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}
    out, line = [], []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in unread:
            continue
        line.append(token)
        if token.type == tokenize.NEWLINE:
            words = [
                t for t in line if t.type not in (tokenize.INDENT, tokenize.DEDENT, token.type)
            ]
            if not (len(words) == 1 and words[0].string.startswith('"""')):
                out += [t.string for t in line]
            line = []
    return out


def _data_files(files: Iterable[Path]) -> list[Path]:
    """Return what lies in the packages of these files and is not Python, sorted."""
    packages = [path.parent for path in files if path.name == "__init__.py"]
    return sorted(path for package in packages for path in _data_of(package))


@cache
def _data_of(package: Path) -> tuple[Path, ...]:
    found = []
    for folder, folders, names in os.walk(package):
        # What lies below a package of its own is that package's.
        folders[:] = [
            name
            for name in folders
            if name != "__pycache__" and not os.path.exists(f"{folder}/{name}/__init__.py")
        ]
        found += [Path(folder, name) for name in names if not name.endswith((".py", ".pyc"))]
    return tuple(path for path in found if path.is_file())


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, by name."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    return version(package)


class _Notes:
    """What was found of files: by path, the hash of its bytes, its digest and its imports."""

    def __init__(self, files: dict[str, list]) -> None:
        self.files = files
        self.unwritten = False


@cache
def _notes() -> _Notes:
    try:
        told = json.loads(_NOTES.read_text(encoding="utf-8"))
        return _Notes(dict(told["files"]) if told["by"] == _who_analyses() else {})
    except (OSError, ValueError, KeyError, TypeError):
        return _Notes({})


def _who_analyses() -> list[str]:
    """Return what else than a file's bytes decides what is found of it."""
    return [sys.version, hashlib.sha256(Path(__file__).read_bytes()).hexdigest()]


@cache
def _analyse(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a file and the names of the project's modules that it may import."""
    content = path.read_bytes()
    read, notes = hashlib.sha256(content).hexdigest(), _notes()
    match notes.files.get(_name(path)):
        case [noted, str(digest), [*names]] if noted == read:
            return digest, tuple(names)
    tree = ast.parse(content)
    own = Path(_name(path)).parts[0]
    imported: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                imported += [alias.name for alias in node.names]
            case ast.ImportFrom() if node.module:
                imported.append(node.module)
                imported += [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:] or [ast.Pass()]
    names = {
        ".".join(parts[:depth])
        for parts in (name.split(".") for name in imported)
        if parts[0] in ("mcrage", own)
        for depth in range(1, len(parts) + 1)
    }
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    notes.files[_name(path)] = [read, digest, sorted(names)]
    notes.unwritten = True
    return digest, tuple(names)


@cache
def _imported(path: Path) -> tuple[Path | None, ...]:
    """Return the project's files that a file imports."""
    return tuple(map(_file_of, _analyse(path)[1]))


@cache
def _name(path: Path) -> str:
    """Return a file's path from where its package lies."""
    home = SCRIPTS
    if not path.is_relative_to(home):
        home = path.parent
        while (home / "__init__.py").is_file():
            home = home.parent
    return str(path.relative_to(home))


@cache
def _file_of(module: str) -> Path | None:
    *packages, name = module.split(".")
    folder = _home(module.partition(".")[0]).joinpath(*packages)
    # Most names are not of modules but of what is in them.
    names = _names_in(folder)
    if f"{name}.py" in names and (path := folder / f"{name}.py").is_file():
        return path
    if name in names and (path := folder / name / "__init__.py").is_file():
        return path
    return None


@cache
def _home(package: str) -> Path:
    """Return where a package or a module lies: of this project, or an installed one."""
    if package == "mcrage":
        return SCRIPTS
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return SCRIPTS
    file = Path(spec.origin)
    return file.parents[1] if file.name == "__init__.py" else file.parent


@cache
def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


_READING = (
    *(_analyse, _imported, _file_of, _home, _names_in, _data_of, _name, _notes, _version),
    rules_digest,
)
