# SPDX-License-Identifier: MIT
"""The metrics of an experiment as tables in Markdown, which `ablation.py` prints."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from mcrage.metrics.names import ALL, OVERALL, is_of_attribute
from mcrage.metrics.rules import HALF, LIKELIEST
from mcrage.report.joint import remedy_name
from mcrage.statistics.joint import Remedy
from mcrage.statistics.paired import ALPHA

COLUMNS = ("metric", "classifier", "dataset")
"""What the columns of a table may be; there is a table for each combination of the others."""

_RUN = ("dataset", "scenario", "classifier", "threshold")
_DIFFERENCE = ("mean_difference", "ci_low", "ci_high", "p_adjusted")

USUAL = ("auroc", "f1", "brier")

MARKS = "*: the 95 % interval excludes 0; **: Holm's correction leaves p < .05, too"


class Shown(NamedTuple):
    """A metric, and of whom."""

    metric: str
    attribute: str
    subgroup: str

    @property
    def words(self) -> str:
        """What the head of a column says."""
        words = self.metric.replace("_", " ")
        if self.attribute == OVERALL:
            return words
        return f"{words}, {self.attribute if self.subgroup == ALL else self.subgroup}"


def shown(metrics: pd.DataFrame, asked: Sequence[str] | None) -> list[Shown]:
    """Return what tables show.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet.
    asked : sequence of str or None
        Each METRIC (of everyone), METRIC@ATTRIBUTE (of the attribute as a whole, or if there is
        no such thing of each of its subgroups) or METRIC@ATTRIBUTE@SUBGROUP. None: `USUAL` of
        everyone and of every level of an attribute.

    Raises
    ------
    SystemExit
        If there is no such metric.
    """
    known = metrics[["metric", "attribute", "subgroup"]].drop_duplicates()
    if asked is None:
        usual = known[
            known["metric"].isin(USUAL) & ~known["attribute"].str.contains("*", regex=False)
        ]
        return [Shown(*row) for row in usual.itertuples(index=False)]
    found = []
    for name in asked:
        metric, attribute, subgroup, *_ = [*name.split("@"), "", ""]
        attribute = attribute or OVERALL
        rows = known[(known["metric"] == metric) & (known["attribute"] == attribute)]
        if subgroup or (is_of_attribute(metric) and (rows["subgroup"] == ALL).any()):
            rows = rows[rows["subgroup"] == (subgroup or ALL)]
        if rows.empty:
            raise SystemExit(f"--show {name}: there is no such metric, attribute or subgroup")
        found += [Shown(*row) for row in rows.itertuples(index=False)]
    return found


def tables(
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame,
    *,
    shown: Sequence[Shown],
    columns: str,
    treatments: Sequence[str],
    rows_are: str = "treatment",
) -> str:
    """Return tables with a row for each treatment, in Markdown.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet.
    comparisons : DataFrame
        The table of results/comparisons.parquet, of one baseline.
    shown : sequence of Shown
    columns : {"metric", "classifier", "dataset"}
        What columns are.
    treatments : sequence of str
        Those that are shown, in order.
    rows_are : str
        What the head of the first column says.
    """
    baseline = comparisons["baseline"].iloc[0]
    wanted = pd.DataFrame([(*one, one.words) for one in shown], columns=[*Shown._fields, "words"])
    means = metrics.groupby(
        [*_RUN, *Shown._fields, "treatment"],
        sort=False,
        observed=True,
    )["value"].mean()
    key = list(means.index.names)
    cells = means.reset_index().merge(wanted, on=list(Shown._fields))
    cells = cells.merge(
        comparisons[[*key, *_DIFFERENCE, "n_replicates"]],
        on=key,
        how="left",
    )
    cells["cell"] = [cell(*row) for row in cells[["value", *_DIFFERENCE]].itertuples(index=False)]
    own = {"metric": "words", "classifier": "classifier", "dataset": "dataset"}[columns]
    apart = [name for name in (*_RUN, "words") if name != own]
    parts = []
    for names, part in cells.groupby(apart, sort=False, observed=True):
        n = int(part["n_replicates"].max()) if part["n_replicates"].notna().any() else 0
        pivot = part.pivot_table(
            index="treatment",
            columns=own,
            values="cell",
            aggfunc="first",
            sort=False,
            observed=True,
        )
        rows = [name for name in treatments if name in pivot.index]
        title = "; ".join(name.replace("_", " ") for name in names if name)
        parts.append(f"**{title}** ({n} replicates; difference to {baseline}; {MARKS})\n")
        parts += lines(pivot.loc[rows], rows_are)
        parts.append("")
    return "\n".join(parts)


def joint_tables(
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame,
    *,
    shown: Sequence[Shown],
    remedies: Sequence[Remedy],
) -> str:
    """Return a table of each dataset and scenario with a row for each remedy, in Markdown.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet.
    comparisons : DataFrame
        Of `mcrage.statistics.joint.compare_remedies`.
    shown : sequence of Shown
        The columns.
    remedies : sequence of Remedy
        The rows in order; plain training first.
    """
    words = {one: remedy_name(one, remedies[0]) for one in remedies}

    def joined(frame: pd.DataFrame) -> pd.DataFrame:
        """Make a treatment of each remedy, of one classifier and rule without names."""
        rules = frame["threshold"].replace(LIKELIEST, HALF)
        names = zip(frame["treatment"], frame["classifier"], rules, strict=True)
        labels = [words.get(name) for name in names]
        out = frame.assign(treatment=labels, classifier="all remedies", threshold="")
        return out[out["treatment"].notna()]

    return tables(
        joined(metrics),
        joined(comparisons).assign(baseline=words[remedies[0]]),
        shown=shown,
        columns="metric",
        treatments=list(words.values()),
        rows_are="remedy",
    )


def lines(pivot: pd.DataFrame, rows_are: str = "treatment") -> Iterator[str]:
    """Yield the lines of a table in Markdown, treatments first."""
    heads = [str(name).replace("_", " ") for name in pivot.columns]
    yield f"| {rows_are} | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * len(heads)
    for name, row in zip(pivot.index, pivot.fillna("").to_numpy(), strict=True):
        yield f"| {name.replace('_', ' ')} | {' | '.join(row)} |"


def cell(
    mean: float, difference: float, low: float, high: float, adjusted: float = float("nan")
) -> str:
    """Return a mean, and its difference to the baseline with an interval if there are any.

    `MARKS` tells what the stars say.

    >>> cell(0.8, 0.012, 0.002, 0.022)
    '0.800 (+0.012 ±0.010*)'
    >>> cell(0.8, 0.012, 0.002, 0.022, 0.04)
    '0.800 (+0.012 ±0.010**)'
    >>> cell(0.8, float("nan"), float("nan"), float("nan"))
    '0.800'
    """
    if pd.isna(mean):
        return "undefined"
    if pd.isna(difference):
        return f"{mean:.3f}"
    if pd.isna(low):
        return f"{mean:.3f} ({difference:+.3f})"
    sure = "*" if low > 0 or high < 0 else ""
    sure += "*" if sure and adjusted < ALPHA else ""
    return f"{mean:.3f} ({difference:+.3f} ±{(high - low) / 2:.3f}{sure})"
