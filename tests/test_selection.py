# SPDX-License-Identifier: MIT
"""Cross-validated selection: folds, held-out loss, choice, refit, ensembles in turn, resumption."""

import logging
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem

from mcrage.diffusion.heldout import HeldOut
from mcrage.diffusion.memory import device_limit, member_bytes, partition
from mcrage.diffusion.network import StackedParameters
from mcrage.diffusion.training import Member, Trainer
from mcrage.errors import UserError
from mcrage.folds import stratified_folds
from mcrage.generators import TrainingData
from mcrage.generators.cddpm_schedule import every, snapshots
from mcrage.generators.cddpm_select import choose
from mcrage.generators.checkpoint import CheckpointFile
from mcrage.generators.registry import generator_class
from mcrage.generators.storage import load_model
from mcrage.interruption import Interrupted
from test_diffusion_training import table, trainer
from test_generators import ROLES, data, fitted, settings

# --- folds ---


@given(
    groups=st.lists(st.integers(0, 4), min_size=2, max_size=80),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_folds_spread_every_group_evenly(groups, n_folds, seed):
    groups = np.array(groups)
    folds = stratified_folds(groups, n_folds, seed)
    counts = np.zeros((5, n_folds), dtype=int)
    np.add.at(counts, (groups, folds), 1)
    assert np.ptp(counts, axis=1).max() <= 1
    assert np.ptp(counts.sum(axis=0)) <= 1
    np.testing.assert_array_equal(folds, stratified_folds(groups, n_folds, seed))


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15)), min_size=4, max_size=80),
    n_folds=st.integers(2, 5),
)
def test_folds_keep_clusters_whole(rows, n_folds):
    groups, clusters = np.array(rows).T
    folds = stratified_folds(groups, n_folds, 0, clusters)
    for cluster in np.unique(clusters):
        assert len(set(folds[clusters == cluster])) == 1


def test_folds_of_many_small_clusters_are_nearly_even():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(200), rng.integers(1, 5, 200))
    groups = rng.choice(3, len(clusters), p=[0.1, 0.3, 0.6])
    folds = stratified_folds(groups, 5, 0, clusters)
    shares = np.array([[np.mean(folds[groups == g] == f) for f in range(5)] for g in range(3)])
    np.testing.assert_allclose(shares, 0.2, atol=0.05)


def test_clusters_of_a_table_are_read_and_rows_without_are_their_own():
    from dataclasses import replace

    plain = data()
    columns = dict(zip("ABCN", plain.features.T, strict=True))
    names = [f"p{place // 2}" for place in range(len(plain.groups) - 2)] + [None, None]
    tab = pa.table({**plain.schema.columns_of(plain.groups), **columns, "P": names})
    clusters = TrainingData.of(tab, replace(ROLES, cluster=("P",))).clusters
    assert len(set(clusters[-2:])) == 2
    assert len(set(clusters)) == (len(names) - 2) // 2 + 2
    assert clusters[0] == clusters[1] != clusters[2]
    assert TrainingData.of(tab, ROLES).clusters is None


# --- held-out loss ---


