# SPDX-License-Identifier: MIT
"""What the report says of fairness: signed gaps, Theil, verdicts by a margin, who takes no weights.

The numbers are made of scores by `judge` and `compare`, and held against AIF360, fairlearn and
scipy.
"""

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn
from scipy import stats

from conftest import make_table
from example_tables import ROLES
from mcrage.classifiers import fitted, registry
from mcrage.classifiers.registry import fit
from mcrage.config.classifiers import KINDS
from mcrage.config.load import load_config
from mcrage.datasets.roles import Attribute
from mcrage.groups import GroupSchema
from mcrage.metrics.judge import judge
from mcrage.report.downloads import downloads
from mcrage.report.fairness import gap_tables, theil_table
from mcrage.report.joint import joint_sections
from mcrage.report.levelling import levelling_tables
from mcrage.report.numbers import difference, interval, number
from mcrage.report.page import render_report
from mcrage.report.primary import primary_verdict
from mcrage.report.results import Results, split_results
from mcrage.report.rope import rope_tables, rope_verdict
from mcrage.report.signed import MOST_PAIRS, SIGNED, signed_frame, signed_tables
from mcrage.report.tables import subgroup_tables
from mcrage.report.weighted import WITHOUT_WEIGHTS, weights_note
from mcrage.report.within import Within, within_tables
from mcrage.statistics.joint import all_remedies, compare_remedies
from mcrage.statistics.summary import Margins, compare, summarise
from mcrage.statistics.within import Judged, compare_within

DATASET, SCENARIO, RATIO = "ward", "natural", 0.25
TREATMENTS = ["imbalanced", "group_weights", "smote"]
REFERENCES = {"SEX": "M", "RACE": "b"}
CONTEXT = {"dataset": DATASET, "scenario": SCENARIO, "classifier": "nearest_neighbours"}
KEPT = "\N{NO-BREAK SPACE}"
RACE = Attribute("RACE", "Race", ("a", "b", "c"), ("Black", "White", "other people"))
TWO = dataclasses.replace(ROLES, dataset=DATASET, sensitive=(*ROLES.sensitive, RACE))


def schema_of(roles) -> GroupSchema:
    columns = (*(one.column for one in roles.sensitive), roles.target.column)
    levels = (*(one.levels for one in roles.sensitive), roles.target.levels)
    return GroupSchema(columns, levels)


def drawn(roles, replicate: int, n: int = 400) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Groups of test rows, none of race c with the outcome, and scores by treatment."""
    rng = np.random.default_rng(replicate)
    digits = [rng.integers(0, len(one.levels), n) for one in roles.sensitive]
    y = rng.integers(0, 2, n)
    y[digits[-1] == 2] = 0
    shift = {"imbalanced": 0.15, "group_weights": 0.02, "smote": 0.2}
    scores = {
        name: np.clip(rng.normal(0.4 + 0.2 * y + by * (digits[0] == 1), 0.2), 0, 1)
        for name, by in shift.items()
    }
    return schema_of(roles).index_of(np.array([*digits, y])), scores


def long_table(roles=TWO, replicates: int = 4) -> pd.DataFrame:
    tables = []
    for replicate in range(replicates):
        groups, scores = drawn(roles, replicate)
        for treatment, score in scores.items():
            for rule, cut in (("0.5", 0.5), ("f1", 0.4)):
                found = judge(
                    schema_of(roles), groups, score, (score >= cut).astype(int), REFERENCES
                )
                told = CONTEXT | {"replicate": replicate, "treatment": treatment, "threshold": rule}
                tables.append(pd.DataFrame({**told, **found}))
    return pd.concat(tables, ignore_index=True)


def sections_of(table: pd.DataFrame, roles=TWO) -> list[Results]:
    differences = compare(table, ["imbalanced"], {SCENARIO: RATIO})
    return split_results(table, differences, {DATASET: roles}, TREATMENTS)


def settings(classifiers: dict | None = None) -> dict:
    return {
        **{"title": "T", "treatments": dict.fromkeys(TREATMENTS, "."), "datasets": {}, "seed": 1},
        **{"test_to_train": {SCENARIO: RATIO}, "induced": False, "main_baseline": "imbalanced"},
        **{"config": {"classifiers": classifiers or {}}, "shown_replicate": 0},
    }


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return long_table()


@pytest.fixture(scope="module")
def results(table) -> Results:
    return sections_of(table)[0]


@pytest.fixture(scope="module")
def aif360():
    """AIF360's metrics of women against men, by treatment and replicate."""
    logging.disable(logging.WARNING)  # it tells of each library that it could use
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import ClassificationMetric

    def of(treatment: str, replicate: int):
        groups, scores = drawn(TWO, replicate)
        schema = schema_of(TWO)
        sex, y = schema.indices_of(groups)[0], schema.target_of(groups)

        def dataset(labels):
            frame = pd.DataFrame({"s": sex.astype(float), "y": labels.astype(float)})
            return BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["s"])

        return ClassificationMetric(
            dataset(y), dataset(scores[treatment] >= 0.5),
            unprivileged_groups=[{"s": 0.0}], privileged_groups=[{"s": 1.0}],
        )  # fmt: skip

    yield of
    logging.disable(logging.NOTSET)


