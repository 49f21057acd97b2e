# SPDX-License-Identifier: MIT
"""Cuts, parity by subgroup, recalibration, ExponentiatedGradient, GroupDRO: against brute force,
scikit-learn, fairlearn and scipy."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mcrage.classifiers import by_name, registry
from mcrage.classifiers.fitted import TrainingRows
from mcrage.classifiers.group_dro import learn as learn_group_dro
from mcrage.classifiers.judged import fit_and_judge, held_out_table
from mcrage.classifiers.out_of_fold import FOLDS, HeldOut, held_out
from mcrage.classifiers.recalibration import FEWEST, isotonic, log_odds, platt
from mcrage.classifiers.registry import fit
from mcrage.classifiers.thresholds import best_cut, decide_by_parity, decide_by_rules
from mcrage.code_digest import closure
from mcrage.config.load import load_config
from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.leakage.judged import check_run
from mcrage.metrics.judge import judge_rules
from mcrage.metrics.names import is_of_scores
from mcrage.metrics.predictions import decisions_of, predictions_table
from mcrage.metrics.rules import PARITY, RULES, TUNED, UNDECIDED
from test_classifiers import MIXED, clinic, default, separated, target

SCHEMA = GroupSchema(("SEX", "y"), (("F", "M"), ("0", "1")))
LOGISTIC = {"kind": "logistic_regression", "features": "raw", "attributes": True, "c": 1.0}
LOTTERY = {
    "kind": "exponentiated_gradient",
    "base": LOGISTIC,
    "constraint": "demographic_parity",
    "eps": 0.02,
    "max_iterations": 6,
}
DRO = {
    **{"kind": "group_dro", "features": "raw", "attributes": True, "width": 8},
    **{"learning_rate": 0.02, "eta": 0.05, "l2": 0.01, "steps": 150, "batch_size": 4096},
}


def people(n: int, seed: int = 0, gap: float = 0.25) -> tuple[HeldOut, np.ndarray, np.ndarray]:
    """Scores that tell outcomes, higher for men; with subgroups and outcomes of each row."""
    rng = np.random.default_rng(seed)
    subgroup = rng.integers(0, 2, n)
    y = (rng.random(n) < 0.3 + 0.2 * subgroup).astype(int)
    score = np.clip(rng.normal(0.3 + 0.25 * y + gap * subgroup, 0.15), 0, 1)
    return HeldOut(SCHEMA.index_of(np.stack([subgroup, y])), score), subgroup, y


# --- one cut for all rows ------------------------------------------------------------------------


@pytest.mark.parametrize("metric", TUNED)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])),
        min_size=2,
        max_size=40,
    )
)
@settings(max_examples=40, deadline=None)
def test_no_cut_is_better_than_the_chosen_one(metric, rows):
    y, score = (np.array(column) for column in zip(*rows, strict=True))
    cut = best_cut(metric, y, score)
    if len(set(y)) < 2:
        assert np.isnan(cut)
        return

    def of(cut: float) -> float:
        right, wrong = y == (score >= cut), y != (score >= cut)
        if metric == "f1":
            return 2 * sum(right & (y == 1)) / (2 * sum(right & (y == 1)) + sum(wrong))
        return (right[y == 1].mean() + right[y == 0].mean()) / 2

    assert of(cut) == pytest.approx(max(of(each) for each in [*np.unique(score), np.inf]))


def test_of_equally_good_cuts_the_one_nearest_to_a_half_is_taken_and_between_scores():
    assert best_cut("f1", np.array([0, 1]), np.array([0.2, 0.4])) == pytest.approx(0.3)
    y, score = np.array([0, 1, 0, 1]), np.array([0.05, 0.1, 0.7, 0.8])
    assert best_cut("balanced_accuracy", y, score) == pytest.approx(0.75)
    assert best_cut("balanced_accuracy", y, 1 - score[::-1]) == pytest.approx(0.25)
    near = np.array([0.5, np.nextafter(0.5, 1)])
    assert best_cut("f1", np.array([0, 1]), near) == near[1]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("0.5", "randomised")])
def test_neither_outcomes_nor_other_test_rows_move_a_decision(rule):
    held, _, _ = people(400)
    test, subgroup, y = people(100, seed=1)
    other = SCHEMA.index_of(np.stack([subgroup, 1 - y]))

    def decided(score: np.ndarray, groups: np.ndarray):
        return decide_by_rules([rule], score, groups, SCHEMA, lambda: held, seed=3)

    first, flipped = decided(test.scores, test.groups), decided(test.scores, other)
    part = decided(test.scores[:40], test.groups[:40])
    np.testing.assert_array_equal(first.by_rule[rule], flipped.by_rule[rule])
    np.testing.assert_array_equal(first.by_rule[rule][:40], part.by_rule[rule])
    assert first.cuts == flipped.cuts == part.cuts
    assert set(first.by_rule[rule]) == {0, 1}


def test_a_half_needs_no_held_out_rows_and_chance_follows_the_score():
    test, _, _ = people(4000)

    def never():
        raise AssertionError("fitted in vain")

    rules = ["0.5", "randomised"]
    found = decide_by_rules(rules, test.scores, test.groups, SCHEMA, never, seed=0).by_rule
    np.testing.assert_array_equal(found["0.5"], test.scores >= 0.5)
    assert found["randomised"].mean() == pytest.approx(test.scores.mean(), abs=0.03)
    assert not np.array_equal(found["randomised"], found["0.5"])


# --- parity by subgroup --------------------------------------------------------------------------


@pytest.mark.parametrize("constraint", PARITY)
def test_parity_is_fairlearns_and_is_reached_on_the_rows_it_was_fitted_on(constraint):
    from fairlearn import metrics as fairlearn
    from fairlearn.postprocessing import ThresholdOptimizer

    held, subgroup, y = people(4000)
    model = LogisticRegression(C=np.inf).fit(held.scores[:, None], y)
    score = model.predict_proba(held.scores[:, None])[:, 1]
    theirs = ThresholdOptimizer(
        estimator=model, constraints=constraint, prefit=True, predict_method="predict_proba"
    ).fit(held.scores[:, None], y, sensitive_features=subgroup)
    ours = decide_by_parity(constraint, HeldOut(held.groups, score), score, subgroup, SCHEMA, 7)
    expected = theirs.predict(held.scores[:, None], sensitive_features=subgroup, random_state=7)
    np.testing.assert_array_equal(ours, expected)
    gap = {
        "demographic_parity": fairlearn.demographic_parity_difference,
        "equalized_odds": fairlearn.equalized_odds_difference,
    }[constraint]
    assert gap(y, score >= 0.5, sensitive_features=subgroup) > 0.2
    assert gap(y, ours, sensitive_features=subgroup) < 0.05


@pytest.mark.parametrize("rule", PARITY)
def test_a_subgroup_without_an_outcome_leaves_the_rule_undefined(rule, caplog):
    held, subgroup, y = people(200)
    kept = (subgroup == 1) | (y == 0)
    held = HeldOut(held.groups[kept], held.scores[kept])
    test, _, _ = people(50, seed=1)
    found = decide_by_rules([rule], test.scores, test.groups, SCHEMA, lambda: held, seed=0)
    assert set(found.by_rule[rule]) == {UNDECIDED}
    assert "no held-out training rows of both outcomes in SEX=F" in caplog.text
    judged = judge_rules(SCHEMA, test.groups, test.scores, found.by_rule, found.cuts)
    for metric, value in zip(judged["metric"], judged["value"], strict=True):
        assert np.isnan(value) or is_of_scores(metric)
    assert np.isfinite(judged["value"][judged["metric"].index("auroc")])
    table = predictions_table(
        pa.chunked_array([np.arange(50)]), SCHEMA, test.groups, test.scores, found.by_rule
    )
    assert table[f"decision_{rule}"].null_count == 50
    assert (decisions_of(table, SCHEMA, [rule])[rule] == UNDECIDED).all()


def test_many_outcomes_have_the_likeliest_alone():
    test = np.full((4, 3), 1 / 3)
    schema = GroupSchema(("SEX", "y"), (("F", "M"), ("a", "b", "c")))
    with pytest.raises(UserError, match=r"thresholds: found 'f1'.* two levels; this one has 3"):
        decide_by_rules(["0.5", "f1"], test, np.arange(4), schema, lambda: None, seed=0)


# --- held-out rows, shared -----------------------------------------------------------------------


def weights_of(table: pa.Table, ids: np.ndarray | None = None) -> pa.Table:
    ids = np.arange(table.num_rows) if ids is None else ids
    return pa.table({"row_id": ids, "weight": np.ones(table.num_rows)})


def ensemble(*members: dict, shares: str = "equal") -> dict:
    return {"kind": "ensemble", "members": list(members), "shares": shares}


def test_rules_and_recalibration_share_their_fits(roles, monkeypatch):
    learnt = []
    honest = registry._learn
    monkeypatch.setattr(
        registry, "_learn", lambda *args, **more: learnt.append(1) or honest(*args, **more)
    )
    train, test = separated([40, 40, 40, 40]), separated([9, 9, 9, 9], seed=5)
    recalibrated = {**LOGISTIC, "recalibration": "platt", "recalibrate_by": "subgroup"}
    for classifier, rules, n in (
        (LOGISTIC, ["0.5"], 1),
        (recalibrated, list(RULES), 1 + FOLDS),
        (ensemble(recalibrated, LOGISTIC), ["f1"], 2 * (1 + FOLDS)),
        (ensemble(recalibrated, LOGISTIC, shares="held_out"), ["0.5"], 2 * (1 + FOLDS)),
        (ensemble(LOGISTIC, LOGISTIC), ["0.5"], 2),
    ):
        learnt.clear()
        stage = {"classifier": classifier, "thresholds": rules, "references": {}}
        found = fit_and_judge(
            stage, train, weights_of(train), test, roles, seeds={"classifier": 0, "decisions": 1}
        )
        assert len(learnt) == n
        assert list(dict.fromkeys(found.metrics["threshold"])) == rules


def test_rows_that_a_treatment_left_out_are_scored_and_never_fitted_on(roles):
    real = separated([60, 60, 60, 60])
    kept = real.take(np.flatnonzero(np.arange(240) % 3 == 0))
    left_out = real.take(np.flatnonzero(np.arange(240) % 3 != 0))
    strange = left_out.set_column(3, "iron", pa.array(np.full(160, 1e3)))
    scored = [
        held_out(fit, LOGISTIC, kept, None, np.arange(80), roles, left_out=others, seed=0)
        for others in (left_out, strange)
    ]
    assert [len(held.scores) for held in scored] == [240, 240]
    assert sorted(scored[0].row_ids[80:]) == left_out["row_id"].to_pylist()
    assert np.sum(scored[0].scores == scored[1].scores) == 80
    y = GroupSchema.of(roles).target_of(scored[0].groups)
    assert roc_auc_score(y, scored[0].scores) > 0.8


# --- recalibration -------------------------------------------------------------------------------


def test_platts_map_is_scikit_learns():
    from sklearn.calibration import _SigmoidCalibration

    held, _, y = people(300)
    theirs = _SigmoidCalibration().fit(log_odds(held.scores), y)
    ours = platt(y == 1, held.scores)(held.scores)
    np.testing.assert_allclose(ours, theirs.predict(log_odds(held.scores)), atol=1e-4)


def test_the_isotonic_map_is_scikit_learns_kept_off_certainty():
    held, _, y = people(300)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(held.scores, y)
    expected = np.clip(theirs.predict(held.scores), 1 / 302, 1 - 1 / 302)
    new = isotonic(y == 1, held.scores)
    np.testing.assert_allclose(new(held.scores), expected)
    assert new(np.array([-1.0, 2.0])) == pytest.approx([1 / 302, 1 - 1 / 302])


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_recalibration_mends_what_weights_distort(method, roles):
    """Weights make outcomes look equally frequent; held-out rows say how frequent they are."""
    train, test = separated([300, 150, 60, 30]), separated([300, 150, 60, 30], seed=5)
    y = target(test, roles)
    weights = np.where(target(train, roles) == 1, 5.0, 1.0)
    found = {}
    for name in ("none", method):
        classifier = {**LOGISTIC, "recalibration": name, "recalibrate_by": "all"}
        found[name] = fit(classifier, train, weights, roles, seed=0)(test)
    assert abs(found["none"].mean() - y.mean()) > 0.1
    assert found[method].mean() == pytest.approx(y.mean(), abs=0.03)
    # A rising map: no row overtakes another.
    order = np.argsort(found["none"])
    assert (np.diff(found[method][order]) >= -1e-12).all()


def test_a_small_subgroup_has_everyones_map(roles):
    few = FEWEST["platt"] - 1
    train, test = separated([200, 200, few, 200]), separated([20, 20, 20, 20], seed=5)
    schema = GroupSchema.of(roles)
    subgroup = schema.subgroup_of(schema.index(train))
    small = schema.subgroup_of(schema.index(test)) == np.argmin(np.bincount(subgroup))
    options = {name: {**LOGISTIC, "recalibration": "platt", "recalibrate_by": name}
               for name in ("all", "subgroup")}  # fmt: skip
    scores = {
        name: fit(given_, train, None, roles, seed=0)(test) for name, given_ in options.items()
    }
    same = scores["all"] == scores["subgroup"]
    assert same[small].all()
    assert not same[~small].any()


def test_three_outcomes_are_recalibrated_to_sum_to_one():
    train, test = clinic(400, 0), clinic(100, 1)
    classifier = {**LOGISTIC, "recalibration": "platt", "recalibrate_by": "all"}
    score = fit(classifier, train, None, MIXED, seed=0)(test)
    np.testing.assert_allclose(score.sum(axis=1), 1.0)
    assert roc_auc_score(target(test, MIXED), score, multi_class="ovr") > 0.75


# --- ExponentiatedGradient -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("constraint", ["demographic_parity", "equalized_odds"])
def test_the_lottery_is_fairlearns_and_keeps_its_constraint_on_training_rows(constraint):
    from fairlearn import reductions

    held, subgroup, y = people(500)
    x = np.column_stack([held.scores, subgroup])
    rows = TrainingRows(x, y, subgroup, None, np.full(len(y), -1), 2)
    learn = by_name.learner("exponentiated_gradient")
    given_ = {**LOTTERY, "constraint": constraint}
    base = LogisticRegression(C=1.0)
    chance = learn(given_, rows, base, 0, 1)(x)[:, 1]
    moment = {
        "demographic_parity": reductions.DemographicParity,
        "equalized_odds": reductions.EqualizedOdds,
    }[constraint]
    theirs = reductions.ExponentiatedGradient(
        base, moment(difference_bound=0.02), eps=0.02, max_iter=6
    ).fit(x, y, sensitive_features=subgroup)
    np.testing.assert_allclose(chance, theirs._pmf_predict(x)[:, 1], atol=1e-12)
    plain = base.fit(x, y).predict(x)

    def gap(decisions: np.ndarray) -> float:
        conditions = [y >= 0] if constraint == "demographic_parity" else [y == 0, y == 1]
        return max(
            abs(decisions[c & (subgroup == 1)].mean() - decisions[c & (subgroup == 0)].mean())
            for c in conditions
        )

    # Each within eps of everyone's, and the gap that the duality leaves.
    assert gap(plain) > 0.2
    assert gap(chance) < 2 * (0.02 + theirs.best_gap_)


def test_the_lottery_takes_weights_by_drawing_rows(roles):
    train, test = separated([60, 60, 60, 60]), separated([50, 50, 50, 50], seed=5)
    weights = np.where(target(train, roles) == 1, 8.0, 1.0)
    plain, weighted = (fit(LOTTERY, train, w, roles, seed=0)(test) for w in (None, weights))
    assert weighted.mean() > plain.mean() + 0.05
    assert roc_auc_score(target(test, roles), plain) > 0.7
    with pytest.raises(UserError, match="two levels"):
        fit(LOTTERY, clinic(100, 0), None, MIXED, seed=0)


# --- GroupDRO ------------------------------------------------------------------------------------


def two_kinds(n: int) -> TrainingRows:
    """Two subgroups of which the smaller one's outcomes lie the other way on the first axis."""
    rng = np.random.default_rng(0)
    subgroup, y = (rng.random(n) < 0.2).astype(int), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2))
    x[:, 0] += np.where(subgroup == 0, 1.5 * y, -0.5 * y)
    x[:, 1] += 1.2 * y * (subgroup == 1)
    return TrainingRows(x, y, subgroup, None, np.full(n, -1), 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_group_dro_reaches_the_minimax_that_scipy_finds(weighted):
    """Linear, so convex: minimise t with every group's loss and half the penalty below it."""
    rows, l2 = two_kinds(300), 0.05
    weights = np.where(rows.x[:, 1] > 0, 3.0, 1.0) if weighted else np.ones(300)
    # Another scale of a group's weights is of no effect.
    rows = replace(rows, weights=weights * (1 + rows.y) if weighted else None)
    z = np.clip((rows.x - rows.x.mean(axis=0)) / rows.x.std(axis=0), -3, 3)
    group = 2 * rows.subgroup + rows.y

    def losses(score: np.ndarray) -> np.ndarray:
        each = np.logaddexp(0, score) - rows.y * score
        return np.array([np.average(each[group == g], weights=weights[group == g])
                         for g in range(4)])  # fmt: skip

    # Two columns of weights, ±w/2, are penalised for the one w that they differ by.
    found = minimize(
        lambda p: p[3] + 0.25 * l2 * (p[:2] ** 2).sum(),
        [0, 0, 0, 1.0],
        constraints=[{"type": "ineq", "fun": lambda p: p[3] - losses(z @ p[:2] + p[2])}],
        method="SLSQP",
    )
    given_ = {**DRO, "width": 0, "l2": l2, "steps": 500, "eta": 0.1}
    chance = learn_group_dro(given_, rows, None, 0, 1)(rows.x)[:, 1]
    ours = losses(np.log(chance / (1 - chance)))
    assert ours.max() == pytest.approx(found.x[3], rel=0.01)
    erm = LogisticRegression(C=1.0).fit(z, rows.y)
    assert losses(erm.decision_function(z)).max() > 1.1 * ours.max()


def test_group_dro_stops_where_the_worst_held_out_group_is_best(caplog):
    """A wide network without penalty learns labels that follow from nothing by heart."""
    caplog.set_level("INFO")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 10)), rng.integers(0, 2, 120)
    rows = TrainingRows(x, y, rng.integers(0, 2, 120), None, np.arange(120) % 5, 2)
    given_ = {**DRO, "width": 64, "l2": 0.0, "steps": 400}
    chance = learn_group_dro(given_, rows, None, 0, 1)(x)[:, 1]
    by_heart = learn_group_dro(given_, replace(rows, fold=np.full(120, -1)), None, 0, 1)(x)[:, 1]
    assert np.mean((by_heart > 0.5) == y) > 0.95
    assert np.mean((chance > 0.5) == y) < 0.85
    assert "group_dro: 8 of 400 steps" in caplog.text


