# SPDX-License-Identifier: MIT
"""The digest of the code that a stage runs: what makes reruns exact.

Snakemake does not see edits of imported modules, and takes a touched script for a changed one.
The digest is over the import closure of a script within this project, of the syntax trees
without docstrings, comments and formatting, so it changes when, and only when, the code does.
Imports inside functions count; what a registry loads by name is passed in as a further root. Files
of a package that are not Python (the report's templates) count by their bytes. A few modules that
no result depends on are passed over (`BESIDE_RESULTS`).
"""

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
# They can end a job or tell of it, but not change what it writes, so that the digest passes over
# them and what they import: a better message or another pace of checkpoints trains nothing anew.
BESIDE_RESULTS = frozenset(
    {
        "mcrage.stage",  # logs, and says what an exception means; hands on what it was given
        "mcrage.errors",  # what is said of mistakes and full disks
        "mcrage.progress",  # how far it is
        "mcrage.interruption",  # when it ends, told by a signal
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
        digest.update(str(path.relative_to(SCRIPTS)).encode())
        digest.update(_analyse(path)[0].encode())
    for path in _data_files(files):
        digest.update(str(path.relative_to(SCRIPTS)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def code_files(script: str, *modules: str) -> list[Path]:
    """Return the files that `code_digest` of the same arguments reads, sorted."""
    files = _closure(script, modules)
    return sorted([*files, *_data_files(files)])


def forget() -> None:
    """Read files anew from now on; within one process each is read once."""
    _analyse.cache_clear()


def closure(script: str, *modules: str) -> tuple[str, ...]:
    """Return the names of the modules that `code_digest` of the same arguments is over."""
    names = (
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)
        for path in _closure(script, modules)
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
        todo += _analyse(path)[1]
    return sorted(found)


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
    return sorted(
        path
        for package in packages
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        # Below a package of its own it is that package's.
        and not any(
            (parent / "__init__.py").exists()
            for parent in path.parents
            if package in parent.parents
        )
    )


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, by name."""
    return {package: version(package) for package in packages}


@cache
def _analyse(path: Path) -> tuple[str, tuple[Path | None, ...]]:
    """Return the digest of a file and the project's files that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
        if parts[0] == "mcrage"
        for depth in range(1, len(parts) + 1)
    }
    files = tuple(_file_of(name) for name in names)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), files


def _file_of(module: str) -> Path | None:
    stem = SCRIPTS.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None
