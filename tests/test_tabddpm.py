# SPDX-License-Identifier: MIT
"""TabDDPM: process, network, and the generator through its protocol, on rows of any type."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mcrage.config.generators_tabddpm import TabddpmSettings
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.diffusion.condition import group_condition
from mcrage.diffusion.gaussian_multinomial import GaussianMultinomial
from mcrage.diffusion.gaussian_multinomial_sampling import draw
from mcrage.diffusion.mlp import MlpNetwork
from mcrage.diffusion.network import StackedParameters
from mcrage.diffusion.process import DiscreteProcess
from mcrage.diffusion.schedule import cosine_schedule
from mcrage.errors import UserError
from mcrage.generators import Generator, TrainingData
from mcrage.generators.checkpoint import CheckpointFile
from mcrage.generators.registry import generator_class, settings_of
from mcrage.groups import GroupSchema
from mcrage.interruption import Interrupted

LEVELS = ("red", "green", "blue", "never seen")
ROLES = Roles(
    dataset="toy",
    title="Toy",
    features=(
        Feature("A", "a", resolution=0.1, missing="keep"),
        Feature("N", "n", kind="integer"),
        Feature("C", "c", kind="category", levels=LEVELS),
        Feature("O", "o", kind="ordinal", levels=("low", "high"), missing="impute"),
    ),
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
    target=Target("Y", "Outcome", ("no", "yes"), ("no", "yes")),
    columns=("A", "N", "C", "O", "SEX", "Y"),
)
SMALL = {"steps": 60, "layers": [16, 16], "embedding": 8, "timesteps": 20, "batch_size": 64}


def data(n: int = 400, seed: int = 0) -> TrainingData:
    """Return rows whose numbers, levels and missing values depend on the group."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(n) % 4)
    level = (rng.random(n) < 0.2 + 0.2 * groups).astype(float) + (rng.random(n) < 0.1)
    a = np.round(rng.normal(10 + 3 * level, 1), 1)
    a[rng.random(n) < 0.3 * (groups == 3)] = np.nan
    counts = rng.poisson(5 * (groups > 1))
    other = np.where(rng.random(n) < 0.1, np.nan, rng.random(n) < 0.5)
    features = np.stack([a, counts, level, other], axis=1)
    return TrainingData(features, groups, GroupSchema.of(ROLES), ROLES)


def settings(preset: str = "small", **override) -> dict:
    """Return settings small enough for a test."""
    return TabddpmSettings(kind="tabddpm", preset=preset, **(SMALL | override)).resolved()


def fitted(values: dict | None = None, train: TrainingData | None = None, **options) -> Generator:
    """Return a generator fitted on `data`."""
    generator = generator_class("tabddpm")(values or settings())
    return generator.fit(train or data(), seed=5, **options)


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_it_keeps_the_contract(preset, tmp_path):
    values = settings(preset)
    generator = fitted(values)
    assert isinstance(generator, Generator)
    groups = np.array([2, 0, 3, 2, 0, 1, 3] * 20)
    rows = generator.sample(groups, seed=1)
    assert rows.shape == (140, 4)
    assert rows.dtype == np.float64
    train = data().features
    a = rows[~np.isnan(rows[:, 0]), 0]
    np.testing.assert_array_equal(a, np.round(a, 1))
    assert np.nanmin(train[:, 0]) <= a.min()
    assert a.max() <= np.nanmax(train[:, 0])
    assert set(rows[:, 1]) <= set(range(30))
    assert set(rows[:, 2]) <= {0.0, 1.0, 2.0}
    # Imputed before learning, so complete.
    assert set(rows[:, 3]) <= {0.0, 1.0}
    np.testing.assert_array_equal(rows, generator.sample(groups, seed=1))
    assert not np.array_equal(rows, generator.sample(groups, seed=2), equal_nan=True)
    assert generator.sample(groups[:0], seed=1).shape == (0, 4)

    generator.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    loaded = type(generator).load(tmp_path, settings_of("sample", values))
    np.testing.assert_array_equal(rows, loaded.sample(groups, seed=1))
    assert len({len(column) for column in generator.history.values()}) == 1
    json.dumps(generator.facts)
    fitted(settings_of("train", values)).save(tmp_path / "again")
    for file in ("model.json", "model.safetensors"):
        told = [(folder / file).read_bytes() for folder in (tmp_path, tmp_path / "again")]
        if file.endswith("safetensors"):
            assert told[0] == told[1]


