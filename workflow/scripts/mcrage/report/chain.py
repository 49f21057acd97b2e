# SPDX-License-Identifier: MIT
"""Where the results of a report come from, checked when the page is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcrage.lineage import Lineage, by_rule, verdict
from mcrage.report.numbers import count

_REBALANCED = "rebalanced.parquet"
_SHOWN_DIGITS = 16


@dataclass(frozen=True)
class Chain:
    """The chain behind a report, in words.

    Attributes
    ----------
    verdict : str
        One sentence.
    broken : bool
    outputs, rebalanced : list of list of str
        A row per file: path, rows, SHA-256 (first digits), params digest.
    rules : list of list of str
        A row per rule: name, files, code digests, versions of libraries.
    """

    verdict: str
    broken: bool
    outputs: list[list[str]]
    rebalanced: list[list[str]]
    rules: list[list[str]]

    @classmethod
    def of(cls, root: Path, outputs: Sequence[str], others: Sequence[str] = ()) -> "Chain":
        """Walk and check the chains of some files.

        Parameters
        ----------
        root : Path
            The working folder.
        outputs : sequence of str
            The main outputs, relative to the working folder: Parquet.
        others : sequence of str
            Checked with them, such as figures.
        """
        lineage = Lineage(root)
        steps = lineage.steps([*outputs, *others])
        paths = [step.path for step in steps if Path(step.path).name == _REBALANCED]
        params = {step.path: (step.origin or {}).get("params_digest", "none") for step in steps}

        def row(path: str) -> list[str]:
            rows = count(_n_rows(root / path))
            return [path, rows, lineage.hash(path)[:_SHOWN_DIGITS], params[path]]

        return cls(
            verdict=verdict(steps),
            broken=any(step.problems for step in steps),
            outputs=[row(path) for path in outputs],
            rebalanced=[row(path) for path in sorted(paths)],
            rules=by_rule(steps),
        )


def _n_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows
