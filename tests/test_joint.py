# SPDX-License-Identifier: MIT
"""All remedies in one family: known differences, each run once, and a table for the reader."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from example_tables import ROLES, TREATMENTS
from example_tables import metrics as example
from mcrage.config.load import load_config
from mcrage.plan import Plan
from mcrage.report.downloads import downloads
from mcrage.report.joint import SAME_SCORES, joint_sections, remedy_name
from mcrage.report.numbers import p_value
from mcrage.report.page import render_report
from mcrage.report.results import split_results
from mcrage.statistics.joint import Remedy, all_remedies, compare_remedies
from mcrage.statistics.paired import holm
from mcrage.statistics.summary import compare, summarise
from project import ROOT, merge

DATASET, SCENARIO = "patient_treatment", "keep_10_percent_of_women"
RATIO = {SCENARIO: 0.25}
PLAIN = Remedy("imbalanced", "random_forest", "0.5")
REMEDIES = all_remedies(
    "imbalanced", TREATMENTS, ["random_forest", "group_dro"], ["0.5", "f1"], ["group_dro"]
)
# What is added to a metric of everyone by GroupDRO and by the tuned cut, in replicates 0 to 4.
DRO, CUT = np.array([3, 1, 2, 5, 4]) / 100, np.array([1, 2, 1, 3, 2]) / 100


def crossed(replicates: int = 5) -> pd.DataFrame:
    """The example with every treatment judged by two classifiers and two rules."""
    table = example(replicates)
    number = table["replicate"].to_numpy()
    tuned = table.assign(
        threshold="f1",
        value=table["value"] + np.where(table["metric"].isin(["auroc", "brier"]), 0, CUT[number]),
    )
    both = pd.concat([table, tuned])
    number = both["replicate"].to_numpy()
    robust = both.assign(classifier="group_dro", value=both["value"] + DRO[number])
    return pd.concat([both, robust], ignore_index=True)


def row(table: pd.DataFrame, remedy: Remedy, metric: str, subgroup: str = "all") -> pd.Series:
    [found] = [
        one
        for _, one in table[
            (table["metric"] == metric) & (table["subgroup"] == subgroup)
        ].iterrows()
        if tuple(one[list(Remedy._fields)]) == remedy
    ]
    return found


def test_remedies_depart_in_one_thing_each():
    rules = ["0.5", "f1", "randomised"]
    found = all_remedies("a", ["o", "a", "b"], ["forest", "dro", "odds"], rules, ["odds"])
    assert found == [
        ("a", "forest", "0.5"),
        ("o", "forest", "0.5"),
        ("b", "forest", "0.5"),
        ("a", "dro", "0.5"),
        ("a", "odds", "0.5"),
        ("a", "odds", "randomised"),
        ("a", "forest", "f1"),
        ("a", "forest", "randomised"),
    ]
    # Where no rule draws, a lottery is judged by the first rule alone.
    assert len(all_remedies("a", ["a"], ["forest", "odds"], ["0.5"], ["odds"])) == 2


def test_with_one_classifier_and_rule_it_is_the_usual_comparison():
    table = example()
    remedies = all_remedies("imbalanced", TREATMENTS, ["random_forest"], ["0.5"])
    found = compare_remedies(table, remedies, RATIO, ["original"])
    usual = compare(table, ["imbalanced"], RATIO, ["original"])
    key = ["attribute", "subgroup", "metric", "treatment"]
    found, usual = (one.sort_values(key, ignore_index=True) for one in (found, usual))
    assert len(usual) == 3 * 5 * 5
    pd.testing.assert_frame_equal(found[usual.columns], usual, check_dtype=False)
    assert (found["baseline_classifier"] == "random_forest").all()


def test_a_classifier_and_a_rule_have_their_known_differences():
    found = compare_remedies(crossed(), REMEDIES, RATIO)
    for remedy, metric, differences in (
        (PLAIN._replace(classifier="group_dro"), "auroc", DRO),
        (PLAIN._replace(threshold="f1"), "accuracy", CUT),
    ):
        one = row(found, remedy, metric)
        assert one["mean_difference"] == pytest.approx(differences.mean())
        error = differences.std(ddof=1) * np.sqrt(1 / 5 + 0.25)
        assert one["ci_low"] == pytest.approx(
            differences.mean() - stats.t.ppf(0.975, 4) * error, abs=1e-12
        )
        assert one["p_value"] == pytest.approx(2 * stats.t.sf(differences.mean() / error, 4))
    assert (found["baseline_threshold"] == "0.5").all()
    assert set(map(tuple, found[list(Remedy._fields)].to_numpy())) == set(REMEDIES[1:])


def test_holm_goes_over_all_remedies_and_counts_shared_scores_once():
    remedies = [*REMEDIES, Remedy("imbalanced", "group_dro", "f1")]
    found = compare_remedies(crossed(), remedies, RATIO, ["original"])
    for metric, n in (("accuracy", 4 + 1 + 1 + 1), ("auroc", 4 + 1)):
        own = found[(found["metric"] == metric) & (found["subgroup"] == "all")]
        family = own[own["treatment"] != "original"]
        assert len(family) == n
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p_value"].to_numpy()))
        control = own[own["treatment"] == "original"]
        assert (control["p_adjusted"] == control["p_value"]).all()
    assert not ((found["metric"] == "auroc") & (found["threshold"] == "f1")).any()


def test_many_levels_have_a_first_rule_of_another_name():
    table = crossed()
    many = table.assign(dataset="wards", threshold=table["threshold"].replace("0.5", "likeliest"))
    many = many[many["threshold"] == "likeliest"]
    found = compare_remedies(pd.concat([table, many]), REMEDIES, RATIO)
    wards = found[found["dataset"] == "wards"]
    assert set(wards["threshold"]) == set(wards["baseline_threshold"]) == {"likeliest"}
    # It has no run by another rule, and so no row of one.
    assert set(found.loc[found["dataset"] == DATASET, "threshold"]) == {"0.5", "f1"}
    one = Remedy("imbalanced", "group_dro", "likeliest")
    assert row(wards, one, "auroc")["mean_difference"] == pytest.approx(DRO.mean())


def test_without_plain_training_nothing_is_compared():
    table = crossed()
    with pytest.raises(ValueError, match="no run of imbalanced, random_forest"):
        compare_remedies(table[table["treatment"] != "imbalanced"], REMEDIES, RATIO)


def joint(replicates: int = 5):
    table = crossed(replicates)
    gap = table[(table["subgroup"] == "SEX=M") & (table["metric"] == "auroc")]
    gap = gap.assign(subgroup="all", metric="worst_auroc_difference", value=gap["value"] - 0.7)
    table = pd.concat([table, gap], ignore_index=True)
    found = compare_remedies(table, REMEDIES, RATIO, ["original"])
    return table, found, joint_sections(summarise(table), found, REMEDIES, {DATASET: ROLES})


def test_the_table_tells_means_and_differences_in_words():
    _, found, [section] = joint()
    [table] = section.tables
    assert table.title == "Sex"
    assert table.columns == (
        "AUROC", "Balanced accuracy", "F1", "Brier score (lower is better)",
        "AUROC, women (n = 426)", "AUROC, men (n = 457)",
        "Largest gap in AUROC (lower is better)",
    )  # fmt: skip
    rows = dict(table.rows)
    assert list(rows) == [
        "Imbalanced, random forest, cut at 0.5",
        "Original", "Group weights", "Smote", "Mcrage paper", "Mcrage tuned",
        "Group dro", "Cut tuned for F1",
    ]  # fmt: skip
    plain, robust, cut = (list(rows.values())[k] for k in (0, 6, 7))
    assert all(entry.small == "" for entry in plain)
    assert robust[0].kind == "better"
    p_adjusted = row(found, PLAIN._replace(classifier="group_dro"), "auroc")["p_adjusted"]
    assert robust[0].small.startswith("+0.030 [0.0")
    assert robust[0].small.endswith(f"; {p_value(p_adjusted)} adjusted")
    # A Brier score and a gap that rise are worse.
    assert robust[3].kind == robust[6].kind == "worse"
    assert cut[1].small.startswith("+0.018 [")
    assert (cut[0].text, cut[0].small) == (plain[0].text, SAME_SCORES)


def test_the_page_shows_it_only_where_there_is_one():
    table, found, sections = joint()
    roles = {DATASET: dataclasses.replace(ROLES, dataset=DATASET)}
    results = split_results(table, compare(table, ["imbalanced"], RATIO), roles, list(TREATMENTS))
    settings = {
        "title": "T", "treatments": {}, "datasets": {}, "test_to_train": RATIO, "config": {},
        "seed": 1, "induced": True,
    }  # fmt: skip
    kept = downloads({}, computed={"remedies": found})
    html = render_report(results, settings=settings, figures=[], joint=sections, tables=kept)
    assert html.count('href="#remedies"') == html.count('id="remedies"') == 1
    assert '<th scope="row">Cut tuned for F1</th>' in html
    assert 'download="remedies.csv"' in html
    assert "results/remedies.parquet" not in html
    assert 'id="remedies"' not in render_report(results, settings=settings, figures=[])


def test_the_plan_names_lotteries_and_what_is_plain():
    given = {"experiment": {"thresholds": ["0.5", "randomised"]}}
    given = merge(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")), given)
    odds = {"kind": "exponentiated_gradient", "base": given["experiment"]["classifiers"][0]}
    given["classifiers"]["odds"] = odds
    given["experiment"]["classifiers"] = ["random_forest", "odds"]
    told = Plan(load_config(given), cards={}).remedies()
    assert told["lotteries"] == ["odds"]
    found = all_remedies(**told)
    assert found[0] == PLAIN
    drawn = Remedy("imbalanced", "odds", "randomised")
    assert drawn in found
    assert remedy_name(drawn, PLAIN) == "odds, decisions drawn with the score as their chance"
