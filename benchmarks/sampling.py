# SPDX-License-Identifier: MIT
"""Measure what a drawn row costs by each sampler, and how true it is.

    .venv/bin/python benchmarks/sampling.py                   # on a made-up table
    .venv/bin/python benchmarks/sampling.py --mirror DIR      # on patient-treatment
    .venv/bin/python benchmarks/sampling.py --device cuda --rows 200000

Trains `tuned` on half of the rows, and the same networks to predict the velocity of a chain of 100
and of 1000 steps. Every sampler then draws rows of each group in the shares of the other half, in
turns of one run, on one thread; unipc also over a shorter range of noise levels ("short"), where
few steps lie closer. Times are the processor's, or on a GPU those of a clock; read them
as ratios. Fidelity:

- variance: largest error of the variance along a principal axis, and of a column, against the
  same model drawn with 400 steps, so that it is the sampler's alone;
- sliced: Wasserstein distance of encoded rows along 200 random directions to the held-out half;
- KS: largest distance of the columns' distribution functions to the held-out half;
- C2ST: accuracy of a forest that tells drawn from held-out rows; .5 is best.

What the held-out half is away from the training half, and so the best to be had, is said first.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

from mcrage.config.generators import CddpmSettings  # noqa: E402
from mcrage.datasets.card_model import PrepareSettings  # noqa: E402
from mcrage.datasets.cards import prepare_settings, read_card  # noqa: E402
from mcrage.datasets.prepare import prepare  # noqa: E402
from mcrage.generators import TrainingData  # noqa: E402
from mcrage.generators.base import standardised_within  # noqa: E402
from mcrage.generators.cddpm import CddpmGenerator  # noqa: E402
from mcrage.generators.cddpm_draw import draw_groups  # noqa: E402
from mcrage.generators.cddpm_parts import Parts  # noqa: E402
from test_generators import data  # noqa: E402

REFERENCE = {"sampler": "unipc", "sampling_steps": 400, "sigma_min": 0.003, "sigma_max": 80.0}
SHORT = {"sampler": "unipc", "sigma_min": 0.005, "sigma_max": 10.0}
CHAIN = {"target": "v", "schedule": "cosine", "sampler": "ancestral"}


def halves(mirror: str | None) -> tuple[TrainingData, TrainingData]:
    """Return training and held-out rows of patient-treatment, or of a made-up table."""
    if mirror is None:
        table = data((700, 1200, 400, 900))
    else:
        card = read_card("patient-treatment", ROOT / "resources" / "datasets")
        paths = [str(Path(mirror) / card.name / file.name) for file in card.files]
        prepared = prepare(PrepareSettings.model_validate(prepare_settings(card)), paths)
        table = TrainingData.of(prepared.table, prepared.roles)
    rows = np.random.default_rng(0).permutation(len(table.groups))
    return tuple(
        TrainingData(table.features[part], table.groups[part], table.schema, table.roles)
        for part in np.array_split(rows, 2)
    )


def now(device: str) -> float:
    """Return the processor's seconds, or on a GPU the clock's when all its work is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def fitted(train: TrainingData, steps: int | None, device: str, **settings) -> CddpmGenerator:
    """Return `tuned`, but for some settings, fitted on the training rows."""
    given = {**settings, **({"steps": steps} if steps else {})}
    values = CddpmSettings(kind="cddpm", preset="tuned", **given).resolved()
    started = now(device)
    generator = CddpmGenerator(values).fit(train, seed=0, device=device)
    print(f"trained in {now(device) - started:.0f} s: {settings or 'tuned'}", flush=True)
    return generator


