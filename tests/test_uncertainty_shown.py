# SPDX-License-Identifier: MIT
"""What figures and report say of uncertainty: trade-off, calibration, ranks, levelling, power."""

import base64
import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from example_tables import ROLES, TREATMENTS, metrics
from mcrage.config.published import read_published
from mcrage.figures.calibration import curve_of, draw_calibration, wilson
from mcrage.figures.predictions import Predictions
from mcrage.figures.ranks import NOTHING_RANKED, draw_ranks
from mcrage.figures.tradeoff import draw_tradeoff, front
from mcrage.figures.words import attribute_words
from mcrage.metrics.names import FEWEST_DATASETS
from mcrage.report.across import across_sections
from mcrage.report.detectable import detectable_tables
from mcrage.report.downloads import downloads
from mcrage.report.levelling import levelling_tables
from mcrage.report.page import render_report
from mcrage.report.results import Results, split_results
from mcrage.report.within import Within, paper_sentences, within_sentences, within_tables
from mcrage.statistics.ranking import RANKED, rank_all
from mcrage.statistics.summary import compare, summarise
from mcrage.tables import write_table

PUBLISHED = Path(__file__).parents[1] / "resources" / "published" / "mcrage.yaml"
SCENARIO, DATASET = "keep_10_percent_of_women", "patient-treatment"
MINUS = "\N{MINUS SIGN}"


def texts(figure) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def with_gaps(replicates: int = 4) -> pd.DataFrame:
    """The example with gaps of men less women; women gain by smote less than men lose."""
    table = metrics(replicates).assign(dataset=DATASET)
    lost = (table["treatment"] == "smote") & (table["metric"] == "auroc")
    table.loc[lost & (table["subgroup"] == "SEX=M"), "value"] -= 0.06
    table.loc[lost & (table["subgroup"] == "SEX=F"), "value"] += 0.03
    own = table[table["metric"] == "auroc"].set_index(["replicate", "treatment"])
    men, women = (own[own["subgroup"] == who]["value"] for who in ("SEX=M", "SEX=F"))
    base = own[own["subgroup"] == "SEX=F"].reset_index().assign(subgroup="all")
    # Women have 0.05 less.
    table.loc[(table["metric"] == "auroc") & (table["subgroup"] == "SEX=F"), "value"] -= 0.05
    gaps = base.assign(metric="worst_auroc_difference", value=(men - women + 0.05).to_numpy())
    null = gaps.assign(metric="worst_auroc_difference_null", value=0.9)
    noise = np.random.default_rng(0).normal(0, 0.01, len(gaps))
    odds = gaps.assign(metric="worst_equalised_odds_difference", value=gaps["value"] + noise)
    return pd.concat([table, gaps, null, odds], ignore_index=True)


def results_of(table: pd.DataFrame) -> tuple[Results, pd.DataFrame]:
    differences = compare(table, ["imbalanced"], {SCENARIO: 0.25})
    roles = dataclasses.replace(ROLES, dataset=DATASET)
    [results] = split_results(table, differences, {DATASET: roles}, list(TREATMENTS))
    return results, differences


# --- utility against fairness ----------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_who_nobody_beats(points):
    found = front(np.array(points, dtype=float))
    for mine, own in enumerate(points):
        beaten = any(u >= own[0] and g <= own[1] and (u, g) != own for u, g in points)
        assert found[mine] == (not beaten)


def drawn(replicates: int, treatments=TREATMENTS):
    table = with_gaps(replicates)
    _, differences = results_of(table)
    means = summarise(table).query("treatment == 'imbalanced' and subgroup == 'all'")
    keys = zip(means["threshold"], means["attribute"], means["metric"], strict=True)
    return draw_tradeoff(
        differences.to_dict("records"),
        baseline_means=dict(zip(keys, means["mean"], strict=True)),
        baseline="imbalanced",
        treatments=treatments,
        controls=["original"],
        attribute_words=attribute_words(ROLES),
        n_rows=883,
    )


def test_a_point_lies_at_the_means_of_its_treatment():
    figure, means = (
        drawn(4),
        summarise(with_gaps(4)).set_index(["treatment", "attribute", "subgroup", "metric"])["mean"],
    )
    words = texts(figure)
    assert "95 % intervals over 4 replicates of 883 test rows" in words
    assert "gaps by sex" in words
    assert "what chance gives" not in words  # far above all points
    points = {
        tuple(np.round(line.get_xydata()[0], 9))
        for line in figure.axes[0].lines
        if len(line.get_xydata()) == 1
    }
    for treatment in TREATMENTS:
        own = (
            means[treatment, "overall", "all", "auroc"],
            means[treatment, "SEX", "all", "worst_auroc_difference"],
        )
        assert tuple(np.round(own, 9)) in points
    assert "which gives no interval" in texts(drawn(1))


