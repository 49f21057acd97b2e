# SPDX-License-Identifier: MIT
"""From the long table of metrics to means and paired comparisons."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from mcrage.statistics.paired import corrected_interval, holm, ratio_of

_CONTEXT = ["dataset", "scenario", "classifier", "threshold", "attribute", "subgroup", "metric"]


_COMPARISON = [
    *_CONTEXT,
    *("treatment", "baseline", "n_replicates", "mean_difference", "ci_low", "ci_high", "p_value"),
]


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
) -> pd.DataFrame:
    """Compare every treatment with every baseline, paired over replicates.

    Parameters
    ----------
    metrics : DataFrame
        The long table of results/metrics.parquet.
    baselines : sequence of str
        Treatments to compare with.
    test_to_train : mapping of str to float
        Rows in the test set over rows in the training pool, by scenario (see `ratio_of`).
    controls : sequence of str
        Treatments that no user has (real rows before thinning); never a finding, so each is a
        family of its own.

    Returns
    -------
    DataFrame
        The columns of results/comparisons.parquet. ``p_adjusted`` is Holm's, over the treatments
        compared with one baseline on one metric and subgroup.
    """
    # Raises on a run that stands twice, where a pivot table would average.
    wide = metrics.set_index([*_CONTEXT, "replicate", "treatment"])["value"].unstack("treatment")
    order = list(dict.fromkeys(metrics["treatment"]))
    contexts = list(dict.fromkeys(metrics[_CONTEXT].itertuples(index=False, name=None)))
    rows = []
    for context in contexts:
        block = wide.loc[context]
        facts = dict(zip(_CONTEXT, context, strict=True))
        for baseline in baselines:
            for treatment in order:
                if treatment == baseline:
                    continue
                difference = (block[treatment] - block[baseline]).to_numpy()
                ratio = ratio_of(test_to_train, facts["dataset"], facts["scenario"])
                low, high, p = corrected_interval(difference, ratio)
                known = difference[~pd.isna(difference)]
                rows.append(
                    {
                        **facts,
                        "treatment": treatment,
                        "baseline": baseline,
                        "n_replicates": len(known),
                        "mean_difference": known.mean() if len(known) else float("nan"),
                        "ci_low": low,
                        "ci_high": high,
                        "p_value": p,
                    }
                )
    out = pd.DataFrame(rows, columns=_COMPARISON)
    control = out["treatment"].where(out["treatment"].isin(controls), "")
    family = [*(out[name] for name in [*_CONTEXT, "baseline"]), control]
    out["p_adjusted"] = out.groupby(family, sort=False)["p_value"].transform(
        lambda p: holm(p.to_numpy())
    )
    return out
