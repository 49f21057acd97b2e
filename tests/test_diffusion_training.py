# SPDX-License-Identifier: MIT
"""Networks, optimiser and trainer: an ensemble equals its members, torch is the oracle."""

import pytest
import torch

from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.network import PaperNetwork, ResidualNetwork, StackedParameters
from mcrage.diffusion.optimizer import StackedAdam, clip_members
from mcrage.diffusion.process import DiscreteProcess, EdmProcess
from mcrage.diffusion.schedule import linear_schedule
from mcrage.diffusion.streams import Streams
from mcrage.diffusion.training import Member, Trainer, TrainingSettings

DIGITS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
GRID = [Member(1, 1e-3, 0.2), Member(1, 3e-3, 0.6), Member(2, 1e-3, 0.2), Member(5, 2e-3, 0.0)]


def additive() -> Condition:
    """Return the condition of two binary factors with a residual for each of four groups."""
    return Condition(DIGITS, (2, 2), residual=True)


def trainer(members, *, network="residual", device="cpu", **options) -> Trainer:
    """Return a small trainer on 200 fixed rows of four unequal groups."""
    source = torch.Generator().manual_seed(0)
    groups = torch.multinomial(torch.tensor([0.1, 0.5, 0.05, 0.35]), 200, True, generator=source)
    rows = torch.randn(200, 3, generator=source) + groups.unsqueeze(1)
    if network == "residual":
        condition, process = additive(), EdmProcess()
        net = ResidualNetwork(3, condition, width=16, depth=2, n_frequencies=4)
    else:
        condition = group_condition(4, null_tokens=False)
        process = DiscreteProcess(linear_schedule(35, 1e-10, 0.2))
        net = PaperNetwork(3, condition, width=16)
    defaults = {
        "steps": 40,
        "batch_size": 32,
        "group_exponent": 0.5,
        "factor_dropout": 0.1,
        "dropout": 0.2,
        "weight_decay": 0.01,
        "residual_weight_decay": 0.1,
        "warmup_steps": 5,
        "decay": "linear",
        "clip_norm": 1.0,
    }
    settings = TrainingSettings(**{**defaults, **options})
    return Trainer(net, condition, process, rows, groups, members, settings, device)


def train(members, steps=40, **options) -> Trainer:
    """Return a trainer after some steps."""
    out = trainer(members, **options)
    for _ in range(steps):
        out.step()
    return out


@pytest.mark.parametrize("network", ["residual", "paper"])
def test_an_ensemble_equals_each_member_trained_alone(network):
    together = train(GRID, network=network)
    for place, member in enumerate(GRID):
        alone = train([member], network=network)
        for name in ("average", "parameters"):
            left, right = getattr(together, name), getattr(alone, name)
            if name == "parameters":
                left, right = left.flat, right.flat
            torch.testing.assert_close(left[place], right[0], atol=2e-5, rtol=1e-4)
    assert (together.average[0] - together.average[1]).abs().max() > 1e-3


def test_equal_seeds_give_equal_bits_and_others_do_not():
    first, second, other = train(GRID[:1]), train(GRID[:1]), train([Member(7, 1e-3, 0.2)])
    assert torch.equal(first.average, second.average)
    assert not torch.equal(first.average, other.average)


def test_a_restored_run_ends_as_one_never_stopped():
    whole = train(GRID)
    half = train(GRID, steps=17)
    resumed = trainer(GRID)
    resumed.restore(half.state())
    for _ in range(23):
        resumed.step()
    assert torch.equal(whole.average, resumed.average)
    assert torch.equal(whole.parameters.flat, resumed.parameters.flat)
    assert resumed.read_losses() == whole.read_losses()


@pytest.mark.parametrize("decoupled", [True, False])
def test_optimizer_is_torchs_for_every_member(decoupled):
    torch.manual_seed(0)
    start, decay = torch.randn(3, 7), torch.tensor([0.1] * 5 + [0.5] * 2)
    rates, factors = torch.tensor([1e-3, 1e-2, 0.1]), [0.5, 1.0, 0.25, 0.25, 1.0, 1.0]
    gradients = torch.randn(len(factors), 3, 7)
    flat, gradient = start.clone(), torch.zeros(3, 7)
    ours = StackedAdam(flat, gradient, rates, decay, decoupled=decoupled)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    for member in range(3):
        main = torch.nn.Parameter(start[member, :5].clone())
        residual = torch.nn.Parameter(start[member, 5:].clone())
        theirs = kind(
            [{"params": [main], "weight_decay": 0.1}, {"params": [residual], "weight_decay": 0.5}]
        )
        for step, factor in enumerate(factors):
            for options in theirs.param_groups:
                options["lr"] = float(rates[member]) * factor
            main.grad, residual.grad = gradients[step, member, :5], gradients[step, member, 5:]
            theirs.step()
        gradient_copy = gradients.clone()
        if member == 0:
            for step, factor in enumerate(factors):
                gradient.copy_(gradient_copy[step])
                ours.step(factor)
        expected = torch.cat([main.detach(), residual.detach()])
        torch.testing.assert_close(flat[member], expected, atol=1e-6, rtol=1e-5)


def test_clipping_is_torchs_for_every_member():
    torch.manual_seed(0)
    gradient = torch.randn(4, 50) * torch.tensor([[0.01], [0.1], [1.0], [10.0]])
    expected = gradient.clone()
    for row in expected:
        parameter = torch.nn.Parameter(torch.zeros(50))
        parameter.grad = row
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
    clip_members(gradient, 1.0)
    torch.testing.assert_close(gradient, expected)


