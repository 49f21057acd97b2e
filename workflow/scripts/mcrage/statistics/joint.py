# SPDX-License-Identifier: MIT
"""All remedies of an experiment compared with plain training, whatever they act on.

A remedy changes the training rows (a treatment), how a classifier learns (one without the sensitive
attribute, GroupDRO, recalibration) or how scores become decisions (a rule). `summary.compare` holds
classifier and rule fixed; here all three stand in one family.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from mcrage.metrics.names import is_of_scores
from mcrage.metrics.rules import HALF, LIKELIEST, RANDOMISED
from mcrage.statistics.summary import Margins, compare


class Remedy(NamedTuple):
    """What was done about a table: the columns of results/metrics.parquet that tell it.

    Attributes
    ----------
    treatment, classifier, threshold : str
    """

    treatment: str
    classifier: str
    threshold: str


def all_remedies(
    plain: str,
    treatments: Sequence[str],
    classifiers: Sequence[str],
    thresholds: Sequence[str],
    lotteries: Sequence[str] = (),
) -> list[Remedy]:
    """Return an experiment's remedies, each of which departs from plain training in one thing.

    Parameters
    ----------
    plain : str
        The treatment that does nothing.
    treatments, classifiers, thresholds : sequence of str
        In order; plain training has the first classifier and the first rule.
    lotteries : sequence of str
        Classifiers whose decisions are meant to be drawn; each is one more remedy by that rule.

    Returns
    -------
    list of Remedy
        Plain training first; then every treatment, every other classifier, and every other rule.
    """
    first = Remedy(plain, classifiers[0], thresholds[0])
    found = [first, *(first._replace(treatment=name) for name in treatments)]
    for name in classifiers:
        found.append(first._replace(classifier=name))
        if name in lotteries and RANDOMISED in thresholds:
            found.append(Remedy(plain, name, RANDOMISED))
    found += [first._replace(threshold=rule) for rule in thresholds]
    return list(dict.fromkeys(found))


def compare_remedies(
    metrics: pd.DataFrame,
    remedies: Sequence[Remedy],
    test_to_train: Mapping[str, float],
    controls: Sequence[str] = (),
    margins: Margins | None = None,
) -> pd.DataFrame:
    """Compare every remedy with plain training, paired over replicates, as `compare` does.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet; runs that are not among `remedies` are left out.
    remedies : sequence of Remedy
        The first is what others are compared with. ``"0.5"`` stands for the likeliest level where a
        target has many.
    test_to_train, controls, margins
        See `compare`.

    Returns
    -------
    DataFrame
        The columns of `compare`, of which treatment, classifier and threshold name the remedy, and
        ``baseline_classifier`` and ``baseline_threshold``. ``p_adjusted`` is Holm's over all
        remedies, controls apart, within one dataset, scenario, metric and subgroup. Metrics of
        scores stand once for each treatment and classifier: rules share them, and counted again
        they would only make the correction harsher.

    Raises
    ------
    ValueError
        If a run stands twice, or none is of plain training.
    """
    plain = remedies[0]
    labelled = _labelled(metrics, remedies)
    if not (labelled["treatment"] == _label(plain)).any():
        raise ValueError(f"metrics hold no run of {', '.join(plain)}")
    own = [_label(one) for one in remedies if one.treatment in controls]
    by_decisions, by_scores = (
        compare(part, [_label(plain)], test_to_train, own, margins or Margins())
        for part in (labelled, labelled[~_repeats(labelled, remedies)])
    )
    # Warnings about decisions go by everyone's AUROC too, which the repeated rows hold.
    out = pd.concat(
        [
            by_decisions[~by_decisions["metric"].map(is_of_scores).astype(bool)],
            by_scores[by_scores["metric"].map(is_of_scores).astype(bool)],
        ]
    )
    out = out[_ran(out, labelled) & ~_repeats(out, remedies)].reset_index(drop=True)
    return _named(out, plain, metrics)


def _label(remedy: Remedy) -> str:
    return "\n".join(remedy)


def _labelled(metrics: pd.DataFrame, remedies: Sequence[Remedy]) -> pd.DataFrame:
    """Return the remedies' rows, as if each were a treatment of one classifier and rule."""
    rule = metrics["threshold"].astype(str).replace(LIKELIEST, HALF)
    label = metrics["treatment"].astype(str) + "\n" + metrics["classifier"].astype(str)
    label += "\n" + rule
    kept = label.isin([_label(one) for one in remedies])
    _, classifier, threshold = remedies[0]
    return metrics.assign(treatment=label, classifier=classifier, threshold=threshold)[kept]


def _repeats(table: pd.DataFrame, remedies: Sequence[Remedy]) -> pd.Series:
    """Tell the metrics of scores that a remedy shares with one before it, of another rule."""
    rules: dict[tuple[str, str], str] = {}
    for one in remedies:
        rules.setdefault(one[:2], one.threshold)
    again = [_label(one) for one in remedies if rules[one[:2]] != one.threshold]
    return table["treatment"].isin(again) & table["metric"].map(is_of_scores).astype(bool)


def _ran(table: pd.DataFrame, labelled: pd.DataFrame) -> pd.Series:
    """Tell the comparisons of remedies that a dataset and scenario have runs of."""
    places = ["dataset", "scenario", "treatment"]
    runs = pd.MultiIndex.from_frame(labelled[places].drop_duplicates())
    return pd.Series(pd.MultiIndex.from_frame(table[places]).isin(runs), table.index)


def _named(table: pd.DataFrame, plain: Remedy, metrics: pd.DataFrame) -> pd.DataFrame:
    """Give each remedy its three names back."""
    names = [Remedy(*label.split("\n")) for label in table["treatment"]]
    out = table.assign(
        **{name: [one[k] for one in names] for k, name in enumerate(Remedy._fields)},
        baseline=plain.treatment,
    )
    place = out.columns.get_loc("baseline") + 1
    out.insert(place, "baseline_classifier", plain.classifier)
    out.insert(place + 1, "baseline_threshold", plain.threshold)
    many = out["dataset"].isin(metrics.loc[metrics["threshold"] == LIKELIEST, "dataset"].unique())
    for column in ("threshold", "baseline_threshold"):
        out.loc[many & (out[column] == HALF), column] = LIKELIEST
    return out
