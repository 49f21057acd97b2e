# SPDX-License-Identifier: MIT
"""Which rules' params a change of the config reaches: the cheap half of the rerun contract.

`tests/test_rerun_contract.py` runs Snakemake on one small experiment; this holds the params of two
configs side by side, so that every kind of generator and every key can be asked. What follows from
a rule's new output is Snakemake's business, and is asked there.
"""

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import pytest
import yaml

from mcrage import rule_params
from mcrage.config.load import load_config
from mcrage.config.render import render_config
from mcrage.datasets.cards import read_card
from mcrage.plan import Plan
from mcrage.provenance import params_digest
from project import ROOT, merge

GENERATORS = {
    "tabddpm": {"kind": "tabddpm", "preset": "small"},
    "mixture": {"kind": "mixture"},
    "copula": {"kind": "copula"},
    "cart": {"kind": "cart"},
    "diffusion": {"kind": "cddpm", "preset": "tuned_large"},
}
BASE = merge(
    yaml.safe_load(render_config()),
    {
        "experiment": {
            "datasets": ["adult"],
            "scenarios": ["natural", "official_split"],
            "replicates": 1,
            "treatments": ["imbalanced", *GENERATORS],
            "classifiers": ["boosting"],
            "baselines": ["imbalanced"],
        },
        "scenarios": {"official_split": {"split": "official"}},
        "generators": GENERATORS,
        "treatments": {
            name: {"description": f"Filled by {name}.", "generator": name} for name in GENERATORS
        },
        "classifiers": {"boosting": {"kind": "gradient_boosting", "n_trees": 20}},
        "figures": {f"{kind}_treatments": [] for kind in ("umap", "density", "roc")},
    },
)
OF_A_DATASET = ("prepare", "describe")
OF_A_REPLICATE = ("balance", "split", "induce_imbalance", "check_groups", "check_leakage")
OF_ALL = ("gather_fidelity", "summarise", "plot_group_composition", "plot_differences", "report")


def digests(config: dict) -> dict[str, str]:
    """Return the params digest of every job, by rule and what the job is about."""
    names = config["experiment"]["datasets"]
    cards = {name: read_card(name, ROOT / "resources" / "datasets") for name in names}
    plan = Plan(load_config(config), cards)
    found = {}

    def add(rule: str, name: str, **wildcards: str) -> None:
        found[f"{rule} {name}".strip()] = params_digest(
            plan.params(rule)(SimpleNamespace(**wildcards))
        )

    for rule in OF_ALL:
        add(rule, "")
    for rule in OF_A_DATASET:
        add(rule, "", dataset="adult")
    for scenario in plan.scenarios:
        at = {"dataset": "adult", "scenario": scenario, "replicate": "0"}
        for rule in OF_A_REPLICATE:
            add(rule, scenario, **at)
        for classifier in plan.classifiers:
            add("evaluate", scenario, **at, treatment="imbalanced", classifier=classifier)
    for generator in plan.generators:
        for rule in ("train_generator", "sample_generator", "judge_synthetic"):
            add(rule, generator, **at, generator=generator)
    for treatment in plan.all_treatments:
        add("rebalance", treatment, **at, treatment=treatment)
        add("export_csv", treatment, **at, treatment=treatment)
    return found


def trained(*generators: str) -> set[str]:
    return {f"train_generator {name}" for name in generators} | {"report"}


def drawn(*generators: str) -> set[str]:
    return {f"sample_generator {name}" for name in generators} | {"report"}


def both(rule: str) -> set[str]:
    return {f"{rule} natural", f"{rule} official_split"}


def of(name: str, **settings) -> dict:
    return {"generators": {name: settings}}