# --- calibration -----------------------------------------------------------------------------


def test_calibration_pools_replicates_and_counts_each_person_once():
    rng = np.random.default_rng(0)
    score = rng.random(400)
    y = (rng.random(400) < score).astype(np.int8)
    one = Predictions(rng.integers(0, 2, 400), y, score, np.arange(400))
    curve, twice = curve_of([one]), curve_of([one, one])
    for name in ("score", "share", "low", "high"):
        np.testing.assert_allclose(getattr(curve, name), getattr(twice, name))
    first = score < np.quantile(score, 0.1)
    assert curve.share[0] == pytest.approx(y[first].mean())
    assert curve.score[0] == pytest.approx(score[first].mean())
    theirs = stats.binomtest(int(y[first].sum()), 40).proportion_ci(method="wilson")
    assert (curve.low[0], curve.high[0]) == pytest.approx((theirs.low, theirs.high))
    other = dataclasses.replace(one, row_id=np.arange(400, 800))
    assert (curve_of([one, other]).low > curve.low).all()  # twice as many people
    assert curve_of([one.take(np.arange(19))]) is None
    assert len(curve_of([one.take(np.arange(60))]).share) == 3
    assert wilson(np.array([0.0]), np.array([10]))[0] == pytest.approx(0, abs=1e-12)


def test_equal_scores_share_a_bin_and_many_outcomes_one_curve():
    y = np.array([0, 1] * 100, dtype=np.int8)
    tied = Predictions(np.zeros(200, int), y, np.full(200, 0.5))
    assert curve_of([tied]).share.tolist() == [0.5]
    three = np.tile([0, 1, 2], 80).astype(np.int8)
    score = 0.2 + 0.4 * np.eye(3)[three]
    curve = curve_of([Predictions(np.zeros(240, int), three, score, np.arange(240))])
    assert curve.score == pytest.approx([0.2, 0.6])
    assert curve.share == pytest.approx([0.0, 1.0])
    figure = draw_calibration(ROLES, {"smote": [tied], "imbalanced": [tied, tied]})
    words = texts(figure)
    assert "Women (200 test rows)" in words
    assert "pooled over 2 replicates" in words
    assert "too few rows" in words  # no men


# --- across datasets -------------------------------------------------------------------------


def summary_of(n_datasets: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_datasets):
        level = rng.normal(0.7, 0.05)
        for treatment, effect in (("imbalanced", 0.0), ("weights", 0.03), ("smote", -0.03)):
            for metric in RANKED:
                sign = -1 if metric == "brier" or metric.endswith("difference") else 1
                attributes = ("SEX", "RACE", "SEX*RACE") if "worst" in metric else ("overall",)
                for attribute in attributes:
                    # By a lone attribute all is the other way round.
                    turned = -1 if attribute in ("SEX", "RACE") else 1
                    value = level + turned * sign * effect + rng.normal(0, 0.002)
                    rows.append(
                        {
                            **{"dataset": f"d{number}", "scenario": "natural"},
                            **{"classifier": "forest", "threshold": "0.5"},
                            **{"attribute": attribute, "subgroup": "all", "metric": metric},
                            **{"treatment": treatment, "mean": value},
                        }
                    )
    return pd.DataFrame(rows)


def test_ranks_are_of_everyone_and_of_all_attributes_together():
    names = ("imbalanced", "weights", "smote")
    rankings = rank_all(summary_of(9), names, "imbalanced")
    assert list(rankings) == list(RANKED)
    for ranking in rankings.values():
        assert ranking.mean_ranks.tolist() == [2.0, 1.0, 3.0]
        assert ranking.different.tolist() == [False, True, True]
        # Bonferroni-Dunn for three treatments (Demšar 2006, table 5b): 2.241.
        assert ranking.critical_difference == pytest.approx(2.241 * np.sqrt(12 / 54), abs=1e-3)
    lacking = summary_of(FEWEST_DATASETS)
    lacking.loc[(lacking["dataset"] == "d0") & (lacking["metric"] == "auroc"), "mean"] = np.nan
    assert "auroc" not in rank_all(lacking, names, "imbalanced")
    words = texts(draw_ranks(rankings, "imbalanced", "0.5"))
    assert "9 datasets" in words
    assert "against “imbalanced”" in words


