# SPDX-License-Identifier: MIT
"""Rows of numbers and codes: what is hidden, how it is judged, and what is drawn."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch.nn.functional import cross_entropy

from mcrage.diffusion.condition import Condition, group_condition
from mcrage.diffusion.heldout import HeldOut
from mcrage.diffusion.masked import HIDDEN_LEVEL, MaskedProcess
from mcrage.diffusion.masked_sampling import draw_codes
from mcrage.diffusion.network import ResidualNetwork
from mcrage.diffusion.process import EdmProcess
from mcrage.diffusion.sampling import draw
from mcrage.diffusion.training import Member, Trainer, TrainingSettings

COUNTS = ((30, 10), (5, 10, 25), (8, 8, 8, 8, 8), (20, 20))


def process(n_numbers: int = 2, **options) -> MaskedProcess:
    """Return a process of numbers and of the columns of `COUNTS`."""
    return MaskedProcess(EdmProcess(), n_numbers, COUNTS, **options)


def rows(n: int, n_numbers: int = 2, seed: int = 0) -> torch.Tensor:
    """Return rows of numbers and codes."""
    source = torch.Generator().manual_seed(seed)
    codes = [torch.randint(len(own), (n, 1), generator=source) for own in COUNTS]
    numbers = torch.randn(n, n_numbers, generator=source)
    return torch.cat([numbers, *codes], dim=1)


def noised(made: MaskedProcess, clean: torch.Tensor, seed: int = 1) -> tuple[torch.Tensor, ...]:
    """Return inputs, level and target of rows at evenly spread levels."""
    source = torch.Generator().manual_seed(seed)
    levels = (torch.arange(len(clean)) + 0.5) / len(clean)
    return made.corrupt(clean, levels, torch.randn(clean.shape, generator=source))


def test_indicators_and_logits_are_of_the_same_slots():
    made = process()
    codes = rows(200)[:, 2:]
    shown = made.indicators(codes)
    assert shown.shape == (200, made.n_slots)
    assert (shown.sum(dim=1) == len(COUNTS)).all()
    torch.testing.assert_close(made.likeliest(shown), codes)
    torch.testing.assert_close((made.shown(codes) != 0).float(), shown)
    assert made.shown(torch.full((1, 4), -1.0)).sum() == 0


def test_hidden_codes_cannot_be_seen_and_numbers_are_noised_given_all_others():
    made, clean = process(), rows(6000)
    inputs, level, target = noised(made, clean)
    asked, shown = target[:, 4:], (inputs[:, 2:] != 0).float()
    teaches_codes = level == HIDDEN_LEVEL
    assert 0.6 < teaches_codes.float().mean() < 0.72
    n_hidden = (asked >= 0).sum(dim=1)
    # As many as are hidden are not shown, any number from one to all is as likely as another, and
    # any column too.
    assert (n_hidden + shown.sum(dim=1) == len(COUNTS)).all()
    assert (n_hidden[~teaches_codes] == 0).all()
    assert chisquare(torch.bincount(n_hidden[teaches_codes])[1:]).pvalue > 0.01
    assert chisquare((asked[teaches_codes] >= 0).sum(dim=0)).pvalue > 0.001
    assert (torch.where(asked >= 0, asked, clean[:, 2:]) == clean[:, 2:]).all()
    # What is shown is what the row has; numbers are unknown until all codes are known.
    left = torch.where(asked >= 0, -1.0, clean[:, 2:])
    torch.testing.assert_close(shown, made.indicators(left))
    assert (inputs[teaches_codes, :2] == 0).all()
    assert (target[teaches_codes, 2:4] == 0).all()
    sigma = (4 * level[~teaches_codes]).exp()
    assert kstest((sigma.log() + 0.5) / 1.2, "norm").pvalue > 0.01


def test_the_loss_is_the_cross_entropy_in_units_of_what_is_usual():
    made, clean = process(), rows(300)
    _, level, target = noised(made, clean)
    output = torch.randn(300, made.n_columns, generator=torch.Generator().manual_seed(2))
    losses = made.row_losses(output, target)
    blocks = made.by_column(made.logits(output))
    # Columns by slots: two, two; then four; then eight.
    by_column = [blocks[0][:, 0], blocks[1][:, 0], blocks[2][:, 0], blocks[0][:, 1]]
    for row in range(300):
        asked = target[row, 4:]
        if level[row] != HIDDEN_LEVEL:
            expected = (output[row, :2] - target[row, :2]).square().mean()
        else:
            terms = []
            for column, counts in enumerate(COUNTS):
                if asked[column] >= 0:
                    share = np.array(counts) / sum(counts)
                    logits = by_column[column][row, : len(counts)]
                    entropy = -(share * np.log(share)).sum()
                    terms.append(cross_entropy(logits, asked[column].long()) / entropy)
            expected = torch.stack(terms).mean()
        torch.testing.assert_close(losses[row], expected.float(), rtol=1e-4, atol=1e-5)


def test_an_untrained_network_predicts_what_is_usual():
    made = process()
    logits = made.logits(torch.zeros(1, made.n_columns))
    shares = [block.softmax(dim=-1) for block in made.by_column(logits)]
    torch.testing.assert_close(shares[0][0, 0], torch.tensor([0.75, 0.25]))
    expected = torch.tensor([0.125, 0.25, 0.625, 0.0])
    torch.testing.assert_close(shares[1][0, 0], expected)


def test_numbers_that_are_no_amounts_are_neither_seen_nor_learnt():
    made = process(states=(None, (1, 2)))
    clean = rows(4000)
    inputs, level, target = noised(made, clean)
    amount = clean[:, 3] == 2
    teaches_numbers = level != HIDDEN_LEVEL
    assert ((inputs[:, 1] != 0) == (amount & teaches_numbers)).all()
    # Rare amounts weigh more: here 25 of 40 rows have one.
    torch.testing.assert_close(target[amount & teaches_numbers, 3].unique(), torch.tensor([1.6]))
    assert (target[~amount, 3] == 0).all()


class Exact:
    """A network that knows the distribution of three columns, of which two depend on each other."""

    def __init__(self, made: MaskedProcess, joint: np.ndarray) -> None:
        self.made, self.joint = made, joint

    def __call__(self, values, inputs, level, condition, drop=None):
        """Return the logits of each column given those shown."""
        shown = self.made.by_column((inputs != 0).float())
        known = torch.cat([b * torch.arange(1.0, b.shape[-1] + 1) for b in shown], -2).sum(-1) - 1
        out = torch.zeros_like(inputs)
        for place in itertools.product(*(range(m) for m in inputs.shape[:2])):
            row = known[place].long().tolist()
            left = self.joint
            for axis, code in enumerate(row):
                if code >= 0:
                    left = left.take([code], axis=axis)
            logits = []
            for column in range(3):
                others = tuple(axis for axis in range(3) if axis != column)
                share = left.sum(axis=others)
                logits.append(np.log(share / share.sum()) if row[column] < 0 else np.zeros(2))
            out[place] = torch.tensor(np.concatenate(logits))
        return out - self.made.logits(torch.zeros_like(out))


def test_codes_drawn_from_exact_conditionals_have_the_joint_distribution():
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.full(8, 0.7)).reshape(2, 2, 2)
    counts = [joint.sum(axis=tuple({0, 1, 2} - {column})) * 1000 for column in range(3)]
    made = MaskedProcess(EdmProcess(), 0, [np.rint(own).astype(int).tolist() for own in counts])
    source = torch.Generator().manual_seed(3)
    groups = torch.zeros(1, 4000, dtype=torch.int64)
    codes = draw_codes(
        Exact(made, joint),
        group_condition(1),
        made,
        {},
        groups,
        lambda n: torch.rand(1, 4000, n, generator=source),
        n_steps=3,
    )
    cells = (codes[0] @ torch.tensor([4.0, 2.0, 1.0])).long()
    found = torch.bincount(cells, minlength=8).numpy()
    assert chisquare(found, joint.ravel() * 4000).pvalue > 0.01


def trainer(members: list[Member], made: MaskedProcess, clean: torch.Tensor) -> Trainer:
    """Return a trainer of a small network."""
    condition = Condition(torch.tensor([[0], [1]]), (2,))
    network = ResidualNetwork(made.n_columns, condition, width=16, depth=1, n_frequencies=4)
    groups = torch.arange(len(clean)) % 2
    settings = TrainingSettings(30, clip_norm=1.0)
    halves = [torch.arange(0, len(clean), 2), torch.arange(1, len(clean), 2)]
    return Trainer(network, condition, made, clean, groups, members, settings, subsets=halves)


def test_members_learn_together_as_they_would_alone():
    made, clean = process(states=(None, (0, 1))), rows(200)
    members = [Member(0, 1e-2), Member(1, 3e-3, dropout=0.2), Member(0, 1e-3, subset=1)]
    together = trainer(members, made, clean)
    for _ in range(30):
        together.step()
    weights = together.weights(averaged=True)
    losses = together.read_losses()
    assert np.isfinite(losses).all()
    for place, member in enumerate(members):
        alone = trainer([member], made, clean)
        for _ in range(30):
            alone.step()
        torch.testing.assert_close(
            alone.weights(averaged=True)[0], weights[place], rtol=1e-3, atol=1e-5
        )


def test_the_heldout_loss_of_a_network_that_knows_nothing_is_about_one():
    made, clean = process(), rows(400)
    for column, counts in enumerate(COUNTS):
        # As the counts have it, so that what is usual costs the entropy.
        share = np.repeat(np.arange(len(counts)), np.array(counts) * 10)
        clean[:, 2 + column] = torch.from_numpy(np.random.default_rng(column).permutation(share))
    own = trainer([Member(0)], made, clean)
    judged = HeldOut(
        own.network,
        Condition(torch.tensor([[0], [1]]), (2,)),
        made,
        clean,
        torch.arange(400) % 2,
        [torch.arange(0, 400, 2)],
        seed=0,
        chunk_rows=100,
    )
    (loss,) = judged.losses(own.weights(averaged=True), [0])
    assert loss == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("guidance", [0.0, 0.5])
@pytest.mark.parametrize("sampler", ["unipc", "heun"])
def test_a_block_of_rows_does_not_depend_on_those_beside_it(sampler, guidance):
    made, clean = process(states=(None, (0, 1))), rows(200)
    own = trainer([Member(0), Member(1)], made, clean)
    for _ in range(30):
        own.step()
    values = own.parameters.views(own.weights(averaged=True))
    condition = Condition(torch.tensor([[0], [1]]), (2,))

    def drawn(seeds: list[int], n: int) -> torch.Tensor:
        groups = torch.zeros(2, n, dtype=torch.int64)
        return draw(
            *(own.network, condition, made, values, groups),
            seeds=seeds,
            block_rows=8,
            sampler=sampler,
            n_steps=6,
            guidance=guidance,
        )

    whole = drawn([5, 6, 7], 20)
    assert whole.shape == (2, 20, 6)
    torch.testing.assert_close(whole[:, 8:16], drawn([6], 8), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(whole[:, :5], drawn([5], 5), rtol=1e-3, atol=1e-4)
    for column, counts in enumerate(COUNTS):
        codes = whole[..., 2 + column]
        assert set(codes.unique().tolist()) <= set(range(len(counts)))


def test_fewer_steps_than_columns_still_reveal_every_column():
    made = process(0)
    own = trainer([Member(0)], made, rows(50, 0))
    values = own.parameters.views(own.weights(averaged=True))
    groups = torch.zeros(1, 30, dtype=torch.int64)
    condition = Condition(torch.tensor([[0], [1]]), (2,))
    for n_steps in (1, 3, 9):
        codes = draw(
            *(own.network, condition, made, values, groups),
            seeds=[1],
            block_rows=30,
            sampler="unipc",
            code_steps=n_steps,
        )
        assert codes.shape == (1, 30, 4)
        assert (codes >= 0).all()
