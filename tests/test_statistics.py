# SPDX-License-Identifier: MIT
"""Paired comparisons against scipy, statsmodels' definitions and simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcrage.statistics.paired import corrected_interval, holm
from mcrage.statistics.summary import as_table, compare, summarise

differences = st.lists(
    st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 6)), min_size=3, max_size=30
).filter(lambda values: np.std(values) > 1e-6)


@given(differences)
def test_without_correction_it_is_the_paired_t_test(values):
    low, high, p = corrected_interval(np.array(values), test_to_train=0.0)
    theirs = stats.ttest_1samp(values, 0)
    interval = theirs.confidence_interval(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert p == pytest.approx(theirs.pvalue, abs=1e-9)


def test_thirty_splits_have_the_factor_of_the_reference():
    """metrics.md, section 9: .283 for 30 80/20 splits against a naive .033."""
    values = np.random.default_rng(0).normal(size=30)
    low, high, _ = corrected_interval(values, 0.25)
    error = (high - low) / 2 / stats.t.ppf(0.975, 29)
    assert error**2 / values.var(ddof=1) == pytest.approx(0.283, abs=5e-4)


def test_nan_replicates_are_left_out():
    values = np.array([0.1, np.nan, 0.3, 0.2])
    assert corrected_interval(values, 0.25) == corrected_interval(values[[0, 2, 3]], 0.25)


def test_one_replicate_has_no_interval():
    assert np.isnan(corrected_interval(np.array([0.1]), 0.25)).all()


def test_equal_differences_are_certain():
    assert corrected_interval(np.zeros(5), 0.25) == (0.0, 0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_definition(p_values):
    ours = holm(np.array(p_values))
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    for rank, position in enumerate(order):
        by_definition = max(
            min(1.0, (m - earlier) * p_values[order[earlier]]) for earlier in range(rank + 1)
        )
        assert ours[position] == pytest.approx(by_definition)


def test_holm_leaves_nan_out_of_the_family():
    assert np.array_equal(
        holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04], equal_nan=True
    )


def metrics_of(values: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": "ward",
                "scenario": "few",
                "replicate": replicate,
                "treatment": treatment,
                "classifier": "forest",
                "threshold": "0.5",
                "attribute": "overall",
                "subgroup": "all",
                "metric": "auroc",
                "value": value,
                "support": 100,
            }
            for treatment, column in values.items()
            for replicate, value in enumerate(column)
        ]
    )


def test_comparisons_are_paired_within_replicates():
    """A common shift of a replicate hits both treatments and leaves the difference alone."""
    base = np.array([0.5, 0.9, 0.6, 0.8])
    gain = np.array([0.01, 0.02, 0.03, 0.02])
    metrics = metrics_of({"imbalanced": base, "smote": base + gain})
    shuffled = metrics.sample(frac=1, random_state=0)
    row = compare(shuffled, ["imbalanced"], {"few": 0.25}).query("treatment == 'smote'").iloc[0]
    assert row["mean_difference"] == pytest.approx(0.02)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(corrected_interval(gain, 0.25)[:2])
    assert row["n_replicates"] == 4


def test_every_treatment_meets_every_baseline_but_itself():
    metrics = metrics_of({name: [0.5, 0.6, 0.7] for name in ("original", "imbalanced", "smote")})
    pairs = compare(metrics, ["imbalanced", "smote"], {"few": 0.25})
    assert set(zip(pairs["treatment"], pairs["baseline"], strict=True)) == {
        ("original", "imbalanced"),
        ("smote", "imbalanced"),
        ("original", "smote"),
        ("imbalanced", "smote"),
    }


def test_a_control_is_no_finding_and_costs_the_others_nothing():
    rng = np.random.default_rng(0)
    names = ("original", "imbalanced", "a", "b")
    metrics = metrics_of({name: list(rng.random(6)) for name in names})
    out = compare(metrics, ["imbalanced"], {"few": 0.25}, ["original"]).set_index("treatment")
    assert out.loc["original", "p_adjusted"] == out.loc["original", "p_value"]
    pair = out.loc[["a", "b"]]
    assert np.array_equal(pair["p_adjusted"], holm(pair["p_value"].to_numpy()))


def test_a_run_that_stands_twice_is_not_averaged():
    metrics = metrics_of({"imbalanced": [0.5, 0.6], "smote": [0.5, 0.7]})
    with pytest.raises(ValueError, match="duplicate"):
        compare(pd.concat([metrics, metrics.tail(1)]), ["imbalanced"], {"few": 0.25})


def test_undefined_replicates_are_counted_out():
    metrics = metrics_of({"imbalanced": [0.5, np.nan, 0.7], "smote": [0.5, 0.6, 0.8]})
    row = compare(metrics, ["imbalanced"], {"few": 0.25}).iloc[0]
    assert row["n_replicates"] == 2
    assert row["mean_difference"] == pytest.approx(0.05)
    summary = summarise(metrics).set_index("treatment")
    assert summary.loc["imbalanced", "n_replicates"] == 2
    assert summary.loc["imbalanced", "mean"] == pytest.approx(0.6)


def test_a_lone_baseline_gives_an_empty_table():
    assert compare(metrics_of({"imbalanced": [0.5, 0.6]}), ["imbalanced"], {"few": 0.25}).empty


def test_one_replicate_has_differences_and_no_interval_and_undefined_is_nan_not_null():
    metrics = metrics_of({"imbalanced": [0.5], "smote": [0.6]})
    comparisons = as_table(compare(metrics, ["imbalanced"], {"few": 0.25}))
    [row] = comparisons.to_pylist()
    assert row["mean_difference"] == pytest.approx(0.1)
    assert row["n_replicates"] == 1
    assert all(np.isnan(row[name]) for name in ("ci_low", "ci_high", "p_value", "p_adjusted"))
    means = as_table(summarise(metrics))
    assert all(np.isnan(row["std"]) for row in means.to_pylist())
    assert all(column.null_count == 0 for table in (comparisons, means) for column in table.columns)


def test_a_table_keeps_columns_and_types_even_without_rows():
    filled = as_table(compare(metrics_of({"a": [1.0], "b": [1.0]}), ["a"], {"few": 0.25}))
    empty = as_table(compare(metrics_of({"a": [1.0]}), ["a"], {"few": 0.25}))
    assert empty.num_rows == 0
    assert empty.column_names == filled.column_names
    assert filled.schema.field("n_replicates").type == "int64"
    assert filled.schema.field("mean_difference").type == "double"