@pytest.mark.parametrize("batch_size", [64, 4096])
def test_group_dro_learns_tables_of_two_and_of_three_outcomes(batch_size, roles):
    given_ = {**DRO, "batch_size": batch_size}
    train, test = separated([60, 60, 20, 60]), separated([50, 50, 50, 50], seed=5)
    score = fit(given_, train, None, roles, seed=0)(test)
    assert roc_auc_score(target(test, roles), score) > 0.84
    again = fit(given_, train, None, roles, seed=0)(test)
    np.testing.assert_array_equal(score, again)
    three = fit(given_, clinic(300, 0), None, MIXED, seed=0)(clinic(200, 1))
    np.testing.assert_allclose(three.sum(axis=1), 1.0)
    assert roc_auc_score(target(clinic(200, 1), MIXED), three, multi_class="ovr") > 0.75


# --- the guard -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged_by_rules():
    """A run judged by every rule, as evaluate writes it."""
    held, _, _ = people(300)
    held = replace(held, row_ids=np.random.default_rng(0).permutation(300) + 1000)
    run, _, _ = people(120, seed=1)
    test, train = rows_of(run, np.arange(120)), rows_of(held, held.row_ids)
    made = decide_by_rules(RULES, run.scores, run.groups, SCHEMA, lambda: held, seed=0)
    metrics = judge_rules(SCHEMA, run.groups, run.scores, made.by_rule, made.cuts)
    predictions = predictions_table(test["row_id"], SCHEMA, run.groups, run.scores, made.by_rule)
    facts = {"metrics": pa.table(metrics), "predictions": predictions, "test": test}
    return {**facts, "held_out": held_out_table(held, SCHEMA), "train": train}, run


