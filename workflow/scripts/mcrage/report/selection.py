# SPDX-License-Identifier: MIT
"""What the generators' selection chose over replicates, and how much of it is noise."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from mcrage.figures.words import treatment_name
from mcrage.report.numbers import number, signed

SETTING = {
    "learning_rate": "learning rate",
    "condition_dropout": "condition dropout",
    "weight_decay": "weight decay",
    "dropout": "dropout",
    "batch_size": "batch size",
    "noise_mean": "mean of noise",
    "noise_std": "deviation of noise",
}
CRITERIA = {"heldout_loss": "cross-validated loss", "validation_f1": "validation F1"}
COLUMNS = ("step", "member", *SETTING, *CRITERIA)
"""Columns of a history that are read."""

History = Mapping[str, np.ndarray]
Setting = tuple[float, ...]


@dataclass(frozen=True)
class Selection:
    """The scores that a generator was selected by, replicate by replicate.

    Attributes
    ----------
    generator : str
    criterion : {"heldout_loss", "validation_f1"}
    settings : tuple of tuple of float
        S of them, in the order of `SETTING`.
    steps : ndarray of int64, shape (S, K)
        At which members were scored, in the first replicate; an epoch has more steps of smaller
        batches. -1 where a setting was scored less often.
    scores : ndarray of float64, shape (R, S, K)
        Larger is better: F1, or minus the mean of the loss over folds. NaN: undefined.
    """

    generator: str
    criterion: str
    settings: tuple[Setting, ...]
    steps: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, generator: str, histories: Sequence[History]) -> "Selection | None":
        """Read the histories of a generator, one a replicate; None if nothing was chosen."""
        criterion = next(
            (name for name in CRITERIA if all(_is_scored(h, name) for h in histories)), None
        )
        if criterion is None:
            return None
        tables = [_scores(history, criterion) for history in histories]
        settings = tuple(tables[0][0])
        # Replicates may differ by a row, and their checkpoints so by a few steps: they are
        # matched by their order.
        n_steps = min(steps.shape[1] for _, steps, _ in tables)
        scores = np.stack([table[:, :n_steps] for _, _, table in tables])
        return cls(generator, criterion, settings, tables[0][1][:, :n_steps], scores)

    @property
    def chosen(self) -> list[tuple[int, int]]:
        """Setting and step chosen in each replicate, by their places."""
        shape = self.scores.shape[1:]
        # The earliest step first, as in training.
        flat = self.scores.transpose(0, 2, 1).reshape(len(self.scores), -1)
        places = [np.unravel_index(np.nanargmax(row), shape[::-1]) for row in flat]
        return [(int(setting), int(step)) for step, setting in places]

    @property
    def advantage(self) -> np.ndarray:
        """Scores less the median of their replicate, shape (R, S, K)."""
        return self.scores - np.nanmedian(self.scores, axis=(1, 2), keepdims=True)

    def gap(self) -> float:
        """Return how far the chosen lies above the median candidate, mean over replicates."""
        return float(np.mean([self.advantage[(r, *c)] for r, c in enumerate(self.chosen)]))

    def kept_gap(self) -> float:
        """Return how far what one replicate chose lies above the median in the others.

        NaN with one replicate. As large as `gap` if choosing were no lottery, about 0 if it is one.
        """
        n = len(self.scores)
        if n < 2:
            return float("nan")
        others = [
            np.nanmean([self.advantage[(q, *chosen)] for q in range(n) if q != r])
            for r, chosen in enumerate(self.chosen)
        ]
        return float(np.mean(others))

    def noise(self) -> float:
        """Return the standard deviation over replicates of a candidate's advantage, pooled."""
        if len(self.scores) < 2:
            return float("nan")
        return float(np.sqrt(np.nanmean(np.nanvar(self.advantage, axis=0, ddof=1))))

    def agreement(self) -> float:
        """Return the mean correlation between two replicates' scores of the candidates."""
        flat = self.scores.reshape(len(self.scores), -1)
        flat = flat[:, np.isfinite(flat).all(axis=0)]
        if len(flat) < 2 or flat.shape[1] < 3 or (np.ptp(flat, axis=1) == 0).any():
            return float("nan")
        return float(np.corrcoef(flat)[np.triu_indices(len(flat), 1)].mean())


def _is_scored(history: History, criterion: str) -> bool:
    return criterion in history and bool(np.isfinite(history[criterion]).any())


