# SPDX-License-Identifier: MIT
"""Fairness against fairlearn and AIF360, and gaps where there are none against permuted rows."""

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcrage.groups import GroupSchema
from mcrage.metrics.confusion import confusion, decide
from mcrage.metrics.fairness import (
    OF_ALL_ROWS,
    WORST_OF_COUNTS,
    accuracy_gap,
    average_odds,
    between_group_theil_index,
    corrected_spread,
    equal_opportunity,
    equalised_odds,
    signed,
    statistical_parity,
    worst,
)
from mcrage.metrics.judge import judge
from mcrage.metrics.null import null_of_auroc, null_of_counts, permuted_counts
from mcrage.metrics.rates import selection_rate, theil_index, true_positive_rate
from mcrage.metrics.scores import auroc
from mcrage.metrics.sufficient import Parts, sufficient


@pytest.fixture(scope="module")
def aif360():
    logging.disable(logging.WARNING)  # it tells of each library that it could use
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import ClassificationMetric

    def of(y, predicted, part):
        def dataset(labels):
            frame = pd.DataFrame({"s": part.astype(float), "y": labels.astype(float)})
            return BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["s"])

        return ClassificationMetric(
            dataset(y), dataset(predicted),
            unprivileged_groups=[{"s": 0.0}], privileged_groups=[{"s": 1.0}],
        )  # fmt: skip

    yield of
    logging.disable(logging.NOTSET)


def split_of(part: np.ndarray, n: int, reference: int = 0) -> Parts:
    return Parts("s", tuple(f"s={k}" for k in range(n)), part, reference)


