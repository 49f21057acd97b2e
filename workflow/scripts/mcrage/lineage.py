# SPDX-License-Identifier: MIT
"""The chain from a result back to the raw files: walked, checked, told.

Every result holds the SHA-256 of what it was made from (`mcrage.provenance`). A chain is intact if
each parent is there and still has the bytes it had, up to raw files, which hold no origin.
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcrage.provenance import MODEL_FACTS, Origin, file_hash, params_digest, read_origin

# Below results: of the machine and not results, of a training that goes on, or on their way.
_BESIDE = ("logs", "benchmarks", "checkpoints", "together")
DESCRIBED = (".parquet", ".json", ".safetensors", ".svg", ".png", ".html")
_NAME_MAX = 255
# What Snakemake writes, and a word that tells our marks from those of killed jobs.
_MARK = '{"external_jobid": null, "outdated": true}'
_NOTES = Path(".snakemake", "mcrage_results.json")

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
    remake : tuple of str
        Files that, made anew with all that follows from them, mend it.
    outdated : bool
        Intact, but the present config or code would make another; the next run will.
    """

    path: str
    origin: Origin | None
    problems: tuple[str, ...] = ()
    remake: tuple[str, ...] = ()
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
        entered: set[str] = set()
        # Depth first without recursion: chains are short, but families are large.
        stack = [(path, False) for path in reversed(list(paths))]
        while stack:
            path, after_parents = stack.pop()
            if path in done or (path in entered and not after_parents):
                # The second: it is being walked, so it would be its own ancestor. Its hash can't
                # be right then, and its child says so.
                continue
            origin = read_origin(self.root / path)
            parents = [] if origin is None else sorted(origin["parents"])
            if after_parents or not parents:
                vouched.update(parents)
                done[path] = self._step(path, origin)
            else:
                entered.add(path)
                stack.append((path, True))
                stack += [(parent, False) for parent in reversed(parents) if parent not in done]
        for path, step in done.items():
            # A child's hash vouches for its parents; nothing does for the last in line.
            if path not in vouched and not step.problems and (damage := self._damage(path)):
                done[path] = Step(path, step.origin, (damage,), (path,))
        return list(done.values())

    def _step(self, path: str, origin: Origin | None) -> Step:
        if not (self.root / path).is_file():
            return Step(path, origin, ("is not there",), (path,))
        if origin is None:
            raw = path.startswith(f"{self.raw}/")
            told = () if raw else ("does not say where it comes from",)
            return Step(path, None, told, () if raw else (path,))
        problems, remake = [], []
        if origin["params_digest"] != params_digest(origin):
            problems.append("what it says of its params was changed by hand")
            remake.append(path)
        if not _fits(path, origin["wildcards"]):
            problems.append(f"was made for another place ({origin['wildcards']})")
            remake.append(path)
        for parent, recorded in origin["parents"].items():
            if (self.root / parent).is_file() and self.hash(parent) != recorded:
                problems.append(f"was made from another {parent}")
                remake.append(parent)
        now = self.expected(origin["rule"], origin["wildcards"])
        outdated = not problems and now is not None and now != origin["params_digest"]
        return Step(path, origin, tuple(problems), tuple(remake), outdated)

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


def _fits(path: str, wildcards: Mapping[str, str]) -> bool:
    """Whether a path is one of these wildcards: each is a folder of it, or ends its name."""
    parts = Path(path).with_suffix("").parts
    return all(value in parts or parts[-1].endswith(f"_{value}") for value in wildcards.values())


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
            if name.endswith(DESCRIBED) and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def distrust(root: Path, expected: Expected, is_output: Callable[[str], bool]) -> list[str]:
    """Mark results that are not what would be made now, whatever Snakemake has a record of.

    Snakemake goes by its own records: a file that was copied over another, or that was dated anew
    by ``--touch``, passes for what the record says, and one without a record passes for right. The
    file itself knows better. One that was made with other params is marked as Snakemake marks the
    outputs of a killed job, and so made anew.

    Parameters
    ----------
    root : Path
        The working folder.
    expected : callable
        See `Expected`; files that it does not know are left alone.
    is_output : callable
        Whether a path is the output of a rule; asked of files that don't say where they come from.

    Returns
    -------
    list of str
        What is marked.
    """
    notes = _read_notes(root)
    new: dict[str, list] = {}
    marked = []
    for path in result_files(root):
        status = (root / path).stat()
        note = notes.get(path)
        if note is None or note[:2] != [status.st_mtime_ns, status.st_size]:
            note = [status.st_mtime_ns, status.st_size, *_told(root / path)]
        new[path] = note
        mark = record(root, "incomplete", path)
        if not _is_as_expected(path, note[2:], expected, is_output):
            if not mark.exists():
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.write_text(_MARK, encoding="utf-8")
            marked.append(path)
        elif mark.is_file() and mark.read_text(encoding="utf-8") == _MARK:
            # Settings were changed and changed back.
            mark.unlink()
    if new != notes:
        _write_notes(root, new)
    return marked


def _told(path: Path) -> list:
    """Return rule, wildcards and params digest of a file; a digest changed by hand is none."""
    origin = read_origin(path)
    if origin is None:
        return [None, {}, None]
    digest = params_digest(origin)
    return [
        origin["rule"],
        origin["wildcards"],
        digest if digest == origin["params_digest"] else None,
    ]


def _is_as_expected(
    path: str, told: list, expected: Expected, is_output: Callable[[str], bool]
) -> bool:
    rule, wildcards, digest = told
    if rule is None:
        return not is_output(path)
    now = expected(rule, wildcards)
    return now is None or (now == digest and _fits(path, wildcards))


def _read_notes(root: Path) -> dict[str, list]:
    """Return what files said when they were last read, by date and size; reading all takes long."""
    try:
        notes = json.loads((root / _NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _write_notes(root: Path, notes: dict[str, list]) -> None:
    path = root / _NOTES
    path.parent.mkdir(exist_ok=True)
    # Two may look at the same time; each puts a whole file in place.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(notes), encoding="utf-8")
    temporary.replace(path)


def record(root: Path, kind: str, path: str) -> Path:
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
        (root / path).exists()
        and record(root, "metadata", path).exists()
        # Of a job that runs or was killed; the record may then be that of an earlier one.
        and not record(root, "incomplete", path).exists()
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
