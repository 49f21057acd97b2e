# SPDX-License-Identifier: MIT
"""The chain from a result back to the raw files: walked, checked, told.

Every result holds the SHA-256 of what it was made from (`mcrage.provenance`). A chain is intact if
each parent is there and still has the bytes it had, up to raw files, which hold no origin.
"""

import base64
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcrage.provenance import MODEL_FACTS, Origin, file_hash, params_digest, read_origin

# Below results: of the machine and not results, or of a training that goes on.
_BESIDE = ("logs", "benchmarks", "checkpoints")
_DESCRIBED = (".parquet", ".json", ".safetensors", ".svg", ".png", ".html")
_NAME_MAX = 255
# What Snakemake writes, and a word that tells our marks from those of killed jobs.
_MARK = '{"external_jobid": null, "outdated": true}'

Expected = Callable[[str, Mapping[str, str]], str | None]
"""(rule, wildcards) -> the params digest that the present config and code give, if they know it."""


@dataclass(frozen=True)
class Step:
    """One file of a chain.

    Attributes
    ----------
    path : str
    origin : dict or None
        None of a raw file, or of one that can't say where it comes from.
    problems : tuple of str
        What breaks the chain here; empty when intact.
    outdated : bool
        Intact, but the present config or code would make another; the next run will.
    """

    path: str
    origin: Origin | None
    problems: tuple[str, ...] = ()
    outdated: bool = False


@dataclass
class Lineage:
    """Reads and checks chains below one working folder.

    Parameters
    ----------
    root : Path
        The working folder, to which paths are relative.
    expected : callable, optional
        Tells what a file's params digest would be now; without it nothing is called outdated.
    raw : str
        Folder of raw files, which have no origin.
    """

    root: Path
    expected: Expected = lambda rule, wildcards: None
    raw: str = "resources/downloads"
    _hashes: dict[str, str] = field(default_factory=dict)

    def steps(self, paths: Iterable[str]) -> list[Step]:
        """Return the files and all their ancestors, each once, parents before children.

        Parameters
        ----------
        paths : iterable of str
            Relative to the working folder.
        """
        done: dict[str, Step] = {}
        vouched: set[str] = set()
        # Depth first without recursion: chains are short, but families are large.
        stack = [(path, False) for path in reversed(list(paths))]
        while stack:
            path, after_parents = stack.pop()
            if path in done:
                continue
            origin = read_origin(self.root / path)
            parents = [] if origin is None else sorted(origin["parents"])
            if after_parents or not parents:
                vouched.update(parents)
                done[path] = self._step(path, origin)
            else:
                stack.append((path, True))
                stack += [(parent, False) for parent in reversed(parents) if parent not in done]
        for path, step in done.items():
            # A child's hash vouches for its parents; nothing does for the last in line.
            if path not in vouched and not step.problems and (damage := self._damage(path)):
                done[path] = Step(path, step.origin, (damage,))
        return list(done.values())

    def _step(self, path: str, origin: Origin | None) -> Step:
        if not (self.root / path).is_file():
            return Step(path, origin, ("is not there",))
        if origin is None:
            raw = path.startswith(f"{self.raw}/")
            return Step(path, None, () if raw else ("does not say where it comes from",))
        problems = []
        if origin.get("params_digest") != params_digest(origin):
            problems.append("what it says of its params was changed by hand")
        for parent, recorded in origin["parents"].items():
            if (self.root / parent).is_file() and self.hash(parent) != recorded:
                problems.append(f"was made from another {parent}")
        now = self.expected(origin["rule"], origin["wildcards"])
        outdated = not problems and now is not None and now != origin["params_digest"]
        return Step(path, origin, tuple(problems), outdated)

    def hash(self, path: str) -> str:
        """Return the SHA-256 of a file, which is read once."""
        if path not in self._hashes:
            self._hashes[path] = file_hash(self.root / path)
        return self._hashes[path]

    def _damage(self, path: str) -> str | None:
        """Say how a file that nothing was made from is damaged, by its own checksums."""
        if path.endswith(".parquet"):
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                pq.read_table(self.root / path, partitioning=None, page_checksum_verification=True)
            except (OSError, pa.ArrowException) as error:
                return f"is damaged ({str(error).splitlines()[0]})"
        if Path(path).name == MODEL_FACTS:
            from mcrage.tables import read_json

            for name, recorded in read_json(self.root / path).get("files", {}).items():
                beside = Path(path).with_name(name).as_posix()
                if not (self.root / beside).is_file() or self.hash(beside) != recorded:
                    return f"describes another {beside}"
        return None


