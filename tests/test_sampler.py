# SPDX-License-Identifier: MIT
"""The sampler: imbalanced-learn's checks, groups, any columns, pipelines and cross-validation."""

import doctest
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import check_param_validation, parametrize_with_checks
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import mcrage.sampler
from mcrage import MCRAGE
from mcrage.generators.registry import KINDS
from mcrage.sampler import generator_settings
from project import ROOT

QUICK = {
    "kind": "cddpm",
    "steps": 5,
    "seeds": 1,
    "width": 8,
    "batch_sizes": [64],
    "warmup_steps": 1,
}


def quick(**settings) -> MCRAGE:
    return MCRAGE(**{"generator": QUICK, "random_state": 0, "device": "cpu", **settings})


@pytest.fixture
def ward() -> tuple[pd.DataFrame, pd.Series]:
    """Patients with a column of every kind, and who died."""
    rng = np.random.default_rng(0)
    n = 240
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "iron": np.round(rng.normal(10, 2, n), 1),
            "weight": rng.normal(70, 9, n).astype(np.float32),
            "sex": pd.Categorical(rng.choice(["F", "M"], n, p=[0.3, 0.7])),
            "ward": rng.choice(["a", "b", "c"], n),
            "stage": pd.Categorical(rng.choice([1, 2, 3], n), [1, 2, 3], ordered=True),
            "smokes": rng.random(n) < 0.3,
            "visits": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "came": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n), "D"),
            "hospital": "north",
        },
        index=np.arange(n) + 7,
    )
    y = pd.Series(pd.Categorical(rng.choice(["alive", "died"], n, p=[0.75, 0.25])), X.index)
    return X, y.rename("outcome")


def expected_failures(_) -> dict[str, str]:
    """Return imbalanced-learn's checks that fail, with the reason."""
    return {}


@parametrize_with_checks([quick()], expected_failed_checks=expected_failures)
def test_imbalanced_learns_checks(estimator, check):
    check(estimator)


def test_wrong_parameters_are_refused_as_everywhere_in_imbalanced_learn():
    check_param_validation("MCRAGE", quick())


def test_a_data_frame_keeps_its_rows_columns_dtypes_and_categories(ward):
    X, y = ward
    X_more, y_more = quick(sensitive=["sex"]).fit_resample(X, y)
    assert list(X_more.columns) == list(X.columns)
    assert (X_more.dtypes == X.dtypes).all()
    assert y_more.dtype == y.dtype
    assert y_more.name == "outcome"
    pd.testing.assert_frame_equal(X_more[: len(X)], X.reset_index(drop=True))
    made = X_more[len(X) :]
    assert set(made.ward) <= {"a", "b", "c"}
    assert set(made.hospital) == {"north"}
    assert not made.isna().any(axis=None)
    assert made.age.between(18, 89).all()
    np.testing.assert_allclose(made.iron, made.iron.round(1))
    assert (made.came.dt.normalize() == made.came).all()
    assert made.came.between(X.came.min(), X.came.max()).all()


def test_missing_values_stay_missing_and_a_missing_attribute_is_a_level(ward):
    X, y = ward
    gaps = np.random.default_rng(1).random((3, len(X))) < 0.3
    X = X.assign(
        iron=X.iron.mask(gaps[0]),
        ward=X.ward.mask(gaps[1]),
        sex=X.sex.mask(gaps[2]),
        visits=X.visits,
    )
    sampler = quick(sensitive=["sex"])
    X_more, y_more = sampler.fit_resample(X, y)
    assert (None, "died") in sampler.groups_
    made = X_more[len(X) :]
    assert (X_more.dtypes == X.dtypes).all()
    assert made.iron.isna().any()
    assert made.ward.isna().any()
    assert not made.age.isna().any()
    groups = X_more.sex.astype(object).fillna("none").astype(str) + y_more.astype(str)
    assert groups.value_counts().nunique() == 1


