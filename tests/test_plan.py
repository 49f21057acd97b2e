# SPDX-License-Identifier: MIT
"""What a rule's params hold, and that thousands of jobs don't read the code thousands of times."""

from types import SimpleNamespace

import pytest

from mcrage import plan as module
from mcrage.code_digest import code_digest, versions
from mcrage.config.load import load_config
from mcrage.plan import Plan


@pytest.fixture
def plan():
    return Plan(load_config({}), cards={})


def job(**wildcards):
    names = {"dataset": "diabetes", "scenario": "keep_25_percent_of_sex_2", "replicate": "0"}
    return SimpleNamespace(**{**names, **wildcards})


def test_code_and_versions_are_those_of_the_generator(plan):
    params = plan.params("sample_generator")
    smote, cddpm = params(job(generator="smote")), params(job(generator="cddpm_tuned"))
    assert smote["code"] == code_digest("sample_generator", "mcrage.generators.smote")
    assert cddpm["code"] == code_digest("sample_generator", "mcrage.generators.cddpm")
    assert smote["versions"] == versions("imbalanced-learn", "numpy", "scikit-learn")
    assert cddpm["versions"] == versions("torch", "numpy", "scikit-learn")


def test_replicates_differ_in_their_seeds_only(plan):
    params = plan.params("evaluate")
    first, second = (params(job(replicate=n, classifier="random_forest")) for n in ("0", "1"))
    assert first.pop("seeds") != second.pop("seeds")
    assert first == second


def test_the_code_of_a_rule_is_read_once_for_all_jobs(plan, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "code_digest", lambda *names: calls.append(names))
    params = plan.params("sample_generator")
    for replicate in "012":
        for generator in ("smote", "cddpm_tuned"):
            params(job(replicate=replicate, generator=generator))
    assert calls == [
        ("sample_generator", "mcrage.generators.smote"),
        ("sample_generator", "mcrage.generators.cddpm"),
    ]
