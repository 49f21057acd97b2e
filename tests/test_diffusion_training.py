# SPDX-License-Identifier: MIT
"""Networks, optimiser and trainer: an ensemble equals its members, torch is the oracle."""

import math
import random
from dataclasses import replace

import pytest
import torch

from mcrage.diffusion import training
from mcrage.diffusion.batches import Batch, NextBatch
from mcrage.diffusion.beside import Beside
from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.network import PaperNetwork, ResidualNetwork, StackedParameters
from mcrage.diffusion.optimizer import StackedAdam, clipping_scales
from mcrage.diffusion.process import DiscreteProcess, EdmProcess
from mcrage.diffusion.schedule import linear_schedule
from mcrage.diffusion.streams import Streams
from mcrage.diffusion.training import Member, Trainer, TrainingSettings

DIGITS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
SMALL = {"batch_size": 32, "weight_decay": 0.01, "dropout": 0.2}
GRID = [
    Member(1, 1e-3, 0.2, **SMALL),
    Member(1, 3e-3, 0.6, **SMALL),
    Member(2, 1e-3, 0.2, **SMALL),
    Member(5, 2e-3, 0.0, **SMALL),
]
SUBSETS = [torch.arange(0, 200, 2), torch.arange(50, 150)]


def additive(device="cpu") -> Condition:
    """Return the condition of two binary factors with a residual for each of four groups."""
    return Condition(DIGITS, (2, 2), residual=True, device=device)