def test_groups_of_attributes_and_class_end_as_large_as_the_largest(ward):
    X, y = ward
    sampler = quick(sensitive=["sex", "smokes"])
    X_more, y_more = sampler.fit_resample(X, y)
    groups = Counter(zip(X_more.sex, X_more.smokes, y_more, strict=True))
    before = Counter(zip(X.sex, X.smokes, y, strict=True))
    assert sampler.groups_ == before
    assert set(groups.values()) == {max(before.values())}
    assert len(groups) == 8
    added = {key: n for key, n in sampler.sampling_strategy_.items() if n}
    assert added == groups - before


@pytest.mark.parametrize("strategy", ["auto", "minority", "not minority", "not majority", "all"])
def test_strategies_by_name_are_imbalanced_learns_of_the_groups(ward, strategy):
    X, y = ward
    sampler = quick(sensitive=["sex"], sampling_strategy=strategy, generator="smote")
    X_more, y_more = sampler.fit_resample(X[["age", "iron", "sex"]], y)
    joined = X.sex.astype(str) + y.astype(str)
    oracle = SMOTE(sampling_strategy=strategy, random_state=0)
    expected = Counter(oracle.fit_resample(X[["age", "iron"]], joined)[1])
    assert Counter(X_more.sex.astype(str) + y_more.astype(str)) == expected


def test_a_share_a_dict_and_a_callable_say_how_large_groups_become(ward):
    X, y = ward
    before = Counter(zip(X.sex, y, strict=True))

    def sizes(strategy) -> Counter:
        sampler = quick(sensitive=["sex"], sampling_strategy=strategy, generator="smote")
        X_more, y_more = sampler.fit_resample(X[["age", "sex"]], y)
        return Counter(zip(X_more.sex, y_more, strict=True))

    goal = int(0.5 * max(before.values()))
    assert sizes(0.5) == {key: max(n, goal) for key, n in before.items()}
    assert sizes({("F", "died"): 70}) == before | {("F", "died"): 70}

    def double(groups) -> dict:
        return {key: 2 * n for key, n in Counter(groups).items()}

    assert sizes(double) == {key: 2 * n for key, n in before.items()}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({("F", "well"): 70}, r"no row of \('F', 'well'\); the groups are \('F', 'alive'\)"),
        ({("M", "alive"): 3}, "which has 1.. already; rows are only added"),
    ],
)
def test_a_dict_of_groups_that_cannot_be_met_is_refused(ward, strategy, message):
    X, y = ward
    with pytest.raises(ValueError, match=message):
        quick(sensitive=["sex"], sampling_strategy=strategy).fit_resample(X, y)


def test_a_number_is_cut_into_bands_and_rows_lie_in_theirs(ward):
    X, y = ward
    sampler = quick(sensitive=["age"])
    X_more, y_more = sampler.fit_resample(X, y)
    bands = {key[0] for key in sampler.groups_}
    assert len(bands) == 3
    counts = Counter(
        (next(band for band in bands if age in band), outcome)
        for age, outcome in zip(X_more.age, y_more, strict=True)
    )
    assert set(counts.values()) == {max(sampler.groups_.values())}


def test_rare_groups_borrow_and_groups_without_a_row_get_none(ward):
    X, y = ward
    sex = np.where((X.sex == "F") & (y == "died") & (X.age > 30), "M", X.sex.astype(str))
    sex[:3] = "X"
    y = y.astype(str).where(sex != "X", "alive")
    sampler = quick(sensitive=["sex"], generator="smote")
    with pytest.warns(UserWarning, match=r"groups without a row get none: \('X', 'died'\)"):
        X_more, y_more = sampler.fit_resample(X[["age", "iron"]].assign(sex=sex), y)
    counts = Counter(zip(X_more.sex, y_more, strict=True))
    assert sampler.groups_[("X", "alive")] == 3
    assert len(counts) == 5
    assert len(set(counts.values())) == 1


def test_an_array_names_attributes_by_place():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(size=120), rng.integers(0, 2, 120)])
    y = rng.choice([0, 1], 120, p=[0.8, 0.2])
    X_more, y_more = quick(sensitive=[1]).fit_resample(X, y)
    assert isinstance(X_more, np.ndarray)
    assert len(set(Counter(zip(X_more[:, 1], y_more, strict=True)).values())) == 1
    assert set(X_more[:, 1]) == {0, 1}


