# SPDX-License-Identifier: MIT
"""What a rule's params hold, and that thousands of jobs don't read the code thousands of times."""

import re
from types import SimpleNamespace

import pytest
import yaml

from mcrage import rule_params as module
from mcrage.code_digest import code_digest, versions
from mcrage.config.load import load_config
from mcrage.config.model import Config
from mcrage.config.render import render_config
from mcrage.datasets.cards import read_card
from mcrage.errors import UserError
from mcrage.generators.registry import needs
from mcrage.plan import Plan
from project import ROOT, merge


@pytest.fixture
def plan():
    return Plan(load_config({}), cards={})


def job(**wildcards):
    names = {"dataset": "diabetes", "scenario": "keep_25_percent_of_sex_2", "replicate": "0"}
    names["treatment"] = "smote"
    return SimpleNamespace(**{**names, **wildcards})


def test_code_and_versions_are_those_of_the_generator(plan):
    params = plan.params("sample_generator")
    for name, kind in (("smote", "smote"), ("cddpm_tuned", "cddpm")):
        found = needs("sample", {"kind": kind, "scaling": "standard"})
        told = params(job(generator=name))
        assert told["code"] == code_digest("sample_generator", *found.modules)
        assert told["versions"] == versions(*found.libraries)


def test_replicates_differ_in_their_seeds_only(plan):
    params = plan.params("evaluate")
    first, second = (params(job(replicate=n, classifier="random_forest")) for n in ("0", "1"))
    assert first.pop("seeds") != second.pop("seeds")
    assert first == second


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ({"references": {"diabetes": {"age": 1}}}, "'age' is not a sensitive attribute of"),
        ({"references": {"diabetes": {"sex": 3}}}, "'3' is not a level of sex in diabetes"),
        (
            {"primary": {"attribute": "race", "subgroup": "race=a"}},
            "experiment.primary: 'race' is not a sensitive attribute of diabetes",
        ),
        (
            {"primary": {"attribute": "sex", "subgroup": "sex=9"}},
            "experiment.primary: '9' is not a level of sex",
        ),
    ],
)
def test_a_question_that_a_dataset_cannot_answer_is_refused(experiment, said):
    cards = {"diabetes": read_card("diabetes", ROOT / "resources" / "datasets")}
    with pytest.raises(UserError, match=re.escape(said)):
        Plan(load_config({"experiment": experiment}), cards=cards)


def test_what_is_for_two_outcomes_is_refused_where_a_card_names_more():
    card = read_card("diabetes", ROOT / "resources" / "datasets")
    target = card.target.model_copy(update={"levels": ["low", "middle", "high"]})
    many = card.model_copy(update={"target": target})
    given = merge(
        yaml.safe_load(render_config()),
        {
            "experiment": {"thresholds": [0.5, "f1"], "classifiers": ["lottery"]},
            "classifiers": {
                "lottery": {"kind": "exponentiated_gradient", "base": "logistic_regression"}
            },
        },
    )
    plan = Plan(load_config(given), cards={"diabetes": card})
    assert plan.all_classifiers()[0] == "lottery"
    assert "logistic_regression" in plan.all_classifiers()
    with pytest.raises(UserError) as error:
        Plan(load_config(given), cards={"diabetes": many})
    for found in ("experiment.thresholds: 'f1'", "experiment.classifiers: 'lottery'"):
        told = f"{found} is for a target of two levels, and that of diabetes has 3"
        assert told in str(error.value)


def test_left_out_rows_are_an_input_only_of_who_needs_them():
    names = {"treatment": "group_undersampling", "classifier": "random_forest"}
    for thresholds, classifier, needed in (
        (["0.5"], {}, False),
        (["0.5", "randomised"], {}, False),
        (["f1"], {}, True),
        (["0.5"], {"recalibration": "platt"}, True),
    ):
        whole = yaml.safe_load(render_config())
        over = {
            "experiment": {"thresholds": thresholds, "treatments": ["group_undersampling"]},
            "classifiers": {"random_forest": classifier},
        }
        over["experiment"]["treatments"] += ["imbalanced", "smote", "mcrage_tuned"]
        plan = Plan(load_config(merge(whole, over)), cards={})
        settings = plan.params("evaluate")(job(**names))["settings"]
        assert settings["left_out"] is needed
        other = plan.params("evaluate")(job(**{**names, "treatment": "smote"}))
        assert not other["settings"]["left_out"]
        drawn = "decisions" in other["seeds"]
        assert drawn is ("randomised" in thresholds)