def result_files(root: Path, results: str = "results") -> Iterator[str]:
    """Yield the files below results that should say where they come from, sorted by folder.

    Parameters
    ----------
    root : Path
        The working folder.
    results : str
    """
    top = root / results
    for folder, folders, names in os.walk(top):
        if Path(folder) == top:
            folders[:] = [name for name in folders if name not in _BESIDE]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_DESCRIBED) and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def distrust_without_record(root: Path, expected: Expected) -> list[str]:
    """Mark results that Snakemake has no record of and that are not what would be made now.

    Snakemake takes a file without a record (results copied from elsewhere, a lost .snakemake) for
    right whatever its params were. Such a file is believed if it says itself that it was made with
    the present params; else it is marked as Snakemake marks the outputs of a killed job, and made
    anew.

    Parameters
    ----------
    root : Path
        The working folder.
    expected : callable
        See `Expected`; files that it does not know are left alone.

    Returns
    -------
    list of str
        What is marked.
    """
    marked = []
    for path in result_files(root):
        if _record(root, "metadata", path).exists():
            continue
        mark = _record(root, "incomplete", path)
        if not _is_as_expected(root / path, expected):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(_MARK, encoding="utf-8")
            marked.append(path)
        elif mark.is_file() and mark.read_text(encoding="utf-8") == _MARK:
            # Settings were changed and changed back.
            mark.unlink()
    return marked


def _is_as_expected(path: Path, expected: Expected) -> bool:
    origin = read_origin(path)
    if origin is None:
        return False
    now = expected(origin["rule"], origin["wildcards"])
    return now is None or now == params_digest(origin) == origin.get("params_digest")


def _record(root: Path, kind: str, path: str) -> Path:
    """Return where Snakemake keeps what it knows of an output.

    Parameters
    ----------
    root : Path
        The working folder.
    kind : {"metadata", "incomplete"}
    path : str
        As the rule names it.
    """
    # A file named after the path in base64, cut into folders where too long for a name.
    name = base64.urlsafe_b64encode(path.encode()).decode()
    size = _NAME_MAX - 1
    parts = [name[i : i + size] for i in range(0, len(name), size)]
    return root.joinpath(".snakemake", kind, *(f"@{part}" for part in parts[:-1]), parts[-1])


def is_noted(root: Path, path: str) -> bool:
    """Return whether Snakemake has written down that the job of an output ended well.

    Parameters
    ----------
    root : Path
        The working folder.
    path : str
        As the rule names it.
    """
    return (
        (root / path).is_file()
        and _record(root, "metadata", path).exists()
        # Of a job that runs or was killed; the record may then be that of an earlier one.
        and not _record(root, "incomplete", path).exists()
    )


def tell(step: Step) -> str:
    """Return one file of a chain in words, several lines."""
    if step.origin is None:
        facts = ["raw file" if not step.problems else "unknown origin"]
    else:
        origin = step.origin
        seeds = ", ".join(f"{name} {value}" for name, value in origin["seeds"].items())
        versions = ", ".join(f"{name} {value}" for name, value in origin["versions"].items())
        counts = origin.get("rows_by_group")
        facts = [
            f"made by {origin['rule']}, params {origin['params_digest']}, code {origin['code']}",
            *([f"seeds: {seeds}"] if seeds else []),
            *([f"versions: {versions}"] if versions else []),
            *([f"rows: {'; '.join(f'{k}: {n}' for k, n in counts.items())}"] if counts else []),
            *(f"from {parent}  {digest[:16]}" for parent, digest in origin["parents"].items()),
        ]
    if step.outdated:
        facts.append("OUTDATED: config or code have changed since; the next run makes it anew")
    facts += [f"BROKEN: {problem}" for problem in step.problems]
    return "\n".join([step.path, *(f"    {fact}" for fact in facts)])


def verdict(steps: Iterable[Step]) -> str:
    """Return in one sentence how many files were checked and what was found."""
    steps = list(steps)
    raw = sum(step.origin is None and not step.problems for step in steps)
    broken = sum(bool(step.problems) for step in steps)
    outdated = sum(step.outdated for step in steps)
    text = f"{len(steps)} files checked, {raw} of them raw: "
    text += "every chain is intact" if not broken else f"{broken} chains are broken"
    if outdated:
        text += f"; {outdated} are outdated, and the next run makes them anew"
    return text + "."


def by_rule(steps: Iterable[Step]) -> list[list[str]]:
    """Return a row for each rule: name, files, code digests, versions; in the order of the chain.

    Parameters
    ----------
    steps : iterable of Step
        Parents before children.
    """
    described = [step.origin for step in steps if step.origin is not None]
    files = Counter(origin["rule"] for origin in described)
    codes: dict[str, dict[str, None]] = {}
    versions: dict[str, dict[str, None]] = {}
    for origin in described:
        codes.setdefault(origin["rule"], {})[origin["code"]] = None
        told = versions.setdefault(origin["rule"], {})
        told |= {f"{name} {value}": None for name, value in origin["versions"].items()}
    return [
        [rule, f"{n:,}", ", ".join(codes[rule]), ", ".join(sorted(versions[rule])) or "none"]
        for rule, n in files.items()
    ]
