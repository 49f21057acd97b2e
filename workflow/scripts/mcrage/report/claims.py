# SPDX-License-Identifier: MIT
"""What a paper claims, one by one, beside what our comparisons show."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mcrage.config.published import Claim, Published
from mcrage.figures.differences import has_interval, verdict
from mcrage.figures.words import EVERYONE, metric_name, treatment_name
from mcrage.report.numbers import difference, p_value
from mcrage.report.results import Results

BORNE_OUT, CONTRADICTED, NOT_SHOWN = "borne out", "contradicted", "not shown either way"
_LEVEL = 0.05


def claim_sentences(
    results: Results,
    paper: Published,
    test_to_train: float,
    shortfalls: Mapping[str, str] | None = None,
) -> list[str]:
    """Return a sentence for each claim of a paper: what it claims, our numbers, the verdict.

    Parameters
    ----------
    results : Results
    paper : Published
        One that applies to these results.
    test_to_train : float
        Rows in the test set over rows in the training pool.
    shortfalls : mapping of str to str, optional
        Treatment to what its generator's training lacks of its preset's, for those that lack any.

    Returns
    -------
    list of str
        In the order of the file. A verdict needs a 95 % interval that leaves out 0 and a p-value
        below .05 by Holm's correction over the claims judged with the same treatment of ours.
    """
    found = {
        (number, name): _row(results, paper, claim, name, test_to_train)
        for number, claim in enumerate(paper.claims)
        for name in _ours(results, paper, claim)
    }
    adjusted = _adjusted(found)
    sentences = [
        f"Claimed ({claim.where}): {claim.says}{_printed(paper, claim)}. "
        + _judged(
            results,
            paper,
            claim,
            {
                name: (row, adjusted.get((number, name), np.nan))
                for (number_of, name), row in found.items()
                if number_of == number
            },
            shortfalls or {},
        )
        for number, claim in enumerate(paper.claims)
    ]
    # How short a training was is told in full where it is first met.
    for told in {f": {text}" for text in (shortfalls or {}).values()}:
        first = next((place for place, one in enumerate(sentences) if told in one), -1)
        sentences[first + 1 :] = [one.replace(told, "") for one in sentences[first + 1 :]]
    return sentences


def claim_verdict(row: Mapping[str, Any], p_adjusted: float, direction: str) -> str:
    """Return `BORNE_OUT`, `CONTRADICTED` or `NOT_SHOWN`.

    Parameters
    ----------
    row : mapping
        A row of comparisons.parquet.
    p_adjusted : float
        Its p-value, corrected for the family of claims.
    direction : {"higher", "lower"}
        Where the paper says that its method lies.
    """
    if verdict(row) == "unclear" or not p_adjusted < _LEVEL:
        return NOT_SHOWN
    return BORNE_OUT if (row["mean_difference"] > 0) == (direction == "higher") else CONTRADICTED


def _ours(results: Results, paper: Published, claim: Claim) -> list[str]:
    return [name for name in paper.row(claim.treatment).treatments if name in results.treatments]


def _row(
    results: Results, paper: Published, claim: Claim, treatment: str, test_to_train: float
) -> Mapping[str, Any] | None:
    place = claim.attribute or claim.subgroup
    compared = results.gap_differences if claim.attribute else results.differences
    baselines = paper.row(claim.baseline).treatments
    for baseline in baselines:
        row = compared.get((baseline, treatment, place, claim.metric))
        if row is not None:
            return row
    # A paper compares its rows with each other, also with a control that is no baseline here.
    values = results.gaps if claim.attribute else results.values
    mine = values.get((treatment, place, claim.metric))
    for baseline in baselines:
        other = values.get((baseline, place, claim.metric))
        if mine is not None and other is not None and baseline != treatment:
            return _compared(mine - other, claim.metric, test_to_train)
    return None


def _compared(differences: np.ndarray, metric: str, test_to_train: float) -> Mapping[str, Any]:
    """Return what comparisons.parquet would hold of the differences of each replicate."""
    from mcrage.statistics.paired import Paired

    paired = Paired.of(differences, test_to_train)
    low, high = paired.interval()
    return {
        "metric": metric,
        "n_replicates": int(paired.k),
        "mean_difference": float(paired.mean),
        "ci_low": float(low),
        "ci_high": float(high),
        "p_value": float(paired.p_value()),
    }


def _adjusted(found: Mapping[tuple[int, str], Any]) -> dict[tuple[int, str], float]:
    from mcrage.statistics.paired import holm

    out = {}
    for treatment in {name for _, name in found}:
        family = [k for k, row in found.items() if k[1] == treatment and row and has_interval(row)]
        if family:
            p_values = np.array([[found[key]["p_value"] for key in family]], dtype=np.float64)
            out.update(zip(family, map(float, holm(p_values)[0]), strict=True))
    return out


def _printed(paper: Published, claim: Claim) -> str:
    if claim.attribute or claim.subgroup != EVERYONE:
        return ""
    values = [
        paper.row(name).values.get(claim.metric) for name in (claim.baseline, claim.treatment)
    ]
    return f" ({values[0]} to {values[1]})" if all(values) else ""


def _judged(
    results: Results,
    paper: Published,
    claim: Claim,
    rows: Mapping[str, tuple[Mapping[str, Any] | None, float]],
    shortfalls: Mapping[str, str],
) -> str:
    if not rows:
        names = " or ".join(map(treatment_name, paper.row(claim.treatment).treatments))
        return f"Not judged here: the experiment has no treatment {names}."
    known = {name: pair for name, pair in rows.items() if pair[0] is not None}
    if not known:
        return f"Not judged here: {_lacking(results, paper, claim)}."
    told = [
        _told(name, *pair, claim.direction) + _short(name, shortfalls)
        for name, pair in known.items()
    ]
    who = (
        f"between subgroups of {claim.attribute}"
        if claim.attribute
        else f"for {results.who.get(claim.subgroup, claim.subgroup)}"
    )
    return f"Here, {metric_name(claim.metric)} {who}: {'; '.join(told)}."


def _lacking(results: Results, paper: Published, claim: Claim) -> str:
    baselines = paper.row(claim.baseline).treatments
    if not set(baselines) & set(results.treatments):
        names = " or ".join(map(treatment_name, baselines))
        return f"the experiment has no treatment {names} to compare with"
    told = metric_name(claim.metric)
    if claim.attribute:
        return f"{told} is not compared for {claim.attribute}"
    return f"{told} is not compared for {results.who.get(claim.subgroup, claim.subgroup)}"


def _short(name: str, shortfalls: Mapping[str, str]) -> str:
    return f", with so short a training: {shortfalls[name]}" if name in shortfalls else ""


def _told(name: str, row: Mapping[str, Any], p_adjusted: float, direction: str) -> str:
    mean = row["mean_difference"]
    if np.isnan(mean):
        return f"{treatment_name(name)} not judged here, since the metric is undefined"
    numbers = f"{treatment_name(name)} {difference(mean, row['ci_low'], row['ci_high'])}"
    if not has_interval(row):
        return f"{numbers}, not judged here, since one replicate gives no interval"
    return (
        f"{numbers} over {row['n_replicates']} replicates ({p_value(p_adjusted)}): "
        f"{claim_verdict(row, p_adjusted, direction)}"
    )