# --- a subgroup against the reference ----------------------------------------------------------


def test_signed_gaps_are_aif360s_with_corrected_intervals_and_their_convention(results, aif360):
    sex, race, both = signed_tables(results, "imbalanced", RATIO)
    assert (sex.title, race.title) == ("Sex: against men", "Race: against White")
    assert both.title == "Sex and race: against men, White"
    [women] = sex.tables
    assert women.title == "Women against men, the reference"
    n = results.pair_support["SEX=F against SEX=M", "signed_statistical_parity_difference"]
    assert women.columns[0] == f"Statistical parity difference, women − men (n = {n:.0f})"
    assert "men − women" in women.columns[list(SIGNED).index("btgan_parity_gap")]
    entries = dict(zip(SIGNED, dict(women.rows)["smote"], strict=True))
    of = {
        "signed_statistical_parity_difference": "statistical_parity_difference",
        "signed_disparate_impact": "disparate_impact",
        "signed_equal_opportunity_difference": "equal_opportunity_difference",
        "signed_average_odds_difference": "average_odds_difference",
        "absolute_average_odds_difference": "average_abs_odds_difference",
        "absolute_equalised_odds_difference": "equalized_odds_difference",
    }
    for metric, theirs in of.items():
        values, plain = (
            np.array([getattr(aif360(name, k), theirs)() for k in range(4)])
            for name in ("smote", "imbalanced")
        )
        entry = entries[metric]
        assert entry.text == f"{number(values.mean())} ± {number(values.std(ddof=1))}"
        told = entry.small.split("; ")
        for shown, start in ((values, ""), (values - plain, "change ")):
            half = stats.t.ppf(0.975, 3) * shown.std(ddof=1) * np.sqrt(1 / 4 + RATIO)
            low, high = shown.mean() - half, shown.mean() + half
            expected = difference(shown.mean(), low, high) if start else interval(low, high)
            assert start + expected in told
        # Only the absolute ones have a better side.
        assert entry.kind.split(" ")[0] in (
            {"better", "worse", "unclear"} if metric in of and "absolute" in metric
            else {"changed", "unclear"}
        )  # fmt: skip
    assert "change" not in dict(women.rows)["imbalanced"][0].small
    parity = results.pairs["smote", "SEX=F against SEX=M", "btgan_parity_gap"]
    assert entries["btgan_parity_gap"].text.startswith(number(float(parity.mean())))
    assert parity == pytest.approx(
        -results.pairs["smote", "SEX=F against SEX=M", "signed_statistical_parity_difference"]
    )


def test_a_signed_gap_without_a_row_to_judge_by_is_undefined_with_its_support(results):
    race = signed_tables(results, "imbalanced", RATIO)[1]
    black, other = race.tables
    entries = dict(zip(SIGNED, dict(other.rows)["smote"], strict=True))
    for metric in (
        *("signed_equal_opportunity_difference", "signed_average_odds_difference"),
        *("absolute_equalised_odds_difference",),
    ):
        assert entries[metric].text == "undefined (n = 0)"
        assert entries[metric].kind == "undefined few"
    assert other.columns[list(SIGNED).index("signed_equal_opportunity_difference")].endswith("= 0)")
    assert entries["signed_statistical_parity_difference"].text.startswith(("0.", "\N{MINUS SIGN}"))
    assert not any(e.text.startswith("undefined") for e in dict(black.rows)["smote"])