def test_the_same_state_draws_the_same_rows(ward):
    X, y = ward
    first, _ = quick().fit_resample(X, y)
    again, _ = clone(quick()).fit_resample(X, y)
    other, _ = quick(random_state=1).fit_resample(X, y)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@pytest.mark.parametrize("inner", [LogisticRegression(), HistGradientBoostingClassifier()])
def test_it_works_in_pipelines_and_cross_validation(inner):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(150, 3))
    y = (X[:, 0] + rng.normal(size=150) > 1).astype(int)
    scores = cross_val_score(make_pipeline(quick(), inner), X, y, scoring="roc_auc", cv=3)
    assert scores.min() > 0.5
    assert len(scores) == 3


def test_nothing_lacking_adds_nothing(ward):
    X, _ = ward
    X_more, y_more = quick().fit_resample(X, np.arange(len(X)) % 2)
    pd.testing.assert_frame_equal(X_more, X.reset_index(drop=True))
    assert len(y_more) == len(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.assign(iron=np.inf), "column iron: 240 of 240 values are infinite"),
        (lambda X: X.assign(name=[f"p{i}" for i in range(len(X))]), "column name: 240 different"),
        (lambda X: pd.concat([X, X[["iron"]]], axis=1), "unique column names.*\n- 'iron' 2 times"),
        (lambda X: X.assign(sex=[str(i % 40) for i in range(len(X))]), "40 different values"),
        (lambda X: X.drop(columns="sex"), "found 'sex', which is no column of X"),
        (lambda X: X.rename(columns={"sex": "sexx"}), "found 'sex' .did you mean 'sexx'"),
    ],
)
def test_a_table_that_cannot_be_resampled_is_refused_with_its_column(ward, change, message):
    X, y = ward
    with pytest.raises(ValueError, match=message):
        quick(sensitive=["sex"]).fit_resample(change(X), y)


def test_the_only_class_is_named(ward):
    X, _ = ward
    with pytest.raises(ValueError, match="more than one class, and has one, 'died'"):
        quick().fit_resample(X, ["died"] * len(X))


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("smoote", "found 'smoote' .did you mean 'smote'"),
        ({"kind": "gan"}, "kind: found 'gan'; allowed: cddpm"),
        ({"kind": "copual"}, r"kind: found 'copual' .did you mean 'copula'"),
        ({"kind": "cddpm", "step": 5}, "step: unknown key .did you mean 'steps'"),
        ("cddpm_after_smote", "trained_on: 'smote' needs a treatment's table"),
        ({"kind": "cddpm", "preset": "paper"}, "selection: 'criterion' needs rows held out"),
        ({"kind": "smote", "memorising": "drop"}, "memorising: 'drop' needs the workflow's gate"),
    ],
)
def test_a_generator_that_there_is_not_is_refused(ward, generator, message):
    X, y = ward
    with pytest.raises(ValueError, match=message):
        quick(generator=generator).fit_resample(X, y)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_generator_fills_groups(ward, kind):
    X, y = ward
    settings = {"kind": kind}
    if KINDS[kind].on_gpu:
        settings |= {"steps": 5, "warmup_steps": 1} if kind == "cddpm" else {"steps": 5}
    X_more, y_more = quick(sensitive=["sex"], generator=settings).fit_resample(X, y)
    groups = Counter(zip(X_more.sex, y_more, strict=True))
    assert len(set(groups.values())) == 1
    assert (X_more.dtypes == X.dtypes).all()
    assert set(X_more.ward) == {"a", "b", "c"}


def test_without_a_word_the_generator_is_the_tuned_one_with_fewer_networks():
    assert generator_settings(None)["seeds"] == 2
    tuned = generator_settings("cddpm")
    assert tuned == generator_settings("cddpm_tuned") == generator_settings({"kind": "cddpm"})
    assert {**tuned, "seeds": 2} == generator_settings(None)


def test_importing_the_package_loads_nothing_heavy():
    code = "import mcrage, sys; print(sorted({'torch', 'pandas', 'imblearn'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_docstring_does_what_it_says():
    found = doctest.testmod(mcrage.sampler)
    assert found.attempted
    assert not found.failed


def test_what_the_documentation_shows_is_what_happens():
    found = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert found.attempted > 15
    assert not found.failed
