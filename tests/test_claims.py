# SPDX-License-Identifier: MIT
"""What a paper claims: verdicts from made-up comparisons, and malformed files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from mcrage.config.load import load_config
from mcrage.config.published import Published, read_published
from mcrage.config.render import render_config
from mcrage.datasets.cards import read_card
from mcrage.errors import UserError
from mcrage.plan import Plan
from mcrage.report.claims import BORNE_OUT, CONTRADICTED, NOT_SHOWN, claim_sentences, claim_verdict
from mcrage.report.numbers import difference, p_value
from project import ROOT, merge
from test_report import DATASET, PUBLISHED, SCENARIO, sections

CLAIM = {
    "says": "MCRAGE has a higher F1 than the imbalanced set",
    "where": "Table 1",
    "treatment": "MCRAGE",
    "baseline": "imbalanced",
    "metric": "f1",
    "direction": "higher",
}


def paper(*claims: dict) -> Published:
    raw = yaml.safe_load(PUBLISHED.read_text())
    return Published.model_validate(raw | {"claims": [CLAIM | claim for claim in claims]})


def results(*, without: tuple[str, ...] = (), **changed: tuple[float, float, float, float]):
    """Differences to `imbalanced`; metric -> (mean, low, high, p) of mcrage_paper."""
    [section] = sections()
    rows = {
        key: {**row, "mean_difference": 0.0, "ci_low": -0.01, "ci_high": 0.01, "p_value": 0.9}
        for key, row in section.differences.items()
        if key[1] not in without and key[3] not in without
    }
    values = {
        key: column
        for key, column in section.values.items()
        if key[0] not in without and key[2] not in without
    }
    for metric, (mean, low, high, p) in changed.items():
        rows["imbalanced", "mcrage_paper", "all", metric].update(
            mean_difference=mean, ci_low=low, ci_high=high, p_value=p
        )
    kept = tuple(name for name in section.treatments if name not in without)
    return dataclasses.replace(section, differences=rows, treatments=kept, values=values)


def told_of(found, told: Published, shortfalls: dict[str, str] | None = None) -> list[str]:
    return claim_sentences(found, told, 0.25, shortfalls)


UP, DOWN = (0.03, 0.01, 0.05, 0.01), (-0.03, -0.05, -0.01, 0.01)


def test_each_verdict_is_told_with_the_papers_numbers_and_ours():
    start = (
        "Claimed (Table 1): MCRAGE has a higher F1 than the imbalanced set (0.64215 to 0.67228). "
        "Here, F1 for everyone: mcrage paper "
    )
    for row, told in (
        (UP, "+0.030 [0.010, 0.050] over 5 replicates (p = 0.010): borne out"),
        (DOWN, "−0.030 [−0.050, −0.010] over 5 replicates (p = 0.010): contradicted"),
        ((0.0, -0.01, 0.01, 0.9), "0.000 [−0.010, 0.010] over 5 replicates (p = 0.90): not shown"),
    ):
        [sentence] = told_of(results(f1=row), paper({}))
        assert sentence.startswith(start + told)
        assert "mcrage tuned 0.000" in sentence  # beside it


@pytest.mark.parametrize(("row", "low"), [(UP, CONTRADICTED), (DOWN, BORNE_OUT)])
def test_a_claim_may_say_lower(row, low):
    told = dict(zip(("mean_difference", "ci_low", "ci_high"), row, strict=False)) | {"metric": "f1"}
    assert claim_verdict(told, 0.01, "lower") == low
    assert (
        claim_verdict(told, 0.01, "higher")
        == {
            CONTRADICTED: BORNE_OUT,
            BORNE_OUT: CONTRADICTED,
        }[low]
    )
    assert claim_verdict(told, 0.06, "lower") == NOT_SHOWN
    assert claim_verdict(told, float("nan"), "lower") == NOT_SHOWN


def test_claims_are_one_family_for_each_treatment():
    """p = .03 is borne out alone; with two more claims Holm makes it .09."""
    found = results(f1=(0.03, 0.01, 0.05, 0.03))
    [alone] = told_of(found, paper({}))
    assert "(p = 0.030): borne out" in alone
    first, *_ = told_of(found, paper({}, {"metric": "accuracy"}, {"metric": "auroc"}))
    assert "(p = 0.090): not shown either way" in first


def test_what_the_experiment_lacks_is_not_judged():
    no_treatment = results(without=("mcrage_paper", "mcrage_tuned"))
    [told] = told_of(no_treatment, paper({}))
    assert told.endswith(
        "Not judged here: the experiment has no treatment mcrage paper or mcrage tuned."
    )
    [told] = told_of(results(without=("original",)), paper({"baseline": "balanced"}))
    assert told.endswith(
        "Not judged here: the experiment has no treatment original to compare with."
    )
    [told] = told_of(results(without=("f1",)), paper({"subgroup": "SEX=F"}))
    assert told.endswith("Not judged here: F1 is not compared for women.")
    gap = {"metric": "worst_auroc_difference", "attribute": "SEX", "direction": "lower"}
    [told] = told_of(results(), paper(gap))
    assert told.endswith("Not judged here: largest gap in AUROC is not compared for SEX.")


def test_a_control_that_is_no_baseline_is_compared_with_all_the_same():
    """By hand, and by what comparisons.parquet has where the control is a baseline."""
    found = results()
    assert "original" not in found.baselines
    [told] = told_of(found, paper({"baseline": "balanced", "direction": "lower"}))
    [with_baseline] = sections(baselines=["original"])
    row = with_baseline.differences["original", "mcrage_paper", "all", "f1"]
    assert (
        f"mcrage paper {difference(*(row[k] for k in ('mean_difference', 'ci_low', 'ci_high')))}"
        in (told)
    )
    away = found.values["mcrage_paper", "all", "f1"] - found.values["original", "all", "f1"]
    error = away.std(ddof=1) * np.sqrt(1 / 5 + 0.25)
    p = 2 * stats.t.sf(abs(away.mean()) / error, 4)
    assert row["p_value"] == pytest.approx(p)
    assert f"over 5 replicates ({p_value(p)}): borne out" in told


def test_a_gap_is_compared_with_a_control_too():
    [section] = sections()
    gaps = {
        (name, "SEX", "worst_auroc_difference"): np.array(values)
        for name, values in {
            "original": [0.01, 0.02, 0.03, 0.02, 0.01],
            "mcrage_paper": [0.06, 0.07, 0.08, 0.07, 0.061],
        }.items()
    }
    claim = {"metric": "worst_auroc_difference", "attribute": "SEX", "direction": "lower"}
    [told] = told_of(
        dataclasses.replace(section, gaps=gaps), paper(claim | {"baseline": "balanced"})
    )
    assert "between subgroups of SEX: mcrage paper +0.050" in told
    assert told.endswith("contradicted.")


def test_a_verdict_says_that_its_training_was_short():
    short = {"mcrage_paper": "120 of the 10,000 epochs of preset paper", "smote": "nothing"}
    [told] = told_of(results(f1=DOWN), paper({}), short)
    assert (
        "(p = 0.010): contradicted, with so short a training: 120 of the 10,000 epochs of preset "
        "paper; mcrage tuned 0.000"
    ) in told
    assert told.count("so short a training") == 1
    assert "short" not in told_of(results(f1=DOWN), paper({}))[0]
    first, second = told_of(results(f1=DOWN), paper({}, {}), short)
    assert ", with so short a training: 120 of the 10,000 epochs of preset paper;" in first
    assert second == first.replace(": 120 of the 10,000 epochs of preset paper", "")


def test_one_replicate_gives_no_verdict():
    nan = float("nan")
    [told] = told_of(results(f1=(0.03, nan, nan, nan)), paper({}))
    assert "mcrage paper +0.030, not judged here, since one replicate gives no interval" in told


def test_the_papers_claims_agree_with_its_own_table():
    told = read_published(PUBLISHED)
    assert len(told.claims) == 9
    assert told.dataset == DATASET
    for claim in told.claims:
        mine, other = (
            float(told.row(name).values[claim.metric]) for name in (claim.treatment, claim.baseline)
        )
        assert (mine > other) == (claim.direction == "higher")
        assert mine != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "aurok"}, "claims[0].metric: found 'aurok'; no metric (did you mean 'auroc'?)"),
        ({"colour": "red"}, "claims[0].colour: unknown key; allowed: says, where, treatment,"),
        ({"direction": "up"}, "claims[0].direction: found 'up'; input should be 'higher' or"),
        ({"baseline": "SMOTEE"}, "claims[0].baseline: 'SMOTEE' is not in the rows' printed names "
         "(did you mean 'SMOTE'?); known: imbalanced, SMOTE"),
        ({"baseline": "MCRAGE"}, "claims[0].baseline: 'MCRAGE' is the treatment itself; name"),
        ({"attribute": "SEX"}, "claims[0]: attribute is 'SEX', but metric 'f1' is of one set of "
         "rows; write subgroup: SEX=... instead"),
        ({"metric": "worst_auroc_difference"}, "claims[0]: metric 'worst_auroc_difference' "
         "compares the subgroups of an attribute; add attribute"),
        ({"subgroup": "RACE=a"}, "claims[0].subgroup: 'RACE' is not in the sensitive attributes of "
         "patient-treatment; known: SEX"),
        ({"subgroup": "SEX=W"}, "claims[0].subgroup: 'W' is not in the levels of SEX in "
         "patient-treatment; known: F, M"),
        ({"metric": "worst_auroc_difference", "attribute": "RACE"}, "claims[0].attribute: 'RACE' "
         "is not in the sensitive attributes of patient-treatment; known: SEX"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_refused_before_any_job(tmp_path: Path, change, message):
    """By the plan, which the Snakefile makes before it knows a job."""
    wrong = tmp_path / "wrong.yaml"
    raw = yaml.safe_load(PUBLISHED.read_text()) | {"claims": [CLAIM | change]}
    wrong.write_text(yaml.safe_dump(raw, allow_unicode=True))
    with pytest.raises(UserError) as caught:
        plan_with(wrong)
    assert f"{wrong}: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[smote]", "[smot]", "rows[1].treatments: 'smot' is not in treatments (did you mean 'smo"),
        ("s: [keep", "s: [kept", "scenarios: 'kept_10_percent_of_women' is not in scenarios (did"),
        ("r: random", "r: randum", "classifier: 'randum_forest' is not in classifiers (did you"),
        ("n_test: 883", "n_tests: 883", "n_tests: unknown key (did you mean 'n_test'?); allowed: "),
        ('"0.71348"', '"71 %"', "rows[0].values.accuracy: found '71 %'; write digits with a poin"),
        ("claims:", "claims: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_published_file_is_refused_before_any_job(tmp_path: Path, old, new, message):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PUBLISHED.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        plan_with(wrong)
    assert f"{wrong}: {message}" in str(caught.value)


def test_what_is_right_is_taken_and_of_other_datasets_nothing_is_asked(tmp_path: Path):
    assert plan_with(PUBLISHED).config.published == ["wrong"]
    other = tmp_path / "other.yaml"
    other.write_text(PUBLISHED.read_text().replace(f"dataset: {DATASET}", "dataset: elsewhere"))
    assert plan_with(other)


def plan_with(path: Path) -> Plan:
    given = {"experiment": {"datasets": [DATASET], "scenarios": [SCENARIO]}, "published": ["wrong"]}
    raw = merge(yaml.safe_load(render_config()), given)
    cards = {DATASET: read_card(DATASET, ROOT / "resources" / "datasets")}
    return Plan(load_config(raw), cards, {"wrong": path})