def test_few_datasets_have_intervals_each_and_no_ranks():
    settings = {"treatments": ["imbalanced", "weights", "smote"], "control": "imbalanced"}
    settings["thresholds"] = ["0.5", "f1"]
    assert across_sections(summary_of(1), settings) == []
    [few] = across_sections(summary_of(4), settings)
    assert few.table is None
    assert "intervals for each dataset, and no ranks" in few.sentences[0]
    many, undefined = across_sections(summary_of(9), settings)
    assert (undefined.threshold, undefined.sentences) == ("f1", [NOTHING_RANKED])
    assert "better than “imbalanced” (2.0): weights (mean rank 1.0)" in many.sentences[0]
    assert "worse than “imbalanced” (2.0): smote" in many.sentences[0]
    assert dict(many.table.rows)["imbalanced"][0].small == "control"
    # Five signed ranks of one sign: p = 2/32, and two treatments are tested.
    five, _ = across_sections(summary_of(5), settings)
    assert "so few datasets can show no treatment to differ" in five.sentences[0]
    assert five.sentences[0].endswith("Wilcoxon's test: 0.12).")


# --- who gains, who loses, and what could have been found --------------------------------------


def test_levelling_down_is_told_from_lifting_up():
    results, differences = results_of(with_gaps())
    table = levelling_tables(results, "imbalanced")[0]
    assert table.title == "AUROC by SEX"
    # From the worst off to the best off.
    assert [column.partition(" ")[0] for column in table.columns[:2]] == ["Women", "Men"]
    rows = dict(table.rows)
    assert rows["smote"][2].kind == "levelled"
    assert rows["smote"][2].small.startswith("levelled down")
    lifted = rows["mcrage tuned"][2]
    assert lifted.small == "shrank by what the worst off gained"
    assert lifted.kind != "levelled"
    own = differences.query("treatment == 'smote' and metric == 'auroc' and subgroup == 'SEX=M'")
    assert rows["smote"][1].text.startswith(
        f"{own['mean_difference'].iloc[0]:.3f}".replace("-", MINUS)
    )
    flagged = differences.query("treatment == 'smote' and metric == 'worst_auroc_difference'")
    assert flagged["caution"].tolist() == ["levelled down"]


def test_what_could_have_been_found_is_the_median_over_treatments():
    results, differences = results_of(with_gaps())
    everyone, gaps = detectable_tables(results, "imbalanced")
    own = differences.query("metric == 'auroc' and subgroup == 'SEX=F' and treatment != 'original'")
    entry = dict(everyone.rows)["Women (n = 426)"][everyone.columns.index("AUROC")]
    assert entry.text == f"{own['detectable_difference'].median():.3f}"
    [(attribute, entries)] = gaps.rows
    assert attribute == "SEX"
    # Differences in the gap in AUROC are the same in all replicates.
    assert dict(zip(gaps.columns, entries, strict=True))["Largest gap in AUROC"].kind == "undefined"
    assert detectable_tables(results_of(with_gaps(1))[0], "imbalanced") == []


# --- within a replicate ------------------------------------------------------------------------


def within_of(replicates: int, *, won: int = 57, lost: int = 47) -> pd.DataFrame:
    results, _ = results_of(with_gaps(replicates))
    rows = []
    for replicate in range(replicates):
        for treatment in TREATMENTS:
            for subgroup in ("all", "SEX=F", "SEX=M"):
                for metric in ("auroc", "accuracy", "balanced_accuracy", "f1", "brier"):
                    test = {"auroc": "DeLong", "accuracy": "McNemar"}.get(metric, "")
                    of_rows = (won, lost) if metric == "accuracy" else (-1, -1)
                    rows.append(
                        {
                            **{"dataset": DATASET, "scenario": SCENARIO, "replicate": replicate},
                            **{"classifier": results.classifier, "threshold": "0.5"},
                            **{"subgroup": subgroup, "metric": metric},
                            **{"treatment": treatment, "baseline": "imbalanced"},
                            **{"difference": 0.011, "ci_low": 0.001 - 0.01 * replicate},
                            **{"ci_high": 0.03, "test": test, "p_value": 0.04 if test else np.nan},
                            **{"rows_won": of_rows[0], "rows_lost": of_rows[1], "support": 883},
                        }
                    )
    return pd.DataFrame(rows)


def single(replicates: int, **rows: int) -> tuple[Within, Results]:
    results, _ = results_of(with_gaps(replicates))
    return Within.of(within_of(replicates, **rows), results, "imbalanced", 0), results


def test_one_replicate_is_told_of_its_test_rows_and_no_more():
    within, results = single(1)
    [sentence] = within_sentences(within, results)
    assert "On the 883 test rows of this one replicate" in sentence
    assert "right for 57 that imbalanced has wrong, wrong for 47 that it has right" in sentence
    assert "nothing of another split, training or seed" in sentence
    assert "original" not in sentence
    assert within_sentences(*single(2)) == []


