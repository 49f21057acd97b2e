# SPDX-License-Identifier: MIT
"""The tables of results, taken apart by what the report has one section for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcrage.figures.words import EVERYONE, subgroup_words
from mcrage.metrics.names import is_of_attribute
from mcrage.metrics.rules import LIKELIEST
from mcrage.metrics.rules import WORDS as RULE_WORDS

if TYPE_CHECKING:
    import pandas as pd

    from mcrage.datasets.roles import Roles

CONTEXT = ("dataset", "scenario", "classifier", "threshold")
CONTROLS = ("original", "imbalanced")


@dataclass(frozen=True)
class Results:
    """What one classifier made of every treatment, under one scenario of one dataset.

    Attributes
    ----------
    dataset, scenario, classifier, threshold : str
    roles : Roles
    treatments : tuple of str
        In the order of tables.
    values : mapping of (treatment, subgroup, metric) to ndarray of float64, shape (k,)
        One value per replicate; NaN where undefined.
    support : mapping of (subgroup, metric) to float
        Mean number of test rows behind a value.
    differences : mapping of (baseline, treatment, subgroup, metric) to dict
        Rows of comparisons.parquet.
    gaps : mapping of (treatment, attribute, metric) to ndarray of float64, shape (k,)
        Like `values`, of what compares all subgroups of an attribute, and what tells how to read
        it.
    gap_differences : mapping of (baseline, treatment, attribute, metric) to dict
        Rows of comparisons.parquet about them.
    pairs : mapping of (treatment, pair, metric) to ndarray of float64, shape (k,)
        Like `values`, of a subgroup against the reference; a pair is e.g. "SEX=F against SEX=M".
    pair_support : mapping of (pair, metric) to float
    pair_differences : mapping of (baseline, treatment, pair, metric) to dict
    pair_attributes : mapping of str to str
        Pairs to their attributes, in the order of the table.
    leads : bool
        Whether it is of the first rule by which the classifier's scores became decisions.
    """

    dataset: str
    scenario: str
    classifier: str
    threshold: str
    roles: "Roles"
    treatments: tuple[str, ...]
    values: Mapping[tuple[str, str, str], Any]
    support: Mapping[tuple[str, str], float]
    differences: Mapping[tuple[str, str, str, str], Mapping[str, Any]]
    gaps: Mapping[tuple[str, str, str], Any] = field(default_factory=dict)
    gap_differences: Mapping[tuple[str, str, str, str], Mapping[str, Any]] = field(
        default_factory=dict
    )
    pairs: Mapping[tuple[str, str, str], Any] = field(default_factory=dict)
    pair_support: Mapping[tuple[str, str], float] = field(default_factory=dict)
    pair_differences: Mapping[tuple[str, str, str, str], Mapping[str, Any]] = field(
        default_factory=dict
    )
    pair_attributes: Mapping[str, str] = field(default_factory=dict)
    leads: bool = True

    @property
    def decided(self) -> str:
        """How scores became decisions, in words."""
        if self.threshold == LIKELIEST:
            return "decisions for the likeliest outcome"
        return RULE_WORDS.get(self.threshold, f"threshold {self.threshold}")

    @property
    def n_replicates(self) -> int:
        """Number of replicates."""
        return max(len(values) for values in self.values.values())

    @property
    def tested(self) -> list[str]:
        """The treatments that are no controls."""
        return [name for name in self.treatments if name not in CONTROLS]

    @property
    def baselines(self) -> list[str]:
        """The baselines that differences are given to, in the table's order."""
        return list(dict.fromkeys(baseline for baseline, *_ in self.differences))

    @property
    def subgroups(self) -> dict[str, str]:
        """Judged subgroups without "all": label to the reader's words, in the order of roles."""
        judged = {subgroup for _, subgroup, _ in self.values}
        words = subgroup_words(self.roles)
        words.update({name: name for name in sorted(judged) if name not in words})
        return {k: v for k, v in words.items() if k in judged and k != EVERYONE}

    @property
    def who(self) -> dict[str, str]:
        """`subgroups`, with everyone first."""
        return {EVERYONE: "everyone", **self.subgroups}


def split_results(
    metrics: "pd.DataFrame",
    comparisons: "pd.DataFrame",
    roles: Mapping[str, "Roles"],
    treatments: list[str],
) -> list[Results]:
    """Take the long tables apart.

    Parameters
    ----------
    metrics, comparisons : DataFrame
        results/metrics.parquet and results/comparisons.parquet.
    roles : mapping of str to Roles
        By dataset.
    treatments : list of str
        Order of the tables.

    Returns
    -------
    list of Results
        Sorted by dataset, scenario and classifier, of each all rules in the order of `metrics`.
    """
    metrics = metrics.sort_values("replicate", kind="stable")
    metrics, gaps, pairs = _apart(metrics)
    comparisons, gap_comparisons, pair_comparisons = _apart(comparisons)
    occurring = metrics[list(CONTEXT)].drop_duplicates()
    out = []
    # Rules in the order in which a classifier was judged by them.
    contexts = sorted(occurring.itertuples(index=False, name=None), key=lambda context: context[:3])
    leading = {context[:3]: context for context in reversed(contexts)}
    for context in contexts:
        mine, my_pairs = _of(metrics, context), _of(pairs, context)
        present = set(mine["treatment"])
        out.append(
            Results(
                *context,
                roles=roles[context[0]],
                leads=leading[context[:3]] == context,
                treatments=tuple(name for name in treatments if name in present),
                values=_values(mine, "subgroup"),
                support=_support(mine),
                differences=_differences(_of(comparisons, context), "subgroup"),
                gaps=_values(_of(gaps, context), "attribute"),
                gap_differences=_differences(_of(gap_comparisons, context), "attribute"),
                pairs=_values(my_pairs, "subgroup"),
                pair_support=_support(my_pairs),
                pair_differences=_differences(_of(pair_comparisons, context), "subgroup"),
                pair_attributes=dict(zip(my_pairs["subgroup"], my_pairs["attribute"], strict=True)),
            )
        )
    return out


def _values(table: "pd.DataFrame", who: str) -> dict[tuple[str, str, str], Any]:
    grouped = table.groupby(["treatment", who, "metric"], sort=False, observed=True)
    return {key: block["value"].to_numpy(dtype=float) for key, block in grouped}


def _support(table: "pd.DataFrame") -> dict[tuple[str, str], float]:
    grouped = table.groupby(["subgroup", "metric"], sort=False, observed=True)
    return {key: float(block["support"].mean()) for key, block in grouped}


def _differences(
    table: "pd.DataFrame", who: str
) -> dict[tuple[str, str, str, str], Mapping[str, Any]]:
    keys = ("baseline", "treatment", who, "metric")
    return {tuple(row[key] for key in keys): row for row in table.to_dict("records")}


def _apart(table: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame", "pd.DataFrame"]:
    """Return the rows about one set of rows, about all subgroups of an attribute, and of pairs."""
    between = table["metric"].map(is_of_attribute).astype(bool)
    whole = table["subgroup"] == EVERYONE
    return table[~between], table[between & whole], table[between & ~whole]


def _of(table: "pd.DataFrame", context: tuple[str, ...]) -> "pd.DataFrame":
    chosen = table
    for column, value in zip(CONTEXT, context, strict=True):
        chosen = chosen[chosen[column] == value]
    return chosen
