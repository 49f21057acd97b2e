# SPDX-License-Identifier: MIT
"""What a paper claims: verdicts from made-up comparisons, and malformed files."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from mcrage.config.published import Published, read_published
from mcrage.errors import UserError
from mcrage.report.claims import BORNE_OUT, CONTRADICTED, NOT_SHOWN, claim_sentences, claim_verdict
from test_report import DATASET, PUBLISHED, sections

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
    for metric, (mean, low, high, p) in changed.items():
        rows["imbalanced", "mcrage_paper", "all", metric].update(
            mean_difference=mean, ci_low=low, ci_high=high, p_value=p
        )
    kept = tuple(name for name in section.treatments if name not in without)
    return dataclasses.replace(section, differences=rows, treatments=kept)


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
        [sentence] = claim_sentences(results(f1=row), paper({}))
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
    [alone] = claim_sentences(found, paper({}))
    assert "(p = 0.030): borne out" in alone
    first, *_ = claim_sentences(found, paper({}, {"metric": "accuracy"}, {"metric": "auroc"}))
    assert "(p = 0.090): not shown either way" in first


def test_what_the_experiment_lacks_is_not_judged():
    no_treatment = results(without=("mcrage_paper", "mcrage_tuned"))
    [told] = claim_sentences(no_treatment, paper({}))
    assert told.endswith(
        "Not judged here: the experiment has no treatment mcrage paper or mcrage tuned."
    )
    [told] = claim_sentences(results(), paper({"baseline": "balanced"}))
    assert told.endswith("Not judged here: nothing is compared with original in this experiment.")
    [told] = claim_sentences(results(without=("f1",)), paper({"subgroup": "SEX=F"}))
    assert told.endswith("Not judged here: F1 is not compared for women.")
    gap = {"metric": "worst_auroc_difference", "attribute": "SEX", "direction": "lower"}
    [told] = claim_sentences(results(), paper(gap))
    assert told.endswith("Not judged here: largest gap in AUROC is not compared for SEX.")


def test_one_replicate_gives_no_verdict():
    nan = float("nan")
    [told] = claim_sentences(results(f1=(0.03, nan, nan, nan)), paper({}))
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
        ({"metric": "f2"}, "claims.0: .*unknown metric f2; known: accuracy"),
        ({"colour": "red"}, "claims.0.colour: Extra inputs"),
        ({"direction": "up"}, "claims.0.direction: .*'higher' or 'lower'"),
        ({"baseline": "nobody"}, "claims.0.baseline: unknown row nobody; known: imbalanced"),
        ({"attribute": "SEX"}, "f1 takes no attribute"),
        ({"metric": "worst_auroc_difference"}, "worst_auroc_difference needs attribute"),
    ],
)
def test_malformed_claims_are_named(tmp_path: Path, change, message):
    raw = yaml.safe_load(PUBLISHED.read_text()) | {"claims": [CLAIM | change]}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=message):
        read_published(wrong)