def test_the_table_tells_in_how_many_replicates_an_interval_leaves_out_zero():
    within, results = single(3)
    table = within_tables(within, results)[0]
    entry = dict(table.rows)["smote"][0]
    assert entry.text == "+0.011 [0.001, 0.030]"
    assert entry.small == "p = 0.040, DeLong; leaves out 0 in 1 of 3 replicates"
    assert Within.of(within_of(1), results, "smote", 0) is None


def test_the_papers_ten_patients_are_held_against_how_many_classifiers_disagree_about():
    within, _ = single(2)
    [sentence] = paper_sentences(within, [read_published(PUBLISHED)])
    # 640 right of 883 where plain training has 630; 104 disagreements as here.
    p = stats.binomtest(57, 104).pvalue
    assert f"MCRAGE 10 more (they disagree about 104, as mcrage paper does here: p = {p:.2f})" in (
        sentence
    )
    other = dataclasses.replace(within, baseline="smote", every={})
    assert paper_sentences(other, [read_published(PUBLISHED)]) == []


# --- the page ----------------------------------------------------------------------------------


def test_tables_can_be_kept_while_they_are_small():
    table = pd.DataFrame({"metric": ["auroc", "brier"], "mean": [1 / 3, np.nan]})
    [small] = downloads({"summary": table})
    text = base64.b64decode(small.uri.partition("base64,")[2])
    back = pd.read_csv(io.BytesIO(text))
    assert back["mean"][0] == pytest.approx(1 / 3, abs=1e-6)
    assert np.isnan(back["mean"][1])
    assert small.name == "summary.csv"
    [large] = downloads({"summary": table}, max_bytes=10)
    assert large.uri == ""
    assert "results/summary.parquet" in large.told


def test_the_page_has_the_new_sections():
    results, _ = results_of(with_gaps())
    settings = {
        **{"title": "T", "treatments": dict.fromkeys(TREATMENTS, "."), "datasets": {}},
        **{"test_to_train": {SCENARIO: 0.25}, "config": {}, "seed": 1, "induced": True},
        **{"main_baseline": "imbalanced", "shown_replicate": 0},
    }
    html = render_report(
        [results],
        settings=settings,
        figures=[],
        within=within_of(4),
        across=across_sections(summary_of(4), {"treatments": []}),
        tables=downloads({"summary": summary_of(1)}),
    )
    for told in (
        "Who gains and who loses against “imbalanced”",
        "levelled down: it shrank because the best off lost",
        "What this experiment could have found",
        "Within one replicate: what other test rows would have given",
        "4 datasets: intervals for each dataset, and no ranks",
        'download="summary.csv"',
    ):
        assert told in html


def test_the_script_of_ranks_shows_each_rule_by_itself(tmp_path, monkeypatch):
    import plot_ranks

    first = summary_of(FEWEST_DATASETS)
    # Where a target has many levels, the same rule has another name.
    first.loc[first["dataset"] == "d0", "threshold"] = "likeliest"
    turned = summary_of(FEWEST_DATASETS, seed=1).assign(threshold="f1")
    turned["mean"] = -turned["mean"]
    table = pa.Table.from_pandas(pd.concat([first, turned]), preserve_index=False)
    write_table(table, tmp_path / "summary.parquet", {})
    seen = []
    monkeypatch.setattr(plot_ranks, "save", lambda figure, *told: seen.append(texts(figure)))
    drawn = plot_ranks.draw_ranks
    monkeypatch.setattr(
        plot_ranks, "draw_ranks", lambda ranks, *told: seen.append(ranks) or drawn(ranks, *told)
    )
    for rule in ("0.5", "f1", "equalized_odds"):
        plot_ranks.main(
            input=SimpleNamespace(summary=tmp_path / "summary.parquet"),
            output=SimpleNamespace(svg="", png=""),
            params={
                "settings": {
                    "treatments": ["imbalanced", "weights", "smote"],
                    "control": "imbalanced",
                    "leading": "0.5",
                }
            },
            wildcards=SimpleNamespace(scenario="natural", classifier="forest", threshold=rule),
            threads=1,
            origin={},
        )
    by_half, half, by_f1, f1, by_parity, parity = seen
    assert list(by_half) == list(RANKED)
    assert all(ranking.mean_ranks.tolist() == [2, 1, 3] for ranking in by_half.values())
    assert "decisions at 0.5" in half
    # What is of scores alone is shown once.
    assert list(by_f1) == ["balanced_accuracy", "worst_equalised_odds_difference"]
    assert all(ranking.mean_ranks.tolist() == [2, 3, 1] for ranking in by_f1.values())
    assert "the cut with the best F1" in f1
    assert by_parity == {}
    assert NOTHING_RANKED in parity
