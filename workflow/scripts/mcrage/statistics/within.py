# SPDX-License-Identifier: MIT
"""Treatments compared on the test rows of one replicate.

Metrics of everyone and of each subgroup, and gaps between subgroups (`within_gaps`). The intervals
say what other test rows from the same source would have given to the very same classifiers. They
say nothing of another split, another training or another seed of a generator: for these there are
replicates (`mcrage.statistics.summary`).

All metrics are arithmetic on sums of rows within groups (subgroup × target): of decisions, of
squared errors and, for AUROC, of placements (`mcrage.statistics.exact.placements`). So a draw of
rows is a product of its weights with one matrix. AUROC by placements leaves out a term whose
variance is that of the whole divided by the rows of the rarer level; parts with fewer than
`EXACT_BELOW` of them are ranked anew in every draw.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import confusion, ratio
from mcrage.metrics.f1 import f1_of
from mcrage.metrics.names import OVERALL
from mcrage.metrics.rates import accuracy, balanced_accuracy
from mcrage.metrics.sufficient import Parts, parts
from mcrage.statistics.exact import delong, mcnemar, placements
from mcrage.statistics.resampling import N_DRAWS, Statistic, auroc_of, draws, percentiles
from mcrage.statistics.within_gaps import Gaps

EXACT_BELOW = 200
OF_DECISIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1_of,
}
OF_SCORES = ("auroc", "brier")
METRICS = (*OF_DECISIONS, *OF_SCORES)
DELONG, MCNEMAR = "DeLong", "McNemar"
COLUMNS = (
    *("threshold", "attribute", "subgroup", "metric", "treatment", "baseline"),
    *("difference", "ci_low", "ci_high", "std_error", "n_draws"),
    *("test", "p_value", "rows_won", "rows_lost", "support"),
)


@dataclass(frozen=True)
class Judged:
    """What one treatment's classifier said of the test rows.

    Attributes
    ----------
    score : ndarray of float64, shape (n,) or (n, K)
    decisions : mapping of str to ndarray of int64, shape (n,)
        Predicted levels by the name of the decision rule; below 0 where it is undefined, and so
        is then what is made of it.
    """

    score: np.ndarray
    decisions: Mapping[str, np.ndarray]


class Cell(NamedTuple):
    """One value of each run, and where it stands in the table.

    Attributes
    ----------
    attribute, subgroup, metric : str
    support : int
    number : int
        Of the part; -1 of gaps, which are of several.
    part : ndarray of bool, shape (n,), or None
        The rows of the part.
    """

    attribute: str
    subgroup: str
    metric: str
    support: int
    number: int = -1
    part: np.ndarray | None = None


class _Rows:
    """The test rows, one group after the other, and the ways in which they are judged."""

    def __init__(
        self, schema: GroupSchema, groups: np.ndarray, references: Mapping[str, str] | None
    ) -> None:
        self.order = np.argsort(groups, kind="stable")
        self.groups = groups[self.order]
        self.n_groups, self.n_subgroups = schema.n_groups, schema.n_subgroups
        self.n_levels = len(schema.levels[-1])
        self.y = schema.target_of(self.groups)
        self.splits: list[Parts] = list(parts(schema, self.groups, references))
        ends = np.searchsorted(self.groups, np.arange(self.n_groups + 1))
        self.slices = [slice(a, b) for a, b in pairwise(ends)]
        # Which subgroups make up each part: (subgroups, parts of all splits).
        every = list(parts(schema, np.arange(self.n_subgroups)))
        self.members = np.concatenate(
            [np.eye(len(split.subgroups))[split.part] for split in every], axis=1
        )
        ends = [0, *accumulate(len(split.subgroups) for split in self.splits)]
        self.places = [slice(a, b) for a, b in pairwise(ends)]
        self.gaps = {
            number: Gaps(split, self._truths(split))
            for number, split in enumerate(self.splits)
            if split.attribute != OVERALL
        }

    def _truths(self, split: Parts) -> np.ndarray:
        n = len(split.subgroups)
        return confusion(self.y, self.y, self.n_levels, split.part, n).sum(axis=2)

    @property
    def levels(self) -> range:
        """Levels that are held against the others: one of two, or each of more."""
        return range(1, 2) if self.n_levels == 2 else range(self.n_levels)

    def each_part(self) -> Iterator[tuple[int, Parts, int, np.ndarray]]:
        """Yield number, split, place in it, and rows (bool) of every part."""
        number = 0
        for split in self.splits:
            for place in range(len(split.subgroups)):
                yield number, split, place, split.part == place
                number += 1

    def cells(self) -> Iterator[Cell]:
        """Yield what every run has a value of: metrics of each part, then gaps."""
        for number, split, place, part in self.each_part():
            for metric in METRICS:
                n = int(part.sum())
                yield Cell(split.attribute, split.subgroups[place], metric, n, number, part)
        for number, gaps in self.gaps.items():
            for subgroup, metric, n in gaps.cells:
                yield Cell(self.splits[number].attribute, subgroup, metric, n)

    def sums(self, weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return weighted sums of columns in each part and level: (draws, K, parts, q)."""
        found = [weights[:, rows] @ columns[rows] for rows in self.slices]
        shape = (len(weights), self.n_levels, self.n_subgroups, -1)
        of_groups = np.stack(found, axis=1).astype(np.float64).reshape(shape)
        return np.einsum("bksq,sp->bkpq", of_groups, self.members, optimize=True)


