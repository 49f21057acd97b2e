# SPDX-License-Identifier: MIT
"""Grids of batch sizes and noise levels: every setting as if alone, judged on one yardstick."""

import numpy as np
import pytest
import torch

import test_mixed_generator
from mcrage.generators.cddpm_grid import CURVE
from mcrage.report.selection import Selection, choice_rows
from test_generators import fitted

GRID = {"batch_sizes": [32, 64], "noise_means": [-0.5, 0.8], "noise_stds": [1.2, 0.5]}
SHORT = {"learning_rates": [3e-3], "folds": 2, "snapshots": 3, "seeds": 1, "steps": 30}
BUDGETS = {"steps": {"steps": 30, "epochs": None}, "epochs": {"steps": None, "epochs": 4}}


def curve(generator) -> dict[str, np.ndarray]:
    """Return the history of the grid's members, without that of the refit."""
    columns = {name: np.array(values) for name, values in generator.history.items()}
    learnt = columns["fold"] >= 0
    return {name: values[learnt] for name, values in columns.items()}


@pytest.mark.parametrize("unit", BUDGETS)
def test_a_setting_of_a_mixed_grid_learns_as_it_would_alone(unit):
    budget = SHORT | BUDGETS[unit]
    mixed = curve(fitted("crossed", override=budget | GRID))
    assert len(np.unique(mixed["member"])) == 2 * 2 * 2 * 2
    for size in GRID["batch_sizes"]:
        for mean in GRID["noise_means"]:
            override = {"batch_sizes": [size], "noise_means": [mean], "noise_stds": [0.5]}
            alone = curve(fitted("crossed", override=budget | override))
            own = (mixed["batch_size"] == size) & (mixed["noise_mean"] == mean)
            own &= mixed["noise_std"] == 0.5
            for name in CURVE:
                if name != "member":
                    np.testing.assert_allclose(
                        mixed[name][own], alone[name], rtol=2e-3, err_msg=name
                    )
    ends = {size: mixed["step"][mixed["batch_size"] == size].max() for size in (32, 64)}
    # The table has 232 rows.
    assert ends == ({32: 30, 64: 30} if unit == "steps" else {32: 32, 64: 16})


def test_all_settings_are_judged_on_one_yardstick():
    # They learn next to nothing, so that all of a fold are the same network.
    override = SHORT | GRID | {"learning_rates": [1e-12], "steps": 2, "snapshots": 1}
    history = curve(fitted("crossed", override=override))
    for fold in (0, 1):
        own = (history["fold"] == fold) & ~np.isnan(history["heldout_loss"])
        assert np.ptp(history["heldout_loss"][own]) < 1e-5
        assert np.ptp(history["loss"][own]) > 0.01


def test_what_was_chosen_of_a_mixed_grid_is_trained_anew_and_told():
    override = SHORT | BUDGETS["epochs"] | GRID
    generator = fitted("crossed", override=override)
    facts = generator.facts
    chosen = {f"{name}s": [facts[f"chosen_{name}"]] for name in ("noise_mean", "noise_std")}
    chosen["batch_sizes"] = [facts["chosen_batch_size"]]
    direct = {"selection": "last", "steps": facts["chosen_step"], "epochs": None}
    alone = fitted("crossed", override=override | direct | chosen)
    torch.testing.assert_close(generator._weights, alone._weights, atol=1e-6, rtol=1e-5)
    columns = {k: np.array(v, dtype=float) for k, v in generator.history.items()}
    found = Selection.of("crossed", [columns, columns])
    ((setting, step), _) = found.chosen
    assert found.steps[setting, step] == facts["chosen_step"]
    assert found.settings[setting][4:] == (*chosen["batch_sizes"], *chosen["noise_means"],
                                           *chosen["noise_stds"])  # fmt: skip
    (row,) = choice_rows([found])
    assert row[2] == "8 × 3 steps"
    assert f"batch size {facts['chosen_batch_size']}, mean of noise" in row[3]


def test_the_best_member_of_several_batch_sizes_is_kept():
    override = {"batch_sizes": [32, 128], "learning_rates": [1e-2]}
    generator = fitted("paper", override=override)
    facts = generator.facts
    sizes = np.array(generator.history["batch_size"])[
        np.array(generator.history["member"]) == facts["chosen_member"]
    ]
    assert set(sizes) == {facts["chosen_batch_size"]}
    assert facts["chosen_noise_mean"] is None
    assert np.isnan(generator.history["noise_mean"]).all()
    single = fitted("paper", override=override | {"batch_sizes": [facts["chosen_batch_size"]]})
    torch.testing.assert_close(generator._weights, single._weights, atol=1e-6, rtol=1e-5)


def test_numbers_beside_codes_are_noised_as_asked():
    settings = {"selection": "cross_validation", "folds": 2, "snapshots": 2, "steps": 8, "seeds": 1}
    both = curve(test_mixed_generator.fitted(**settings, noise_means=[-0.5, 3.0]))
    own = {mean: both["loss"][both["noise_mean"] == mean] for mean in (-0.5, 3.0)}
    # Most of a loss is the codes', which share their draws.
    assert np.median(np.abs(own[3.0] / own[-0.5] - 1)) > 1e-2
    for mean, losses in own.items():
        alone = curve(test_mixed_generator.fitted(**settings, noise_means=[mean]))
        np.testing.assert_allclose(losses, alone["loss"], rtol=2e-5)
