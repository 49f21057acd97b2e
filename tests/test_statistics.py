# SPDX-License-Identifier: MIT
"""Paired comparisons against scipy, statsmodels' definitions and simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import decide
from mcrage.metrics.fairness import signed, worst
from mcrage.metrics.judge import OF_COUNTS
from mcrage.metrics.sufficient import parts, sufficient
from mcrage.statistics.exact import delong, mcnemar, placements
from mcrage.statistics.guards import levelling
from mcrage.statistics.paired import (
    Paired,
    corrected_interval,
    detectable_by,
    detectable_in_errors,
    holm,
)
from mcrage.statistics.ranking import rank
from mcrage.statistics.resampling import auroc_of, draws, percentiles
from mcrage.statistics.summary import Margins, as_table, compare, summarise
from mcrage.statistics.within import METRICS, Judged, compare_within
from mcrage.statistics.within_gaps import OF_ALL

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
    for place, position in enumerate(order):
        by_definition = max(
            min(1.0, (m - earlier) * p_values[order[earlier]]) for earlier in range(place + 1)
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


# --- what a difference leaves open --------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 5, 20])
def test_the_detectable_difference_is_found_80_times_in_100(k):
    """Independent differences, so that the plain error is right; 4,000 experiments."""
    rng = np.random.default_rng(k)
    factor = detectable_in_errors(k - 1)
    if k == 20:
        assert factor == pytest.approx(stats.t.ppf(0.975, 19) + stats.t.ppf(0.8, 19), abs=0.02)
    paired = Paired.of(rng.normal(factor / np.sqrt(k), 1.0, (4000, k)), 0.0)
    assert np.mean(paired.p_value() < 0.05) == pytest.approx(0.8, abs=0.025)
    assert paired.detectable() == pytest.approx(factor * paired.error)


def test_resplits_of_one_table_are_covered_by_the_corrected_interval_and_not_by_the_naive():
    """Mean of test rows over 80/20 resplits: the true mean is 0, as is that of every table."""
    rng = np.random.default_rng(1)
    found = np.empty((300, 10))
    for number in range(300):
        rows = rng.normal(size=200)
        for replicate in range(10):
            found[number, replicate] = rng.permutation(rows)[:40].mean()
    covered = {}
    for ratio in (0.0, 0.25):
        low, high = Paired.of(found, ratio).interval()
        covered[ratio] = np.mean((low <= 0) & (high >= 0))
    assert covered[0.0] < 0.85 < 0.9 < covered[0.25]


def test_rope_is_the_posterior_of_the_correlated_t_test():
    values = np.random.default_rng(0).normal(0.01, 0.02, 15)
    paired = Paired.of(values, 0.25)
    below, within, above = paired.rope(0.005)
    scale = np.sqrt((1 / 15 + 0.25) * values.var(ddof=1))
    posterior = stats.t(14, values.mean(), scale)
    assert below == pytest.approx(posterior.cdf(-0.005))
    assert above == pytest.approx(posterior.sf(0.005))
    assert below + within + above == pytest.approx(1)


def test_equivalence_is_two_one_sided_tests():
    values = np.random.default_rng(0).normal(0.001, 0.02, 15)
    low = stats.ttest_1samp(values, -0.02, alternative="greater").pvalue
    high = stats.ttest_1samp(values, 0.02, alternative="less").pvalue
    assert Paired.of(values, 0.0).equivalence(0.02) == pytest.approx(max(low, high))


def test_equal_differences_are_certain_on_either_side_of_the_margin():
    paired = Paired.of(np.array([[0.0] * 4, [0.1] * 4, [np.nan] * 4]), 0.25)
    below, within, above = paired.rope(0.02)
    assert below[:2].tolist() == [0, 0]
    assert (within[0], above[1]) == (1, 1)
    assert paired.equivalence(0.02)[:2].tolist() == [0, 1]
    assert np.isnan([below[2], within[2], above[2], paired.equivalence(0.02)[2]]).all()
    assert paired.detectable()[:2].tolist() == [0, 0]


def test_what_is_detectable_after_a_correction_has_its_power_at_the_corrected_level():
    paired = Paired.of(np.random.default_rng(3).normal(size=(2, 20)), 0.25)
    found = paired.detectable(np.array([1, 7]))
    for error, difference, family in zip(paired.error, found, (1, 7), strict=True):
        critical = stats.t.ppf(1 - 0.025 / family, 19)
        power = stats.nct.sf(critical, 19, difference / error)
        power += stats.nct.cdf(-critical, 19, difference / error)
        assert power == pytest.approx(0.8, abs=1e-3)
    low, high = paired.interval()
    assert detectable_by(low[1], high[1], 20, 7) == pytest.approx(found[1])


def test_a_comparison_could_have_found_what_its_correction_leaves():
    values = np.random.default_rng(0).normal(0.7, 0.01, (4, 6)).tolist()
    names = ("imbalanced", "original", "smote", "copies")
    metrics = metrics_of(dict(zip(names, values, strict=True)))
    rows = compare(metrics, ["imbalanced"], {"few": 0.25}, controls=["original"])
    rows = rows.set_index("treatment")
    for name, family in (("original", 1), ("smote", 2), ("copies", 2)):
        pair = np.subtract(values[names.index(name)], values[0])
        expected = Paired.of(pair, 0.25).detectable(family)
        assert rows.loc[name, "detectable_difference"] == pytest.approx(expected)


def test_a_comparison_tells_what_it_could_have_found():
    metrics = metrics_of({"imbalanced": [0.5, 0.9, 0.6, 0.8], "smote": [0.51, 0.92, 0.63, 0.82]})
    row = compare(metrics, ["imbalanced"], {"few": 0.25}, margins=Margins(score=0.05)).iloc[0]
    paired = Paired.of(np.array([0.01, 0.02, 0.03, 0.02]), 0.25)
    assert row["detectable_difference"] == pytest.approx(paired.detectable())
    assert row["margin"] == 0.05
    assert row["probability_within"] == pytest.approx(paired.rope(0.05)[1])
    assert row["p_equivalence"] == pytest.approx(paired.equivalence(0.05))
    assert row["caution"] == ""


def with_gaps(women, men, everyone, gap) -> pd.DataFrame:
    """Two replicates of imbalanced and smote; each argument: (of imbalanced, of smote)."""
    tables = []
    for attribute, subgroup, metric, pair in (
        ("SEX", "SEX=F", "auroc", women),
        ("SEX", "SEX=M", "auroc", men),
        ("SEX", "all", "worst_auroc_difference", gap),
        ("SEX", "all", "worst_auroc_difference_null", gap),
        ("overall", "all", "auroc", everyone),
    ):
        values = {
            name: [value, value + 0.001] for name, value in zip(("imbalanced", "smote"), pair,
                                                                strict=True)
        }  # fmt: skip
        tables.append(
            metrics_of(values).assign(attribute=attribute, subgroup=subgroup, metric=metric)
        )
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("women", "men", "everyone", "gap", "expected"),
    [
        ((0.70, 0.76), (0.80, 0.80), (0.75, 0.77), (0.10, 0.04), ""),
        ((0.70, 0.70), (0.80, 0.74), (0.75, 0.74), (0.10, 0.04), "levelled down"),
        ((0.70, 0.71), (0.80, 0.75), (0.75, 0.74), (0.10, 0.04), "levelled down"),
        ((0.70, 0.74), (0.80, 0.78), (0.75, 0.76), (0.10, 0.04), ""),
        ((0.70, 0.52), (0.80, 0.53), (0.75, 0.52), (0.10, 0.01), "fair because useless"),
        ((0.70, 0.60), (0.80, 0.80), (0.75, 0.70), (0.10, 0.20), ""),
    ],
)
def test_a_gap_that_closed_for_a_bad_reason_is_flagged(women, men, everyone, gap, expected):
    metrics = with_gaps(women, men, everyone, gap)
    out = compare(metrics, ["imbalanced"], {"few": 0.25})
    assert "worst_auroc_difference_null" not in set(out["metric"])
    flags = out.set_index(["attribute", "metric"])["caution"]
    found = flags["SEX", "worst_auroc_difference"]
    assert found.partition(":")[0] == expected
    assert (flags.drop(("SEX", "worst_auroc_difference")) == "").all()
    [row] = levelling(out, summarise(metrics)).to_dict("records")
    assert (row["best_off"], row["worst_off"]) == ("SEX=M", "SEX=F")
    assert row["best_change"] == pytest.approx(men[1] - men[0])
    assert row["best_low"] == pytest.approx(men[1] - men[0])
    assert row["worst_change"] == pytest.approx(women[1] - women[0])


def judged(levels: dict, gap: str, pair: tuple[float, float], subgroup: str = "all") -> str:
    """The caution of a gap, (of imbalanced, of smote), beside levels of everyone, equal in both."""
    levels = {"selection_rate": 0.3, "true_positive_rate": 0.6} | levels
    tables = []
    for attribute, where, metric, values in (
        ("SEX", subgroup, gap, pair),
        *(("overall", "all", name, value) for name, value in levels.items()),
    ):
        both = values if isinstance(values, tuple) else (values, values)
        runs = {name: [v, v] for name, v in zip(("imbalanced", "smote"), both, strict=True)}
        n = 300 if metric == "true_positive_rate" else 1000
        tables.append(
            metrics_of(runs).assign(attribute=attribute, subgroup=where, metric=metric, support=n)
        )
    out = compare(pd.concat(tables, ignore_index=True), ["imbalanced"], {"few": 0.25})
    [found] = out.loc[out["metric"] == gap, "caution"]
    return found


PARITY, OF_SCORES = "worst_statistical_parity_difference", "worst_auroc_difference"
ODDS = "signed_equal_opportunity_difference"


@pytest.mark.parametrize(
    ("levels", "gap", "pair", "expected"),
    [
        ({"auroc": 0.75, "calibration_slope": 1.0}, PARITY, (0.2, 0.1), ""),
        ({"auroc": (0.605, 0.595)}, PARITY, (0.2, 0.1), "useless: AUROC of everyone 0.595"),
        ({"auroc": (0.605, 0.595)}, PARITY, (0.1, 0.2), ""),
        ({"calibration_slope": (1.0, 9.0)}, PARITY, (0.2, 0.1), "(calibration slope 9.0)"),
        ({"selection_rate": (0.3, 0.14)}, PARITY, (0.2, 0.1), "0.140 positive where 0.300 are"),
        ({"selection_rate": (0.3, 0.61)}, PARITY, (0.2, 0.1), "0.610 positive where 0.300 are"),
        ({"selection_rate": (0.3, 0.59)}, PARITY, (0.2, 0.1), ""),
        # How many are chosen says nothing of who is ranked how well.
        ({"selection_rate": (0.3, 0.01)}, OF_SCORES, (0.2, 0.1), ""),
        ({"auroc": 0.55}, PARITY, (0.2, 0.1), "fair because useless"),
        ({"auroc": (0.55, 0.8)}, PARITY, (0.1, 0.2), "useless baseline: AUROC of everyone 0.550"),
        # Signed: nearer to none on either side.
        ({"auroc": (0.605, 0.595)}, ODDS, (-0.2, 0.1), "fair because useless"),
        ({"auroc": (0.605, 0.595)}, ODDS, (0.1, -0.2), ""),
        ({"auroc": (0.605, 0.595)}, "absolute_average_odds_difference", (0.2, 0.1), "useless"),
        ({"auroc": (0.605, 0.595)}, "signed_disparate_impact", (0.5, 0.9), "useless"),
        ({"auroc": (0.605, 0.595)}, "signed_disparate_impact", (0.9, 2.0), ""),
        ({"auroc": (0.605, 0.595)}, "worst_disparate_impact", (0.9, 0.5), ""),
        ({"auroc": (0.9, 0.8)}, ODDS, (-0.2, -0.1), "fair because useless"),
    ],
)
def test_a_gap_of_a_useless_classifier_is_flagged(levels, gap, pair, expected):
    of_pair = gap.startswith(("signed", "absolute"))
    found = judged(levels, gap, pair, "SEX=F against SEX=M" if of_pair else "all")
    assert expected in found
    assert bool(found) == bool(expected)


def test_gaps_have_a_margin_of_their_own():
    out = compare(with_gaps((0.7, 0.7), (0.8, 0.8), (0.7, 0.7), (0.1, 0.1)), ["imbalanced"],
                  {"few": 0.25}, margins=Margins(score=0.001, gap=0.03))  # fmt: skip
    margins = out.set_index(["attribute", "subgroup", "metric"])["margin"]
    assert margins["SEX", "all", "worst_auroc_difference"] == 0.03
    assert margins["SEX", "SEX=F", "auroc"] == 0.001


# --- within a replicate -------------------------------------------------------------------------


def two_scores(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    shared = rng.normal(size=n)
    first, second = (y * 0.7 + shared + rng.normal(size=n) * 0.5 for _ in range(2))
    return y, np.round(first, 1), np.round(second, 1)  # ties


def test_delong_is_the_definition_and_scipys_where_there_is_one_score():
    y, first, second = two_scores(0)
    placed = [placements(y == 1, score) for score in (first, second)]
    for own, score in zip(placed, (first, second), strict=True):
        assert own[y == 1].mean() == pytest.approx(roc_auc_score(y, score))
        assert own[y == 0].mean() == pytest.approx(roc_auc_score(y, score))
    error, p_value = delong(y == 1, *placed)
    won = []
    for score in (first, second):
        up, down = score[y == 1][:, None], score[y == 0][None, :]
        won.append((up > down) + 0.5 * (up == down))
    structure = won[0] - won[1]
    m, n = structure.shape
    expected = np.sqrt(
        structure.mean(axis=1).var(ddof=1) / m + structure.mean(axis=0).var(ddof=1) / n
    )
    assert error == pytest.approx(expected)
    assert p_value == pytest.approx(2 * stats.norm.sf(abs(structure.mean()) / error))
    assert delong(y == 1, placed[0], placed[0]) == (0.0, 1.0)
    assert np.isnan(delong(np.array([True, False, False]), np.zeros(3), np.ones(3))).all()


def test_mcnemar_is_the_binomial_test():
    found = mcnemar(np.array([57, 3, 0]), np.array([47, 3, 0]))
    assert found.p_value[0] == pytest.approx(stats.binomtest(57, 104).pvalue)
    assert found.p_value[1:].tolist() == [1.0, 1.0]


def test_weighted_auroc_is_that_of_repeated_rows():
    y, first, _ = two_scores(1, 60)
    weights = next(draws(y, n_draws=20, seed=3))
    for counts, area in zip(weights.astype(int), auroc_of(y, first)(weights), strict=True):
        assert area == pytest.approx(roc_auc_score(np.repeat(y, counts), np.repeat(first, counts)))


def test_draws_keep_strata_and_take_clusters_whole():
    strata = np.repeat([0, 1, 4], [5, 20, 1])[np.random.default_rng(0).permutation(26)]
    weights = np.concatenate(list(draws(strata, n_draws=400, seed=0)))
    assert weights.shape == (400, 26)
    for value, size in ((0, 5), (1, 20), (4, 1)):
        assert (weights[:, strata == value].sum(axis=1) == size).all()
    # Each row as often as any other: the mean of a binomial, and its variance.
    often = weights[:, strata == 1]
    assert often.mean(axis=0) == pytest.approx(np.ones(20), abs=0.25)
    assert often.var() == pytest.approx(0.95, rel=0.1)
    patients = np.repeat(np.arange(13), 2)
    whole = np.concatenate(list(draws(strata, n_draws=50, seed=0, clusters=patients)))
    assert (whole[:, ::2] == whole[:, 1::2]).all()
    assert (whole.sum(axis=1) == 26).all()
    assert np.std(whole[:, strata == 0].sum(axis=1)) > 0


def test_percentiles_are_numpys_of_the_defined_draws():
    drawn = np.random.default_rng(0).normal(size=(2, 3, 101))
    drawn[0, 0, :50] = np.nan
    drawn[1, 2] = np.nan
    low, high, error, n = percentiles(drawn)
    assert n[0, 0] == 51
    known = drawn.reshape(6, -1)[:5]
    assert low.ravel()[:5] == pytest.approx(np.nanquantile(known, 0.025, axis=-1))
    assert high.ravel()[:5] == pytest.approx(np.nanquantile(known, 0.975, axis=-1))
    assert error.ravel()[:5] == pytest.approx(np.nanstd(known, axis=-1, ddof=1))
    assert np.isnan([low[1, 2], high[1, 2], error[1, 2]]).all()


def rows_of_test(
    n: int, n_levels: int, seed: int = 0
) -> tuple[GroupSchema, np.ndarray, dict[str, Judged]]:
    """Two sensitive attributes, and two treatments with scores that have ties."""
    rng = np.random.default_rng(seed)
    levels = (("F", "M"), ("a", "b", "c"), tuple(map(str, range(n_levels))))
    schema = GroupSchema(("SEX", "RACE", "Y"), levels)
    digits = [rng.integers(0, 2, n), rng.choice(3, n, p=[0.6, 0.37, 0.03])]
    y = rng.integers(0, n_levels, n)
    judged = {}
    for name in ("imbalanced", "smote"):
        score = rng.random((n, n_levels)) + 0.4 * np.eye(n_levels)[y]
        score = np.round(score / score.sum(axis=1, keepdims=True), 2)
        score = score[:, 1] if n_levels == 2 else score
        rules = {"likeliest": decide(score, 0.5), "always the first": np.zeros(n, dtype=np.int64)}
        judged[name] = Judged(score, rules)
    return schema, schema.index_of(np.array([*digits, y])), judged


@pytest.mark.parametrize("n_levels", [2, 3])
def test_within_a_replicate_differences_are_those_of_the_metrics_and_draws_those_of_rows(n_levels):
    schema, groups, judged = rows_of_test(300, n_levels)
    references = {"RACE": "b"}
    found = pd.DataFrame(
        compare_within(
            schema, groups, judged, ["imbalanced"], n_draws=20, seed=4, references=references
        )
    ).set_index(["threshold", "attribute", "subgroup", "metric"])

    def differences(rows: np.ndarray) -> pd.Series:
        out = {}
        for split in parts(schema, groups[rows], references):
            y = schema.target_of(groups[rows])
            two = [
                sufficient(split, y, own.score[rows], own.decisions["likeliest"][rows])
                for own in judged.values()
            ]
            for metric in METRICS:
                own = [
                    one.scores[metric] if metric in one.scores else OF_COUNTS[metric](one.counts)
                    for one in two
                ]
                for place, subgroup in enumerate(split.subgroups):
                    out[split.attribute, subgroup, metric] = own[1][place] - own[0][place]
            if split.attribute == "overall":
                continue
            gaps = [worst(one) for one in two]
            for metric in OF_ALL:
                out[split.attribute, "all", metric] = gaps[1][metric][0] - gaps[0][metric][0]
            for place, subgroup in enumerate(split.subgroups):
                if place == split.reference:
                    continue
                pair = f"{subgroup} against {split.subgroups[split.reference]}"
                gaps = [signed(one, place) for one in two]
                for metric in gaps[0]:
                    out[split.attribute, pair, metric] = gaps[1][metric][0] - gaps[0][metric][0]
        return pd.Series(out)

    ours = found.loc["likeliest"]
    assert ("RACE", "RACE=c against RACE=b", "signed_auroc_difference") in ours.index
    assert ("SEX*RACE", "all", "worst_equalised_odds_difference") in ours.index
    whole = differences(np.arange(300)).reindex(ours.index)
    np.testing.assert_allclose(ours["difference"], whole, atol=1e-12)
    if n_levels == 2:
        assert found.loc["always the first", "overall", "all", "f1"]["difference"] == 0
    order = np.argsort(groups, kind="stable")
    drawn = np.stack(
        [
            differences(np.repeat(order, counts.astype(int))).reindex(ours.index)
            for chunk in draws(groups[order], n_draws=20, seed=4)
            for counts in chunk
        ],
        axis=-1,
    )
    for column, expected in zip(
        ("ci_low", "ci_high", "std_error"), percentiles(drawn), strict=False
    ):
        np.testing.assert_allclose(ours[column], expected, atol=2e-6)
    tests = ours[ours["test"] == "McNemar"]
    right = [own.decisions["likeliest"] == schema.target_of(groups) for own in judged.values()]
    won, lost = int(np.sum(right[1] & ~right[0])), int(np.sum(right[0] & ~right[1]))
    everyone = tests.loc["overall", "all", "accuracy"]
    assert everyone[["rows_won", "rows_lost"]].tolist() == [won, lost]
    assert everyone["p_value"] == pytest.approx(stats.binomtest(won, won + lost).pvalue)
    assert (ours["test"] == "DeLong").any() == (n_levels == 2)


def test_large_parts_have_the_interval_that_ranking_anew_gives(monkeypatch):
    schema, groups, judged = rows_of_test(1500, 2)
    given = [schema, groups, judged, ["imbalanced"]]
    by_placements = pd.DataFrame(compare_within(*given, n_draws=400, seed=0))
    monkeypatch.setattr("mcrage.statistics.within.EXACT_BELOW", 10**9)
    anew = pd.DataFrame(compare_within(*given, n_draws=400, seed=0))
    chosen = (anew["metric"] == "auroc") & (anew["attribute"] == "overall")
    fast, slow = by_placements[chosen].iloc[0], anew[chosen].iloc[0]
    assert 0 < abs(fast["std_error"] / slow["std_error"] - 1) < 0.01
    assert fast[["ci_low", "ci_high"]].tolist() == pytest.approx(
        slow[["ci_low", "ci_high"]].tolist(), abs=0.02 * slow["std_error"] * 4
    )
    placed = [placements(schema.target_of(groups) == 1, own.score) for own in judged.values()]
    error, p_value = delong(schema.target_of(groups) == 1, *placed)
    assert slow["std_error"] == pytest.approx(error, rel=0.15)
    assert slow["p_value"] == pytest.approx(p_value)


def test_gaps_within_a_replicate_are_fairlearns_and_the_undefined_has_its_support():
    from fairlearn import metrics as fairlearn

    schema, groups, judged = rows_of_test(400, 2)
    judged["smote"].decisions["likeliest"][groups % 2 == 0] = 1
    # Nobody of race c has the outcome.
    kept = (schema.target_of(groups) == 0) | (schema.indices_of(groups)[1] != 2)
    groups = groups[kept]
    judged = {
        name: Judged(own.score[kept], {k: v[kept] for k, v in own.decisions.items()})
        for name, own in judged.items()
    }
    table = pd.DataFrame(compare_within(schema, groups, judged, ["imbalanced"], n_draws=50, seed=0))
    where = ["attribute", "subgroup", "metric"]
    found = table[table["threshold"] == "likeliest"].set_index(where).sort_index()
    y, sex = schema.target_of(groups), schema.indices_of(groups)[0]
    for metric, of in (
        ("worst_statistical_parity_difference", fairlearn.demographic_parity_difference),
        ("worst_equal_opportunity_difference", fairlearn.equal_opportunity_difference),
        ("worst_equalised_odds_difference", fairlearn.equalized_odds_difference),
    ):
        plain, other = (
            of(y, own.decisions["likeliest"], sensitive_features=sex) for own in judged.values()
        )
        row = found.loc["SEX", "all", metric]
        assert row["difference"] == pytest.approx(other - plain, abs=1e-12)
        assert row["ci_low"] <= row["difference"] <= row["ci_high"]
        assert row["std_error"] > 0
    parity = found.loc["SEX", "all", "worst_statistical_parity_difference"]
    assert parity["support"] == min(np.bincount(sex))
    against = found.loc["RACE", "RACE=c against RACE=a"]
    for metric in ("signed_equal_opportunity_difference", "absolute_equalised_odds_difference"):
        lacking = against.loc[metric]
        assert lacking[["difference", "ci_low", "ci_high"]].isna().all()
        assert lacking["support"] == 0
    assert against.loc["signed_statistical_parity_difference", "difference"] != 0
    # The gap is of the two other races, in every draw.
    used = found.loc["RACE", "all", "worst_equal_opportunity_difference"]
    assert (used["support"], used["n_draws"]) == (
        min(np.bincount(schema.indices_of(groups)[1][y == 1])[:2]), 50,
    )  # fmt: skip
    judged["smote"].decisions["likeliest"][0] = -1
    part = pd.DataFrame(compare_within(schema, groups, judged, ["imbalanced"], n_draws=0, seed=0))
    undecided = part[part["threshold"] == "likeliest"].set_index(where)
    assert undecided["difference"].isna()["SEX", "all", "worst_equalised_odds_difference"]
    assert undecided["difference"].notna()["SEX", "all", "worst_auroc_difference"]


def test_a_draw_of_patients_that_lacks_a_subgroup_has_no_gap_between_all():
    schema = GroupSchema(("SEX", "Y"), (("F", "M", "X"), ("0", "1")))
    sex, y = np.repeat([0, 1, 2], [40, 40, 4]), np.tile([0, 1], 42)
    groups = schema.index_of(np.array([sex, y]))
    score = np.random.default_rng(0).random((2, 84))
    judged = {
        name: Judged(own, {"0.5": decide(own, 0.5)})
        for name, own in zip(("imbalanced", "smote"), score, strict=True)
    }
    # All of X are one patient, whom a draw lacks in 37 of 100 cases.
    patients = np.append(np.arange(80), np.full(4, 80))
    found = pd.DataFrame(
        compare_within(
            schema, groups, judged, ["imbalanced"], n_draws=300, seed=0, clusters=patients
        )
    ).set_index(["subgroup", "metric"])
    n = found.loc["all", "worst_equalised_odds_difference"]["n_draws"]
    assert 0.5 * 300 < n < 0.75 * 300
    assert found.loc["SEX=M against SEX=F", "signed_auroc_difference"]["n_draws"] == 300


def test_clusters_widen_intervals_and_leave_no_test_of_independent_rows():
    schema, groups, judged = rows_of_test(120, 2)
    tenfold = np.tile(np.arange(120), 10)
    repeated = {
        name: Judged(own.score[tenfold], {k: v[tenfold] for k, v in own.decisions.items()})
        for name, own in judged.items()
    }
    given = [schema, groups[tenfold], repeated, ["imbalanced"]]
    rows = pd.DataFrame(compare_within(*given, n_draws=400, seed=0))
    whole = pd.DataFrame(compare_within(*given, n_draws=400, seed=0, clusters=tenfold))
    chosen = (rows["metric"] == "brier") & (rows["attribute"] == "overall")
    wider = whole[chosen]["std_error"].iloc[0] / rows[chosen]["std_error"].iloc[0]
    assert wider == pytest.approx(np.sqrt(10), rel=0.15)
    assert whole["p_value"].isna().all()
    assert rows.loc[rows["metric"] == "accuracy", "p_value"].notna().any()


def test_without_draws_there_are_differences_and_tests_alone_and_the_undefined_stays_so():
    schema, groups, judged = rows_of_test(60, 2)
    none = pd.DataFrame(compare_within(schema, groups, judged, ["imbalanced"], n_draws=0, seed=0))
    assert none["ci_low"].isna().all()
    assert (none["n_draws"] == 0).all()
    assert none["difference"].notna().any()
    drawn = pd.DataFrame(compare_within(schema, groups, judged, ["imbalanced"], n_draws=9, seed=0))
    lacking = drawn["difference"].isna()
    assert lacking.any()
    judged["smote"].decisions["likeliest"][groups == 0] = -1
    part = pd.DataFrame(compare_within(schema, groups, judged, ["imbalanced"], n_draws=9, seed=0))
    undecided = part[part["threshold"] == "likeliest"].set_index(["subgroup", "metric"])
    assert undecided["difference"].isna()["all", "accuracy"]
    assert np.isnan(undecided["p_value"]["SEX=F", "accuracy"])
    assert undecided["difference"].notna()["SEX=M", "accuracy"]
    assert undecided["difference"].notna()["SEX=F", "brier"]
    assert drawn.loc[lacking, ["ci_low", "ci_high", "std_error"]].isna().all(axis=None)


# --- across datasets ----------------------------------------------------------------------------


def test_ranks_over_datasets_are_scipys():
    rng = np.random.default_rng(0)
    values = (
        rng.normal(0.7, 0.05, (9, 1)) + np.array([0.0, 0.02, 0.05]) + rng.normal(0, 0.005, (9, 3))
    )
    found = rank(values, ("a", "b", "c"), "a")
    assert found.mean_ranks.argmin() == 2
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    each = [stats.wilcoxon(values[:, k] - values[:, 0]).pvalue for k in (1, 2)]
    assert found.p_values[1:] == pytest.approx(each)
    assert found.p_adjusted[1:] == pytest.approx(holm(np.array(each)))
    assert np.isnan(found.p_values[0])
    assert found.different.tolist() == [False, True, True]
    turned = rank(-values, ("a", "b", "c"), "a", lower_is_better=True)
    assert np.array_equal(turned.mean_ranks, found.mean_ranks)
    assert rank(values[:4], ("a", "b", "c"), "a") is None
    assert rank(np.ones((6, 3)), ("a", "b", "c"), "a").different.tolist() == [False] * 3