def test_one_replicate_has_signed_gaps_and_no_interval():
    [first, _] = sections_of(long_table(replicates=1))
    entry = dict(signed_tables(first, "imbalanced", RATIO)[0].tables[0].rows)["smote"][0]
    assert entry.small.startswith("one replicate; change ")
    assert entry.kind == "unclear"
    assert "[" not in entry.small


def test_of_many_subgroups_the_largest_are_shown_and_the_others_named():
    names = tuple(f"u{k:02d}" for k in range(MOST_PAIRS + 4))
    unit = Attribute("UNIT", "Unit", names, names)
    roles = dataclasses.replace(ROLES, dataset=DATASET, sensitive=(unit,))
    groups, scores = drawn(roles, 0, n=600)
    kept = (schema_of(roles).indices_of(groups)[0] != 3) | (np.arange(600) % 7 == 0)
    tables = []
    for treatment, score in scores.items():
        told = CONTEXT | {"replicate": 0, "treatment": treatment, "threshold": "0.5"}
        tables.append(pd.DataFrame({**told, **judge(schema_of(roles), groups[kept], score[kept])}))
    [first] = sections_of(pd.concat(tables), roles)
    [units] = signed_tables(first, "imbalanced", RATIO)
    assert len(units.tables) == MOST_PAIRS
    assert f"The {MOST_PAIRS} of {MOST_PAIRS + 3} subgroups with the most test rows" in (
        units.left_out
    )
    assert not any(one.title.startswith("U03 ") for one in units.tables)


def test_signed_gaps_can_be_kept_with_their_reference_and_support(table):
    frame = signed_frame(sections_of(table), {SCENARIO: RATIO})
    assert set(frame["threshold"]) == {"0.5", "f1"}
    chosen = frame.query(
        "threshold == '0.5' and treatment == 'smote' and subgroup == 'SEX=F' "
        "and metric == 'signed_disparate_impact'"
    )
    [row] = chosen.to_dict("records")
    assert (row["attribute"], row["reference"], row["baseline"]) == ("SEX", "SEX=M", "imbalanced")
    own = table.query(
        "threshold == '0.5' and treatment == 'smote' and subgroup == 'SEX=F against SEX=M' "
        "and metric == 'signed_disparate_impact'"
    )["value"]
    assert row["mean"] == pytest.approx(own.mean())
    half = stats.t.ppf(0.975, 3) * own.std() * np.sqrt(1 / 4 + RATIO)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((own.mean() - half, own.mean() + half))
    assert row["change_low"] < row["change"] < row["change_high"]
    lacking = frame.query("subgroup == 'RACE=c' and metric == 'signed_average_odds_difference'")
    assert lacking[["mean", "ci_low", "ci_high"]].isna().all(axis=None)
    assert (lacking["support"] == 0).all()
    assert (lacking["n_replicates"] == 0).all()
    plain = frame.query("treatment == 'imbalanced'")
    assert plain["change"].isna().all()
    assert len(plain) == len(frame) / 3
    [kept] = downloads({}, computed={"signed_gaps": frame})
    assert kept.name == "signed_gaps.csv"


# --- Theil, and many subgroups -----------------------------------------------------------------


def test_theil_is_aif360s_and_stands_beside_what_lies_between_subgroups(results, aif360):
    theil = theil_table(results, "imbalanced", RATIO)
    assert theil.columns[0] == "Theil index, everyone (lower is better)"
    assert [head.rpartition(", ")[2] for head in theil.columns[1:]] == [
        *("sex", "race", "sex and race"),
    ]
    everyone, by_sex, *_ = dict(theil.rows)["smote"]
    for entry, of in ((everyone, "theil_index"), (by_sex, "between_group_theil_index")):
        values = np.array([getattr(aif360("smote", k), of)() for k in range(4)])
        assert entry.text == f"{number(values.mean())} ± {number(values.std(ddof=1))}"
        assert "; change " in entry.small
    assert theil_table(dataclasses.replace(results, values={}), "imbalanced", RATIO) is None


def test_gaps_of_many_subgroups_say_what_their_number_does(results):
    sex, race, both = gap_tables(results, "imbalanced")
    assert sex.note == ""
    assert race.note.startswith("3 subgroups: the largest of so many rates less the smallest grows")
    assert both.note.startswith("6 subgroups")
    assert "what chance gives" in both.note
    own = results.gaps["smote", "SEX*RACE", "spread_selection_rate"]
    parity = dict(both.rows)["smote"][0]
    assert f"spread {number(float(own.mean()))}" in parity.small
    # It does: of one classifier that treats all alike, by two and by six subgroups.
    by_chance = [
        float(np.mean(results.gaps["smote", one, "worst_statistical_parity_difference_null"]))
        for one in ("SEX", "SEX*RACE")
    ]
    assert by_chance[1] > 1.5 * by_chance[0]


