# SPDX-License-Identifier: MIT
"""GroupDRO (Sagawa et al. 2020, algorithm 1): a small perceptron whose worst-off group errs least.

Groups are subgroups by outcomes. Each step raises a group's weight q by the exponential of its
loss, q_g ∝ q_g exp(η loss_g), and moves the network down Σ q_g loss_g, by Adam. A group's loss is
the mean over its rows, weighted where a treatment weights rows; how much the groups of a treatment
weigh against each other has no effect, since that is what q is for.

The paper finds that without a strong penalty and an early stop the worst group gains nothing. Six
networks learn side by side from one start: five without a fold of the real rows each, the sixth
with all rows. After every tenth of the steps the loss of each group is taken over the real rows of
all folds, each by the network that did not see it; the sixth network is kept as it was where the
largest of these losses was smallest. Repeated rows share a fold, and synthetic rows are in all
networks and judge none.

Departures from the paper: Adam in the place of SGD; a step takes all rows where they are no more
than `batch_size`, and otherwise draws rows with every group as likely as another, so that a small
group is not seen too seldom for its loss; folds in the place of one validation set.
"""

import logging
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mcrage.classifiers.fitted import TrainingRows

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_CHECKS = 50
"""How often the held-out loss is taken, at most."""
_FARTHEST = 3.0
"""Where standardised features end, as for the other smooth classifiers."""