def rows_of(scored: HeldOut, row_ids: np.ndarray) -> pa.Table:
    """The rows of these groups, in an order of their own."""
    subgroup, y = SCHEMA.indices_of(scored.groups)
    return pa.table(
        {"row_id": row_ids, "SEX": np.array(["F", "M"])[subgroup], "y": np.array(["0", "1"])[y]}
    )


def found_in(facts, **changed) -> list[str]:
    return check_run("r", **{**facts, **changed}, schema=SCHEMA, rules=RULES)


def test_an_honest_run_by_every_rule_passes(judged_by_rules):
    facts, _ = judged_by_rules
    assert found_in(facts) == []
    columns = {name for name in facts["predictions"].column_names if "decision" in name}
    assert columns == {f"decision_{rule}" for rule in RULES if rule != "0.5"}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "0.5"])
def test_a_decision_that_was_changed_is_found(judged_by_rules, rule):
    facts, _ = judged_by_rules
    table, name = facts["predictions"], f"decision_{rule}"
    changed = 1 - table[name].to_numpy()
    place = table.schema.get_field_index(name)
    [problem] = found_in(facts, predictions=table.set_column(place, name, pa.array(changed)))
    assert f"decision(s) by {rule} are not what scores " in problem


@pytest.mark.parametrize("told", [False, True])
def test_a_cut_that_test_rows_chose_is_found(judged_by_rules, told):
    """Its decisions with their metrics, beside the honest cut or beside itself."""
    facts, run = judged_by_rules
    y = SCHEMA.target_of(run.groups)
    cut = best_cut("f1", y, run.scores)
    decided = decisions_of(facts["predictions"], SCHEMA, RULES)
    decided["f1"] = (run.scores >= cut).astype(int)
    rows = facts["metrics"].filter(pa.compute.field("metric") == "cut").to_pylist()
    cuts = {row["threshold"]: (row["value"], row["support"]) for row in rows}
    assert cuts["f1"][0] != cut
    if told:
        cuts["f1"] = cut, cuts["f1"][1]
    metrics = pa.table(judge_rules(SCHEMA, run.groups, run.scores, decided, cuts))
    predictions = predictions_table(
        facts["test"]["row_id"], SCHEMA, run.groups, run.scores, decided
    )
    [problem] = found_in(facts, metrics=metrics, predictions=predictions)
    assert "decision(s) by f1 are not what scores of held-out training rows give" in problem