# --- who takes no weights ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ensemble"])
def test_those_said_to_take_no_weights_are_those_that_get_weighted_draws(kind, roles, monkeypatch):
    asked = []

    def spy(weights, seed):
        asked.append(weights)
        return drawn_by(weights, seed)

    drawn_by = fitted.resample
    for module in (fitted, registry):
        monkeypatch.setattr(module, "resample", spy)
    small = {
        "random_forest": {"n_trees": 5},
        "gradient_boosting": {"n_trees": 5},
        "kernel_logistic": {"n_components": 10},
        "perceptrons": {"n_models": 1, "epochs": 2},
        "group_dro": {"steps": 5},
        "exponentiated_gradient": {"base": "logistic_regression", "max_iterations": 2},
    }
    given = {name: one.model_dump() for name, one in load_config({}).classifiers.items()}
    config = load_config({"classifiers": {**given, "x": {"kind": kind, **small.get(kind, {})}}})
    train = make_table([40, 40, 40, 40])
    weights = np.random.default_rng(0).uniform(0.5, 2, train.num_rows)
    fit(config.classifiers["x"].resolved(config.classifiers), train, weights, roles, seed=0)
    assert bool(asked) == (kind in WITHOUT_WEIGHTS)


def test_the_note_names_who_gets_weighted_draws(results):
    classifiers = {
        "forest": {"kind": "random_forest"},
        "nearest_neighbours": {"kind": "nearest_neighbours"},
        "fair_odds": {"kind": "exponentiated_gradient", "base": "forest"},
        "all": {"kind": "ensemble", "members": ["forest", "nearest_neighbours"]},
    }
    assert weights_note(classifiers, ["forest"]) == ""
    note = weights_note(classifiers, list(classifiers))
    assert note.startswith(
        "Weighted resampling: nearest neighbours, fair odds and all take no weights"
    )
    assert "as many rows drawn with replacement, each as likely as it weighs" in note
    html = render_report([results], settings=settings(classifiers), figures=[])
    assert "Weighted resampling: nearest neighbours takes no weights" in html
    other = dataclasses.replace(results, classifier="forest")
    assert "Weighted resampling" not in render_report(
        [other], settings=settings(classifiers), figures=[]
    )


# --- large enough to matter --------------------------------------------------------------------


def posterior(results: Results, metric: str, treatment: str, margin: float) -> tuple:
    own, plain = (results.values[name, "all", metric] for name in (treatment, "imbalanced"))
    away = own - plain
    t = stats.t(3, away.mean(), away.std(ddof=1) * np.sqrt(1 / 4 + RATIO))
    return t.cdf(-margin), t.cdf(margin) - t.cdf(-margin), t.sf(margin)


def test_calibration_of_each_subgroup_has_its_tables(table, results):
    found = {one.title: one for one in subgroup_tables(results, RATIO)}
    for title, metric in (
        ("AUPRC", "auprc"),
        ("Calibration in the large (mean score − rate)", "calibration_in_the_large"),
        ("Calibration slope", "calibration_slope"),
        ("Debiased calibration error", "debiased_calibration_error"),
    ):
        own = table[
            (table["metric"] == metric)
            & (table["subgroup"] == "SEX=F")
            & (table["treatment"] == "imbalanced")
            & (table["threshold"] == "0.5")
        ]
        assert own["value"].notna().all()
        texts = [entry.text for _, entries in found[title].rows for entry in entries]
        assert any(text.startswith(number(own["value"].mean())) for text in texts), title