def test_references_reach_who_judges_and_who_checks(plan):
    given = {"experiment": {"references": {"diabetes": {"sex": 2}}}}
    other = Plan(load_config(given), cards={})
    for rule in ("evaluate", "check_leakage"):
        told = [
            p.params(rule)(job(classifier="random_forest"))["settings"]["references"]
            for p in (plan, other)
        ]
        assert told == [{}, {"sex": "2"}]


def test_threads_of_training_are_among_its_params():
    told = [
        Plan(load_config(given), cards={}).params("train_generator")(job(generator="cddpm_tuned"))
        for given in ({}, {"threads": 2})
    ]
    assert [params["settings"].pop("threads") for params in told] == [1, 2]
    assert told[0] == told[1]


def dosed(fill):
    given = {
        "experiment": {
            "treatments": ["imbalanced", "mcrage_tuned", "group_oversampling"],
            "baselines": ["imbalanced"],
        },
        "treatments": {
            "mcrage_tuned": {"fill": fill},
            "group_oversampling": {"fill": [0.5, 1]},
            # Not used; nor is the generator that learns from its table.
            "smote": {"fill": [0.5, 1]},
        },
        "figures": {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")},
    }
    return Plan(load_config(merge(yaml.safe_load(render_config()), given)), cards={})


def test_a_generator_draws_what_each_of_its_treatments_fills():
    given = {
        "experiment": {"treatments": ["imbalanced", "mcrage_tuned", "mcrage_own_labels", "half"]},
        "treatments": {"half": {"description": "Half.", "generator": "cddpm_tuned", "fill": 0.5}},
    }
    given["experiment"]["baselines"] = ["imbalanced"]
    given["figures"] = {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")}
    plan = Plan(load_config(merge(yaml.safe_load(render_config()), given)), cards={})
    assert plan.demands("cddpm_tuned") == [
        {"by": "group", "size": 1.0, "fill": 1},
        {"by": "subgroup", "size": 5.0, "fill": 1},
    ]


def test_the_config_of_what_is_used_is_a_config():
    given = merge(yaml.safe_load(render_config()), {"experiment": {"title": "Used"}})
    plan = Plan(load_config(given), cards={})
    used = plan.science()
    assert set(used["classifiers"]) == {
        "random_forest",
        "ensemble",
        *used["classifiers"]["ensemble"]["members"],
    }
    again = Plan(load_config({k: v for k, v in used.items() if k in Config.model_fields}), cards={})
    assert again.science() == used


def test_a_list_of_doses_is_a_treatment_for_each():
    plan = dosed([0.25, 2])
    assert plan.treatments == [
        "imbalanced",
        *("mcrage_tuned_fill_25_percent", "mcrage_tuned_fill_200_percent"),
        *("group_oversampling_fill_50_percent", "group_oversampling_fill_100_percent"),
    ]
    assert plan.doses() == {
        "mcrage_tuned": {"mcrage_tuned_fill_25_percent": 0.25, "mcrage_tuned_fill_200_percent": 2},
        "group_oversampling": {
            "group_oversampling_fill_50_percent": 0.5,
            "group_oversampling_fill_100_percent": 1,
        },
    }
    assert plan.dose_baseline() == "imbalanced"
    # What is checked once more, as `lineage` does, is the same.
    again = load_config(plan.config.model_dump(mode="json"))
    assert again.recipes == plan.recipes


def test_doses_differ_in_nothing_but_the_dose():
    params = dosed([0.25, 1]).params("rebalance")
    small, large = (
        params(job(treatment=f"group_oversampling_fill_{dose}_percent")) for dose in (50, 100)
    )
    assert [told["settings"]["treatment"].pop("fill") for told in (small, large)] == [0.5, 1]
    assert small == large


@pytest.mark.parametrize(("fill", "gaps"), [(0.25, 1), ([0.25, 1], 1), ([0.5, 1.5], 2), (2, 2)])
def test_whole_gaps_are_drawn(fill, gaps):
    params = dosed(fill).params("sample_generator")
    assert params(job(generator="cddpm_tuned"))["settings"]["demands"] == [
        {"by": "subgroup", "size": 5.0, "fill": gaps}
    ]


def test_the_code_of_a_rule_is_read_once_for_all_jobs(plan, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "code_digest", lambda *names: calls.append(names))
    params = plan.params("sample_generator")
    for replicate in "012":
        for generator in ("smote", "cddpm_tuned"):
            params(job(replicate=replicate, generator=generator))
    assert [call[1] for call in calls] == ["mcrage.generators.smote", "mcrage.generators.cddpm"]


def test_a_dose_is_told_of_what_is_filled():
    plan = dosed([0.25, 1])
    told = plan.recipes["mcrage_tuned_fill_25_percent"].description
    assert told.endswith(
        "Dose: 25 % of the rows that each subgroup lacks to be 5 times as large as the largest."
    )
    told = plan.recipes["group_oversampling_fill_50_percent"].description
    assert told.endswith("Dose: 50 % of the rows that each group lacks.")


EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
SMALLER = sorted((ROOT / "experiments").glob("*/*.yaml"))


def planned(*paths):
    raw = yaml.safe_load(render_config())
    for path in paths:
        raw = merge(raw, yaml.safe_load(path.read_text()))
    config, folder = load_config(raw), ROOT / "resources" / "datasets"
    cards = {name: read_card(name, folder) for name in config.experiment.datasets}
    published = {name: ROOT / f"resources/published/{name}.yaml" for name in config.published}
    return Plan(config, cards, published)


@pytest.mark.parametrize("path", [*EXPERIMENTS, *SMALLER], ids=lambda path: path.stem)
def test_every_experiment_fits_its_datasets(path):
    """A smaller budget lies in a folder named like its experiment, and is laid over it."""
    over = path.parent.with_suffix(".yaml")
    assert planned(*([over] if path in SMALLER else []), path).treatments


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_declares_its_question(path):
    """In its own file: what config.yaml leaves to a default is not declared before the run."""
    primary = yaml.safe_load(path.read_text())["experiment"]["primary"]
    assert primary["metric"]
    plan = planned(path)
    declared = plan.config.primary
    assert declared.baseline in plan.baselines
    assert declared.treatment is None or declared.treatment in plan.treatments


def test_the_report_knows_whether_somebody_declared_the_question():
    for paths, declared in (((ROOT / "experiments" / "mcrage.yaml",), True), ((), False)):
        settings = planned(*paths).params("report")(job())["settings"]
        assert settings["primary"]["declared"] is declared


def test_a_question_reruns_the_report_alone():
    """So that one declared later alters no result."""
    path = ROOT / "experiments" / "factorial.yaml"
    plan, rules = planned(path), ("summarise", "evaluate", "rebalance", "report")
    undeclared = plan.config.model_copy(
        update={"experiment": plan.config.experiment.model_copy(update={"primary": None})}
    )
    other = Plan(undeclared, plan.cards)
    names = job(dataset="patient-treatment", scenario=plan.scenarios[0], classifier="random_forest")
    changed = [rule for rule in rules if plan.params(rule)(names) != other.params(rule)(names)]
    assert changed == ["report"]


def test_a_treatment_that_learnt_less_than_published_is_told():
    plan = planned(ROOT / "experiments" / "mcrage.yaml")
    told = plan.params("report")(job())["settings"]["shortfalls"]
    short = "120 of the 10,000 epochs and 1 of the 25 settings of preset paper"
    assert told == {"mcrage_paper": short}
    whole = planned(ROOT / "experiments" / "mcrage-full.yaml")
    assert whole.params("report")(job())["settings"]["shortfalls"] == {}
    tabddpm = ROOT / "experiments" / "tabddpm-reweighing.yaml"
    told = planned(tabddpm, tabddpm.with_suffix("") / "small.yaml").params("report")(job())[
        "settings"
    ]["shortfalls"]
    assert set(told.values()) == {"2,000 of the 30,000 steps of preset paper"}


def test_rows_of_all_sizes_are_drawn_once():
    """The study of TabDDPM: three sizes, by three weightings, from one draw of the most."""
    plan = planned(ROOT / "experiments" / "tabddpm-reweighing.yaml")
    assert plan.demands("tabddpm") == [{"by": "rows", "size": 1.0, "fill": 1, "rows": 150_000}]
    rebalanced = plan.params("rebalance")
    told = rebalanced(job(dataset="adult", scenario="natural", treatment="tabddpm_20k"))
    assert told["settings"]["treatment"]["rows"] == 20_000
    told = rebalanced(job(dataset="adult", scenario="natural", treatment="reweighing_sex"))
    assert told["settings"]["treatment"]["weights_over"] == ["sex"]
    assert "rows" not in told["settings"]["treatment"]


def test_weights_go_by_attributes_that_there_are():
    over = {"weights": "reweighing", "weights_over": ["race"], "description": "x"}
    raw = merge(yaml.safe_load(render_config()), {"treatments": {"reweighing": over}})
    raw["experiment"]["treatments"] += ["reweighing"]
    folder = ROOT / "resources" / "datasets"
    with pytest.raises(UserError, match=r"weights_over: 'race' is not a sensitive .* allowed: sex"):
        Plan(load_config(raw), {"diabetes": read_card("diabetes", folder)})


def test_treatments_are_ranked_from_five_datasets_on(plan):
    assert plan.ranked() == []
    plan.datasets = [f"d{number}" for number in range(5)]
    assert plan.ranked() == [name for name in plan.treatments if name != "original"]
    assert plan.main_baseline() == "imbalanced"
