# SPDX-License-Identifier: MIT
"""The report: numbers as written, claims that the numbers bear, a page that stands alone."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from example_tables import ROLES, TREATMENTS, metrics
from mcrage.config.published import read_published
from mcrage.datasets.roles import Attribute, Feature, Target
from mcrage.errors import UserError
from mcrage.figures.words import EVERYONE
from mcrage.report import summary_text
from mcrage.report.answer import answer, headline, question
from mcrage.report.columns import columns_table
from mcrage.report.costs import files_of_run, generator_costs, stage_costs
from mcrage.report.fairness import gap_tables
from mcrage.report.numbers import difference, interval, number, p_value, signed
from mcrage.report.page import FIGURES, FigureFile, render_report
from mcrage.report.primary import primary_verdict
from mcrage.report.results import Results, split_results
from mcrage.report.synthetic import synthetic_sections
from mcrage.report.tables import (
    Entry,
    difference_entry,
    difference_tables,
    mean_entry,
    overall_table,
    subgroup_tables,
)
from mcrage.statistics.summary import compare

PUBLISHED = Path(__file__).parents[1] / "resources" / "published" / "mcrage.yaml"
SCENARIO = "keep_10_percent_of_women"
DATASET = "patient-treatment"


def sections(replicates: int = 5, *, small_subgroup: bool = False, baselines=None) -> list[Results]:
    table = metrics(replicates, small_subgroup=small_subgroup).assign(dataset=DATASET)
    differences = compare(table, baselines or ["imbalanced", "smote"], {SCENARIO: 0.25})
    roles = dataclasses.replace(ROLES, dataset=DATASET)
    return split_results(table, differences, {DATASET: roles}, list(TREATMENTS))


def with_differences(results: Results, **changes: dict) -> Results:
    """Replace the difference to `imbalanced` in AUROC: subgroup, treatment -> (mean, low, high)."""
    new = {
        key: {**row, "mean_difference": 0.0, "ci_low": -0.01, "ci_high": 0.01, "p_adjusted": 1.0}
        for key, row in results.differences.items()
    }
    for (subgroup, treatment), (mean, low, high, p) in changes.pop("to", {}).items():
        new["imbalanced", treatment, subgroup, "auroc"].update(
            mean_difference=mean, ci_low=low, ci_high=high, p_adjusted=p
        )
    return dataclasses.replace(results, differences=new)


def settings() -> dict:
    return {
        "title": "A <title> & more",
        "treatments": {name: f"What {name} does." for name in TREATMENTS},
        "datasets": {
            DATASET: {
                "title": "Patient treatment",
                "description": "One row per patient.",
                "licence": "CC BY 4.0",
                "citation": "Sadikin 2020",
                "homepage": None,
            }
        },
        "test_to_train": {SCENARIO: 0.25},
        "config": {"experiment": {"replicates": 5}},
        "seed": 2310,
        "induced": True,
    }


def test_limits_tell_of_test_rows_that_are_always_the_same():
    html = render_report(sections(), settings=settings(), figures=[])
    assert "another split and another seed" in html
    assert "the same in every replicate" not in html
    own = settings()
    own["config"]["scenarios"] = {SCENARIO: {"split": "official"}, "natural": {"split": "random"}}
    html = render_report(sections(), settings=own, figures=[])
    assert "another split and another seed" not in html
    assert f"In {SCENARIO.replace('_', ' ')} the test rows are those that the dataset" in html


# --- numbers ---------------------------------------------------------------------------------


def test_numbers_are_written_for_readers():
    assert number(0.71348) == "0.713"
    assert number(-0.5) == "\N{MINUS SIGN}0.500"
    assert number(float("nan")) == "undefined"
    assert signed(0.0123) == "+0.012"
    assert interval(float("nan"), 1.0) == ""
    assert difference(0.012, 0.003, 0.021) == "+0.012 [0.003, 0.021]"
    assert p_value(0.00001) == "p < 0.001"
    assert p_value(float("nan")) == ""


@given(st.floats(-2, 2, allow_nan=False))
def test_signed_reads_back_and_zero_has_no_sign(value):
    text = signed(value)
    assert abs(float(text.replace("\N{MINUS SIGN}", "-")) - value) <= 0.0005 + 1e-12
    assert (text[0] in "+\N{MINUS SIGN}") == (float(text.replace("\N{MINUS SIGN}", "-")) != 0)


# --- tables ----------------------------------------------------------------------------------


def test_mean_entry_is_mean_sd_and_corrected_interval():
    from scipy import stats

    values = np.array([0.70, 0.72, 0.71, 0.75])
    entry = mean_entry(values, 883, 0.25)
    assert entry.text == f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) * np.sqrt(1 / 4 + 0.25)
    assert entry.small == f"[{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def test_undefined_values_keep_their_support():
    entry = mean_entry(np.array([np.nan, np.nan]), 7, 0.25)
    assert entry.text == "undefined (n = 7)"
    assert entry.kind == "undefined few"
    partly = mean_entry(np.array([np.nan, 0.5, 0.7]), 40, 0.25)
    assert partly.small.endswith("2 of 3 replicates")
    assert difference_entry(None, 12).text == "undefined (n = 12)"


def test_few_rows_are_marked():
    assert mean_entry(np.array([0.5, 0.6]), 29.9, 0.25).kind == "few"
    assert mean_entry(np.array([0.5, 0.6]), 30, 0.25).kind == ""


def test_means_are_those_of_the_long_table():
    [results] = sections()
    table = overall_table(results, 0.25)
    long = metrics().query("treatment == 'smote' and subgroup == 'all' and metric == 'f1'")
    entries = dict(table.rows)["smote"]
    shown = entries[table.columns.index("F1")].text
    assert shown == f"{long['value'].mean():.3f} ± {long['value'].std():.3f}"


def test_published_values_stand_beside_their_true_metric():
    [results] = sections()
    paper = read_published(PUBLISHED)
    table = overall_table(results, 0.25, [paper])
    rows = {name: dict(zip(table.columns, entries, strict=True)) for name, entries in table.rows}
    assert rows["mcrage paper"]["Balanced accuracy"].published == "paper: 0.72"
    assert rows["mcrage paper"]["Accuracy"].published == "paper: 0.725"
    assert rows["original"]["F1"].published == "paper: 0.654"
    assert all(row["AUROC"].published == "" for row in rows.values())
    assert rows["group weights"]["Accuracy"].published == ""
    other = dataclasses.replace(results, scenario="natural")
    assert all(not e.published for _, row in overall_table(other, 0.25, [paper]).rows for e in row)


def test_published_numbers_are_the_papers():
    """640 of 883 patients, and so on: the counts behind the printed percentages."""
    paper = read_published(PUBLISHED)
    correct = {"imbalanced": 630, "SMOTE": 623, "MCRAGE": 640, "balanced": 646}
    for row in paper.rows:
        assert float(row.values["accuracy"]) == pytest.approx(
            correct[row.printed] / paper.n_test, abs=6e-6
        )


def test_published_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nobody\.yaml does not exist; known: none"):
        read_published(tmp_path / "nobody.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PUBLISHED.read_text().replace("n_seeds", "seeds"))
    with pytest.raises(UserError, match=r"wrong\.yaml: n_seeds: missing; add it\n.* unknown key"):
        read_published(wrong)


def test_difference_tables_have_everyone_and_all_subgroups():
    [results] = sections()
    tables = {table.title: table for table in difference_tables(results, "smote")}
    assert tables["AUROC"].columns == ("Everyone (n = 883)", "Women (n = 426)", "Men (n = 457)")
    assert [name for name, _ in tables["AUROC"].rows] == [
        name.replace("_", " ") for name in TREATMENTS if name != "smote"
    ]
    assert subgroup_tables(results, 0.25)[0].title == "Accuracy"


# --- the answer ------------------------------------------------------------------------------


def test_no_claim_where_every_interval_includes_zero():
    [results] = sections()
    sentences = " ".join(answer(with_differences(results)))
    assert "no difference in AUROC could be shown for any of the 4 treatments" in sentences
    assert "no gain and no loss in AUROC could be shown" in sentences
    assert not re.search(r"\b(rose|fell|gained with|lost with)\b", sentences)


def test_who_gained_and_who_lost_is_told_with_intervals():
    [results] = sections()
    changed = with_differences(
        results,
        to={
            (EVERYONE, "mcrage_tuned"): (0.012, 0.004, 0.020, 0.03),
            (EVERYONE, "smote"): (-0.012, -0.020, -0.004, 0.3),
            ("SEX=F", "mcrage_tuned"): (0.03, 0.01, 0.05, 0.03),
            ("SEX=M", "mcrage_paper"): (-0.02, -0.03, -0.01, 0.03),
        },
    )
    overall, by_subgroup, against = answer(changed)
    assert "rose with mcrage tuned +0.012 [0.004, 0.020] and fell with smote" in overall
    assert "the other 2" in overall
    assert "1 of these 2 holds after Holm" in overall
    assert "women gained with mcrage tuned +0.030 [0.010, 0.050]" in by_subgroup
    assert "men lost with mcrage paper \N{MINUS SIGN}0.020" in by_subgroup
    assert against.startswith("Against “smote”, no difference in AUROC could be shown")
    assert "“original”" in against


def test_a_treatment_never_counts_its_controls_as_findings():
    [results] = sections()
    changed = with_differences(results, to={(EVERYONE, "original"): (0.02, 0.01, 0.03, 0.001)})
    assert "no difference in AUROC could be shown for any" in answer(changed)[0]


def test_one_replicate_claims_nothing():
    [results] = sections(1)
    [sentence] = answer(results)
    assert "nothing can be claimed" in sentence


def test_too_few_rows_are_not_judged():
    [results] = sections(small_subgroup=True)
    assert "too few test rows to judge women (n = 7)" in answer(results)[1]


# --- the short text --------------------------------------------------------------------------


def test_summary_has_every_treatment_and_marks_what_is_shown():
    results = sections()
    text = summary_text(results, "results/report.html")
    assert text.startswith("Report: results/report.html\n")
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    for treatment in TREATMENTS:
        assert treatment.replace("_", " ") in lines
    assert "AUROC, women" in text
    row = results[0].differences["imbalanced", "smote", EVERYONE, "auroc"]
    assert row["ci_high"] < 0  # the example is made so
    mean = results[0].values["smote", EVERYONE, "auroc"].mean()
    assert f"{mean:.3f} ({signed(row['mean_difference'])}*)" in lines["smote"]
    assert "*" not in lines["imbalanced"]


def test_summary_of_one_replicate_speaks_of_no_interval():
    text = summary_text(sections(1), "r.html")
    assert "With one replicate there is no interval" in text
    assert "excludes 0" not in text
    assert "*" not in text


def test_summary_says_undefined():
    text = summary_text(sections(small_subgroup=True), "r.html")
    assert text.count("undefined (n = 7)") == len(TREATMENTS)


# --- costs -----------------------------------------------------------------------------------


def test_costs_add_up_over_formats(tmp_path):
    (tmp_path / "d" / "0").mkdir(parents=True)
    (tmp_path / "d" / "0" / "train.jsonl").write_text(
        json.dumps({"s": 60.5, "max_rss": 512.0}) + "\n"
    )
    (tmp_path / "d" / "train.tsv").write_text("s\th:m:s\tmax_rss\n30\t0:00:30\tNA\n")
    (tmp_path / "evaluate.jsonl").write_text(json.dumps({"s": 2.0, "max_rss": None}) + "\n")
    train, evaluate = stage_costs(tmp_path.rglob("*"))
    assert (train.stage, train.n_jobs, train.total, train.longest) == ("train", 2, 90.5, 60.5)
    assert train.told()[-1] == "512 MiB"
    assert evaluate.told()[-1] == "not recorded"
    assert stage_costs([]) == []


def test_costs_of_another_experiment_are_left_out(tmp_path):
    for place in ("d/s/0/smote", "d/s/7/smote", "other/s/0/smote", "figures/d/s"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "train.jsonl").write_text(json.dumps({"s": 1.0}) + "\n")
    names = {"figures", "d", "s", "0", "smote"}
    kept = [str(path.relative_to(tmp_path)) for path in files_of_run(tmp_path, names)]
    assert kept == ["d/s/0/smote/train.jsonl", "figures/d/s/train.jsonl"]


def test_generator_costs_tell_the_device(tmp_path):
    for replicate, seconds in enumerate((10.0, 20.0, 90.0)):
        folder = tmp_path / str(replicate) / "cddpm_tuned"
        folder.mkdir(parents=True)
        facts = {"device": "a GPU", "seconds": seconds, "n_parameters": 1234}
        facts |= {"steps_per_second": 100.0, "peak_memory_bytes": 3 * 2**30}
        facts["gpu_seconds"] = seconds * 36
        (folder / "train_facts.json").write_text(json.dumps(facts))
    [row] = generator_costs(tmp_path.rglob("*"))
    assert row == ["cddpm tuned", "3", "a GPU", "20 s", "100 steps/s", "1,234", "1.20 h", "3.0 GiB"]


def test_generator_costs_tell_of_a_part_that_was_learnt_from(tmp_path):
    facts = {"device": "cpu", "seconds": 1.0, "learnt_from": {"rows": 100_000, "of": 640_000}}
    (tmp_path / "smote").mkdir()
    (tmp_path / "smote" / "train_facts.json").write_text(json.dumps(facts))
    [row] = generator_costs(tmp_path.rglob("*"))
    assert row[0] == "smote (learnt from 100,000 of 640,000 rows, max_rows)"


# --- the page --------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a page would fetch, and whether its tags close."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses, self.open, self.images, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attributes = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        self.addresses += [attributes[key] for key in ("src", "srcset") if key in attributes]
        if tag == "link":
            self.addresses.append(attributes["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def figures(tmp_path):
    folder = tmp_path / "figures"
    names = [
        "rule_graph.svg",
        f"{DATASET}/{SCENARIO}/umap.svg",
        f"{DATASET}/{SCENARIO}/random_forest/roc.svg",
        f"{DATASET}/{SCENARIO}/random_forest/differences_to_imbalanced.svg",
        f"{DATASET}/{SCENARIO}/random_forest/dose_response.svg",
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return [FigureFile.of(folder / name, folder) for name in names]


def test_figures_are_known_by_their_paths(figures):
    kinds = ["rule_graph", "umap", "roc", "differences", "dose_response"]
    assert [figure.kind for figure in figures] == kinds
    assert figures[3].baseline == "imbalanced"
    assert figures[2].classifier == "random_forest"
    assert figures[0].dataset == ""
    assert {figure.kind for figure in figures} <= set(FIGURES)


def test_the_page_stands_alone(figures):
    html = render_report(
        sections(), settings=settings(), figures=figures, published=[read_published(PUBLISHED)]
    )
    page = Page()
    page.feed(html)
    assert page.open == []
    assert len(page.images) == 5
    assert all(address.startswith("data:") for address in page.addresses)
    assert all(image["alt"] for image in page.images)
    assert "script" not in page.tags
    assert "url(" not in html.split("</style>")[0]
    assert "A &lt;title&gt; &amp; more" in html
    assert "What mcrage_tuned does." in html
    assert "balanced accuracy" in html
    assert "n = 883 test rows" in html


# --- many subgroups and outcomes ---------------------------------------------------------------


def many_subgroups(n: int = 12) -> list[Results]:
    """The example with its women in a dozen units, and gaps that are of no one subgroup."""
    table = metrics(3)
    women = table[table["subgroup"] == "SEX=F"]
    units = [women.assign(subgroup=f"UNIT=u{k}", attribute="UNIT", support=7) for k in range(n)]
    one = women[women["metric"] == "auroc"]
    gaps = [
        one.assign(subgroup="all", metric="worst_auroc_difference", value=0.1),
        one.assign(subgroup="SEX=F against SEX=M", metric="signed_auroc_difference"),
    ]
    table = pd.concat([table, *units, *gaps]).assign(dataset=DATASET)
    differences = compare(table, ["imbalanced"], {SCENARIO: 0.25})
    names = tuple(f"u{k}" for k in range(n))
    unit = Attribute("UNIT", "Unit", names, tuple(f"unit {k}" for k in range(n)))
    roles = dataclasses.replace(ROLES, dataset=DATASET, sensitive=(*ROLES.sensitive, unit))
    return split_results(table, differences, {DATASET: roles}, list(TREATMENTS))


def test_many_subgroups_are_rows_of_a_table():
    [results] = many_subgroups()
    assert results.n_replicates == 3
    assert list(results.subgroups)[:3] == ["SEX=F", "SEX=M", "UNIT=u0"]
    assert not any("against" in name for name in results.subgroups)
    upright = difference_tables(results, "imbalanced")[0]
    few = difference_tables(sections(3)[0], "imbalanced")[0]
    assert (upright.first, few.first) == ("Subgroup", "")
    rows_ = dict(upright.rows)
    assert upright.columns == tuple(name for name, _ in few.rows)
    assert len(rows_) == 15
    assert [e.text for e in rows_["Women (n = 426)"]] == [e[1].text for _, e in few.rows]
    html = render_report(many_subgroups(), settings=settings(), figures=[])
    assert '<th scope="col">Subgroup</th>' in html


def test_many_subgroups_take_few_words():
    [results] = many_subgroups()
    assert "12 of 14 subgroups have fewer than 10 test rows" in answer(results)[1]
    lines = summary_text([results], "r.html").splitlines()
    assert max(map(len, lines)) < 220
    gained = {(f"UNIT=u{k}", "smote"): (0.03, 0.01, 0.05, 0.01) for k in range(12)}
    support = {key: 50 for key in results.support}
    changed = dataclasses.replace(with_differences(results, to=gained), support=support)
    assert "7 more subgroups gained" in answer(changed)[1]


def test_the_question_names_more_than_two_outcomes():
    [results] = sections()
    assert "predicting care (inpatient)" in question(results)
    names = ("none", "late", "early")
    roles = dataclasses.replace(ROLES, target=Target("R", "Readmission", names, names))
    asked = question(dataclasses.replace(results, roles=roles))
    assert "predicting readmission (3 outcomes: none, late and early)" in asked


# --- columns -----------------------------------------------------------------------------------


def test_columns_are_told_with_their_gaps(tmp_path):
    levels = tuple("abcdefgh")
    roles = dataclasses.replace(
        ROLES,
        features=(
            Feature("HGB", "Haemoglobin", "g/dL", "continuous", 0.1, 0.0, None, missing="keep"),
            Feature("AGE", "AGE", "years", "integer", 1.0, 0.0, 120.0),
            Feature("WARD", "Ward", kind="category", levels=levels, missing="impute"),
            Feature("SEEN", "Seen", kind="date"),
        ),
        sensitive=(
            *ROLES.sensitive,
            Attribute("AGE", "Age", ("young", "old"), ("young", "old"), (0.0, 50.0, 120.0)),
        ),
        columns=("ID", "HGB", "AGE", "WARD", "SEEN", "SEX", "SOURCE"),
        cluster=("ID",),
    )
    columns = {name: pa.array([1] * 8) for name in roles.columns}
    columns["HGB"] = pa.array([None, None, *[12.0] * 6])
    columns["WARD"] = pa.array([None, *["a"] * 7]).dictionary_encode()
    pq.write_table(pa.table(columns), tmp_path / "table.parquet", row_group_size=3)
    table = columns_table(roles, tmp_path / "table.parquet")
    assert table.title == "Patient treatment: 8 rows"
    rows_ = {row[0]: row[1:] for row in table.rows}
    assert rows_["Haemoglobin (HGB)"] == (
        "feature", "number, at least 0", "0.1 g/dL", "25.0 %, kept as information",
    )  # fmt: skip
    assert rows_["AGE"] == (
        "sensitive attribute, in bands and feature",
        "whole number, 0 to 120; bands young, old", "1 years", "none",
    )  # fmt: skip
    assert rows_["Ward (WARD)"] == (
        "feature", "levels: a, b, c, d, e and 3 more", "",
        "12.5 %, usual value put in their place",
    )  # fmt: skip
    assert rows_["Seen (SEEN)"][2] == "a day"
    assert rows_["ID"][0] == "names the patient or cluster"
    assert rows_["Sex (SEX)"][:2] == ("sensitive attribute", "levels: women, men")
    assert rows_["Care (SOURCE)"][:2] == ("target", "levels: outpatient, inpatient")
    html = render_report(sections(), settings=settings(), figures=[], columns=[table])
    assert "The columns of Patient treatment: 8 rows" in html


# --- synthetic rows --------------------------------------------------------------------------


def fidelity(replicates: int = 3, *, identities: bool = True, dropped: bool = False):
    """Return results/fidelity.parquet: smote copies women, cddpm nobody."""
    metrics = {"shape": 0.9, "nearest_1_percent": 0.01, "copies": 0.0, "told_apart": np.nan}
    metrics |= {"identity_violations": 0.001} if identities else {}
    metrics |= {"dropped": 0.25} if dropped else {}
    out = []
    for replicate in range(replicates):
        for generator in ("smote", "cddpm"):
            for group in ("all", "SEX=F, SOURCE=in", "SEX=M, SOURCE=in"):
                for metric, reference in metrics.items():
                    copied = generator == "smote" and group != "SEX=M, SOURCE=in"
                    near = copied and metric == "nearest_1_percent"
                    out.append(
                        {
                            "dataset": DATASET,
                            "scenario": SCENARIO,
                            "replicate": replicate,
                            "generator": generator,
                            "group": group,
                            "column": "",
                            "metric": metric,
                            "value": 0.6 + 0.1 * replicate if near else reference,
                            "support": 1500,
                            "reference": np.nan if metric == "dropped" else reference,
                            "std_error": 0.005,
                        }
                    )
                out.append({**out[-1], "column": "HGB", "metric": "shape", "value": 0.1})
    return pd.DataFrame(out)


def synthetic(**options):
    roles = {DATASET: dataclasses.replace(ROLES, dataset=DATASET)}
    (section,) = synthetic_sections(fidelity(**options), roles, ["cddpm", "smote", "other"])
    return section


def test_copies_are_marked_beside_what_real_rows_give():
    section = synthetic()
    rows = dict(section.memorising.rows)
    assert list(rows) == ["cddpm", "smote"]
    assert rows["smote"][0] == Entry("70.0 %", "real: 1.0 %", kind="worse")
    assert rows["cddpm"][0] == Entry("1.0 %", "real: 1.0 %")
    nearest = section.by_group[0]
    assert nearest.columns == ("Women, inpatient", "Men, inpatient")
    women, men = dict(nearest.rows)["smote"]
    assert (women.kind, men.kind) == ("worse", "")
    assert women.small == "real: 1.0 %, n = 1,500"


def test_what_there_is_not_has_no_column():
    assert "Break an identity" in synthetic().likeness.columns
    assert "Break an identity" not in synthetic(identities=False).likeness.columns
    assert "Drawn anew by the gate" not in synthetic().memorising.columns
    gated = synthetic(dropped=True)
    assert gated.gated
    assert dict(gated.memorising.rows)["smote"][-1] == Entry("25.0 %")
    # The row of one column is no row of all of them.
    shapes = dict(gated.likeness.rows)["smote"]
    assert Entry("0.900", "real: 0.900") in shapes
    assert Entry("undefined", kind="undefined") in shapes


def test_the_page_has_the_section_where_there_are_synthetic_rows(figures):
    html = render_report(sections(), settings=settings(), figures=figures)
    assert 'id="synthetic"' not in html
    html = render_report(sections(), synthetic=[synthetic()], settings=settings(), figures=figures)
    page = Page()
    page.feed(html)
    assert page.open == []
    assert html.count('href="#synthetic"') == html.count('id="synthetic"') == 1
    assert '<th scope="col">Generator</th>' in html
    assert '<td class="worse">70.0 %' in html


def test_the_page_says_what_was_chosen():
    choices = [["cddpm paper", "validation F1", *["6 × 5 steps"] * 7]]
    told = {"choices": choices, "agreements": [["one and other", "3 of 5 replicates", "1 in 6"]]}
    html = render_report(
        sections(), settings=settings(), figures=[], selections={(DATASET, SCENARIO): told}
    )
    page = Page()
    page.feed(html)
    assert page.open == []
    for text in ("Table 4.", "Replicates agree", "6 × 5 steps", "3 of 5 replicates"):
        assert text in html
    assert "Table 4." not in render_report(sections(), settings=settings(), figures=[])


def test_the_page_says_undefined_and_draws_no_conclusion_from_one_replicate(figures):
    html = render_report(sections(1, small_subgroup=True), settings=settings(), figures=figures)
    assert "undefined (n = 7)" in html
    assert "nothing can be claimed" in html
    assert "nan" not in re.sub(r"<[^>]+>", " ", html).split()
    assert "one replicate: no interval" in html
    for untrue in ("below it the 95 % interval", "In brackets stand", "p-value after Holm"):
        assert untrue not in html


def test_sections_are_kept_apart():
    table = metrics().assign(dataset=DATASET)
    other = table.assign(scenario="natural", value=table["value"] / 2)
    both = pd.concat([table, other])
    differences = compare(both, ["imbalanced"], {SCENARIO: 0.25, "natural": 0.25})
    roles = {DATASET: dataclasses.replace(ROLES, dataset=DATASET)}
    first, second = split_results(both, differences, roles, list(TREATMENTS))
    assert (first.scenario, second.scenario) == (SCENARIO, "natural")
    key = ("smote", EVERYONE, "f1")
    np.testing.assert_allclose(second.values[key], first.values[key] / 2)
    assert first.n_replicates == second.n_replicates == 5


def test_each_rule_has_its_tables_and_the_first_alone_figures_and_sentences():
    table = metrics().assign(dataset=DATASET)
    tuned = table.assign(threshold="balanced_accuracy")
    # The order of the metrics, not of the alphabet.
    both = pd.concat([tuned, table])
    differences = compare(both, ["imbalanced"], {SCENARIO: 0.25})
    roles = {DATASET: dataclasses.replace(ROLES, dataset=DATASET)}
    first, second = split_results(both, differences, roles, list(TREATMENTS))
    assert [first.threshold, second.threshold] == ["balanced_accuracy", "0.5"]
    assert (first.leads, second.leads) == (True, False)
    assert headline(second) == f"{headline(first)}, threshold 0.5"
    html = render_report([first, second], settings=settings(), figures=[])
    assert html.count('<section class="answer">') == 1
    assert "Decisions by the cut with the best balanced accuracy on held-out" in html
    declared = {**PRIMARY, "threshold": "balanced_accuracy"}
    assert primary_verdict(first, declared)
    assert primary_verdict(second, declared) == []


# --- the declared question and gaps ----------------------------------------------------------


PRIMARY = {
    "metric": "auroc",
    "attribute": "SEX",
    "subgroup": "SEX=F",
    "classifier": "random_forest",
    "treatment": "smote",
    "baseline": "imbalanced",
    "threshold": "0.5",
}


def asked(**changes) -> list[str]:
    [results] = sections()
    key = ("imbalanced", "smote", "SEX=F", "auroc")
    row = {**results.differences[key], **changes}
    return primary_verdict(
        dataclasses.replace(results, differences={**results.differences, key: row}), PRIMARY
    )


def test_the_declared_question_is_answered_with_what_could_be_found():
    question, told = asked(
        mean_difference=-0.02, ci_low=-0.03, ci_high=-0.01, p_value=0.01, p_equivalence=0.9,
    )  # fmt: skip
    assert question == ("Declared before the run: AUROC for women, against “imbalanced”.")
    assert (
        "\N{MINUS SIGN}0.020 [\N{MINUS SIGN}0.030, \N{MINUS SIGN}0.010] (p = 0.010), worse" in told
    )
    error = 0.01 / stats.t.ppf(0.975, 4)
    shift = optimize.brentq(lambda d: _power(d, 4) - 0.8, 1, 6)
    assert f"would show is {shift * error:.3f}." in told


def _power(shift: float, df: int) -> float:
    """Of a two-sided t-test at 5 %, by the noncentral t."""
    critical = stats.t.ppf(0.975, df)
    return stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)


def test_a_question_asked_of_several_datasets_is_corrected_for_them():
    [first] = sections()
    key = ("imbalanced", "smote", "SEX=F", "auroc")
    places = [
        dataclasses.replace(
            first,
            dataset=dataset,
            differences={key: {**first.differences[key], "p_value": raw}},
        )
        for dataset, raw in (("a", 0.02), ("b", 0.01), ("c", 0.9))
    ]
    for results, adjusted in zip(places, ("0.040", "0.030", "0.90"), strict=True):
        question, told = primary_verdict(results, PRIMARY, places)
        assert question.endswith("“imbalanced”, Holm's correction for 3 datasets and scenarios.")
        assert f"(p = {adjusted})" in told
    [alone] = primary_verdict(places[0], PRIMARY)[1:]
    assert "(p = 0.020)" in alone
    # More is needed to be found among three.
    found = [float(text.split("would show is ")[1][:5]) for text in (told, alone)]
    assert found[0] > found[1]


def test_no_difference_is_said_only_where_a_test_shows_it():
    around = {"mean_difference": 0.0, "ci_low": -0.01, "ci_high": 0.01, "p_value": 1.0}
    assert (
        "no difference could be shown, and equivalence neither"
        in asked(**around, p_equivalence=0.2)[1]
    )
    assert "equivalent within ±0.005 (p = 0.010)" in asked(**around, p_equivalence=0.01)[1]
    above = {"mean_difference": 0.02, "ci_low": 0.001, "ci_high": 0.03, "p_equivalence": 0.9}
    assert "not shown after the correction" in asked(**above, p_value=0.2)[1]
    assert "fair because useless" in asked(**around, p_equivalence=0.5,
                                           caution="fair because useless")[1]  # fmt: skip


def test_a_question_that_nobody_declared_is_not_called_declared():
    [results] = sections()
    question = primary_verdict(results, {**PRIMARY, "declared": False})[0]
    assert question.startswith("No question was declared (experiment.primary), so the usual one:")


def test_the_question_is_of_one_classifier_and_without_a_treatment_of_all():
    [results] = sections()
    assert primary_verdict(dataclasses.replace(results, classifier="knn"), PRIMARY) == []
    question, *told = primary_verdict(results, {**PRIMARY, "treatment": None})
    assert question.endswith("Holm's correction for 4 treatments.")
    assert len(told) == 4
    lost = {**PRIMARY, "subgroup": "SEX=X"}
    assert "could not be computed" in primary_verdict(results, lost)[0]
    [one] = sections(1)
    assert "no interval and no verdict" in primary_verdict(one, PRIMARY)[1]


def test_gaps_stand_beside_what_chance_gives_and_not_among_subgroups():
    table = metrics().assign(dataset=DATASET)
    men = table.query("subgroup == 'SEX=M' and metric == 'auroc'")
    gaps = [
        men.assign(subgroup=subgroup, metric=metric, value=men["value"] - less, support=426)
        for subgroup, metric, less in (
            ("all", "worst_auroc_difference", 0.7),
            ("all", "worst_auroc_difference_null", 0.75),
            ("all", "worst_auroc_difference_null_p_value", 0.75),
            ("SEX=F against SEX=M", "signed_auroc_difference", 0.7),
        )
    ]
    table = pd.concat([table, *gaps], ignore_index=True)
    differences = compare(table, ["imbalanced"], {SCENARIO: 0.25})
    roles = dataclasses.replace(ROLES, dataset=DATASET)
    [results] = split_results(table, differences, {DATASET: roles}, list(TREATMENTS))
    assert list(results.subgroups) == ["SEX=F", "SEX=M"]
    [gap] = gap_tables(results, "imbalanced")
    assert gap.title == "Sex"
    entry = dict(gap.rows)["smote"][0]
    mean = gaps[0].query("treatment == 'smote'")["value"].mean()
    assert entry.text == number(mean)
    assert entry.small.startswith(f"by chance {number(mean - 0.05)}; beyond it in")
    useless = {**results.values, ("imbalanced", EVERYONE, "auroc"): np.array([0.55, 0.57])}
    [judged] = gap_tables(dataclasses.replace(results, values=useless), "imbalanced")
    told = {name: entries[0].small for name, entries in judged.rows}
    assert told["imbalanced"].endswith("caution: useless: AUROC of everyone 0.560")
    assert "caution" not in told["smote"]
    page = render_report([results], settings={**settings(), "primary": PRIMARY}, figures=[])
    assert "Declared before the run" in page
    assert "Gaps between subgroups" in page