CONTRACT: dict[str, tuple[dict, set[str]]] = {
    "nothing": ({}, set()),
    "tabddpm: steps": (of("tabddpm", steps=7), trained("tabddpm")),
    "tabddpm: layers": (of("tabddpm", layers=[8, 8]), trained("tabddpm")),
    "tabddpm: variance of sampling": (of("tabddpm", sampling_variance="beta"), drawn("tabddpm")),
    "tabddpm: a gate": (of("tabddpm", memorising="drop"), drawn("tabddpm")),
    "mixture: components": (of("mixture", components=[2]), trained("mixture")),
    "mixture: covariance": (of("mixture", covariance="diagonal"), trained("mixture")),
    "mixture: scaling": (of("mixture", scaling="standard"), trained("mixture")),
    "mixture: a gate": (of("mixture", memorising="stop"), drawn("mixture")),
    "mixture: max_rows": (of("mixture", max_rows=2000), trained("mixture")),
    "copula: prior_rows": (of("copula", prior_rows=3.0), trained("copula")),
    "copula: derive": (of("copula", derive=False), trained("copula")),
    "cart: max_rows": (of("cart", max_rows=2000), trained("cart")),
    "cart: min_leaf": (of("cart", min_leaf=9), trained("cart")),
    "cart: smooth": (of("cart", smooth=True), drawn("cart")),
    "diffusion: categories": (of("diffusion", categories="one_hot"), trained("diffusion")),
    "diffusion: steps in which categories are drawn": (
        of("diffusion", category_steps=3),
        drawn("diffusion"),
    ),
    "rare groups: how few": (
        {"rare_groups": {"fewer_than": 9}},
        trained(*GENERATORS) | both("check_leakage"),
    ),
    "rare groups: left as they are": (
        {"rare_groups": {"then": "leave"}},
        trained(*GENERATORS)
        | drawn(*GENERATORS)
        | both("check_leakage")
        | {f"rebalance {name}" for name in GENERATORS},
    ),
    "a classifier's grid": (
        {"classifiers": {"boosting": {"grid": {"max_depth": [2, 4]}}}},
        # The guard fits one run of each classifier anew.
        both("evaluate") | both("check_leakage") | {"report"},
    ),
    "a classifier that is told no attributes": (
        {"classifiers": {"boosting": {"attributes": False}}},
        both("evaluate") | both("check_leakage") | {"report"},
    ),
    "another reference": (
        {"experiment": {"references": {"adult": {"sex": "Female"}}}},
        both("evaluate") | both("check_leakage") | {"report"},
    ),
    "a treatment's rows": (
        {"treatments": {"mixture": {"fill_by": "rows", "rows": 500}}},
        drawn("mixture") | {"rebalance mixture"} | both("check_leakage"),
    ),
    "a treatment's weights_over": (
        {"treatments": {"mixture": {"weights": "group", "weights_over": ["sex"]}}},
        {"rebalance mixture", "report"} | both("check_leakage"),
    ),
    "margins": ({"margins": {"gap": 0.03}}, {"summarise", "report"}),
    "the declared question": ({"experiment": {"primary": {"metric": "brier"}}}, {"report"}),
    "tables as CSV, too": ({"rebalanced_csv": True}, set()),
    "a random split": (
        {"scenarios": {"official_split": {"split": "random"}}},
        {"balance official_split", "split official_split", "summarise", "report"},
    ),
    "the size of a random test set": (
        {"scenarios": {"natural": {"test_fraction": 0.3}}},
        {"split natural", "summarise", "report"},
    ),
    "where a GPU is": ({"device": "cpu"}, set()),
    "where files lie": ({"mirror": "elsewhere"}, set()),
}


@pytest.fixture(scope="module")
def base() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        # The code is the same throughout.
        for name in ("code_digest", "versions"):
            patch.setattr(rule_params, name, cache(getattr(rule_params, name)))
        yield digests(BASE)


@pytest.mark.parametrize(("change", "expected"), CONTRACT.values(), ids=CONTRACT.keys())
def test_a_change_reaches_exactly_these_params(base, change, expected):
    found = digests(merge(BASE, change))
    assert found.keys() == base.keys()
    assert {name for name in base if found[name] != base[name]} == expected


def test_every_kind_of_generator_is_asked():
    from mcrage.config.generators import KINDS

    assert {each["kind"] for each in GENERATORS.values()} | {"smote"} == set(KINDS)