def rows(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores and subgroups that lean on each other, with every subgroup and truth."""
    rng = np.random.default_rng(seed)
    part = np.concatenate([np.arange(k), np.arange(k), rng.integers(0, k, n - 2 * k)])
    y = np.concatenate([np.zeros(k, int), np.ones(k, int), rng.integers(0, 2, n - 2 * k)])
    score = np.clip(rng.normal(0.35 + 0.2 * y + 0.1 * part / k, 0.25), 0, 1)
    return y, score, part


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(20, 200))
@settings(max_examples=25)
def test_worst_case_gaps_are_fairlearns(seed, k, n):
    from fairlearn import metrics as fairlearn

    y, score, part = rows(seed, n, k)
    predicted = (score >= 0.5).astype(int)
    found = {
        m: v
        for m, (v, _) in worst(sufficient(split_of(part, k), y, score, decide(score, 0.5))).items()
    }
    given_ = {"sensitive_features": part}
    theirs = {
        "worst_statistical_parity_difference": fairlearn.demographic_parity_difference(
            y, predicted, **given_
        ),
        "worst_equal_opportunity_difference": fairlearn.equal_opportunity_difference(
            y, predicted, **given_
        ),
        "worst_equalised_odds_difference": fairlearn.equalized_odds_difference(
            y, predicted, **given_
        ),
        "worst_average_odds_difference": fairlearn.equalized_odds_difference(
            y, predicted, agg="mean", **given_
        ),
    }
    if predicted.any():
        theirs["worst_disparate_impact"] = fairlearn.demographic_parity_ratio(
            y, predicted, **given_
        )
    for name, value in theirs.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@given(st.integers(0, 10_000), st.integers(20, 200))
@settings(max_examples=15)
def test_signed_gaps_and_theil_are_aif360s(aif360, seed, n):
    y, score, part = rows(seed, n, 2)
    predicted = (score >= 0.5).astype(int)
    theirs = aif360(y, predicted, part)
    statistics = sufficient(split_of(part, 2, reference=1), y, score, decide(score, 0.5))
    found = {name: value for name, (value, _) in signed(statistics, 0).items()}
    expected = {
        "signed_statistical_parity_difference": theirs.statistical_parity_difference(),
        "signed_equal_opportunity_difference": theirs.equal_opportunity_difference(),
        "signed_average_odds_difference": theirs.average_odds_difference(),
        "absolute_average_odds_difference": theirs.average_abs_odds_difference(),
        "absolute_equalised_odds_difference": theirs.equalized_odds_difference(),
    }
    if predicted[part == 1].any():
        expected["signed_disparate_impact"] = theirs.disparate_impact()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert theil_index(statistics.counts.sum(axis=0)) == pytest.approx(theirs.theil_index())
    assert between_group_theil_index(statistics.counts) == pytest.approx(
        theirs.between_group_theil_index(), abs=1e-12
    )
    # Both families agree where there are two subgroups.
    pair = worst(statistics)
    assert abs(found["signed_statistical_parity_difference"]) == pytest.approx(
        pair["worst_statistical_parity_difference"][0]
    )
    assert found["absolute_average_odds_difference"] == pytest.approx(
        pair["worst_average_odds_difference"][0]
    )


def test_average_odds_cancel_where_the_absolute_version_does_not():
    counts = np.array([[[90, 10], [60, 40]], [[60, 40], [30, 70]]])
    statistics = sufficient(
        split_of(np.zeros(1, int), 2), np.zeros(1, int), np.zeros(1), np.zeros(1, int)
    )
    statistics = type(statistics)(statistics.parts, counts[::-1], {"auroc": np.ones(2)})
    up = signed(statistics, 1)
    assert up["signed_average_odds_difference"][0] == pytest.approx(-0.3)
    crossed = type(statistics)(
        statistics.parts,
        np.array([[[90, 10], [60, 40]], [[60, 40], [90, 10]]]),
        {"auroc": np.ones(2)},
    )
    gaps = signed(crossed, 1)
    assert gaps["signed_average_odds_difference"][0] == pytest.approx(0)
    assert gaps["absolute_average_odds_difference"][0] == pytest.approx(0.3)


def test_btgans_gaps_are_the_reference_less_the_subgroup():
    y, score, part = rows(3, 300, 2)
    found = signed(sufficient(split_of(part, 2), y, score, decide(score, 0.5)), 1)
    chosen = score >= 0.5
    assert found["btgan_parity_gap"][0] == pytest.approx(
        chosen[part == 0].mean() - chosen[part == 1].mean()
    )
    area = auroc(y, score, part, 2)
    assert found["btgan_auroc_gap"][0] == pytest.approx(area[0] - area[1])
    assert found["signed_auroc_difference"][0] == -found["btgan_auroc_gap"][0]


def test_theil_knows_nothing_of_groups_and_between_group_theil_does():
    """metrics.md: identical for every attribute with hard labels."""
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    fair, unfair = rng.integers(0, 2, 400), predicted
    by_fair, by_unfair = (confusion(y, predicted, 2, s, 2) for s in (fair, unfair))
    assert theil_index(by_fair.sum(axis=0)) == theil_index(by_unfair.sum(axis=0))
    assert between_group_theil_index(by_fair) < 0.01 < between_group_theil_index(by_unfair)
    assert np.isnan(theil_index(np.array([[0, 0], [4, 0]])))


def test_a_subgroup_without_positives_is_left_out_and_counted():
    """fairlearn takes its true positive rate for 0, which gives a gap of 0.5 here."""
    schema = GroupSchema(("race", "y"), (("a", "b", "c"), ("0", "1")))
    y = np.array([1, 1, 0, 1, 1, 0, 0, 0])
    race = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    score = np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.1, 0.7, 0.2])
    out = judge(schema, schema.index_of(np.stack([race, y])), score, references={"race": "b"})
    keys = zip(out["attribute"], out["subgroup"], out["metric"], strict=True)
    found = dict(zip(keys, zip(out["value"], out["support"], strict=True), strict=True))
    gap = "worst_equal_opportunity_difference"
    assert found["race", "all", gap] == (0.0, 2)
    assert found["race", "all", f"{gap}_subgroups_used"][0] == 2
    value, support = found["race", "race=c against race=b", "signed_equal_opportunity_difference"]
    assert np.isnan(value)
    assert support == 0
    assert found["race", "race=a against race=b", "signed_equal_opportunity_difference"] == (0, 2)
    assert not any("against race=a" in subgroup for _, subgroup, _ in found)


def test_no_selected_row_makes_the_ratio_undefined_and_the_difference_0():
    y, score, part = np.array([0, 1, 0, 1]), np.full(4, 0.1), np.array([0, 0, 1, 1])
    statistics = sufficient(split_of(part, 2), y, score, decide(score, 0.5))
    assert np.isnan(worst(statistics)["worst_disparate_impact"][0])
    assert worst(statistics)["worst_statistical_parity_difference"][0] == 0
    assert np.isnan(signed(statistics, 1)["signed_disparate_impact"][0])


def test_an_empty_subgroup_is_no_gap_and_one_alone_has_none():
    y, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.8, 0.7])
    two = worst(sufficient(split_of(np.array([0, 0, 2, 2]), 3), y, score, decide(score, 0.5)))
    without = worst(sufficient(split_of(np.array([0, 0, 1, 1]), 2), y, score, decide(score, 0.5)))
    assert two == without
    alone = worst(sufficient(split_of(np.zeros(4, int), 3), y, score, decide(score, 0.5)))
    assert np.isnan(alone["worst_equalised_odds_difference"][0])
    assert alone["worst_group_accuracy"] == (0.75, 4)


def test_the_worst_off_subgroup_is_the_worst_and_intersections_have_their_reference():
    schema = GroupSchema(("sex", "race", "y"), (("F", "M"), ("a", "b"), ("0", "1")))
    rng = np.random.default_rng(5)
    groups, score = rng.integers(0, 8, 600), rng.random(600)
    out = judge(schema, groups, score, references={"sex": "M", "race": "b"})
    table = pd.DataFrame(out).set_index(["attribute", "subgroup", "metric"])["value"]
    for metric, worse in (("auroc", min), ("accuracy", min), ("brier", max)):
        each = [table["sex*race", schema.subgroup_label(k), metric] for k in range(4)]
        assert table["sex*race", "all", f"worst_group_{metric}"] == worse(each)
    assert ("sex*race", "sex=F, race=a against sex=M, race=b", "btgan_auroc_gap") in table
    assert ("sex", "sex=F against sex=M", "btgan_auroc_gap") in table


# --- where there is no gap -------------------------------------------------------------------


def test_permuted_counts_have_both_margins_and_the_mean_of_moved_rows():
    y, score, part = rows(7, 400, 3)
    predicted = (score >= 0.5).astype(int)
    counts = confusion(y, predicted, 2, part, 3)
    drawn = permuted_counts(counts, 500, np.random.default_rng(0))
    assert np.array_equal(drawn.sum(axis=3), np.broadcast_to(counts.sum(axis=2), (500, 3, 2)))
    assert (drawn.sum(axis=1) == counts.sum(axis=0)).all()
    rng = np.random.default_rng(1)
    moved = part.copy()
    gaps = []
    for _ in range(400):
        for level in (0, 1):
            moved[y == level] = rng.permutation(part[y == level])
        gaps.append(equal_opportunity(confusion(y, predicted, 2, moved, 3)))
    expected, p_value = null_of_counts(counts)["worst_equal_opportunity_difference"]
    error = np.std(gaps) / np.sqrt(400)
    assert expected == pytest.approx(np.mean(gaps), abs=4 * error)
    observed = equal_opportunity(counts)
    assert p_value == pytest.approx(np.mean(np.array(gaps) >= observed - 1e-12), abs=0.1)


def test_outcomes_more_frequent_in_one_subgroup_are_a_gap_in_parity_and_not_its_null():
    """True and false positive rates are those of all, base rates .31 and .11."""
    positives, negatives = np.array([310, 110]), np.array([690, 890])
    hits, alarms = np.round(0.6 * positives), np.round(0.06 * negatives)
    counts = np.zeros((2, 2, 2), dtype=int)
    counts[:, 1, 1], counts[:, 1, 0] = hits, positives - hits
    counts[:, 0, 1], counts[:, 0, 0] = alarms, negatives - alarms
    nulls = null_of_counts(counts)
    cells = np.repeat(np.tile([0, 1, 2, 3], 2), counts.ravel())
    part = np.repeat([0, 1], counts.sum(axis=(1, 2)))
    rng = np.random.default_rng(0)
    moved = [
        np.stack([np.bincount(cells[mixed == k], minlength=4) for k in (0, 1)]).reshape(2, 2, 2)
        for mixed in (rng.permutation(part) for _ in range(400))
    ]
    for name in OF_ALL_ROWS:
        gaps = [float(WORST_OF_COUNTS[name](each)) for each in moved]
        mean, p_value = nulls[name]
        assert mean == pytest.approx(np.mean(gaps), abs=4 * np.std(gaps) / 20)
        assert p_value < 0.005
    assert nulls["worst_equalised_odds_difference"][1] > 0.5


def test_the_null_of_a_fair_classifier_is_that_of_the_reference():
    """metrics.md, section 3: true positive rate .6 everywhere; E[max-min] .164 and .041."""
    for positives, expected in (((3300, 179, 133, 25, 19), 0.164), ((166, 199), 0.041)):
        n = np.array(positives)
        hits = np.round(0.6 * n).astype(int)
        counts = np.zeros((len(n), 2, 2), dtype=int)
        counts[:, 1, 1], counts[:, 1, 0], counts[:, 0, 0] = hits, n - hits, n
        mean, p_value = null_of_counts(counts)["worst_equal_opportunity_difference"]
        assert mean == pytest.approx(expected, abs=0.008)
        assert p_value > 0.5


def test_the_null_of_auroc_knows_a_gap_from_none():
    rng = np.random.default_rng(0)
    y, part = rng.integers(0, 2, 800), rng.integers(0, 2, 800)
    fair = rng.normal(y * 0.8)
    unfair = rng.normal(y * np.where(part == 1, 1.6, 0.1))
    for score, is_fair in ((fair, True), (unfair, False)):
        area = auroc(y, score, part, 2)
        expected, p_value = null_of_auroc(y, score, part, 2, abs(area[0] - area[1]), 100)
        # Each area's standard error is near .025 here.
        assert 0.01 < expected < 0.05
        assert (p_value > 0.05) == is_fair
    assert np.isnan(null_of_auroc(y, fair, part, 2, np.nan)).all()


def test_the_corrected_spread_takes_chance_away():
    """metrics.md: simulated mean near 0 against .0051 of the plain variance."""
    rng = np.random.default_rng(0)
    n = np.array([470, 99, 53, 20, 13])
    rates = rng.binomial(n, 0.6, (4000, 5)) / n
    squares = rates.var(axis=1, ddof=1) - (rates * (1 - rates) / (n - 1)).mean(axis=1)
    assert abs(squares.mean()) < 0.0003
    one = corrected_spread(rates[0], n)
    assert one == pytest.approx(np.sqrt(max(0.0, squares[0])))
    assert np.isnan(corrected_spread(np.array([0.5, 0.4]), np.array([1, 20])))


def test_gaps_take_stacks_of_counts():
    counts = np.random.default_rng(0).integers(1, 30, (6, 4, 2, 2))
    for gap in (statistical_parity, equal_opportunity, equalised_odds, average_odds, accuracy_gap):
        assert gap(counts).shape == (6,)
        assert gap(counts)[2] == gap(counts[2])
    assert np.ptp(selection_rate(counts[0])) == pytest.approx(statistical_parity(counts[0]))
    assert np.ptp(true_positive_rate(counts[0])) == pytest.approx(equal_opportunity(counts[0]))


def test_gaps_of_more_than_two_levels_are_the_largest_over_them():
    rng = np.random.default_rng(0)
    y, predicted, part = (rng.integers(0, k, 300) for k in (3, 3, 2))
    counts = confusion(y, predicted, 3, part, 2)
    parity = [abs((predicted[part == 0] == k).mean() - (predicted[part == 1] == k).mean())
              for k in range(3)]  # fmt: skip
    assert statistical_parity(counts) == pytest.approx(max(parity))
    recall = [abs((predicted[(part == 0) & (y == k)] == k).mean()
                  - (predicted[(part == 1) & (y == k)] == k).mean()) for k in range(3)]  # fmt: skip
    assert equal_opportunity(counts) == pytest.approx(max(recall))