def test_a_cut_beside_honest_decisions_is_found(judged_by_rules):
    facts, _ = judged_by_rules
    value = [row["value"] + (row["metric"] == "cut") * 1e-6 for row in facts["metrics"].to_pylist()]
    place = facts["metrics"].schema.get_field_index("value")
    changed = facts["metrics"].set_column(place, "value", pa.array(value))
    [problem] = found_in(facts, metrics=changed)
    assert "2 value(s) in metrics.parquet" in problem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.slice(1), "the rows that decisions were fitted on are not those of"),
        (lambda held: held.set_column(2, "y", pa.array(1 - held["y"].to_numpy())), "y of 300 row"),
        (lambda held: held.set_column(3, "score", pa.nulls(300)), "300 score(s) are no numbers"),
        (lambda held: None, "no scores of held-out training rows"),
    ],
)
def test_whatever_of_held_out_rows_was_changed_is_found(judged_by_rules, change, told):
    facts, _ = judged_by_rules
    [problem] = found_in(facts, held_out=change(facts["held_out"]))
    assert told in problem


# --- config and plan -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"experiment": {"thresholds": []}}, "thresholds"),
        ({"experiment": {"thresholds": ["f2"]}}, "thresholds"),
        ({"experiment": {"thresholds": [0.5, "0.5"]}}, "0.5 is listed twice"),
        ({"experiment": {"thresholds": ["f1"], "primary": {"threshold": "0.5"}}},
         "primary.threshold: '0.5' is not in experiment.thresholds"),
        ({"classifiers": {"x": {**LOGISTIC, "recalibration": "beta"}}}, "found 'beta'"),
        ({"classifiers": {"x": {**LOGISTIC, "recalibrate_by": "subgroup"}}},
         "nothing is recalibrated"),
        ({"classifiers": {"x": {"kind": "exponentiated_gradient"}}}, "base: missing"),
        ({"classifiers": {"x": {"kind": "exponentiated_gradient", "base": "svm"}}},
         "'svm' is not in classifiers"),
        ({"classifiers": {"x": {"kind": "exponentiated_gradient", "base": "nearest_neighbours"}}},
         "can't be fitted with weights"),
        ({"classifiers": {"y": {**LOGISTIC, "recalibration": "platt"},
                          "x": {"kind": "exponentiated_gradient", "base": "y"}}},
         "has a recalibration"),
        ({"classifiers": {"x": {"kind": "group_dro"}},
          "treatments": {"imbalanced": {"description": "x"}, "smote": {"description": "x"},
                         "t": {"description": "x", "generator": "smote", "labels": "x"}}},
         "treatments.t.labels: 'x' is of kind group_dro, whose scores are no probabilities"),
        ({"classifiers": {"x": {"kind": "group_dro", "eta": 0}}}, "eta: found 0"),
        ({"classifiers": {"x": {"kind": "group_dro", "grid": {"recalibration": ["platt"]}}}},
         "grid.recalibration: not a setting"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(sections, told):
    given_ = {**sections, "classifiers": {**default(), **sections.get("classifiers", {})}}
    with pytest.raises(UserError, match=told):
        load_config(given_)


def test_what_is_loaded_by_name_is_in_the_digest_of_who_uses_it_alone():
    inner = ensemble({**DRO, "recalibration": "platt"}, LOTTERY)
    for classifier, modules, libraries in (
        (LOGISTIC, set(), ()),
        (DRO, {"group_dro"}, ("torch",)),
        (LOTTERY, {"exponentiated_gradient"}, ("fairlearn",)),
        ({**LOGISTIC, "recalibration": "isotonic"}, {"recalibration"}, ()),
        (inner, {"exponentiated_gradient", "group_dro", "recalibration"}, ("fairlearn", "torch")),
    ):
        named = by_name.modules_of(classifier)
        assert {name.rpartition(".")[2] for name in named} == modules
        assert by_name.libraries_of(classifier) == libraries
        assert set(named) <= set(closure("evaluate", *named)) - set(closure("evaluate"))