def test_verdicts_by_the_margin_are_the_posteriors(results):
    everyone, leading, *gaps = rope_tables(results, "imbalanced")
    assert (everyone.columns[0], everyone.note) == ("Accuracy", "Margin: ±0.005.")
    assert leading.title == "AUROC of subgroups"
    assert [one.title for one in gaps] == [
        "Gaps by sex", "Gaps by race", "Gaps by sex and race"
    ]  # fmt: skip
    of_gaps = [head for head in gaps[0].columns if "worst-off" not in head]
    assert len(of_gaps) == 5
    assert all(head.endswith("(±0.020)") for head in of_gaps)
    heads = [head.partition(" (")[0] for head in everyone.columns]
    lower, within, higher = posterior(results, "accuracy", "smote", 0.005)
    entry = dict(everyone.rows)["smote"][heads.index("Accuracy")]
    assert entry.small.replace(KEPT, " ") == (
        f"better {100 * higher:.0f} %, within {100 * within:.0f} %, worse {100 * lower:.0f} %"
    )
    lower, within, higher = posterior(results, "brier", "smote", 0.005)
    brier = dict(everyone.rows)["smote"][heads.index("Brier score")]
    assert brier.small.replace(KEPT, " ").startswith(f"better {100 * lower:.0f} %")
    html = render_report([results], settings=settings(), figures=[]).replace(KEPT, " ")
    assert "Are the differences to “imbalanced” large enough to matter?" in html
    assert f"within {100 * within:.0f} %" in html
    assert rope_tables(sections_of(long_table(replicates=1))[0], "imbalanced") == []


@pytest.mark.parametrize(
    ("metric", "chances", "expected"),
    [
        ("auroc", (0.01, 0.03, 0.96), "better"),
        ("auroc", (0.96, 0.03, 0.01), "worse"),
        ("brier", (0.96, 0.03, 0.01), "better"),
        ("worst_auroc_difference", (0.0, 0.03, 0.97), "worse"),
        ("selection_rate", (0.0, 0.03, 0.97), "higher"),
        ("auroc", (0.02, 0.96, 0.02), "equivalent"),
        ("auroc", (0.2, 0.3, 0.5), "undecided"),
    ],
)
def test_a_verdict_takes_95_percent_on_one_side(metric, chances, expected):
    sides = ("probability_lower", "probability_within", "probability_higher")
    row = {"metric": metric, **dict(zip(sides, chances, strict=True))}
    assert rope_verdict(row)[0] == expected
    told = rope_verdict({**row, "probability_within": 0.9999})[1]
    assert "within > 99 %" in told.replace(KEPT, " ")
    assert rope_verdict({**row, "probability_within": np.nan}) == ("", "")


def test_the_declared_question_has_a_verdict_by_its_margin(results):
    declared = {
        **{"metric": "auroc", "attribute": "overall", "subgroup": "all", "treatment": "smote"},
        **{"classifier": results.classifier, "baseline": "imbalanced", "threshold": "0.5"},
    }
    told = primary_verdict(results, declared)[1]
    verdict, chances = rope_verdict(results.differences["imbalanced", "smote", "all", "auroc"])
    assert f"by the margin of ±0.005 {verdict} ({chances})" in told


# --- remedies ----------------------------------------------------------------------------------


def test_levelling_down_and_verdicts_are_told_of_rules_and_classifiers_too(table):
    robust = table.assign(classifier="group_dro")
    # It closes the gap in accuracy by what the best off lose.
    chosen = table[(table["metric"] == "accuracy") & (table["treatment"] == "imbalanced")]
    level = chosen[chosen["threshold"] == "0.5"].groupby("subgroup")["value"].mean()
    best = max("SEX=F", "SEX=M", key=level.__getitem__)
    lost = (robust["subgroup"] == best) & (robust["metric"] == "accuracy")
    robust.loc[lost, "value"] -= 0.08
    gap = (robust["attribute"] == "SEX") & (robust["metric"] == "worst_accuracy_difference")
    robust.loc[gap, "value"] -= 0.05
    both = pd.concat([table, robust], ignore_index=True)
    remedies = all_remedies(
        "imbalanced", TREATMENTS, ["nearest_neighbours", "group_dro"], ["0.5", "f1"]
    )
    compared = compare_remedies(both, remedies, {SCENARIO: RATIO}, [], Margins())
    [joint] = joint_sections(summarise(both), compared, remedies, {DATASET: TWO})
    tables = {one.title: one for one in joint.levelling}
    rows = dict(tables["Accuracy by SEX"].rows)
    assert list(rows) == ["Group weights", "Smote", "Group dro", "Cut tuned for F1"]
    dro = rows["Group dro"]
    assert dro[-1].kind == "levelled"
    assert dro[-1].small.startswith("levelled down")
    assert dro[1].text.startswith("\N{MINUS SIGN}0.080")
    cut = compared[
        (compared["threshold"] == "f1") & (compared["metric"] == "true_positive_rate")
        & (compared["subgroup"] == "SEX=M")
    ]  # fmt: skip
    shown = dict(tables["True positive rate by SEX"].rows)["Cut tuned for F1"]
    assert difference(
        *(float(cut[name].iloc[0]) for name in ("mean_difference", "ci_low", "ci_high"))
    ) in {entry.text for entry in shown}
    # A rule has the same scores as plain training: no AUROC can change.
    assert "Cut tuned for F1" not in dict(tables["AUROC by SEX"].rows)
    assert "Cut tuned for F1" in dict(joint.rope[0].rows)
    html = render_report(sections_of(table), settings=settings(), figures=[], joint=[joint])
    assert "Who gains and who loses by each remedy" in html
    assert "What these comparisons could have found" in html
    auroc = compared[(compared["metric"] == "auroc") & (compared["subgroup"] == "all")]
    [entry] = [
        entry
        for head, entry in zip(
            joint.detectable[0].columns,
            dict(joint.detectable[0].rows)[next(iter(dict(joint.detectable[0].rows)))],
            strict=True,
        )
        if head == "AUROC"
    ]
    known = auroc["detectable_difference"][auroc["detectable_difference"] > 0]
    assert entry.text == f"{known.median():.3f}"


