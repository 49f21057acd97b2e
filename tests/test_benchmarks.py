# SPDX-License-Identifier: MIT
"""The benchmarks' own code, with so little to do that their numbers mean nothing."""

import os
import re
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from sklearn.metrics import f1_score, roc_auc_score

from project import ROOT, SMALL, merge

sys.path.append(str(ROOT / "benchmarks"))

import ablation
import giving_up
import labelling
import sampling
import scaling
import shares
import transfer

from mcrage.classifiers.registry import fit_and_score
from mcrage.datasets.embedded import write_embedded
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, write_table
from test_generators import data, fitted


def printed(name: str, *options: str) -> str:
    """Return what a benchmark prints, run as its head says."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def of_main(module, monkeypatch, capsys, *options: str) -> str:
    """The same without a process."""
    monkeypatch.setattr(sys, "argv", [module.__file__, *options])
    module.main()
    return capsys.readouterr().out


# --- training.py ---


def test_training_compares_with_the_usual_loop():
    out = printed("training.py", "--members", "1", "--seconds", "0.01")
    for case in ("paper", "tuned", "residual, wide"):
        assert re.search(rf"^{case}: d \d", out, re.MULTILINE)
    lines = re.findall(r"^ +1 +([\d.]+) ms +([\d.]+) ms +([\d.]+) ", out, re.MULTILINE)
    assert len(lines) == 3
    for loop, ours, ratio in np.array(lines, dtype=float):
        assert ratio == pytest.approx(loop / ours, rel=0.1, abs=0.06)
    assert out.count("reckoned memory: ") == 3


@pytest.mark.slow
def test_training_tells_of_the_grid_and_of_judging():
    out = printed("training.py", "--members", "25", "--seconds", "0.01")
    assert "the paper's grid: 25 settings of 140,000 steps" in out
    shares = re.findall(r" s +(\d+)%$", out[out.index("judging 25 members") :], re.MULTILINE)
    assert sum(map(int, shares)) == pytest.approx(100, abs=1)
    assert len(shares) == 3


# --- sampling.py ---


def test_sampling_draws_by_every_sampler(monkeypatch, capsys):
    rows = tuple(data((30, 60, 20, 50), seed=seed) for seed in (0, 1))
    monkeypatch.setattr(sampling, "halves", lambda mirror: rows)
    forest = partial(sampling.RandomForestClassifier, n_estimators=5)
    monkeypatch.setattr(sampling, "RandomForestClassifier", lambda n, **options: forest(**options))
    out = of_main(*(sampling, monkeypatch, capsys), "--steps", "2", "--rows", "80", "--turns", "1")
    lines = re.findall(r"^(\w+ \d+) +[\d,]+ +([\d.]+)x +([\d.]+)% ", out, re.MULTILINE)
    errors = {name: float(error) for name, _, error in lines}
    assert len(errors) == 11
    assert re.search(r"^ancestral 100 +[\d,]+ +1\.0x", out, re.MULTILINE)
    # More steps come nearer to what 400 give.
    assert errors["unipc 32"] < 0.5
    assert errors["dpm2m 50"] < errors["dpm2m 16"]


# --- scaling.py ---


def test_scaling_fits_the_exponent(monkeypatch, capsys):
    assert scaling.exponent([10, 10**5, 10**6, 10**7], [9.0, 1.0, 10.0, 100.0]) == pytest.approx(1)
    assert scaling.exponent([10, 100], [1.0, 10.0]) == pytest.approx(1)
    assert np.isnan(scaling.exponent([10], [1.0]))
    out = of_main(
        *(scaling, monkeypatch, capsys), "--sizes", "1000", "3000", "--stages", "prepare", "balance"
    )
    line = r"^(prepare|balance) +([\d,]+) +[\d.]+ +[\d,]+ +[\d,]+ +0$"
    told = re.findall(line, out, re.MULTILINE)
    assert told == [(s, n) for n in ("1,000", "3,000") for s in ("prepare", "balance")]
    assert len(re.findall(r"^\w+: time ~ rows\^-?[\d.]+; peak memory x", out, re.MULTILINE)) == 2


@pytest.mark.slow
def test_scaling_runs_every_stage(monkeypatch, capsys):
    out = of_main(scaling, monkeypatch, capsys, "--sizes", "5000")
    assert re.findall(r"^(\w+) +5,000 ", out, re.MULTILINE) == list(scaling.STAGES)
    assert "5,000 rows drawn and written in" in out
    assert "under 2 GiB" in out


# --- transfer.py ---


def test_transferred_rows_are_donors_that_were_noised():
    generator = fitted("tuned")
    train = data()
    groups = np.repeat([0, 2], 40)
    schema = train.schema

    def standing(features: np.ndarray, of: np.ndarray) -> np.ndarray:
        within = schema.subgroup_of(of)
        return generator._encoding.transform(features, within=within)

    assert np.argmax(np.bincount(schema.subgroup_of(train.groups))) == 1
    near, far = (transfer.transferred(generator, train, groups, s, seed=0) for s in (0.02, 5.0))
    distances = []
    for found in (near, far):
        rows = standing(found, groups)
        for group in (0, 2):
            level = schema.target_of(np.array([group]))[0]
            donors = (schema.subgroup_of(train.groups) == 1) & (
                schema.target_of(train.groups) == level
            )
            known = standing(train.features[donors], train.groups[donors])
            gaps = np.linalg.norm(rows[groups == group, None] - known, axis=2).min(axis=1)
            distances.append(np.median(gaps))
    # With hardly any noise a row is its donor, where that stands in its own subgroup.
    assert max(distances[:2]) < 0.15 < min(distances[2:])
    again = transfer.transferred(generator, train, groups, 0.02, seed=0)
    np.testing.assert_array_equal(near, again)


# --- labelling.py ---

TREATMENTS = {
    "within_subgroup": {"description": "Groups.", "generator": "cddpm_tuned"},
    "ensemble_labels": {
        **{"description": "Taught.", "generator": "cddpm_tuned"},
        **{"fill_by": "subgroup", "size": 1.5},
        "labels": "teacher",
    },
}
SCENARIO = "keep_25_percent_of_sex_2"


@pytest.fixture(scope="module")
def given() -> dict:
    """A small experiment with the treatments that the trial changes."""
    config = merge(yaml.safe_load((ROOT / "config.yaml").read_text()), SMALL)
    config = merge(config, {"treatments": TREATMENTS})
    config["generators"]["cddpm_tuned"]["memorising"] = "keep"
    config["experiment"]["treatments"] = ["imbalanced", *TREATMENTS]
    config["experiment"]["baselines"] = ["imbalanced"]
    config["figures"] = {
        f"{kind}_treatments": ["imbalanced"] for kind in ("umap", "density", "roc")
    }
    config["figures"]["umap_treatments"] = config["figures"]["density_treatments"] = []
    return config


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder with the table that scikit-learn carries."""
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "diabetes").mkdir()
    write_embedded("sklearn.datasets.load_diabetes", folder / "diabetes" / "diabetes.csv")
    return folder


