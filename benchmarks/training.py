# SPDX-License-Identifier: MIT
"""Compare the batched trainer with the usual loop, and with what the machine could do at most.

    .venv/bin/python benchmarks/training.py                    # on one core, some minutes
    .venv/bin/python benchmarks/training.py --members 1 25 --device cuda

The usual loop is written here: a DataLoader over a TensorDataset, one model after the other,
torch.optim.Adam or AdamW, `loss.item()` in every step. It keeps a moving average of the weights, as
the paper's notebook does; of the batched networks the paper's doesn't, since nothing is drawn from
it. Both see made-up rows of the size of patient-treatment. Everything is measured by turns and the
best of several rounds counts. On one core the clock is that of the processor, so that other work on
the machine matters less; read the ratios all the same. The share of the matrix-product rate is the
products' operations in a step (torch counts them), by the time of the step, by the rate at which
this machine, in this run, multiplies the largest matrices of that step.

On a GPU the trainer's steps are replayed from a graph; "launched" is the same trainer without.
The floor of a step is the longer of two times: its operations at the rate of a large product in
float32, and the fewest bytes at the rate of a large copy (parameters, two moments and the average,
where there is one, each read and written once). Both rates are measured in the same run.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

from mcrage.classifiers.validation import validation_f1  # noqa: E402
from mcrage.config.classifiers import RandomForest  # noqa: E402
from mcrage.config.generators import CddpmSettings  # noqa: E402
from mcrage.diffusion.condition import Condition, group_condition  # noqa: E402
from mcrage.diffusion.memory import member_bytes  # noqa: E402
from mcrage.diffusion.network import Network, PaperNetwork, ResidualNetwork, sinusoids  # noqa: E402
from mcrage.diffusion.process import DiscreteProcess, EdmProcess, Process  # noqa: E402
from mcrage.diffusion.recording import WARM_UP  # noqa: E402
from mcrage.diffusion.schedule import linear_schedule  # noqa: E402
from mcrage.diffusion.training import Member, Trainer, TrainingSettings  # noqa: E402

N_ROWS, N_GROUPS = 1792, 4
PAPER_EPOCHS, PAPER_SETTINGS, FOLDS = 10_000, 25, 5
ROUNDS = 3


class PaperModule(nn.Module):
    """The paper's network as a module, every embedding computed row by row."""

    def __init__(self, d: int, n_groups: int, width: int) -> None:
        super().__init__()
        sizes = {
            **{"input": (d, width), "hidden": (width, width), "output": (2 * width, d)},
            **{"condition0": (n_groups, width), "condition1": (width, width)},
            **{"time0": (1, width), "time1": (width, width)},
        }
        self.layers = nn.ModuleDict({name: nn.Linear(*size) for name, size in sizes.items()})

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: torch.Tensor):
        """Return the prediction, (B, d)."""
        layers, gelu = self.layers, nn.functional.gelu
        skip = gelu(layers["input"](x))
        hidden = gelu(layers["hidden"](skip))
        group = layers["condition1"](gelu(layers["condition0"](condition)))
        moment = layers["time1"](gelu(layers["time0"](level.unsqueeze(-1))))
        return layers["output"](torch.cat([group * hidden + moment, skip], dim=-1))


class ResidualModule(nn.Module):
    """The residual network as a module."""

    def __init__(self, d: int, n_condition: int, width: int, depth: int) -> None:
        super().__init__()
        self.input, self.output = nn.Linear(d, width), nn.Linear(width, d)
        self.noise = nn.Linear(64, width, bias=False)
        self.condition = nn.Linear(n_condition, width, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: torch.Tensor):
        """Return the prediction, (B, d)."""
        hidden = self.input(x) + self.noise(sinusoids(level, 32)) + self.condition(condition)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.output(nn.functional.silu(hidden))