def learn(
    settings: dict[str, Any], rows: TrainingRows, base: None, seed: int, threads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the perceptron.

    Parameters
    ----------
    settings : dict
        ``width``, ``learning_rate``, ``eta``, ``l2``, ``steps`` and ``batch_size``.
    rows : TrainingRows
    base : None
        There is none.
    seed, threads : int

    Returns
    -------
    callable
        Design matrix of shape (m, n_columns) to probabilities of shape (m, n_levels).
    """
    import torch
    from sklearn.preprocessing import StandardScaler

    torch.set_num_threads(threads)
    scaler = StandardScaler().fit(rows.x)

    def standard(x: np.ndarray) -> "torch.Tensor":
        near = np.clip(scaler.transform(x), -_FARTHEST, _FARTHEST)
        return torch.from_numpy(near.astype(np.float32))

    weights = np.ones(len(rows.y)) if rows.weights is None else rows.weights
    _, group = np.unique(rows.subgroup * rows.n_levels + rows.y, return_inverse=True)
    folds = np.unique(rows.fold[rows.fold >= 0])
    # One network for each fold, without its rows, and one with all of them.
    seen = np.array([*(rows.fold != fold for fold in folds), np.ones(len(group), dtype=bool)])
    network = _descend(
        settings,
        standard(rows.x),
        torch.from_numpy(rows.y),
        torch.from_numpy(group),
        torch.from_numpy((seen * weights).astype(np.float32)),
        torch.from_numpy(rows.fold),
        rows.n_levels,
        seed,
    )

    def predict(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = _forward(network, standard(x)[None])[0].double()
        return torch.softmax(logits, dim=-1).numpy()

    return predict


def _descend(
    settings: dict[str, Any],
    x: "torch.Tensor",
    y: "torch.Tensor",
    group: "torch.Tensor",
    weights: "torch.Tensor",
    fold: "torch.Tensor",
    n_levels: int,
    seed: int,
) -> list["torch.Tensor"]:
    """Return the parameters of the network with all rows, at the best number of steps.

    Parameters
    ----------
    settings : dict
    x : Tensor of float32, shape (n, d)
    y, group, fold : Tensor of int64, shape (n,)
    weights : Tensor of float32, shape (E, n)
        Of each row in each network; the last has all rows.
    n_levels, seed : int
    """
    import torch
    from torch.nn.functional import cross_entropy, one_hot

    n_networks, n = weights.shape
    member = one_hot(group).float()  # (n, G)
    totals = weights @ member  # (E, G)
    generator = torch.Generator().manual_seed(seed)
    sizes = [x.shape[1], *([settings["width"]] if settings["width"] else []), n_levels]
    network = _start(sizes, n_networks, generator)
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in network]
    known = totals > 0
    q = known / known.sum(dim=1, keepdim=True)
    whole = n <= settings["batch_size"]
    if not whole:
        # Every group as likely as another, a row within it as it weighs.
        chances = weights / totals.clamp_min(1e-30)[:, group]
    every = max(1, settings["steps"] // _CHECKS)
    best, best_step, kept = np.inf, 0, [p[-1:].detach().clone() for p in network]
    for step in range(1, settings["steps"] + 1):
        if whole:
            inputs, outcomes = x.expand(n_networks, -1, -1), y.expand(n_networks, -1)
            shares = weights[:, :, None] * member / totals.clamp_min(1e-30)[:, None]
            found = known
        else:
            drawn = torch.multinomial(chances, settings["batch_size"], True, generator=generator)
            inputs, outcomes, hot = x[drawn], y[drawn], member[drawn]
            counts = hot.sum(dim=1)
            shares, found = hot / counts.clamp_min(1)[:, None], counts > 0
        logits = _forward(network, inputs)
        each = cross_entropy(logits.flatten(0, 1), outcomes.flatten(), reduction="none")
        losses = torch.einsum("en,eng->eg", each.view(n_networks, -1), shares)
        with torch.no_grad():
            q = q * torch.exp(settings["eta"] * torch.where(found, losses, 0.0))
            q = q / q.sum(dim=1, keepdim=True)
        penalty = sum((p**2).sum() for p in network[::2])
        objective = (q * losses).sum() + 0.5 * settings["l2"] * penalty
        gradients = torch.autograd.grad(objective, network)
        _adam(network, gradients, moments, step, settings["learning_rate"])
        if step % every == 0 or step == settings["steps"]:
            worst = _worst_held_out(network, x, y, member, fold)
            # Without real rows to judge by, the last step.
            if worst < best or np.isnan(worst):
                best, best_step = worst, step
                kept = [p[-1:].detach().clone() for p in network]
    logger.info(
        "group_dro: %d of %d steps; loss of the worst-off group among held-out rows %.4g",
        best_step,
        settings["steps"],
        best,
    )
    return kept


def _start(sizes: list[int], n_networks: int, generator: "torch.Generator") -> list["torch.Tensor"]:
    """Return weights and biases by turns, the same for every network."""
    import torch

    out = []
    for before, after in pairwise(sizes):
        values = torch.randn(before, after, generator=generator) / before**0.5
        for start in (values, torch.zeros(1, after)):
            repeated = start.expand(n_networks, -1, -1).clone()
            out.append(repeated.requires_grad_())
    return out


def _adam(
    network: list["torch.Tensor"],
    gradients: tuple["torch.Tensor", ...],
    moments: list[tuple["torch.Tensor", "torch.Tensor"]],
    step: int,
    rate: float,
) -> None:
    """Take a step of Adam in place; by hand, since importing torch.optim takes seconds."""
    import torch

    with torch.no_grad():
        for p, gradient, (mean, square) in zip(network, gradients, moments, strict=True):
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient**2, 0.001)
            spread = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
            p.sub_(rate * mean / (1 - 0.9**step) / spread)


def _forward(network: list["torch.Tensor"], x: "torch.Tensor") -> "torch.Tensor":
    """Return logits of shape (E, n, n_levels) of rows of shape (E, n, d)."""
    import torch

    for layer in range(0, len(network), 2):
        if layer:
            x = torch.relu(x)
        x = torch.baddbmm(network[layer + 1], x, network[layer])
    return x


def _worst_held_out(
    network: list["torch.Tensor"],
    x: "torch.Tensor",
    y: "torch.Tensor",
    member: "torch.Tensor",
    fold: "torch.Tensor",
) -> float:
    """Return the largest mean loss of a group over real rows, each where it was left out."""
    import torch
    from torch.nn.functional import cross_entropy

    sums, counts = torch.zeros(member.shape[1]), torch.zeros(member.shape[1])
    with torch.no_grad():
        for number, left_out in enumerate(torch.unique(fold[fold >= 0]).tolist()):
            rows = torch.nonzero(fold == left_out)[:, 0]
            own = [p[number : number + 1] for p in network]
            each = cross_entropy(_forward(own, x[rows][None])[0], y[rows], reduction="none")
            sums += each @ member[rows]
            counts += member[rows].sum(dim=0)
    losses = (sums / counts)[counts > 0]
    return float(losses.max()) if len(losses) else float("nan")