def table() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 200 fixed rows and their four unequal groups."""
    source = torch.Generator().manual_seed(0)
    groups = torch.multinomial(torch.tensor([0.1, 0.5, 0.05, 0.35]), 200, True, generator=source)
    return torch.randn(200, 3, generator=source) + groups.unsqueeze(1), groups


def trainer(members, *, network="residual", device="cpu", recorded=True, **options) -> Trainer:
    """Return a small trainer on `table`."""
    rows, groups = table()
    if network == "residual":
        condition, process = additive(device), EdmProcess()
        net = ResidualNetwork(3, condition, width=16, depth=2, n_frequencies=4)
    else:
        condition = group_condition(4, null_tokens=False, device=device)
        process = DiscreteProcess(linear_schedule(35, 1e-10, 0.2), device=device)
        net = PaperNetwork(3, condition, width=16, n_timesteps=35)
    defaults = {
        "steps": 40,
        "group_exponent": 0.5,
        "factor_dropout": 0.1,
        "residual_weight_decay": 0.1,
        "warmup_steps": 5,
        "decay": "linear",
        "clip_norm": 1.0,
    }
    settings = TrainingSettings(**{**defaults, **options})
    data = (rows, groups, members, settings, device, SUBSETS)
    return Trainer(net, condition, process, *data, recorded=recorded)


def train(members, steps=40, **options) -> Trainer:
    """Return a trainer after some steps."""
    out = trainer(members, **options)
    for _ in range(steps):
        out.step()
    return out


# One seed and setting after the other: no two alike, some stop early, some share batches.
MIXED = [
    *GRID,
    Member(1, 1e-3, 0.2, weight_decay=0.3, dropout=0.0, batch_size=32),
    Member(1, 1e-3, 0.2, weight_decay=0.3, dropout=0.6, batch_size=32, steps=11),
    Member(5, 2e-3, 0.0, **SMALL, subset=0),
    Member(1, 2e-3, 0.0, **SMALL, subset=1, steps=25),
    Member(2, 2e-3, 0.0, batch_size=32, steps=25),
]
NOISY = [
    Member(1, 1e-3, batch_size=32, noise_mean=0.5),
    Member(1, 1e-3, batch_size=32, noise_std=0.3, subset=1),
]


def assert_as_alone(together: Trainer, **options) -> None:
    """Compare every member with itself trained in an ensemble of one."""
    for place, member in enumerate(together.members):
        alone = train([member], member.steps or 40, **options)
        for averaged in (True, False):
            left, right = (each.weights(averaged=averaged) for each in (together, alone))
            torch.testing.assert_close(left[place], right[0], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("network", ["residual", "paper"])
def test_an_ensemble_equals_each_member_trained_alone(network):
    members = MIXED + NOISY if network == "residual" else MIXED
    together = train(members, network=network)
    assert_as_alone(together, network=network)
    # Every setting matters: no two members end alike.
    distances = torch.cdist(together.average, together.average) + torch.eye(len(together.average))
    assert distances.min() > 1e-3
    assert together.active == (0, 1, 2, 3, 4, 6, *range(9, len(members)))


def test_members_without_dropout_meet_the_same_batches_beside_some_with():
    plain = Member(1, batch_size=32)
    beside = [plain, replace(plain, dropout=0.5), replace(plain, condition_dropout=0.5)]
    assert_as_alone(train(beside, factor_dropout=0.0), factor_dropout=0.0)


@pytest.mark.parametrize("network", ["residual", "paper"])
def test_five_hundred_members_train_as_each_alone(network):
    source = random.Random(0)
    members = [
        Member(
            source.randrange(40),
            source.choice([1e-3, 2e-3, 3e-3]),
            source.choice([0.0, 0.2, 0.6]),
            source.choice([0.0, 0.01, 0.3]),
            source.choice([0.0, 0.2]),
            batch_size=16,
            subset=source.choice([None, 0, 1]),
            steps=source.choice([7, 12]),
        )
        for _ in range(500)
    ]
    together = train(members, 12, network=network)
    assert len(together.active) == sum(member.steps == 12 for member in members)
    for place in (0, 499, *source.sample(range(1, 499), 8)):
        alone = train([members[place]], members[place].steps, network=network)
        for averaged in (True, False):
            left, right = (each.weights(averaged=averaged) for each in (together, alone))
            torch.testing.assert_close(left[place], right[0], atol=2e-5, rtol=1e-4)


class Ahead(NextBatch):
    """The next batch on a CPU, whose generators have a state and no offset."""

    def _states(self) -> list[torch.Tensor]:
        return [generator.get_state().clone() for generator in self._generators]

    def ensure(self) -> None:
        """Draw the present batch if it is not there."""
        if self._is_drawn:
            return
        self._before, drawn = self._states(), self._batches.draw()
        if self.present is None:
            self.present = Batch(*(part.clone() for part in drawn))
        super().keep(drawn)
        self._is_drawn = True

    def begin(self) -> Beside:
        """Begin to draw the batch after the present one."""
        self._after = self._states()
        return super().begin()

    def keep(self, drawn: Batch) -> None:
        """Make this the present batch."""
        super().keep(drawn)
        self._before = self._after

    def rewind(self) -> None:
        """Put the streams back."""
        if self._is_drawn:
            for generator, state in zip(self._generators, self._before, strict=True):
                generator.set_state(state)
            self._is_drawn = False


class TrainerAhead(Trainer):
    """Draws ahead on a CPU as on a GPU, and takes steps as they are instead of replaying them."""

    @property
    def _is_recorded(self) -> bool:
        return True

    @_is_recorded.setter
    def _is_recorded(self, value: bool) -> None:
        pass


@pytest.mark.parametrize("network", ["residual", "paper"])
@pytest.mark.parametrize("stop", [0, 1, 11, 25, 39])
def test_to_draw_the_next_batch_ahead_changes_nothing(network, stop, monkeypatch):
    """Streams, weights and losses, where members stop and where a run goes on from its state."""
    members = MIXED + NOISY if network == "residual" else MIXED
    plain = train(members, network=network)
    monkeypatch.setattr(training, "NextBatch", Ahead)
    monkeypatch.setattr(training, "Recording", lambda work, generators: work)
    monkeypatch.setitem(globals(), "Trainer", TrainerAhead)
    half = train(members, stop, network=network)
    ahead = trainer(members, network=network)
    ahead.restore(half.state())
    for _ in range(40 - stop):
        ahead.step()
    expected, found = plain.state(), ahead.state()
    for name, value in expected.items():
        if name.startswith("stream."):
            assert torch.equal(found[name], value), name
        else:
            torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-4)


def test_members_that_have_stopped_take_no_memory_and_keep_their_result():
    one = train(MIXED, 25)
    assert len(one.parameters.flat) == len(one.optimizer.first) == 6
    kept = one.weights(averaged=True)[5].clone()
    for _ in range(15):
        one.step()
    assert torch.equal(one.weights(averaged=True)[5], kept)
    assert len(one.weights(averaged=True)) == len(MIXED)


def test_losses_are_of_the_steps_that_a_member_took():
    one = train(MIXED, 10)
    one.read_losses()
    for _ in range(10):
        one.step()
    losses = one.read_losses()
    alone = train(MIXED[5:6], 10)
    alone.read_losses()
    alone.step()
    assert losses[5] == pytest.approx(alone.read_losses()[0], rel=1e-4)
    for _ in range(10):
        one.step()
    assert [place for place, loss in enumerate(one.read_losses()) if math.isnan(loss)] == [5]


def test_members_learn_from_their_subset_alone():
    one = trainer([replace(GRID[0], subset=1), replace(GRID[1], subset=0)]).batches
    drawn = torch.stack([one.rows_and_levels()[0] for _ in range(100)]).transpose(0, 1)
    for place, subset in enumerate((1, 0)):
        allowed = {tuple(row) for row in table()[0][SUBSETS[subset]].tolist()}
        seen = {tuple(row) for row in drawn[place].reshape(-1, 3).tolist()}
        assert seen <= allowed
        assert len(seen) > 0.95 * len(allowed)


def test_what_cannot_be_trained_together_is_refused():
    with pytest.raises(ValueError, match=r"share a batch size, found \[32, 64\]"):
        trainer([GRID[0], replace(GRID[0], batch_size=64)])
    with pytest.raises(ValueError, match="need continuous noise levels"):
        trainer(NOISY, network="paper")
    with pytest.raises(ValueError, match="a member of 41 steps in a run of 40"):
        trainer([replace(GRID[0], steps=41)])


def test_equal_seeds_give_equal_bits_and_others_do_not():
    first, second, other = train(GRID[:1]), train(GRID[:1]), train([replace(GRID[0], seed=7)])
    assert torch.equal(first.average, second.average)
    assert not torch.equal(first.average, other.average)


@pytest.mark.parametrize("stop", [1, 10, 11, 17, 25, 39, 40])
def test_a_restored_run_ends_as_one_never_stopped(stop):
    whole = train(MIXED)
    half = train(MIXED, steps=stop)
    resumed = trainer(MIXED)
    resumed.restore(half.state())
    for _ in range(40 - stop):
        resumed.step()
    for averaged in (True, False):
        assert torch.equal(whole.weights(averaged=averaged), resumed.weights(averaged=averaged))
    assert resumed.read_losses() == whole.read_losses()
    shapes = {name: value.shape for name, value in trainer(MIXED).state().items()}
    assert shapes == {name: value.shape for name, value in half.state().items()}


@pytest.mark.parametrize("size", [7, 1024])
@pytest.mark.parametrize("decoupled", [True, False])
def test_optimizer_is_torchs_for_every_member(decoupled, size):
    check_optimizer(decoupled, size)


def check_optimizer(decoupled: bool, size: int, device: str = "cpu") -> None:
    """Compare clipping, update and moving average of three members with torch's, of each alone."""
    torch.manual_seed(0)
    n_main = size - 2
    start = torch.randn(3, size)
    rates, factors = [1e-3, 1e-2, 0.1], [0.5, 1.0, 0.25, 0.25, 1.0, 1.0]
    taken = [1.0, 0.5, 0.3, 0.1, 0.05, 0.01]
    main_decays, residual_decays = [0.1, 0.1, 0.3], [0.5, 0.0, 0.5]
    gradients = torch.randn(len(factors), 3, size) * torch.tensor([[0.01], [1.0], [5.0]])
    flat = start.clone().to(device)
    gradient, average = torch.zeros_like(flat), torch.zeros_like(flat)
    ours = StackedAdam(
        *(flat, gradient, rates, main_decays, residual_decays),
        n_main=n_main,
        decoupled=decoupled,
        clip_norm=2.0,
        average=average,
    )
    for step, factor in enumerate(factors):
        gradient.copy_(gradients[step])
        ours.step(factor, taken[step])
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    for member in range(3):
        main = torch.nn.Parameter(start[member, :n_main].clone())
        residual = torch.nn.Parameter(start[member, n_main:].clone())
        theirs = kind(
            [
                {"params": [main], "weight_decay": main_decays[member]},
                {"params": [residual], "weight_decay": residual_decays[member]},
            ]
        )
        mean = torch.zeros(size)
        for step, factor in enumerate(factors):
            for options in theirs.param_groups:
                options["lr"] = rates[member] * factor
            own = gradients[step, member].clone()
            main.grad, residual.grad = own[:n_main], own[n_main:]
            torch.nn.utils.clip_grad_norm_([main, residual], 2.0)
            theirs.step()
            expected = torch.cat([main.detach(), residual.detach()])
            mean = torch.lerp(mean, expected, taken[step])
        torch.testing.assert_close(flat[member].cpu(), expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(average[member].cpu(), mean, atol=1e-6, rtol=1e-5)


def test_clipping_is_torchs_for_every_member():
    torch.manual_seed(0)
    gradient = torch.randn(4, 50) * torch.tensor([[0.01], [0.1], [1.0], [10.0]])
    expected = gradient.clone()
    for row in expected:
        parameter = torch.nn.Parameter(torch.zeros(50))
        parameter.grad = row
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
    gradient.mul_(clipping_scales(gradient, 1.0).unsqueeze(1))
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
    one = trainer([replace(GRID[0], batch_size=64)], group_exponent=exponent).batches
    counts = torch.bincount(one._groups, minlength=4).double()
    wanted = counts**exponent / (counts**exponent).sum()
    drawn = torch.cat([one.rows_and_levels()[1].flatten() for _ in range(300)])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares.double(), wanted, atol=0.005, rtol=0)