@pytest.fixture(scope="module")
def trial(given, mirror) -> labelling.Trial:
    plan = ablation.make_plan(given)
    prepared = ablation.prepared_of(plan, "diabetes", mirror)
    return labelling.Trial(ablation.Replicate(plan, prepared, "diabetes", SCENARIO, 0))


@pytest.fixture(scope="module")
def treated(trial) -> dict:
    return trial.treatments()


def synthetic(pair):
    """Return the synthetic rows of a treated table, and their weights."""
    flags = pair[0].column(IS_SYNTHETIC)
    return pair[0].filter(flags), pair[1].filter(flags).column("weight").to_numpy()


def test_labelling_starts_from_what_the_ablation_runs(given, mirror, treated, monkeypatch):
    made = SimpleNamespace(treatments=lambda: treated)
    monkeypatch.setattr(labelling, "Trial", lambda replicate: made)
    metrics = labelling.run(0, given, mirror)
    own = ablation.run("diabetes", SCENARIO, 0, given, mirror)
    shared = metrics.filter(pc.is_in(metrics["treatment"], pc.unique(own["treatment"])))
    assert shared.equals(own)
    assert len(pc.unique(metrics["treatment"])) == 12
    assert "redrawn labels" in labelling.told(metrics, ablation.make_plan(given), None)


def test_redrawn_labels_are_as_likely_as_the_teacher_says(trial, treated):
    both, weights = synthetic(treated["ensemble_labels"])
    redrawn, ones = synthetic(treated["redrawn_labels"])
    n = both.num_rows // 2
    assert redrawn.num_rows == n
    assert (ones == 1).all()
    likely = weights[:n]
    positive = trial._schema.target_of(trial._schema.index(redrawn)) == 1
    deviation = np.sqrt((likely * (1 - likely)).sum()) / n
    assert 0 < deviation < 0.05
    assert abs(positive.mean() - likely.mean()) < 4 * deviation
    # Each row is there once: those with the positive level come first.
    features = [name for name in redrawn.column_names if name in trial._roles.feature_columns]
    drawn = redrawn.select(features).to_pylist()
    assert sorted(map(str, drawn)) == sorted(
        map(str, both.slice(0, n).select(features).to_pylist())
    )