def drawn(
    model: CddpmGenerator, plan: np.ndarray, device: str, **settings
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return encoded rows, their groups, and the seconds that they took."""
    settings = {**model.settings, **settings}
    generator = CddpmGenerator.__new__(CddpmGenerator)
    generator.__dict__ = {**model.__dict__, "settings": settings}
    parts: Parts = generator._parts(torch.device(device))
    weights = model._weights.to(device)
    started = now(device)
    chunks = list(draw_groups(settings, parts, weights, plan, 1))
    took = now(device) - started
    rows, groups = (np.concatenate(part) for part in zip(*chunks, strict=True))
    return rows, groups, took


def variance_errors(rows: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Return the largest relative error of variance, along a principal axis and of a column."""
    values, axes = np.linalg.eigh(np.cov(reference.T))
    along = np.var(rows @ axes, axis=0, ddof=1) / values
    columns = np.var(rows, axis=0) / np.var(reference, axis=0)
    return float(np.abs(along - 1).max()), float(np.abs(columns - 1).max())


def distances(rows: np.ndarray, held: np.ndarray) -> tuple[float, float, float]:
    """Return sliced Wasserstein, largest KS and C2ST of encoded rows against real ones."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(rows.shape[1], 200))
    directions /= np.linalg.norm(directions, axis=0)
    sliced = [wasserstein_distance(rows @ d, held @ d) for d in directions.T]
    ks = max(ks_2samp(a, b).statistic for a, b in zip(rows.T, held.T, strict=True))
    both = np.concatenate([rows, held])
    label = np.repeat([0, 1], [len(rows), len(held)])
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    told = cross_val_predict(forest, both, label, cv=5)
    return float(np.mean(sliced)), float(ks), float(np.mean(told == label))


def main() -> None:
    """Train, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", help="folder with patient-treatment/data-ori.csv")
    parser.add_argument("--steps", type=int, help="of training; the preset's if left out")
    parser.add_argument("--rows", type=int, default=20_000, help="to draw, of all groups together")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, held = halves(arguments.mirror)
    plan = np.round(held.counts * arguments.rows / held.counts.sum()).astype(np.int64)
    device = arguments.device
    tuned = fitted(train, arguments.steps, device)
    chains = {T: fitted(train, arguments.steps, device, **CHAIN, timesteps=T) for T in (100, 1000)}
    scaling = tuned.settings["scaling"]
    real, known = (
        tuned._encoding.transform(table.features, within=table.within(scaling))
        for table in (held, train)
    )
    print(f"{plan.sum():,} rows of {real.shape[1]} encoded columns, {device}, 1 thread")

    candidates = {"ancestral 100": (chains[100], {}), "ancestral 1000": (chains[1000], {})}
    for steps in (10, 12, 16, 20, 32):
        candidates[f"unipc {steps}"] = (tuned, {"sampler": "unipc", "sampling_steps": steps})
    for steps in (10, 11, 12):
        candidates[f"unipc {steps}, short"] = (tuned, {**SHORT, "sampling_steps": steps})
    for steps in (16, 25, 50):
        candidates[f"dpm2m {steps}"] = (tuned, {"sampler": "dpm2m", "sampling_steps": steps})
    candidates["heun 13"] = (tuned, {"sampler": "heun", "sampling_steps": 13})
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    rows, groups = {}, {}
    for turn in range(arguments.turns):
        for name, (model, settings) in candidates.items():
            if name == "ancestral 1000" and turn:
                continue
            rows[name], groups[name], took = drawn(model, plan, device, **settings)
            seconds[name].append(took)
    reference = {id(tuned): drawn(tuned, plan, device, **REFERENCE)[0]}
    for chain in chains.values():
        # The finest that a chain can be drawn: all its steps, without fresh noise.
        reference[id(chain)] = drawn(chain, plan, device, sampler="unipc", sampling_steps=1000)[0]

    print(f"{'':<18}{'rows/s':>10}{'x T=100':>9}{'axis':>8}{'column':>8}", end="")
    print(f"{'sliced':>9}{'KS':>7}{'C2ST':>7}")
    told = distances(known, real)
    print(f"{'training half':<45}{'':>8}{told[0]:>9.4f}{told[1]:>7.3f}{told[2]:>7.3f}")
    base = median(seconds["ancestral 100"])
    size = np.random.default_rng(1)
    for name, (model, _) in candidates.items():
        axis, column = variance_errors(rows[name], reference[id(model)])
        taken = size.permutation(len(rows[name]))[: len(real)]
        within = standardised_within(scaling, groups[name][taken], held.schema)
        # As recorded: a forest would tell unrounded rows at a glance.
        recorded = model._encoding.inverse(rows[name][taken], within)
        told = distances(tuned._encoding.transform(recorded, within=within), real)
        took = median(seconds[name])
        print(
            f"{name:<18}{plan.sum() / took:>10,.0f}{base / took:>8.1f}x{axis:>8.2%}{column:>8.2%}"
            f"{told[0]:>9.4f}{told[1]:>7.3f}{told[2]:>7.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