def test_rate_schedules():
    linear = trainer(GRID, warmup_steps=4, steps=40)
    assert linear.rate_factor(0) == pytest.approx(0.25)
    assert linear.rate_factor(20) == pytest.approx(0.5)
    assert linear.rate_factor(39) == pytest.approx(1 / 40)
    paper = trainer(GRID, warmup_steps=0, decay="exponential", decay_rate=0.97, decay_every=100)
    assert [paper.rate_factor(step) for step in (0, 99, 100, 250)] == pytest.approx(
        [1, 1, 0.97, 0.97**2]
    )
    assert trainer(GRID, warmup_steps=0, decay="constant").rate_factor(39) == 1


def test_moving_average_ramps_up_to_its_decay():
    short = trainer(GRID, ema_decay=0.5 ** (1 / 10))
    assert short.ema_decay(20) == pytest.approx(0.5)
    assert short.ema_decay(10_000) == pytest.approx(0.5 ** (1 / 10))
    none = train(GRID[:1], ema_decay=0.0)
    assert torch.equal(none.average, none.parameters.flat)


@pytest.mark.parametrize("exponent", [1.0, 0.5, 0.0])
def test_batches_mix_groups_as_asked(exponent):
    one = trainer(GRID[:1], group_exponent=exponent, batch_size=64)
    counts = torch.bincount(one._groups, minlength=4).double()
    wanted = counts**exponent / (counts**exponent).sum()
    drawn = torch.cat([one._batch()[1].flatten() for _ in range(300)])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares.double(), wanted, atol=0.005, rtol=0)


def test_noise_levels_are_uniform_and_independent_of_the_group():
    one = trainer(GRID[:1], batch_size=64)
    batches = [one._batch() for _ in range(400)]
    levels = torch.cat([batch[2].flatten() for batch in batches])
    groups = torch.cat([batch[1].flatten() for batch in batches])
    for group in range(4):
        deciles = torch.histc(levels[groups == group], 10, 0, 1) / (groups == group).sum()
        torch.testing.assert_close(deciles, torch.full((10,), 0.1), atol=0.015, rtol=0)


def test_training_learns_what_the_rows_allow():
    """The loss starts at that of predicting nothing, and falls well below it."""
    one = trainer([Member(0, 3e-3)], steps=600, dropout=0.0, factor_dropout=0.0)
    one.step()
    first = one.read_losses()[0]
    for _ in range(599):
        one.step()
        if one.n_steps == 400:
            one.read_losses()
    assert one.read_losses()[0] < 0.7 * first


def test_condition_sums_factors_and_nulls():
    condition = additive()
    encoded = condition.encode(torch.tensor([2]))
    assert encoded.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0, 1, 0]]
    sex_dropped = condition.drop(encoded, torch.tensor([[True, False]]))
    assert sex_dropped.tolist() == [[0, 0, 1, 0, 1, 0, 0, 0, 0, 0]]
    all_dropped = condition.drop(encoded, torch.tensor([[True, True]]))
    assert torch.equal(all_dropped[0], condition.null)
    kept = condition.drop(encoded, torch.tensor([[False, False]]))
    assert torch.equal(kept, encoded)


def test_paper_condition_is_masked_with_zeros():
    condition = group_condition(3, null_tokens=False)
    assert torch.equal(condition.encode(torch.arange(3)), torch.eye(3))
    assert torch.equal(condition.null, torch.zeros(3))


def test_condition_dropout_has_its_rate_for_every_member():
    one = trainer(GRID, factor_dropout=0.0, batch_size=2000)
    _, groups, _, _ = one._batch()
    null = (one._condition_batch(groups) == one.condition.null).all(dim=-1)
    shares = null.float().mean(dim=1)
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.6, 0.2, 0.0]), atol=0.04, rtol=0)


def test_networks_agree_with_modules_of_torch():
    condition = group_condition(4, null_tokens=False)
    network = PaperNetwork(3, condition, width=8)
    stacked = StackedParameters(network.parameters, 2)
    torch.manual_seed(0)
    stacked.flat.normal_()
    values = stacked.views()
    x, level = torch.randn(2, 5, 3), torch.rand(2, 5)
    groups = condition.encode(torch.tensor([[0, 1, 2, 3, 0]] * 2))
    out = network(values, x, level, groups)
    gelu = torch.nn.functional.gelu
    for member in range(2):

        def linear(name, inputs, member=member):
            weight, bias = values[f"{name}.weight"][member], values[f"{name}.bias"][member]
            return torch.nn.functional.linear(inputs, weight.T, bias)

        skip = gelu(linear("input", x[member]))
        hidden = gelu(linear("hidden", skip))
        group = linear("condition1", gelu(linear("condition0", groups[member])))
        time = linear("time1", gelu(linear("time0", level[member, :, None])))
        expected = linear("output", torch.cat([group * hidden + time, skip], dim=1))
        torch.testing.assert_close(out[member], expected)


def test_a_fresh_residual_network_predicts_zero_and_ignores_groups():
    one = trainer(GRID[:1])
    assert (one.parameters.views()["group.weight"] == 0).all()
    assert (one.parameters.views()["output.weight"] == 0).all()


def test_streams_are_shared_by_seed():
    streams = Streams([3, 4, 3])
    drawn = streams.members(streams.normal(5))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    expected = torch.empty(5).normal_(generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn[1], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("network", ["residual", "paper"])
def test_an_ensemble_equals_its_members_on_a_gpu(network):
    together = train(GRID, network=network, device="cuda")
    for place, member in enumerate(GRID):
        alone = train([member], network=network, device="cuda")
        torch.testing.assert_close(together.average[place], alone.average[0], atol=1e-3, rtol=1e-2)
