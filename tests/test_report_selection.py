# SPDX-License-Identifier: MIT
"""What the report says of selection: a lottery is told from a real difference."""

import numpy as np
import pytest

from mcrage.report.selection import (
    AGREEMENT_HEADS,
    CHOICE_HEADS,
    Selection,
    agreement_rows,
    choice_rows,
    selection_tables,
)

RATES = (1e-4, 1e-3, 1e-2)
STEPS = (10, 20, 30, 40)


def history(scores: np.ndarray, criterion: str, n_folds: int = 1, seed: int = 0) -> dict:
    """Return a history of scores (S, K); each fold's has noise that cancels in the mean."""
    rng = np.random.default_rng(seed)
    rows = []
    for setting, rate in enumerate(RATES):
        noise = rng.normal(size=(n_folds, len(STEPS)))
        noise -= noise.mean(axis=0)
        for fold in range(n_folds):
            for place, step in enumerate(STEPS):
                member = fold * len(RATES) + setting
                value = scores[setting, place] + noise[fold, place]
                rows += [(step - 5, member, rate, np.nan), (step, member, rate, value)]
    step, member, rate, value = (np.array(column) for column in zip(*rows, strict=True))
    nothing, zero = np.full(len(step), np.nan), np.zeros(len(step))
    other = {"validation_f1": "heldout_loss", "heldout_loss": "validation_f1"}[criterion]
    settings = {"learning_rate": rate, "condition_dropout": zero, "weight_decay": zero}
    # As of a schedule, whose noise is no setting.
    settings |= {"batch_size": zero + 64, "noise_mean": nothing, "noise_std": nothing}
    return {
        **{"step": step, "member": member, **settings, "dropout": zero},
        **{criterion: value, other: nothing},
    }


def several(signal: float, noise: float, criterion: str, n: int = 12, **options) -> list[dict]:
    """Return histories whose scores are a common signal and noise of their own."""
    rng = np.random.default_rng(5)
    common = signal * np.arange(12.0).reshape(3, 4)
    return [
        history(common + noise * rng.normal(size=(3, 4)), criterion, seed=place, **options)
        for place in range(n)
    ]


def test_a_real_difference_holds_in_other_replicates():
    found = Selection.of("best", several(1.0, 0.2, "validation_f1"))
    assert found.scores.shape == (12, 3, 4)
    assert set(found.chosen) == {(2, 3)}
    assert found.gap() == pytest.approx(5.5, abs=0.3)
    assert found.kept_gap() == pytest.approx(found.gap(), rel=0.02)
    assert found.noise() == pytest.approx(0.2, rel=0.3)
    assert found.agreement() > 0.95


def test_a_lottery_keeps_nothing():
    found = Selection.of("best", several(0.0, 1.0, "validation_f1", n=40))
    assert len(set(found.chosen)) > 6
    # The mean of the largest of 12 standard normal numbers is 1.63.
    assert found.gap() == pytest.approx(1.63, abs=0.25)
    assert found.kept_gap() == pytest.approx(0.0, abs=0.15)
    assert found.noise() == pytest.approx(1.0, abs=0.15)
    assert found.agreement() == pytest.approx(0.0, abs=0.1)


def test_losses_are_averaged_over_folds_and_smaller_is_better():
    found = Selection.of("best", several(1.0, 0.1, "heldout_loss", n_folds=4))
    assert set(found.chosen) == {(0, 0)}
    np.testing.assert_allclose(found.scores[0, 0, 0], 0.0, atol=0.4)


def test_criteria_of_one_grid_are_compared():
    by_f1 = Selection.of("mcrage_paper", several(1.0, 0.1, "validation_f1"))
    by_loss = Selection.of("crossed", several(-1.0, 0.1, "heldout_loss", n_folds=3))
    (row,) = agreement_rows([by_f1, by_loss])
    assert row[1:] == ["12 of 12 replicates", "1 in 3"]
    opposite = Selection.of("crossed", several(1.0, 0.1, "heldout_loss", n_folds=3))
    assert agreement_rows([by_f1, opposite])[0][1] == "0 of 12 replicates"
    assert agreement_rows([by_f1, by_f1]) == []
    assert len(row) == len(AGREEMENT_HEADS)


def test_the_tables_say_what_was_chosen():
    tables = selection_tables(
        {"paper": several(1.0, 0.1, "validation_f1"), "smote_like": [{"step": np.empty(0)}]}
    )
    (row,) = tables["choices"]
    assert len(row) == len(CHOICE_HEADS)
    assert row[2:5] == ["3 × 4 steps", "learning rate 0.01: 12 of 12", "40 (40 to 40)"]
    assert tables["agreements"] == []
    assert selection_tables({"smote_like": [{"step": np.empty(0)}]}) == {}


def test_one_replicate_says_nothing_of_noise():
    (row,) = choice_rows([Selection.of("paper", several(1.0, 0.1, "validation_f1", n=1))])
    assert row[6:] == ["undefined"] * 3


def test_the_curve_of_a_fit_can_be_read():
    from test_generators import fitted

    for name, place in (("crossed", "heldout_loss"), ("paper", "validation_f1")):
        generator = fitted(name)
        columns = {k: np.array(v, dtype=float) for k, v in generator.history.items()}
        found = Selection.of(name, [columns])
        assert found.criterion == place
        ((setting, step),) = found.chosen
        assert found.settings[setting][0] == generator.choice["chosen_learning_rate"]
        assert found.steps[setting, step] == generator.choice["chosen_step"]