def test_noise_levels_are_uniform_and_independent_of_the_group():
    one = trainer([replace(GRID[0], batch_size=64)]).batches
    batches = [one.rows_and_levels() for _ in range(400)]
    levels = torch.cat([batch[2].flatten() for batch in batches])
    groups = torch.cat([batch[1].flatten() for batch in batches])
    for group in range(4):
        deciles = torch.histc(levels[groups == group], 10, 0, 1) / (groups == group).sum()
        torch.testing.assert_close(deciles, torch.full((10,), 0.1), atol=0.015, rtol=0)


def test_training_learns_what_the_rows_allow():
    """The loss starts at that of predicting nothing, and falls well below it."""
    one = trainer([Member(0, 3e-3, batch_size=32)], steps=600, factor_dropout=0.0)
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
    grid = [replace(member, batch_size=2000) for member in GRID]
    condition = trainer(grid, factor_dropout=0.0).batches.draw().condition
    null = (condition == additive().null).all(dim=-1)
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


@pytest.mark.parametrize("network", ["residual", "paper"])
def test_gradients_written_in_place_are_those_of_autograd(network):
    one = trainer(GRID, network=network)
    one.step()
    torch.manual_seed(0)
    with torch.no_grad():
        one.parameters.flat.normal_(std=0.1)
    x, level = torch.randn(4, 40, 3), torch.randint(1, 36, (4, 40)) / 35
    condition = one.batches.draw().condition.repeat(1, 2, 1)[:, :40]
    for value in one._values.values():
        value.grad.fill_(7.0)
    one.network(one._values, x, level, condition).square().sum().backward()
    found = one._gradient.clone()
    plain = {k: v.detach().clone().requires_grad_() for k, v in one._values.items()}
    loss = one.network(plain, x, level, condition).square().sum()
    expected = torch.autograd.grad(loss, list(plain.values()))
    torch.testing.assert_close(
        found, torch.cat([part.flatten(1) for part in expected], dim=1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("null_tokens", [True, False])
def test_embeddings_looked_up_are_those_computed_for_every_row(null_tokens):
    condition = group_condition(4, null_tokens=null_tokens)
    looked_up, direct = (PaperNetwork(3, condition, width=8, n_timesteps=n) for n in (35, None))
    direct._one_factor = False
    stacked = StackedParameters(direct.parameters, 2)
    torch.manual_seed(0)
    values = stacked.views(stacked.flat.normal_())
    x, level = torch.randn(2, 50, 3), torch.randint(1, 36, (2, 50)) / 35
    groups = condition.encode(torch.randint(0, 4, (2, 50)))
    groups = condition.drop(groups, torch.rand(2, 50, 1) < 0.3)
    torch.testing.assert_close(
        looked_up(values, x, level, groups), direct(values, x, level, groups)
    )


def test_a_fresh_residual_network_predicts_zero_and_ignores_groups():
    one = trainer(GRID[:1])
    assert (one.parameters.views()["group.weight"] == 0).all()
    assert (one.parameters.views()["output.weight"] == 0).all()


def test_streams_are_shared_by_seed():
    streams = Streams([3, 4, 3])
    places = streams.restrict([3, 4, 3])
    assert places == [0, 1, 0]
    drawn = streams.normal(5)
    assert not torch.equal(drawn[0], drawn[1])
    expected = torch.empty(5).normal_(generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn[1], expected)
