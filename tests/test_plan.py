# SPDX-License-Identifier: MIT
"""What a rule's params hold, and that thousands of jobs don't read the code thousands of times."""

from types import SimpleNamespace

import pytest

from mcrage import rule_params as module
from mcrage.code_digest import code_digest, versions
from mcrage.config.load import load_config
from mcrage.generators.registry import needs
from mcrage.plan import Plan


@pytest.fixture
def plan():
    return Plan(load_config({}), cards={})


def job(**wildcards):
    names = {"dataset": "diabetes", "scenario": "keep_25_percent_of_sex_2", "replicate": "0"}
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


def test_threads_of_training_are_among_its_params():
    told = [
        Plan(load_config(given), cards={}).params("train_generator")(job(generator="cddpm_tuned"))
        for given in ({}, {"threads": 2})
    ]
    assert [params["settings"].pop("threads") for params in told] == [1, 2]
    assert told[0] == told[1]


def test_the_code_of_a_rule_is_read_once_for_all_jobs(plan, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "code_digest", lambda *names: calls.append(names))
    params = plan.params("sample_generator")
    for replicate in "012":
        for generator in ("smote", "cddpm_tuned"):
            params(job(replicate=replicate, generator=generator))
    assert [call[1] for call in calls] == ["mcrage.generators.smote", "mcrage.generators.cddpm"]