class Case:
    """A network with its settings, in both forms."""

    def __init__(self, name: str, device: str, **shape: int) -> None:
        self.name, self.device, self.shape = name, device, shape
        source = torch.Generator().manual_seed(0)
        self.groups = torch.randint(0, N_GROUPS, (N_ROWS,), generator=source)
        self.rows = torch.randn(N_ROWS, shape["d"], generator=source)
        self.paper = name.startswith("paper")
        self.condition: Condition
        self.network: Network
        self.process: Process
        if self.paper:
            self.condition = group_condition(N_GROUPS, null_tokens=False, device=device)
            self.process = DiscreteProcess(linear_schedule(35, 1e-10, 0.2), device=device)
            self.network = PaperNetwork(
                shape["d"], self.condition, width=shape["width"], n_timesteps=35
            )
        else:
            digits = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
            self.condition, self.process = Condition(digits, (2, 2), device=device), EdmProcess()
            self.network = ResidualNetwork(
                shape["d"], self.condition, width=shape["width"], depth=shape["depth"]
            )

    def trainer(self, n_members: int, *, recorded: bool = True) -> Trainer:
        """Return the batched trainer; like a grid, members of one seed."""
        options = {"optimizer": "adam", "ema_decay": 0.0} if self.paper else {"clip_norm": 1.0}
        settings = TrainingSettings(10**6, **options)
        rates = np.linspace(1e-4, 1e-3, n_members)
        members = [
            Member(0, float(rate), 0.1, weight_decay=1e-4, batch_size=self.shape["batch"])
            for rate in rates
        ]
        return Trainer(
            *(self.network, self.condition, self.process, self.rows, self.groups),
            *(members, settings, self.device),
            recorded=recorded,
        )

    def usual_loop(self) -> Callable[[], None]:
        """Return what takes one step of one model as such code usually does."""
        n_condition = self.condition.encode(self.groups[:1].to(self.device)).shape[1]
        shape = self.shape
        if self.paper:
            model = PaperModule(shape["d"], n_condition, shape["width"])
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-4)
        else:
            model = ResidualModule(shape["d"], n_condition, shape["width"], shape["depth"])
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
        model.to(self.device)
        loader = DataLoader(
            TensorDataset(self.rows, self.groups), batch_size=shape["batch"], shuffle=True
        )
        average = copy.deepcopy(model)

        def epoch():
            while True:
                yield from loader

        batches, losses = epoch(), []

        def step() -> None:
            rows, groups = (tensor.to(self.device) for tensor in next(batches))
            level = torch.rand(len(rows), device=self.device)
            inputs, level, target = self.process.corrupt(rows, level, torch.randn_like(rows))
            keep = (torch.rand(len(rows), 1, device=self.device) > 0.1).float()
            loss = nn.functional.mse_loss(
                model(inputs, level, self.condition.encode(groups) * keep), target
            )
            optimizer.zero_grad()
            loss.backward()
            if not self.paper:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(parameter, 0.05)
            losses.append(loss.item())

        return step

    def largest_product(self, n_members: int) -> Callable[[], torch.Tensor]:
        """Return what multiplies the largest matrices of a step."""
        width, batch = self.shape["width"], self.shape["batch"]
        left = torch.randn(n_members, batch, width, device=self.device)
        right = torch.randn(n_members, width, width, device=self.device)
        out = torch.empty(n_members, batch, width, device=self.device)
        return lambda: torch.bmm(left, right, out=out)


class Clock:
    """Times of several pieces of work, by turns."""

    def __init__(self, device: str, threads: int, seconds: float) -> None:
        self.device, self.seconds = device, seconds
        alone = device == "cpu" and threads == 1
        self._now = time.process_time if alone else time.perf_counter

    def _time(self, work: Callable[[], object], n: int) -> float:
        if self.device != "cpu":
            torch.cuda.synchronize()
        started = self._now()
        for _ in range(n):
            work()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return (self._now() - started) / n

    def best(self, *works: Callable[[], object]) -> list[float]:
        """Return the seconds that each takes, the best of several rounds."""
        first = [self._time(work, 1) for work in works]
        counts = [max(1, round(self.seconds / max(seconds, 1e-6))) for seconds in first]
        rounds = [
            [self._time(work, n) for work, n in zip(works, counts, strict=True)]
            for _ in range(ROUNDS)
        ]
        return [min(times) for times in zip(*rounds, strict=True)]


class Roof:
    """What a GPU does at most: operations and bytes a second, of large tensors in float32."""

    def __init__(self, device: str, clock: Clock) -> None:
        left, right = (torch.randn(8192, 8192, device=device) for _ in range(2))
        out = torch.empty_like(left)
        source = torch.randn(2**28, device=device)
        target = torch.empty_like(source)
        product, copy_ = clock.best(
            lambda: torch.mm(left, right, out=out), lambda: target.copy_(source)
        )
        self.operations, self.bytes = 2 * 8192**3 / product, 2 * source.nbytes / copy_
        print(f"roof: {self.operations / 1e12:.1f} TFLOP/s, {self.bytes / 1e12:.2f} TB/s")

    def floor(self, trainer: Trainer, operations: int) -> float:
        """Return the least seconds of a step."""
        kept = 3 + (trainer.average is not trainer.parameters.flat)
        moved = 2 * kept * trainer.parameters.flat.nbytes
        return max(operations / self.operations, moved / self.bytes)