def test_it_learns_levels_numbers_and_what_is_missing_by_group():
    train = data(2000)
    values = settings(steps=800, layers=[64, 64], embedding=32, batch_size=256)
    generator = fitted(values, train)
    groups = np.repeat(np.arange(4), 500)
    rows = generator.sample(groups, seed=1)
    for group in range(4):
        mine, real = rows[groups == group], train.features[train.groups == group]
        shares = [np.bincount(x[:, 2].astype(int), minlength=4) / len(x) for x in (mine, real)]
        np.testing.assert_allclose(*shares, atol=0.08)
        missing = [np.isnan(x[:, 0]).mean() for x in (mine, real)]
        assert missing[0] == pytest.approx(missing[1], abs=0.06)
        assert mine[:, 1].mean() == pytest.approx(real[:, 1].mean(), abs=0.6)
        if group < 2:
            assert (mine[:, 1] == 0).mean() > 0.95
        # A number follows the level of its row: by 3.
        means = [np.nanmean(mine[mine[:, 2] == level, 0]) for level in (0, 1)]
        assert means[0] == pytest.approx(10, abs=0.9)
        assert means[1] == pytest.approx(13, abs=0.9)


def test_a_row_depends_on_its_group_and_number_alone():
    generator = fitted()
    plans = np.array([400, 0, 300, 7]), np.array([10, 5, 300, 0])
    drawn = []
    for plan in plans:
        features, groups = map(np.concatenate, zip(*generator.draw(plan, seed=3), strict=True))
        drawn.append([features[groups == group] for group in range(4)])
    for long, short in ((0, 1), (1, 0)):
        for one, other in zip(drawn[long], drawn[short], strict=True):
            n = min(len(one), len(other))
            # Equal but where the rounding of floats turns a draw.
            same = np.isclose(one[:n], other[:n], rtol=1e-5, equal_nan=True).all(axis=1)
            assert same.mean() > 0.97 if n else True


def test_a_killed_fit_ends_as_one_that_was_not(tmp_path, monkeypatch):
    from mcrage.diffusion.training import Trainer

    whole = fitted()
    file = CheckpointFile(tmp_path, "one", key="00")
    step, taken = Trainer.step, []

    def interrupted(self) -> None:
        if len(taken) == 25:
            raise Interrupted(15)
        taken.append(step(self))

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(Interrupted):
        fitted(checkpoint=file)
    monkeypatch.undo()
    resumed = fitted(checkpoint=file)
    assert resumed.facts["resumptions"] == 1
    for generator, name in ((whole, "whole"), (resumed, "resumed")):
        generator.save(tmp_path / name)
    found = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert found[0] == found[1]


@pytest.mark.parametrize("kept", [["A", "N"], ["C", "O"], ["C"], ["N"]])
def test_tables_of_one_kind_of_column(kept):
    train = data()
    places = [place for place, f in enumerate(ROLES.features) if f.column in kept]
    roles = replace(ROLES, features=tuple(ROLES.features[place] for place in places))
    train = TrainingData(train.features[:, places], train.groups, train.schema, roles)
    values = settings("paper", **SMALL)
    rows = fitted(values, train).sample(np.arange(4), seed=1)
    assert rows.shape == (4, len(kept))


def test_nothing_to_learn_is_said():
    train = data()
    empty = TrainingData(
        train.features[train.groups != 2], train.groups[train.groups != 2], train.schema, ROLES
    )
    with pytest.raises(UserError, match="SEX=F, Y=yes has no training rows"):
        fitted(train=empty)
    flat = np.zeros((8, 4))
    roles = replace(ROLES, features=ROLES.features[2:3])
    same = TrainingData(flat[:, :1], np.arange(8) % 4, train.schema, roles)
    with pytest.raises(UserError, match="nothing to model"):
        fitted(train=same)


def test_the_paper_preset_is_the_published_one():
    values = TabddpmSettings(kind="tabddpm", preset="paper").resolved()
    published = {
        "scaling": "quantile",
        "timesteps": 100,
        "layers": [256, 1024, 1024, 1024, 1024, 256],
        "steps": 30_000,
        "batch_size": 4096,
        "learning_rate": 0.002,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "ema_decay": 0.999,
        "beta_max": 0.999,
    }
    assert {name: values[name] for name in published} == published
    told = TabddpmSettings(kind="tabddpm", preset="paper", timesteps=1000).departures_told()
    assert told == " Here with timesteps 1000 instead of 100."
    for wrong in ({"layers": []}, {"timesteps": 1}, {"embedding": 7}, {"beta_max": 1}, {"x": 1}):
        with pytest.raises(ValidationError):
            TabddpmSettings(kind="tabddpm", preset="paper", **wrong)


def test_only_the_sampler_is_told_how_to_draw():
    assert settings_of("sample", settings()) == {"sampling_variance": "posterior"}
    assert "sampling_variance" not in settings_of("train", settings())


def process(n_numbers: int = 2, counts=(3, 2), n_steps: int = 50) -> GaussianMultinomial:
    """Return a process of a few columns."""
    return GaussianMultinomial(cosine_schedule(n_steps), n_numbers, counts)