def test_teachers_out_of_fold_differ_and_weights_are_scaled(treated):
    taught, weights = synthetic(treated["ensemble_labels"])
    out_of_fold, others = synthetic(treated["out_of_fold_labels"])
    assert taught.drop_columns([LABEL_WEIGHT]).equals(out_of_fold.drop_columns([LABEL_WEIGHT]))
    assert (weights != others).any()
    assert np.corrcoef(weights, others)[0, 1] > 0.5
    np.testing.assert_allclose(synthetic(treated["ensemble_labels_weight_25"])[1], weights / 4)
    real = pc.invert(treated["ensemble_labels"][0].column(IS_SYNTHETIC))
    kept = treated["ensemble_labels_weight_25"][1].filter(real).column("weight")
    assert set(kept.to_pylist()) == {1.0}


def test_rejection_keeps_as_many_rows_of_each_group_and_more_real_ones(trial, treated):
    schema = trial._schema
    for name in ("within_subgroup", "own_labels_rejection"):
        rows = synthetic(treated[name])[0]
        counts = schema.counts(schema.index(rows))
        if name == "within_subgroup":
            expected, drawn = counts, rows
    np.testing.assert_array_equal(counts, expected)
    assert not rows.equals(drawn)


# --- giving_up.py ---


def test_a_forest_can_end_no_better_than_is_said_and_is_left_only_when_it_has_lost():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 40)
    possible = []
    for _ in range(6):
        votes = np.clip(0.25 + 0.5 * truth + rng.normal(0, 0.4, (30, 40)), 0, 1)
        reached = giving_up.best_f1_still_possible(votes, truth)
        assert (np.diff(reached) <= 0).all()
        assert reached[-1] == pytest.approx(f1_score(truth, votes.mean(axis=0) >= 0.5))
        possible.append(reached)
    possible = np.array(possible)
    best_first = np.argsort(-possible[:, -1], kind="stable")
    shares = [giving_up.share_of_trees(possible, order) for order in (best_first, best_first[::-1])]
    assert 1 / 6 < shares[0] <= shares[1] <= 1
    # A hopeless one is left at once: all its votes are wrong, and one tree is a sixtieth.
    wrong = giving_up.best_f1_still_possible(np.tile(1.0 - truth, (30, 1)), truth)
    assert giving_up.share_of_trees(np.array([possible[0], wrong]), np.array([0, 1])) < 0.8


# --- shares.py ---


def test_shares_judges_the_ensemble_that_labels(mirror, capsys, tmp_path, monkeypatch):
    given = shares.given_of(["diabetes"])
    few = {"n_models": 2, "n_trees": 10, "epochs": 3}
    for settings in given["classifiers"].values():
        settings.update({key: few[key] for key in few.keys() & settings.keys()})
    monkeypatch.setattr(shares, "given_of", lambda datasets: given)
    metrics = shares.run("diabetes", 0, given, mirror)
    plan = ablation.make_plan(given)
    prepared = ablation.prepared_of(plan, "diabetes", mirror)
    replicate = ablation.Replicate(plan, prepared, "diabetes", "few_rows_few_women", 0)
    teaching = replicate.params("rebalance", treatment="mcrage_tuned")
    teacher, seed = teaching["settings"]["teacher"], teaching["seeds"]["teacher"]
    score = fit_and_score(
        *(teacher, replicate.real["train"], None, replicate.test, replicate.roles), seed=seed
    )
    y = replicate.schema.target_of(replicate.schema.index(replicate.test))
    found = metrics.filter(pc.equal(metrics["treatment"], "held_out"))
    assert found["value"][0].as_py() == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert found["value"][1].as_py() == pytest.approx(np.mean((score - y) ** 2), abs=1e-12)

    path = tmp_path / "shares.parquet"
    capsys.readouterr()
    write_table(metrics, path)
    options = ("--mirror", str(mirror), "--datasets", "diabetes", "--read", str(path))
    out = of_main(shares, monkeypatch, capsys, *options)
    assert all(f"| {way.replace('_', ' ')} |" in out for way in shares.WAYS)