def compare(
    case: Case, members: list[int], clock: Clock, roof: Roof | None
) -> dict[int, tuple[float, float]]:
    """Print a line a number of members; return seconds of a step of the loop and of ours."""
    usual = case.usual_loop()
    print(f"\n{case.name}: {', '.join(f'{k} {v}' for k, v in case.shape.items())}")
    head = "  members   usual loop    batched  times faster   GFLOP/s   of the product rate"
    print(head + ("   launched      floor" if roof else ""))
    found = {}
    for n_members in members:
        trainer = case.trainer(n_members)
        with FlopCounterMode(display=False) as counter:
            trainer.step()
        operations = counter.get_total_flops()
        for _ in range(WARM_UP):
            trainer.step()
        works = [usual, trainer.step, case.largest_product(n_members)]
        if roof:
            works.append(case.trainer(n_members, recorded=False).step)
        loop, ours, alone, *launched = clock.best(*works)
        width, batch = case.shape["width"], case.shape["batch"]
        rate = 2 * n_members * batch * width**2 / alone
        done = operations / ours
        line = (
            f"  {n_members:7d} {n_members * loop * 1e3:9.2f} ms {ours * 1e3:8.2f} ms "
            f"{n_members * loop / ours:13.1f} {done / 1e9:9.1f}   {done / rate:4.0%} of "
            f"{rate / 1e9:8.1f}"
        )
        if roof:
            floor = roof.floor(trainer, operations)
            line += f" {launched[0] * 1e3:8.2f} ms {floor * 1e3:7.3f} ms, {floor / ours:.0%} of it"
        print(line, flush=True)
        found[n_members] = (loop, ours)
    memory = member_bytes(case.network, case.shape["batch"], averaged=not case.paper)
    print(f"  reckoned memory: {memory / 2**20:.1f} MiB a member")
    return found


def tell_grid(paper: dict, tuned: dict, tuned_steps: int) -> None:
    """Print both readings of the paper's whole grid."""
    steps = PAPER_EPOCHS * -(-N_ROWS // 128)
    loop, ours = paper[PAPER_SETTINGS]
    usual = PAPER_SETTINGS * steps * loop
    print(f"\nthe paper's grid: {PAPER_SETTINGS} settings of {steps:,} steps, without judging")
    print(f"  usual loop             {usual / 3600:9.2f} h")
    print(
        f"  same network and steps {steps * ours / 3600:9.2f} h, "
        f"{loop * PAPER_SETTINGS / ours:.1f} times faster"
    )
    folds = PAPER_SETTINGS * FOLDS
    if folds in tuned:
        seconds = tuned_steps * tuned[folds][1]
        print(
            f"  as many settings of the tuned network, {tuned_steps:,} steps, {FOLDS} folds each: "
            f"{seconds / 3600:.3f} h, {usual / seconds:,.0f} times faster"
        )


def tell_judging(case: Case, step_seconds: float, n_members: int, clock: Clock) -> None:
    """Print what the paper's choice by forests takes, at the size of patient-treatment."""
    import pyarrow as pa

    from mcrage.generators.cddpm_draw import draw_rows
    from mcrage.generators.cddpm_parts import Parts
    from mcrage.groups import filling_plan, plan_rows
    from test_generators import ROLES, data

    train, validation = data((90, 900, 60, 740)), data((60, 150, 50, 150), seed=3)

    def table(rows) -> pa.Table:
        columns = dict(zip("ABCN", rows.features.T, strict=True))
        return pa.table({**columns, **rows.schema.columns_of(rows.groups)})

    forest = RandomForest(kind="random_forest").resolved({})
    criterion = validation_f1(forest, table(train), table(validation), ROLES, seed=0, threads=1)
    plan = plan_rows(filling_plan(train.counts))
    rows = train.features[np.random.default_rng(0).integers(0, len(train.features), len(plan))]
    settings = CddpmSettings(kind="cddpm", preset="paper").resolved()
    parts = Parts(case.condition, case.process, case.network)
    weights = case.trainer(1).weights(averaged=False)
    drawing, judging = clock.best(
        lambda: draw_rows(settings, parts, weights, plan[None], 0), lambda: criterion(rows, plan)
    )
    between = settings["select_every_epochs"] * -(-N_ROWS // 128) * step_seconds
    total = between + n_members * (drawing + judging)
    print(f"\njudging {n_members} members every {settings['select_every_epochs']} epochs:")
    print(f"  training in between  {between:7.1f} s  {between / total:.0%}")
    print(f"  {len(plan):,} rows a member   {n_members * drawing:7.1f} s  "
          f"{n_members * drawing / total:.0%}")  # fmt: skip
    print(f"  a forest a member    {n_members * judging:7.1f} s  "
          f"{n_members * judging / total:.0%}")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 25, 125])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = Clock(arguments.device, arguments.threads, arguments.seconds)
    place = torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu"
    print(f"torch {torch.__version__}, {place}, {arguments.threads} threads")
    tuned_settings = CddpmSettings(kind="cddpm", preset="tuned").resolved()
    cases = {
        "paper": {"d": 9, "width": 576, "batch": 128},
        "tuned": {"d": 6, "width": 64, "depth": 2, "batch": 256},
        "residual, wide": {"d": 6, "width": 256, "depth": 3, "batch": 256},
    }
    roof = Roof(arguments.device, clock) if arguments.device == "cuda" else None
    found, made = {}, {}
    for name, shape in cases.items():
        made[name] = Case(name, arguments.device, **shape)
        found[name] = compare(made[name], arguments.members, clock, roof)
    if PAPER_SETTINGS in found["paper"]:
        tell_grid(found["paper"], found["tuned"], tuned_settings["steps"])
        tell_judging(made["paper"], found["paper"][PAPER_SETTINGS][1], PAPER_SETTINGS, clock)


if __name__ == "__main__":
    main()