def _scores(history: History, criterion: str) -> tuple[list[Setting], np.ndarray, np.ndarray]:
    """Return settings, and steps and scores (S, K)."""
    scored = ~np.isnan(history[criterion])
    # NaN, where noise is the schedule's, is unlike any other NaN but itself.
    columns = (history[name][scored].tolist() for name in SETTING)
    keys = [
        tuple(np.nan if np.isnan(value) else float(value) for value in key)
        for key in zip(*columns, strict=True)
    ]
    settings = sorted(set(keys))
    cells: list[dict[int, list[float]]] = [{} for _ in settings]
    for key, step, score in zip(
        keys, history["step"][scored].tolist(), history[criterion][scored].tolist(), strict=True
    ):
        cells[settings.index(key)].setdefault(int(step), []).append(score)
    # Of several seeds the best is kept; of folds the mean counts.
    join = max if criterion == "validation_f1" else lambda losses: -float(np.mean(losses))
    shape = (len(settings), max(map(len, cells)))
    steps, table = np.full(shape, -1), np.full(shape, np.nan)
    for place, own in enumerate(cells):
        steps[place, : len(own)] = sorted(own)
        table[place, : len(own)] = [join(own[step]) for step in sorted(own)]
    return settings, steps, table


CHOICE_HEADS = [
    "Generator", "Chosen by", "Candidates", "Setting chosen most often", "Step chosen",
    "Best above median", "in other replicates", "Noise of a score", "Replicates agree",
]  # fmt: skip
AGREEMENT_HEADS = ["Generators", "Same setting", "By chance"]


def choice_rows(selections: Sequence[Selection]) -> list[list[str]]:
    """Return a row per generator, under `CHOICE_HEADS`."""
    rows = []
    for selection in selections:
        n_replicates, n_settings, n_steps = selection.scores.shape
        counts = Counter(setting for setting, _ in selection.chosen)
        setting, times = counts.most_common(1)[0]
        steps = sorted(int(selection.steps[chosen]) for chosen in selection.chosen)
        rows.append(
            [
                treatment_name(selection.generator),
                CRITERIA[selection.criterion],
                f"{n_settings} × {n_steps} steps",
                f"{_told(selection, setting)}: {times} of {n_replicates}"
                + (f" ({len(counts)} different ones)" if len(counts) > 1 else ""),
                f"{steps[len(steps) // 2]:,} ({steps[0]:,} to {steps[-1]:,})",
                *(signed(value, 4) for value in (selection.gap(), selection.kept_gap())),
                number(selection.noise(), 4),
                number(selection.agreement(), 2),
            ]
        )
    return rows


def agreement_rows(selections: Sequence[Selection]) -> list[list[str]]:
    """Return a row per two generators that chose from one grid, under `AGREEMENT_HEADS`.

    Grids of one setting have nothing to agree on.
    """
    rows = []
    for one, other in combinations(selections, 2):
        if one.criterion == other.criterion or one.settings != other.settings:
            continue
        if len(one.settings) < 2 or len(one.scores) != len(other.scores):
            continue
        same = [a[0] == b[0] for a, b in zip(one.chosen, other.chosen, strict=True)]
        names = [f"{treatment_name(s.generator)} ({CRITERIA[s.criterion]})" for s in (one, other)]
        chance = f"1 in {len(one.settings)}"
        rows.append([" and ".join(names), f"{sum(same)} of {len(same)} replicates", chance])
    return rows


def _told(selection: Selection, setting: int) -> str:
    """Name what tells a setting from the others of its grid."""
    values = np.array(selection.settings)
    differing = [
        f"{words} {_short(values[setting, place])}"
        for place, words in enumerate(SETTING.values())
        if np.ptp(values[:, place]) > 0
    ]
    return ", ".join(differing) or "the only one"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"


def selection_tables(histories: Mapping[str, Sequence[History]]) -> dict[str, Any]:
    """Return the tables of one dataset and scenario, for the page; empty without a selection.

    Parameters
    ----------
    histories : mapping of str to sequence of History
        By generator, one a replicate.
    """
    found = [Selection.of(name, replicates) for name, replicates in histories.items()]
    selections = [selection for selection in found if selection is not None]
    if not selections:
        return {}
    return {"choices": choice_rows(selections), "agreements": agreement_rows(selections)}