class _Run:
    """The columns of one treatment, and how metrics follow from their sums."""

    def __init__(self, rows: _Rows, judged: Judged) -> None:
        y, n_levels = rows.y, rows.n_levels
        self.rows = rows
        score = judged.score[rows.order]
        self.rules = list(judged.decisions)
        decided = [judged.decisions[rule][rows.order] for rule in self.rules]
        self.right = np.array([own == y for own in decided])
        self.undecided = np.array(
            [[bool((own[part] < 0).any()) for *_, part in rows.each_part()] for own in decided]
        )
        columns = [own == level for own in decided for level in range(1, n_levels)]
        of_level = score[:, None] if score.ndim == 1 else score
        outcome = np.eye(n_levels)[y][:, 1:] if score.ndim == 1 else np.eye(n_levels)[y]
        columns.append(((of_level - outcome) ** 2).sum(axis=1))
        self.placed = {}  # (level, split number): placements
        self.exact: dict[tuple[int, int], tuple[np.ndarray, Statistic]] = {}
        for level, own in zip(rows.levels, of_level.T, strict=True):
            for number, split in enumerate(rows.splits):
                placed = np.full(len(y), np.nan)
                for place in range(len(split.subgroups)):
                    part = split.part == place
                    placed[part] = placements(y[part] == level, own[part])
                self.placed[level, number] = placed
                columns.append(np.nan_to_num(placed))
            for number, _, _, part in rows.each_part():
                up = int(np.sum(y[part] == level))
                if 0 < min(up, int(part.sum()) - up) < EXACT_BELOW:
                    self.exact[level, number] = part, auroc_of(y[part] == level, own[part])
        self.columns = np.stack([np.asarray(column, dtype=np.float64) for column in columns], 1)

    def values(self, weights: np.ndarray, sums: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Return metrics of each draw, in the order of cells: (rules, cells, draws).

        Parameters
        ----------
        weights : ndarray of float, shape (m, n)
        sums : ndarray of float64, shape (m, K, parts, q)
            Of `columns`.
        n : ndarray of float64, shape (m, K, parts)
            Weights of each level.
        """
        rows, k = self.rows, self.rows.n_levels
        of_scores = [self._auroc(weights, sums, n), self._brier(sums, n)]
        counts = np.empty((len(self.rules), len(n), n.shape[2], k, k))
        for rule in range(len(self.rules)):
            positive = sums[..., rule * (k - 1) : (rule + 1) * (k - 1)]
            first = n[..., None] - positive.sum(axis=-1, keepdims=True)
            counts[rule] = np.moveaxis(np.concatenate([first, positive], axis=-1), 1, 2)
        of_parts = np.empty((len(self.rules), n.shape[2], len(METRICS), len(n)))
        for number, of in enumerate(OF_DECISIONS.values()):
            values = np.moveaxis(of(counts), 1, 2)
            of_parts[:, :, number] = np.where(self.undecided[..., None], np.nan, values)
        for number, values in enumerate(of_scores, len(OF_DECISIONS)):
            of_parts[:, :, number] = values
        found = [of_parts.reshape(len(self.rules), -1, len(n))]
        for number, gaps in rows.gaps.items():
            own = rows.places[number]
            lacking = self.undecided[:, own].any(axis=1)
            found.append(gaps.values(counts[:, :, own], of_scores[0][own].T, lacking))
        return np.concatenate(found, axis=1)

    def _brier(self, sums: np.ndarray, n: np.ndarray) -> np.ndarray:
        column = len(self.rules) * (self.rows.n_levels - 1)
        return ratio(sums[..., column].sum(axis=1), n.sum(axis=1)).T

    def _auroc(self, weights: np.ndarray, sums: np.ndarray, n: np.ndarray) -> np.ndarray:
        rows, column = self.rows, len(self.rules) * (self.rows.n_levels - 1) + 1
        each = []
        for level in rows.levels:
            own = np.empty((n.shape[2], len(n)))
            for place in range(len(rows.splits)):
                parts_ = rows.places[place]
                sum_ = sums[:, :, parts_, column + place]
                up, n_up = sum_[:, level], n[:, level, parts_]
                down, n_down = sum_.sum(axis=1) - up, n[:, :, parts_].sum(axis=1) - n_up
                whole = self._whole(level, place)
                own[parts_] = (ratio(up, n_up) + ratio(down, n_down) - whole).T
            for (exact, number), (part, area) in self.exact.items():
                if exact == level:
                    own[number] = area(weights[:, part])
            each.append(own)
            column += len(rows.splits)
        return np.mean(each, axis=0)

    def _whole(self, level: int, place: int) -> np.ndarray:
        """Return AUROC of the rows as they are, of each part of a split."""
        split, placed = self.rows.splits[place], self.placed[level, place]
        up = self.rows.y == level
        sums = np.bincount(split.part[up], placed[up], minlength=len(split.subgroups))
        return ratio(sums, np.bincount(split.part[up], minlength=len(split.subgroups)))


def compare_within(
    schema: GroupSchema,
    groups: np.ndarray,
    judged: Mapping[str, Judged],
    baselines: Sequence[str],
    *,
    n_draws: int = N_DRAWS,
    seed: int,
    clusters: np.ndarray | None = None,
    references: Mapping[str, str] | None = None,
) -> dict[str, list]:
    """Compare every treatment with every baseline on the same test rows.

    Parameters
    ----------
    schema : GroupSchema
    groups : ndarray of int64, shape (n,)
        Groups of the test rows.
    judged : mapping of str to Judged
        By treatment; all have the same decision rules.
    baselines : sequence of str
        Names of `judged`.
    n_draws : int
        Of the bootstrap, stratified by group; 0 leaves intervals NaN.
    seed : int
    clusters : ndarray, shape (n,), optional
        The patient or hospital of each row, which is then drawn as a whole.
    references : mapping of str to str, optional
        Attribute to the level that others are compared with; see `mcrage.metrics.sufficient.parts`.

    Returns
    -------
    dict of str to list
        `COLUMNS`. ``difference``: the treatment's metric less its baseline's; ``ci_low``,
        ``ci_high``: 95 % percentile interval; ``std_error``: standard deviation over the
        ``n_draws`` in which it was defined. ``test`` and ``p_value``: DeLong's for AUROC of two
        levels, McNemar's for accuracy, with the rows that only the treatment (``rows_won``) or
        only the baseline (``rows_lost``) has right, both -1 elsewhere. Both tests need
        independent rows, so with clusters of more than one row p is NaN. ``support``: test rows, of
        gaps the smallest denominator.
    """
    rows = _Rows(schema, np.asarray(groups), references)
    runs = {name: _Run(rows, own) for name, own in judged.items()}
    pairs = [(b, t) for b in baselines for t in runs if t != b]
    columns = np.concatenate(
        [*(run.columns for run in runs.values()), np.ones((len(groups), 1))], 1
    )
    whole = _values(rows, runs, columns, np.ones((1, len(groups))))
    drawn = _draw(rows, runs, columns, n_draws, seed, clusters) if n_draws else None
    tied = clusters is not None and len(np.unique(clusters)) < len(clusters)
    cells = list(rows.cells())
    out: dict[str, list] = {name: [] for name in COLUMNS}
    for baseline, treatment in pairs:
        difference = (whole[treatment] - whole[baseline])[..., 0]
        if drawn is None:
            found = [np.full(difference.shape, np.nan)] * 3
            found.append(np.zeros(difference.shape, dtype=np.int64))
        else:
            found = list(percentiles(drawn[treatment] - drawn[baseline]))
        undefined = np.isnan(difference)
        low, high, error = (np.where(undefined, np.nan, values) for values in found[:3])
        tests = _Tests(rows, runs[treatment], runs[baseline], tied)
        for rule, name in enumerate(runs[treatment].rules):
            for column, cell in enumerate(cells):
                at = rule, column
                for key, value in zip(
                    COLUMNS,
                    (
                        *(name, cell.attribute, cell.subgroup, cell.metric),
                        *(treatment, baseline, float(difference[at])),
                        *(float(low[at]), float(high[at]), float(error[at])),
                        *(int(found[3][at]), *tests.of(rule, cell), cell.support),
                    ),
                    strict=True,
                ):
                    out[key].append(value)
    return out


def _values(
    rows: _Rows, runs: Mapping[str, _Run], columns: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the metrics of every treatment: (rules, cells, draws) each.

    `columns` are those of all runs side by side, and one of ones.
    """
    widths = np.cumsum([0, *(run.columns.shape[1] for run in runs.values())])
    sums = rows.sums(weights, columns)
    n = sums[..., -1]
    return {
        name: run.values(weights, sums[..., start:end], n)
        for (name, run), start, end in zip(runs.items(), widths, widths[1:], strict=False)
    }


def _draw(
    rows: _Rows,
    runs: Mapping[str, _Run],
    columns: np.ndarray,
    n_draws: int,
    seed: int,
    clusters: np.ndarray | None,
) -> dict[str, np.ndarray]:
    own = None if clusters is None else np.asarray(clusters)[rows.order]
    columns = columns.astype(np.float32)
    made = []
    for weights in draws(rows.groups, n_draws=n_draws, seed=seed, clusters=own):
        found = _values(rows, runs, columns, weights)
        made.append({name: values.astype(np.float32) for name, values in found.items()})
    return {name: np.concatenate([part[name] for part in made], axis=-1) for name in runs}


class _Tests:
    """The tests of one pair of treatments."""

    def __init__(self, rows: _Rows, treatment: _Run, baseline: _Run, tied: bool) -> None:
        self.rows, self.treatment, self.baseline, self.tied = rows, treatment, baseline, tied
        self.split_of = [place for place, split in enumerate(rows.splits) for _ in split.subgroups]

    def of(self, rule: int, cell: Cell) -> tuple[str, float, int, int]:
        """Return test, p-value, rows won and rows lost."""
        part, number = cell.part, cell.number
        if cell.metric == "auroc" and self.rows.n_levels == 2:
            place = 1, self.split_of[number]
            placed = (run.placed[place][part] for run in (self.treatment, self.baseline))
            p_value = np.nan if self.tied else delong(self.rows.y[part] == 1, *placed)[1]
            return DELONG, p_value, -1, -1
        if cell.metric == "accuracy":
            first, second = self.treatment.right[rule][part], self.baseline.right[rule][part]
            found = mcnemar(np.sum(first & ~second), np.sum(second & ~first))
            if self.treatment.undecided[rule][number] or self.baseline.undecided[rule][number]:
                return MCNEMAR, np.nan, -1, -1
            p_value = np.nan if self.tied or not len(first) else float(found.p_value)
            return MCNEMAR, p_value, int(found.won), int(found.lost)
        return "", np.nan, -1, -1
