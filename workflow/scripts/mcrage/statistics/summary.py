# SPDX-License-Identifier: MIT
"""From the long table of metrics to means and paired comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from mcrage.metrics.names import is_aside, is_gap
from mcrage.statistics.guards import cautions
from mcrage.statistics.paired import Paired, holm, ratio_of

_CONTEXT = ["dataset", "scenario", "classifier", "threshold", "attribute", "subgroup", "metric"]


@dataclass(frozen=True)
class Margins:
    """What is too small to matter, declared before the run.

    Attributes
    ----------
    score : float
        A difference in a metric of rows, such as AUROC.
    gap : float
        A difference in a gap between subgroups.
    utility_loss : float
        The loss for everyone from which on a smaller gap is suspect.
    """

    score: float = 0.005
    gap: float = 0.02
    utility_loss: float = 0.02


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over replicates of every metric.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet.

    Returns
    -------
    DataFrame
        Its context columns, treatment, n_replicates (with a defined value), mean, std (ddof 1),
        support (mean number of test rows).
    """
    grouped = metrics.groupby([*_CONTEXT, "treatment"], sort=False, observed=True)
    out = grouped.agg(
        n_replicates=("value", "count"),
        mean=("value", "mean"),
        std=("value", "std"),
        support=("support", "mean"),
    )
    return out.reset_index()


def as_table(frame: pd.DataFrame) -> pa.Table:
    """Return a data frame as a table in which undefined numbers are NaN.

    Arrow's own conversion makes them null, which is no number at all to who reads the table.

    Parameters
    ----------
    frame : DataFrame
        The result of `summarise` or `compare`.

    Returns
    -------
    pyarrow.Table
    """
    schema = pa.Schema.from_pandas(frame, preserve_index=False).remove_metadata()
    return pa.table(
        {field.name: pa.array(frame[field.name].to_numpy(), field.type) for field in schema}
    )


def compare(
    metrics: pd.DataFrame,
    baselines: Sequence[str],
    test_to_train: Mapping[str, float],
    controls: Sequence[str] = (),
    margins: Margins = Margins(),
) -> pd.DataFrame:
    """Compare every treatment with every baseline, paired over replicates.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet. What only tells how to read another metric
        (`mcrage.metrics.names.ASIDES`) is not compared.
    baselines : sequence of str
        Treatments to compare with.
    test_to_train : mapping of str to float
        Rows in the test set over rows in the training pool, by scenario (see `ratio_of`).
    controls : sequence of str
        Treatments that no user has (real rows before thinning); never a finding, so each is a
        family of its own.
    margins : Margins

    Returns
    -------
    DataFrame
        The columns of results/comparisons.parquet. ``p_adjusted`` is Holm's, over the treatments
        compared with one baseline on one metric and subgroup. After the promised columns:
        ``detectable_difference``, the smallest that 80 of 100 such experiments would show, after
        that correction;
        ``margin``, what is too small to matter; how likely the difference lies below, within and
        above it (``probability_lower``, ``probability_within``, ``probability_higher``);
        ``p_equivalence``, of the test that it lies within; ``caution``, a warning or "".

    Raises
    ------
    ValueError
        If a run stands twice.
    """
    metrics = metrics[~metrics["metric"].map(is_aside).astype(bool)]
    contexts = metrics[_CONTEXT].drop_duplicates(ignore_index=True)
    place = metrics.groupby(_CONTEXT, sort=False, observed=True).ngroup().to_numpy()
    replicate, replicates = pd.factorize(metrics["replicate"])
    treatment, order = pd.factorize(metrics["treatment"])
    shape = (len(contexts), len(order), len(replicates))
    cells = np.ravel_multi_index((place, treatment, replicate), shape)
    if len(np.unique(cells)) < len(cells):
        raise ValueError("metrics hold duplicate entries: a run stands in them twice")
    values = np.full(shape, np.nan)
    values.ravel()[cells] = metrics["value"].to_numpy(dtype=np.float64)

    pairs = [(b, t) for b in baselines for t in order if t != b]
    names = list(order)
    of_pairs = [[names.index(name) for name in column] for column in zip(*pairs, strict=True)]
    base, treated = of_pairs or ([], [])
    differences = values[:, treated] - values[:, base]  # (context, pair, replicate)
    places = zip(contexts["dataset"], contexts["scenario"], strict=True)
    ratio = np.array([[ratio_of(test_to_train, *place)] for place in places]).reshape(-1, 1)
    margin = contexts["metric"].map(lambda m: margins.gap if is_gap(m) else margins.score)
    margin = margin.to_numpy(dtype=np.float64)[:, None]
    paired = Paired.of(differences, ratio)
    low, high = paired.interval()
    p_value = paired.p_value()
    lower, within, higher = paired.rope(margin)

    repeated = contexts.loc[contexts.index.repeat(len(pairs))].reset_index(drop=True)
    out = repeated.assign(
        treatment=[t for _, t in pairs] * len(contexts),
        baseline=[b for b, _ in pairs] * len(contexts),
        n_replicates=paired.k.ravel(),
        mean_difference=paired.mean.ravel(),
        ci_low=low.ravel(),
        ci_high=high.ravel(),
        p_value=p_value.ravel(),
        p_adjusted=_adjusted(p_value, pairs, controls).ravel(),
        detectable_difference=paired.detectable(_family_sizes(pairs, controls)).ravel(),
        margin=np.broadcast_to(margin, paired.mean.shape).ravel(),
        probability_lower=lower.ravel(),
        probability_within=within.ravel(),
        probability_higher=higher.ravel(),
        p_equivalence=paired.equivalence(margin).ravel(),
    )
    means = summarise(metrics)
    out["caution"] = pd.array(cautions(out, means, utility_loss=margins.utility_loss), dtype="str")
    return out


def _family_sizes(pairs: Sequence[tuple[str, str]], controls: Sequence[str]) -> np.ndarray:
    """Return how many comparisons the correction of each pair is for."""
    tested = [b for b, t in pairs if t not in controls]
    return np.array([1 if t in controls else tested.count(b) for b, t in pairs], dtype=np.int64)


def _adjusted(
    p_value: np.ndarray, pairs: Sequence[tuple[str, str]], controls: Sequence[str]
) -> np.ndarray:
    """Apply Holm's correction to the treatments of each baseline; a control stands alone."""
    adjusted = p_value.copy()
    for baseline in dict.fromkeys(b for b, _ in pairs):
        family = [
            number for number, (b, t) in enumerate(pairs) if b == baseline and t not in controls
        ]
        adjusted[:, family] = holm(p_value[:, family])
    return adjusted