def test_remedies_are_judged_as_treatments_are(table, results):
    """With one classifier and rule the two tables are one."""
    remedies = all_remedies("imbalanced", TREATMENTS, ["nearest_neighbours"], ["0.5"])
    own = table[table["threshold"] == "0.5"]
    compared = compare_remedies(own, remedies, {SCENARIO: RATIO})
    [joint] = joint_sections(summarise(own), compared, remedies, {DATASET: TWO})
    usual = levelling_tables(results, "imbalanced")
    assert [one.title for one in joint.levelling] == [one.title for one in usual]
    for ours, theirs in zip(joint.levelling, usual, strict=True):
        assert [entries for _, entries in ours.rows] == [entries for _, entries in theirs.rows]


# --- within a replicate ------------------------------------------------------------------------


def test_gaps_have_intervals_within_a_replicate_in_the_page(results):
    groups, scores = drawn(TWO, 0)
    schema = schema_of(TWO)
    judged = {
        name: Judged(score, {"0.5": (score >= 0.5).astype(int)}) for name, score in scores.items()
    }
    found = compare_within(
        schema, groups, judged, ["imbalanced"], n_draws=200, seed=0, references=REFERENCES
    )
    frame = pd.DataFrame({**CONTEXT, "replicate": 0, **found})
    within = Within.of(frame, results, "imbalanced", 0)
    tables = {one.title: one for one in within_tables(within, results)}
    assert {"Gaps by sex", "Gaps by race", "Gaps by sex and race", "Women against men"} <= set(
        tables
    )
    # Of more than two subgroups those against a reference are in the download alone.
    assert not any("against White" in title for title in tables)
    sex = schema.indices_of(groups)[0]
    odds = [
        fairlearn.equalized_odds_difference(
            schema.target_of(groups), scores[name] >= 0.5, sensitive_features=sex
        )
        for name in ("smote", "imbalanced")
    ]
    by_sex = tables["Gaps by sex"]
    heads = [head.partition(" (n")[0] for head in by_sex.columns]
    entry = dict(by_sex.rows)["smote"][heads.index("Largest gap in true or false positive rate")]
    row = frame.query(
        "treatment == 'smote' and attribute == 'SEX' and subgroup == 'all' "
        "and metric == 'worst_equalised_odds_difference'"
    ).iloc[0]
    assert entry.text == difference(odds[0] - odds[1], row["ci_low"], row["ci_high"])
    assert tables["Everyone"].rows[0][1][0].text != entry.text
    html = render_report([results], settings=settings(), figures=[], within=frame)
    assert "<summary>Women against men</summary>" in html


def test_the_page_says_how_to_read_what_it_shows(results):
    html = render_report([results], settings=settings(), figures=[])
    text = " ".join(html.split())
    for told in (
        "Each subgroup against the reference",
        "Subgroup less reference, which is AIF360's sign",
        "Bt-GAN's gaps are reference less subgroup",
        "it carries no information about groups",
        "grows with their number",
        "Race: against White",
        "undefined (n = 0)",
    ):
        assert told in text.replace("&#39;", "'")