@pytest.mark.parametrize("network", ["residual", "paper"])
def test_held_out_loss_is_the_mean_over_groups_of_the_mean_over_rows(network):
    members = [Member(1, batch_size=32, subset=0), Member(2, batch_size=32, subset=1)]
    one = trainer(members, network=network)
    torch.manual_seed(3)
    weights = one.weights(averaged=False) + 0.1 * torch.randn(one.parameters.flat.shape)
    rows, groups = table()
    held = [torch.arange(1, 200, 2), torch.arange(0, 50)]
    process, condition = one.batches._process, one.batches._condition
    net = one.network
    judged = HeldOut(net, condition, process, rows, groups, held, seed=4, n_levels=3, chunk_rows=37)
    losses = judged.losses(weights, [0, 1])
    encoded, clean, levels, noise, _ = judged._parts
    inputs, level, target = process.corrupt(clean, levels, noise)
    values = StackedParameters(net.parameters, 2).views(weights)
    for place in (0, 1):
        own = {name: value[place : place + 1] for name, value in values.items()}
        parts = (x[place : place + 1] for x in (inputs, level, encoded))
        errors = (net(own, *parts)[0] - target[place]).square().mean(1).detach()
        by_row = errors.unflatten(0, (-1, 3)).mean(1)[: len(held[place])]
        of_rows = groups[held[place].sort().values]
        means = [by_row[of_rows == group].mean() for group in of_rows.unique()]
        assert losses[place] == pytest.approx(float(torch.stack(means).mean()), rel=1e-4)
    # Fixed noise: the same again, and alone.
    assert judged.losses(weights, [0, 1]) == losses
    assert judged.losses(weights[1:], [1]) == pytest.approx(losses[1:], rel=1e-5)


def test_noise_levels_of_held_out_rows_follow_those_of_training():
    one = trainer([Member(1, batch_size=32, subset=0)])
    rows, groups = table()
    judged = HeldOut(
        *(one.network, one.batches._condition, one.batches._process, rows, groups),
        [torch.arange(200)],
        seed=0,
        n_levels=16,
    )
    process = one.batches._process
    _, level, _ = process.corrupt(*judged._parts[1:4])
    log_sigma = 4 * level.flatten()
    assert log_sigma.mean() == pytest.approx(process.noise_mean, abs=0.02)
    assert log_sigma.std() == pytest.approx(process.noise_std, abs=0.02)


def test_large_groups_are_thinned_and_weigh_the_same():
    one = trainer([Member(1, batch_size=32, subset=0)])
    rows, groups = table()
    judged = HeldOut(
        *(one.network, one.batches._condition, one.batches._process, rows, groups),
        [torch.arange(200)],
        seed=0,
        n_levels=1,
        max_rows=5,
    )
    spread = judged._parts[4]
    assert spread.shape == (1, 20)
    torch.testing.assert_close(spread, torch.full((1, 20), 1 / 20))


# --- choice ---


def curve_of(table_of_losses: dict) -> tuple[dict, list[Member]]:
    """Return the curve and members of {(rate, step): losses by fold}."""
    rates = list(dict.fromkeys(rate for rate, _ in table_of_losses))
    n_folds = len(next(iter(table_of_losses.values())))
    members = [Member(0, rate, subset=fold) for fold in range(n_folds) for rate in rates]
    curve = {"member": [], "step": [], "heldout_loss": []}
    for (rate, step), losses in table_of_losses.items():
        for fold, loss in enumerate(losses):
            curve["member"].append(fold * len(rates) + rates.index(rate))
            curve["step"].append(step)
            curve["heldout_loss"].append(loss)
    return curve, members


def test_the_smallest_mean_over_folds_is_chosen():
    losses = {
        (1e-3, 10): [0.9, 1.0, 1.4],
        (1e-2, 10): [0.7, 0.9, 1.2],
        (1e-3, 15): [math.nan] * 3,
        (1e-3, 20): [0.8, 0.8, 0.8],
        (1e-2, 20): [0.1, 2.0, 2.0],
    }
    chosen = choose(*curve_of(losses))
    assert (chosen.member.learning_rate, chosen.step) == (1e-3, 20)
    assert chosen.loss == pytest.approx(0.8)
    chosen = choose(*curve_of({**losses, (1e-3, 20): [math.inf, 0.1, 0.1]}))
    assert (chosen.member.learning_rate, chosen.step) == (1e-2, 10)
    assert chosen.standard_error == pytest.approx(sem([0.7, 0.9, 1.2]))
    equal = {(1e-3, 10): [1.0, 1.0], (1e-2, 10): [1.0, 1.0], (1e-3, 5): [1.0, 1.0]}
    chosen = choose(*curve_of(equal))
    assert (chosen.member.learning_rate, chosen.step) == (1e-3, 5)
    with pytest.raises(UserError, match="every one diverged"):
        choose(*curve_of({(1e-3, 10): [math.inf, 1.0]}))


