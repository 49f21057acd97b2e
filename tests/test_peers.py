# SPDX-License-Identifier: MIT
"""benchmarks/peers.py: its runners' protocol, with ours as the peer, and how rows are judged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_table
from mcrage.datasets.roles import Feature
from mcrage.groups import GroupSchema
from mcrage.tables import write_json, write_table
from project import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from peers import comparing, environments, judging, tables
from peers.replicates import Replicate, paper_reduced

RATIO = (
    Feature("A", "a", resolution=0.1),
    Feature("B", "b", resolution=0.01),
    Feature("C", "c", resolution=0.1, formula="10 * A / B"),
)


@pytest.fixture
def replicates(tmp_path, roles) -> list[Replicate]:
    """Two replicates of a ward, as the workflow would leave them."""
    write_json(roles.to_dict(), tmp_path / "roles.json")
    made = []
    for number in range(2):
        folder = tmp_path / str(number)
        for place, (name, counts) in enumerate(
            {
                "train": (8, 40, 7, 50),
                "validation": (2, 5, 2, 6),
                "original": (30, 40, 28, 50),
                "test": (10, 12, 9, 11),
            }.items()
        ):
            # Validation rows are not in the original table; thinned rows are.
            table = make_table(counts, seed=10 * number + place, first_id=1000 * place)
            write_table(table, folder / f"{name}.parquet")
        made.append(Replicate("ward", "thinned", number, folder, tmp_path / "roles.json"))
    return made


def compared(replicates, monkeypatch, tmp_path, *names) -> comparing.Comparison:
    """Run contestants of our own environment."""
    monkeypatch.setitem(comparing.CLASSIFIER, "n_trees", 5)
    comparison = comparing.Comparison(replicates[0], {"ctgan": "no environment: no such thing"})
    for replicate in replicates:
        comparison.add_controls(replicate)
        for name in names:
            place = tmp_path / "runs" / str(replicate.number) / name
            comparison.run(replicate, name, Path(sys.executable), place, 300)
    return comparison


def test_a_runner_draws_what_is_asked_for_and_says_what_it_cost(replicates, tmp_path):
    replicate = replicates[0]
    replicate.frame("train").to_parquet(tmp_path / "train.parquet")
    counts = {"SEX=F, SOURCE=out": 13, "SEX=M, SOURCE=out": 0, "SEX=F, SOURCE=in": 4}
    job = {
        "train": str(tmp_path / "train.parquet"),
        "counts": counts,
        "settings": comparing.CONTESTANTS["smote"].settings,
        "seed": 3,
        "threads": 1,
        "context": {"roles": str(replicate.roles_file)},
    }
    drawn = []
    for place in ("once", "again"):
        costs = environments.run_job(
            Path(sys.executable), "mcrage", job, tmp_path / place, timeout=300
        )
        drawn.append(pd.read_parquet(tmp_path / place / "rows.parquet"))
    assert list(drawn[0].columns) == ["age", "iron", "group"]
    assert drawn[0]["group"].value_counts().to_dict() == {k: n for k, n in counts.items() if n}
    pd.testing.assert_frame_equal(*drawn)
    assert costs["rows"] == 17
    assert costs["peak_memory_bytes"] >= costs["imported_memory_bytes"] > 10 * 2**20
    assert all(costs[stage][kind] >= 0 for stage in ("train", "sample") for kind in ("wall", "cpu"))


def test_the_peak_of_memory_is_that_of_the_process_itself(tmp_path):
    # A parent's larger peak must not be handed on.
    ballast = np.ones(40 * 2**20)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import protocol as p; print(p.peak_memory())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(environments.FOLDER)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 2**20 < int(done.stdout) < ballast.nbytes


def test_a_failing_runner_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    (tmp_path / "run_broken.py").write_text("def f():\n    raise OSError('no such model')\nf()\n")
    (tmp_path / "run_slow.py").write_text("import time\ntime.sleep(60)\n")
    run = (Path(sys.executable), {}, tmp_path / "job")
    with pytest.raises(environments.PeerError, match=r"^OSError: no such model$"):
        environments.run_job(run[0], "broken", run[1], run[2], timeout=60)
    with pytest.raises(environments.PeerError, match="stopped after 1 s; see --timeout"):
        environments.run_job(run[0], "slow", run[1], run[2], timeout=1)
    with pytest.raises(environments.PeerError, match="No such file"):
        environments.run_job(tmp_path / "python", "slow", run[1], run[2], timeout=1)


def test_an_environment_that_cannot_be_made_is_told_and_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    (tmp_path / "requirements-x.txt").write_text(f"nothing @ {(tmp_path / 'x.whl').as_uri()}\n")
    with pytest.raises(environments.PeerError) as told:
        environments.interpreter("x", tmp_path / "kept")
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "kept").rglob("complete"))
    assert environments.interpreter(None, tmp_path) == Path(sys.executable)


def test_the_reason_is_what_a_program_printed_last():
    framed = "  × No solution found when resolving dependencies:\n  ╰─▶ Because a is not there.\n\n"
    told = environments.reason(framed, 1)
    assert told == "No solution found when resolving dependencies: Because a is not there."
    traceback = "Traceback (most recent call last):\n  File x\nValueError: too few rows\n"
    assert environments.reason(f"loading\n{traceback}", 1) == "ValueError: too few rows"
    assert environments.reason("\n", 9) == "ended with status 9 and said nothing"


def test_every_environment_has_pinned_requirements():
    for contestant in comparing.CONTESTANTS.values():
        assert (environments.FOLDER / f"run_{contestant.runner}.py").exists()
        if contestant.environment:
            file = environments.FOLDER / f"requirements-{contestant.environment}.txt"
            lines = [x for x in file.read_text().splitlines() if x and not x.startswith("#")]
            assert lines
            assert all("==" in line for line in lines)
    assert comparing.CONTESTANTS["mcrage-paper"].settings["epochs"] == paper_reduced()["epochs"]


def frame(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns).assign(group=np.arange(n) % 2)


def test_shape_and_correlation_have_their_closed_forms():
    x = np.arange(10.0)
    real, drawn = frame(a=x, b=x, c=x), frame(a=x + 5, b=x[::-1], c=x + 10)
    assert judging.shape(real, drawn, ["a", "b", "c"]) == pytest.approx({"a": 0.5, "b": 1, "c": 0})
    # Of the three pairs, (a, b) and (b, c) go from 1 to -1.
    assert judging.correlation_error(real, drawn, ["a", "b", "c"]) == pytest.approx(4 / 3)
    constant = frame(a=x, b=np.zeros(10))
    assert judging.correlation_error(real, constant, ["a", "b"]) == pytest.approx(1)


def test_c2st_knows_equal_from_different_also_within_groups():
    rng = np.random.default_rng(0)
    real, drawn = (frame(a=rng.normal(size=400), b=rng.normal(size=400)) for _ in range(2))
    assert judging.c2st_auc(real, drawn, ["a", "b"]) == pytest.approx(0.5, abs=0.08)
    assert judging.c2st_auc(real, drawn.assign(a=drawn["a"] + 20), ["a", "b"]) > 0.99
    # The same columns over all rows, exchanged between the groups.
    real["a"] += 6 * real["group"]
    drawn["a"] += 6 * (1 - drawn["group"])
    assert judging.c2st_auc(real, drawn, ["a", "b"]) > 0.9


@given(
    a=st.lists(st.floats(1, 60), min_size=1, max_size=20),
    b=st.floats(1, 9),
)
def test_rounding_alone_breaks_no_identity(a, b):
    true = np.array(a)
    rows = frame(
        A=np.round(true, 1), B=np.round(np.full(len(a), b), 2), C=np.round(10 * true / b, 1)
    )
    assert judging.identity_violations(rows, RATIO) == 0


def test_more_than_rounding_breaks_an_identity():
    rows = frame(A=[30.0, 30.0, 30.0, 30.0], B=[4.0, 4.0, 4.0, 0.0], C=[75.0, 75.5, 74.0, 75.0])
    # Rounding alone allows 74.73 to 75.27, and half of .1 more; B = 0 has no ratio near C.
    assert judging.identity_violations(rows, RATIO) == pytest.approx(0.75)
    assert np.isnan(judging.identity_violations(rows, RATIO[:2]))


def test_nearest_training_share_is_one_half_for_the_true_distribution():
    rng = np.random.default_rng(1)
    train, held_out, drawn = (rng.normal(size=(n, 3)) for n in (60, 200, 2000))
    share = judging.nearest_training_share
    assert share(train, held_out, drawn) == pytest.approx(0.5, abs=0.05)
    assert share(train, held_out, np.repeat(train, 3, axis=0)) == 1
    # Of 200 held-out rows 60 are looked at, so copies of others are near to either.
    assert share(train, held_out, held_out) < 0.5
    assert share(train, train, drawn) == pytest.approx(0.5)
    assert np.isnan(share(train, held_out[:0], drawn))


def test_rows_are_rounded_as_recorded():
    features = (
        Feature("A", "a", resolution=0.5),
        Feature("N", "n", kind="integer"),
        Feature("X", "x"),
    )
    out = judging.as_recorded(frame(A=[3.3, 99.0], N=[2.6, -4.0], X=[0.123, 1 / 3]), features)
    assert out["A"].tolist() == [3.5, 99.0]
    assert out["N"].tolist() == [3.0, -4.0]
    assert out["X"].tolist() == [0.123, 1 / 3]
    with pytest.raises(ValueError, match="1 values of A are no numbers"):
        judging.as_recorded(frame(A=[np.nan, 1.0], N=[1, 2], X=[0, 1]), features)


def test_groups_are_filled_with_drawn_rows_as_the_workflow_fills_them(replicates, roles):
    replicate = replicates[0]
    counts = comparing.rows_to_draw(replicate, replicate.frame("test"))
    assert counts == {
        "SEX=F, SOURCE=out": 42,
        "SEX=M, SOURCE=out": 12,
        "SEX=F, SOURCE=in": 43,
        "SEX=M, SOURCE=in": 11,
    }
    labels = np.repeat(list(counts), list(counts.values()))
    drawn = pd.DataFrame({"age": 40.0, "iron": 9.0, "group": labels})
    assert comparing.missing_rows(drawn, counts) is None
    told = comparing.missing_rows(drawn.iloc[5:], counts)
    assert told == "drew only 37 of 42 rows of SEX=F, SOURCE=out"
    table = comparing.filled(replicate, drawn)
    schema = GroupSchema.of(roles)
    assert schema.counts(schema.index(table)).tolist() == [50] * 4
    assert pa.compute.sum(table.column("is_synthetic")).as_py() == 42 + 10 + 43


def test_the_tables_tell_costs_quality_effects_and_who_is_missing(
    replicates, monkeypatch, tmp_path
):
    comparison = compared(replicates, monkeypatch, tmp_path, "smote")
    comparison.failed(replicates[0], "tvae", "drew only 0 of 42 rows of SEX=F, SOURCE=out")
    found = tables.summary(comparison)
    assert found.loc["smote", "runs"] == 2
    runs = [run for run in comparison.runs if run["contestant"] == "smote"]
    assert found.loc["smote", "train_seconds"] == pytest.approx(
        np.mean([run["costs"]["train"]["cpu"] for run in runs])
    )
    assert found.loc["original", "c2st_auc"] > 0
    assert np.isnan(found.loc["tvae", "c2st_auc"])
    text = tables.as_markdown(comparison)
    assert "ward, thinned; replicates: 2;" in text
    assert "- ctgan: no environment: no such thing" in text
    assert "- tvae, replicate 0: drew only 0 of 42 rows of SEX=F, SOURCE=out" in text
    for table in text.split("\n\n"):
        widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(widths) <= 1
    # Every table has one line for each of these, and the first names the multiples.
    assert sum(line.startswith("| smote |") for line in text.splitlines()) == 3
    assert "multiples of smote's" in text
    # 42 rows are tested, and the pool is the original with the validation rows.
    assert comparison.test_to_train == pytest.approx(42 / (148 + 15))
    values = json.loads(json.dumps(tables.as_json(comparison), allow_nan=False))
    effects = {
        (row["treatment"], row["subgroup"]): row["mean_difference"] for row in values["auroc"]
    }
    by_hand = pd.DataFrame(comparison.metrics).query("metric == 'auroc' and subgroup == 'SEX=F'")
    means = by_hand.groupby("treatment")["value"].mean()
    assert effects["smote", "SEX=F"] == pytest.approx(means["smote"] - means["imbalanced"])
