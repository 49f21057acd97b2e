# SPDX-License-Identifier: MIT
"""The trainer and the generators on a GPU: recorded steps are those taken one kernel at a time.

Skipped without one. These and the benchmarks need no more than torch, pandas, pyarrow,
scikit-learn and pydantic, so that they run where Snakemake is not installed.
"""

import numpy as np
import pytest
import torch

from mcrage.config.generators import CddpmSettings, TabddpmSettings
from mcrage.diffusion import fused_update
from mcrage.diffusion.recording import WARM_UP
from mcrage.diffusion.training import Trainer
from mcrage.generators.registry import generator_class
from test_diffusion_training import (
    GRID,
    MIXED,
    NOISY,
    check_optimizer,
    train,
    trainer,
)
from test_generators import data, mean_of_a
from test_together import GRIDS, alone, assert_alike, replicates, together

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
NETWORKS = pytest.mark.parametrize("network", ["residual", "paper"])


def members_of(network: str) -> list:
    return MIXED + NOISY if network == "residual" else MIXED


def assert_same(left: Trainer, right: Trainer) -> None:
    """Compare all that two runs have learnt, to the bit."""
    for averaged in (True, False):
        assert torch.equal(left.weights(averaged=averaged), right.weights(averaged=averaged))
    assert left.read_losses() == right.read_losses()
    assert_same_streams(left, right)


def assert_same_streams(left: Trainer, right: Trainer) -> None:
    mine, theirs = left.state(), right.state()
    for name in mine:
        if name.startswith("stream."):
            assert torch.equal(mine[name], theirs[name]), name


@NETWORKS
def test_a_recorded_step_is_the_step(network):
    """Members stop at 11 and 25, so a graph is recorded three times."""
    options = {"network": network, "device": "cuda"}
    recorded = train(members_of(network), **options)
    plain = train(members_of(network), recorded=False, **options)
    assert recorded._recording._graph is not None
    torch.testing.assert_close(
        recorded.weights(averaged=True), plain.weights(averaged=True), atol=2e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        torch.tensor(recorded.read_losses()), torch.tensor(plain.read_losses()), rtol=1e-4, atol=0
    )
    assert_same_streams(recorded, plain)


@pytest.mark.parametrize("size", [3, 7, 1024, 4_099])
@pytest.mark.parametrize("decoupled", [True, False])
def test_the_update_of_all_members_is_torchs_for_each(decoupled, size):
    assert fused_update._kernel(torch.cuda.current_device()) is not None
    check_optimizer(decoupled, size, device="cuda")


@NETWORKS
def test_a_gpu_for_which_nothing_can_be_compiled_learns_the_same(network, monkeypatch):
    options = {"network": network, "device": "cuda"}
    fused = train(members_of(network), **options)
    monkeypatch.setattr(fused_update, "_kernel", lambda device: None)
    single = train(members_of(network), **options)
    torch.testing.assert_close(
        fused.weights(averaged=True), single.weights(averaged=True), atol=2e-5, rtol=1e-4
    )


@NETWORKS
def test_an_ensemble_equals_its_members_on_a_gpu(network):
    together = train(GRID, network=network, device="cuda")
    for place, member in enumerate(GRID):
        alone = train([member], network=network, device="cuda")
        torch.testing.assert_close(together.average[place], alone.average[0], atol=1e-4, rtol=1e-3)


@NETWORKS
def test_equal_seeds_give_equal_bits_on_a_gpu(network):
    first, second = (train(members_of(network), network=network, device="cuda") for _ in range(2))
    assert_same(first, second)


@NETWORKS
@pytest.mark.parametrize("stop", [1, 10, 11, 25, 39])
def test_a_restored_run_ends_as_one_never_stopped_on_a_gpu(network, stop):
    members = members_of(network)
    whole = train(members, network=network, device="cuda")
    half = train(members, steps=stop, network=network, device="cuda")
    resumed = trainer(members, network=network, device="cuda")
    resumed.restore(half.state())
    for _ in range(40 - stop):
        resumed.step()
    assert_same(whole, resumed)


@NETWORKS
def test_asking_for_the_state_changes_nothing(network):
    """It gives the batch back that was drawn ahead, before, in and after the recording."""
    members = members_of(network)
    asked = trainer(members, network=network, device="cuda")
    for _ in range(40):
        asked.state()
        asked.step()
    assert_same(asked, train(members, network=network, device="cuda"))


@NETWORKS
@pytest.mark.parametrize("recorded", [True, False])
def test_no_step_waits_for_the_gpu(network, recorded):
    one = trainer(GRID, network=network, device="cuda", recorded=recorded)
    for _ in range(WARM_UP + 1):
        one.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            one.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@NETWORKS
def test_a_gpu_computes_what_a_cpu_does(network):
    """The loss and its gradient of one batch; what is drawn differs."""
    gpu, cpu = (trainer(GRID, network=network, device=device) for device in ("cuda", "cpu"))
    with torch.no_grad():
        gpu.parameters.flat.copy_(cpu.parameters.flat.normal_(std=0.1))
    batch = cpu.batches.draw()
    losses = []
    for one, place in ((gpu, "cuda"), (cpu, "cpu")):
        inputs, level, condition, target = (part.to(place) for part in batch)
        loss = one.process.losses(one.network(one._values, inputs, level, condition), target)
        loss.sum().backward()
        losses.append(loss.detach().cpu())
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gpu._gradient.cpu(), cpu._gradient, rtol=1e-3, atol=1e-5)


SETTINGS = {
    "cddpm tuned": CddpmSettings(kind="cddpm", preset="tuned", steps=400),
    "cddpm paper": CddpmSettings(
        kind="cddpm", preset="paper", width=32, epochs=4, select_every_epochs=2
    ),
    "tabddpm small": TabddpmSettings(kind="tabddpm", preset="small", steps=400),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_generator_learns_and_draws_on_a_gpu(name):
    settings = SETTINGS[name].resolved()
    rows_known = data((90, 900, 60, 740))
    groups = np.repeat(np.arange(4), 500)
    rows = {}
    for device in ("cuda", "cpu"):
        generator = generator_class(settings["kind"])(settings)
        generator.fit(rows_known, criterion=mean_of_a, seed=0, device=device)
        assert (generator.facts["device"] != "cpu") == (device == "cuda")
        rows[device] = np.asarray(generator.sample(groups, seed=1, device=device))
    assert np.isfinite(rows["cuda"]).all()
    if name == "cddpm paper":
        # Four epochs teach nothing that could be compared.
        return
    spread = rows_known.features.std(axis=0)
    for group in range(4):
        means = (rows[device][groups == group].mean(axis=0) for device in ("cuda", "cpu"))
        apart = np.abs(next(means) - next(means)) / spread
        assert apart.max() < 0.35, (group, apart)


@pytest.mark.parametrize("name", GRIDS)
def test_replicates_learn_together_as_each_alone_on_a_gpu(name):
    found = together(name, replicates(), device="cuda")
    expected = alone(name, replicates(), device="cuda")
    for one, other in zip(found, expected, strict=True):
        assert_alike(one, other)
        assert one.facts["learnt_together"] == 3
    again = together(name, replicates(), device="cuda")
    for one, other in zip(again, found, strict=True):
        assert torch.equal(one.weights, other.weights)