def test_when_members_are_scored():
    assert snapshots(4, 40) == (10, 20, 30, 40)
    assert snapshots(20, 7) == tuple(range(1, 8))
    assert every(6, 15) == (6, 12, 15)
    assert every(5, 15) == (5, 10, 15)
    assert every(20, 15) == (15,)


@pytest.fixture(scope="module")
def crossed():
    return fitted("crossed")


def test_cross_validation_ends_as_training_with_what_it_chose(crossed):
    facts, values = crossed.facts, settings("crossed")
    assert facts["chosen_learning_rate"] in (3e-3, 1e-2)
    assert facts["chosen_step"] in (10, 20, 30, 40)
    assert facts["n_members"] == 3 * 3 + 2
    override = {"selection": "last", "steps": facts["chosen_step"]}
    override["learning_rates"] = [facts["chosen_learning_rate"]]
    direct = fitted("crossed", override=override)
    assert values["seeds"] == len(crossed._weights)
    torch.testing.assert_close(crossed._weights, direct._weights, atol=1e-6, rtol=1e-5)


def test_the_curve_has_every_folds_loss_and_the_refit(crossed):
    history = {name: np.array(values) for name, values in crossed.history.items()}
    losses = history["heldout_loss"]
    scored = ~np.isnan(losses)
    assert scored.sum() == 9 * 4
    assert set(history["step"][scored]) == {10, 20, 30, 40}
    np.testing.assert_array_equal(history["fold"][scored] == history["member"][scored] // 3, True)
    assert np.isnan(history["validation_f1"]).all()
    grid = history["member"] < 9
    assert (history["fold"][~grid] == -1).all()
    assert (history["step"][~grid] <= crossed.facts["chosen_step"]).all()
    # The loss at the choice is the smallest mean, with its standard error.
    means = {}
    for rate in np.unique(history["learning_rate"]):
        for step in (10, 20, 30, 40):
            own = scored & (history["step"] == step) & (history["learning_rate"] == rate)
            means[rate, step] = (losses[own].mean(), sem(losses[own]))
    best = min(means, key=lambda key: means[key][0])
    assert best == (crossed.facts["chosen_learning_rate"], crossed.facts["chosen_step"])
    told = [crossed.choice[f"chosen_heldout_loss{end}"] for end in ("", "_standard_error")]
    np.testing.assert_allclose(told, means[best])


def test_the_model_says_what_was_chosen(crossed, tmp_path):
    crossed.save(tmp_path)
    assert load_model(tmp_path, "cddpm")[1]["choice"] == crossed.choice
    assert crossed.choice["chosen_heldout_loss_standard_error"] > 0


def test_a_group_that_a_fold_would_empty_is_refused():
    with pytest.raises(UserError, match="leaves no row of group SEX=F, Y=yes to learn from"):
        generator_class("cddpm")(settings("crossed")).fit(data((9, 9, 1, 9)), seed=0)


# --- memory ---


@given(
    sizes=st.lists(st.sampled_from([32, 64]), min_size=1, max_size=40),
    limit=st.integers(0, 100),
    shared=st.integers(0, 60),
)
def test_ensembles_in_turn_fit_and_hold_every_member_once(sizes, limit, shared):
    members = [Member(place, batch_size=size) for place, size in enumerate(sizes)]

    def bytes_of(member: Member) -> int:
        return member.batch_size // 8

    parts = partition(members, bytes_of, limit, shared)
    assert sorted(place for part in parts for place in part) == list(range(len(members)))
    for part in parts:
        (size,) = {sizes[place] for place in part}
        assert len(part) == 1 or shared + len(part) * size // 8 <= limit
    for size in set(sizes):
        own = [len(part) for part in parts if sizes[part[0]] == size]
        fitting = max(1, (limit - shared) // (size // 8))
        assert len(own) == math.ceil(sizes.count(size) / fitting)
        assert max(own) - min(own) <= 1


@pytest.mark.parametrize("network", ["residual", "paper"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_activations_are_reckoned_with(network, dropout):
    members = [Member(place, batch_size=64, dropout=dropout) for place in range(3)]
    one = trainer(members, network=network)
    batch = one.batches.draw()
    kept = {}
    buffers = {one.parameters.flat.untyped_storage().data_ptr()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in buffers:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        drop = one.batches.drop if dropout else None
        output = one.network(one._values, *batch[:3], drop)
    assert output.requires_grad
    reckoned = 4 * len(members) * one.network.activations(64)
    assert sum(kept.values()) <= reckoned <= 3.5 * sum(kept.values())


def test_a_member_takes_its_parameters_several_times():
    net = trainer([Member(0, batch_size=32)]).network
    n_parameters = sum(parameter.size for parameter in net.parameters)
    least, more = (member_bytes(net, 0, averaged=averaged) for averaged in (False, True))
    assert least == 4 * 4 * n_parameters
    assert more - least == 4 * n_parameters
    assert device_limit(torch.device("cpu"), 1.5) == 1.5 * 2**30
    assert 2**28 < device_limit(torch.device("cpu")) < 2**50


@pytest.mark.parametrize("name", ["paper", "tuned", "crossed"])
def test_a_grid_too_large_is_split_with_the_same_result(name, caplog):
    whole = fitted(name)
    with caplog.at_level(logging.INFO):
        split = fitted(name, override={"max_memory_gib": 2e-6})
    assert "ensembles in turn" in caplog.text
    torch.testing.assert_close(split._weights, whole._weights, atol=1e-5, rtol=1e-4)
    assert list(split.history) == list(whole.history)
    for column, values in whole.history.items():
        np.testing.assert_allclose(split.history[column], values, rtol=1e-3, err_msg=column)
    for key, value in whole.choice.items():
        assert split.choice[key] == (pytest.approx(value, rel=1e-3) if value else value)


# --- resumption ---


def stopped_after(n_steps: int, fit: Callable[[], object]) -> bool:
    """Fit until some steps are taken, whichever ensemble they are of, and stop there."""
    original, taken = Trainer.step, 0

    def stepped(self) -> None:
        nonlocal taken
        original(self)
        taken += 1
        if taken == n_steps:
            raise Interrupted(15)

    Trainer.step = stepped
    try:
        fit()
    except Interrupted:
        return True
    finally:
        Trainer.step = original
    return False


SPLIT = {"max_memory_gib": 2e-6}


@pytest.mark.parametrize(
    ("name", "override", "stride"),
    [("crossed", {}, 13), ("crossed", SPLIT, 97), ("paper", SPLIT, 4), ("tuned", SPLIT, 37)],
)
def test_going_on_through_all_ensembles_changes_nothing(name, override, stride, tmp_path):
    expected = fitted(name, override=override)
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    stops = 0
    while stopped_after(stride, lambda: fitted(name, checkpoint=file, override=override)):
        stops += 1
    assert stops >= 2
    resumed = fitted(name, override=override, checkpoint=file)
    assert resumed.facts["resumptions"] == stops + 1
    np.testing.assert_array_equal(resumed._weights.numpy(), expected._weights.numpy())
    np.testing.assert_equal(resumed.history, expected.history)
    assert resumed.choice == expected.choice


def test_the_state_of_the_refit_is_refused_by_another_run(tmp_path, caplog):
    file = CheckpointFile(tmp_path, "cddpm", key="ab12")
    fitted("crossed", checkpoint=file)
    caplog.clear()
    override = {"snapshots": 2, "seeds": 3}
    again = fitted("crossed", override=override, checkpoint=file)
    assert again.facts["resumptions"] == 0
    assert "refused" in caplog.text
    np.testing.assert_equal(again.history, fitted("crossed", override=override).history)
