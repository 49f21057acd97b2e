# SPDX-License-Identifier: MIT
"""Replicates that learn together end as each does alone: weights, curve, choice, checkpoint."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from mcrage.diffusion.training import Trainer
from mcrage.errors import UserError
from mcrage.generators.base import TrainingData
from mcrage.generators.cddpm_fit import fit_together
from mcrage.generators.cddpm_learner import Replicate
from mcrage.generators.checkpoint import CheckpointFile
from test_generators import data, mean_of_a, settings
from test_selection import SPLIT, stopped_after

GRIDS = {
    "last": ("tuned", {}),
    "criterion": ("paper", {"learning_rates": [1e-3, 1e-2], "epochs": 4}),
    "criterion of two batch sizes": ("paper", {"batch_sizes": [64, 128], "epochs": 4}),
    "cross_validation": ("crossed", {"learning_rates": [1e-3, 3e-3, 1e-2]}),
    "cross_validation of noise": (
        "crossed",
        {"learning_rates": [1e-2], "noise_means": [-0.5, 1.0], "batch_sizes": [32, 64]},
    ),
}
# Other rows, and one replicate with fewer.
COUNTS = ((20, 120, 12, 80), (21, 119, 12, 80), (20, 118, 12, 79))


def replicates(**checkpoints) -> list[Replicate]:
    """Return three replicates, of which two share a seed."""
    return [
        Replicate(data(counts, seed), 5 + 7 * (seed == 2), mean_of_a, checkpoints.get(f"c{seed}"))
        for seed, counts in enumerate(COUNTS)
    ]


def together(name: str, given: list[Replicate], device: str = "cpu", **override):
    preset, own = GRIDS[name]
    values = settings(preset) | own | override
    return fit_together(values, given, device=device, threads=1)


def alone(name: str, given: list[Replicate], **override):
    return [together(name, [replicate], **override)[0] for replicate in given]


def assert_alike(found, expected, rtol=2e-3) -> None:
    """Compare what two fits of one replicate learnt."""
    assert found.timesteps == expected.timesteps
    torch.testing.assert_close(found.weights, expected.weights, atol=2e-5, rtol=1e-4)
    assert list(found.history) == list(expected.history)
    for column, values in expected.history.items():
        np.testing.assert_allclose(found.history[column], values, rtol=rtol, err_msg=column)
    assert found.choice.keys() == expected.choice.keys()
    for key, value in expected.choice.items():
        assert found.choice[key] == (pytest.approx(value, rel=rtol) if value else value), key
    for key in ("n_members", "steps", "n_parameters", "timesteps"):
        assert found.facts[key] == expected.facts[key], key
    arrays, facts = expected.encoding.state()
    for key, array in found.encoding.state()[0].items():
        np.testing.assert_array_equal(array, arrays[key])
    assert found.encoding.state()[1] == facts


@pytest.mark.parametrize("name", GRIDS)
def test_replicates_learn_together_as_each_alone(name, monkeypatch):
    given, sizes = replicates(), []
    original = Trainer.__init__

    def made(self, *arguments, **options):
        original(self, *arguments, **options)
        sizes.append(len(self.members))

    expected = alone(name, given)
    monkeypatch.setattr(Trainer, "__init__", made)
    found = together(name, given)
    for one, other in zip(found, expected, strict=True):
        assert_alike(one, other)
        assert one.facts["learnt_together"] == 3
        assert "learnt_together" not in other.facts
    # One ensemble of each batch size, and then those of the refits.
    values = settings(GRIDS[name][0]) | GRIDS[name][1]
    n_sizes = len(values["batch_sizes"])
    assert sum(sizes) == sum(fitted.facts["n_members"] for fitted in expected)
    assert len(sizes) <= n_sizes + (n_sizes if values["selection"] == "cross_validation" else 0)
    # Rows and seeds matter: no two are alike.
    assert not torch.allclose(found[0].weights, found[1].weights, atol=1e-2)


def test_each_replicate_stops_at_the_step_of_its_own_choice():
    # Steps of the snapshots are no points of the curve otherwise.
    override = {"steps": 210, "snapshots": 4, "learning_rates": [1e-2]}
    given = replicates()
    given[1] = Replicate(data((8, 30, 8, 25), 4), 1)
    found = together("cross_validation", given, **override)
    steps = [fitted.choice["chosen_step"] for fitted in found]
    assert len(set(steps)) > 1, steps
    for one, other in zip(found, alone("cross_validation", given, **override), strict=True):
        assert_alike(one, other)


def test_what_does_not_fit_is_trained_by_itself(caplog):
    # Zeros that stand out have a column of their own.
    usual = data(COUNTS[1], 1)
    features = usual.features.copy()
    features[::3, 3] = 0.0
    given = replicates()
    wide = TrainingData(features, usual.groups, usual.schema, usual.roles)
    given[1] = Replicate(wide, 9, mean_of_a)
    with caplog.at_level(logging.INFO):
        found = together("last", given)
    assert "of 3 replicates 2 and 1 fit together" in caplog.text
    assert [fitted.facts.get("learnt_together") for fitted in found] == [2, None, 2]
    for one, other in zip(found, alone("last", given), strict=True):
        assert_alike(one, other)
    assert found[1].weights.shape[1] > found[0].weights.shape[1]


def test_those_that_do_not_fit_go_on_from_files_of_their_own(tmp_path):
    def given() -> list[Replicate]:
        files = {f"c{n}": CheckpointFile(tmp_path, str(n), key="ab12") for n in range(3)}
        usual, out = data(COUNTS[1], 1), replicates(**files)
        features = usual.features.copy()
        features[::3, 3] = 0.0
        wide = TrainingData(features, usual.groups, usual.schema, usual.roles)
        return [out[0], Replicate(wide, 9, mean_of_a, files["c1"]), out[2]]

    expected = together("last", [replace(one, checkpoint=None) for one in given()])
    stops = 0
    while stopped_after(40, lambda: together("last", given())):
        stops += 1
    resumed = together("last", given())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    for one, other in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(one.weights.numpy(), other.weights.numpy())
    # What was done before a stop is not done again: each has its own stops behind it.
    assert sum(resumed[number].facts["resumptions"] for number in (0, 1)) >= stops + 2


def test_a_mistake_names_its_replicate():
    given = replicates()
    given[1] = replace(given[1], criterion=None, name="replicate 21")
    with pytest.raises(UserError, match=r"^replicate 21: .*validation"):
        together("criterion", given)


def test_epochs_of_other_steps_do_not_fit():
    given = replicates()
    given[2] = Replicate(data((60, 160, 40, 120), 3), 3, mean_of_a)
    found = together("criterion", given)
    assert [fitted.facts.get("learnt_together") for fitted in found] == [2, 2, None]
    for one, other in zip(found, alone("criterion", given), strict=True):
        assert_alike(one, other)


@pytest.mark.parametrize("name", ["last", "criterion", "cross_validation"])
def test_too_many_for_the_memory_are_split_with_the_same_result(name, caplog):
    given = replicates()
    with caplog.at_level(logging.INFO):
        split = together(name, given, **SPLIT)
    assert "ensembles in turn" in caplog.text
    for one, other in zip(split, together(name, given), strict=True):
        assert_alike(one, other)


@pytest.mark.parametrize(
    ("name", "override", "stride"),
    [
        ("last", {}, 17),
        ("criterion", SPLIT, 11),
        ("cross_validation", {}, 19),
        ("cross_validation of noise", {"max_memory_gib": 1e-4}, 97),
    ],
)
def test_a_joint_run_goes_on_where_it_was_stopped(name, override, stride, tmp_path):
    expected = together(name, replicates(), **override)
    files = {f"c{n}": CheckpointFile(tmp_path, str(n), key="ab12") for n in range(3)}
    stops = 0
    while stopped_after(stride, lambda: together(name, replicates(**files), **override)):
        stops += 1
    assert stops >= 2
    resumed = together(name, replicates(**files), **override)
    for one, other in zip(resumed, expected, strict=True):
        np.testing.assert_array_equal(one.weights.numpy(), other.weights.numpy())
        np.testing.assert_equal(one.history, other.history)
        assert one.choice == other.choice
        assert one.facts["resumptions"] == stops + 1
    # The first of those that learn together has the file.
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_the_state_of_fewer_replicates_is_refused(tmp_path, caplog):
    file = CheckpointFile(tmp_path, "0", key="ab12")
    given = replicates(c0=file)
    together("last", given[:2])
    expected = together("last", replicates())
    again = together("last", given)
    assert "refused" in caplog.text
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.weights.numpy(), other.weights.numpy())


def test_the_seconds_of_all_add_up_to_the_jobs(monkeypatch):
    from mcrage.generators.costs import Costs

    monkeypatch.setattr(Costs, "seconds", property(lambda self: 9.0))
    found = together("last", replicates())
    assert sum(fitted.facts["seconds"] for fitted in found) == pytest.approx(9.0)