def test_the_loss_is_both_losses_at_one_step():
    both = process()
    rng = torch.Generator().manual_seed(0)
    rows = torch.cat(
        [torch.randn(1, 64, 2, generator=rng), torch.randint(0, 2, (1, 64, 2), generator=rng)], -1
    )
    uniform, noise = torch.rand(1, 64, generator=rng), torch.randn(1, 64, 4, generator=rng)
    inputs, level, target = both.corrupt(rows, uniform, noise)
    alone = DiscreteProcess(cosine_schedule(50)).corrupt(rows[..., :2], uniform, noise[..., :2])
    torch.testing.assert_close(inputs[..., :2], alone[0])
    torch.testing.assert_close(level, alone[1])
    t = (uniform * 50).long()
    codes, uniforms = rows[..., 2:].long(), torch.special.ndtr(noise[..., 2:])
    noised = both.categories.noised(codes, t, uniforms)
    torch.testing.assert_close(inputs[..., 2:], both.categories.one_hot(noised))
    output = torch.randn(1, 64, 7, generator=rng)
    square = (output[..., :2] - noise[..., :2]).square().mean(-1)
    entropy = both.categories.kl(output[..., 2:], codes, noised, t).mean(-1)
    torch.testing.assert_close(both.row_losses(output, target), square + 50 * entropy)
    torch.testing.assert_close(both.losses(output, target), (square + 50 * entropy).mean(1))


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_exact_denoiser_draws_numbers_and_levels(variance):
    """A normal number and an independent category, whose best guesses have closed forms."""
    n_steps, mean, spread, shares = 200, 1.5, 0.7, torch.tensor([0.6, 0.3, 0.1])
    both = process(1, (3,), n_steps)
    marginals = [both.schedule.marginal(t) for t in range(n_steps)]

    class Exact:
        parameters = ()

        def __call__(self, values, inputs, level, condition, drop=None):
            signal, noise = marginals[round(float(level[0, 0]) * n_steps) - 1]
            variance = signal**2 * spread**2 + noise**2
            guess = noise * (inputs[..., :1] - signal * mean) / variance
            return torch.cat([guess, shares.log().expand(*guess.shape[:-1], 3)], dim=-1)

    groups = torch.zeros(1, 4096, dtype=torch.int64)
    options = {"seeds": [1], "block_rows": 4096, "variance": variance}
    rows = draw(Exact(), group_condition(1), both, {}, groups, **options)[0]
    assert float(rows[:, 0].mean()) == pytest.approx(mean, abs=0.04)
    assert float(rows[:, 0].std()) == pytest.approx(spread, abs=0.04)
    found = torch.bincount(rows[:, 1].long(), minlength=3) / 4096
    torch.testing.assert_close(found, shares, atol=0.025, rtol=0)


def test_the_network_is_that_of_the_paper():
    """Against torch's own modules with the same weights, and their gradients."""
    n, width, steps = 5, 8, 20
    condition = group_condition(3, null_tokens=False)
    network = MlpNetwork(n, condition, n_timesteps=steps, layers=[6, 4], embedding=width)
    stacked = StackedParameters(network.parameters, 1)
    rng = torch.Generator().manual_seed(0)
    stacked.flat.normal_(generator=rng).mul_(0.3)
    values = stacked.views()
    gradient = torch.full_like(stacked.flat, 7.0)  # is overwritten
    for name, view in stacked.views(gradient).items():
        values[name].requires_grad_().grad = view
    x = torch.randn(1, 9, n, generator=rng)
    t, groups = torch.arange(9) * 2, torch.arange(9) % 3
    found = network(values, x, ((t + 1) / steps)[None], condition.encode(groups)[None])

    def layer(name: str) -> torch.nn.Linear:
        linear = torch.nn.Linear(*values[f"{name}.weight"].shape[1:])
        linear.weight.data.copy_(values[f"{name}.weight"][0].detach().T)
        linear.bias.data.copy_(values[f"{name}.bias"][0].detach())
        return linear

    layers = {
        name: layer(name) for name in ("input", "time0", "time1", "layer0", "layer1", "output")
    }
    table = torch.nn.Embedding(3, width)
    table.weight.data.copy_(values["condition.weight"][0].detach())
    angles = t[:, None] * 10_000.0 ** (-torch.arange(width // 2) / (width // 2))
    times = torch.cat([angles.cos(), angles.sin()], dim=1)
    silu = torch.nn.functional.silu
    hidden = layers["input"](x[0]) + layers["time1"](silu(layers["time0"](times)))
    hidden = hidden + silu(table(groups))
    for name in ("layer0", "layer1"):
        hidden = torch.relu(layers[name](hidden))
    expected = layers["output"](hidden)
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)

    found.square().sum().backward()
    expected.square().sum().backward()
    for name, module in layers.items():
        torch.testing.assert_close(
            values[f"{name}.weight"].grad[0].T, module.weight.grad, atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            values[f"{name}.bias"].grad[0], module.bias.grad, atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(
        values["condition.weight"].grad[0], table.weight.grad, atol=1e-4, rtol=1e-4
    )
