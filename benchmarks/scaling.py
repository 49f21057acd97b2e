# SPDX-License-Identifier: MIT
"""Measure how time and memory grow with the rows: the stages of data, training, drawing, hashing.

    .venv/bin/python benchmarks/scaling.py                           # 10³ to 10⁷ rows
    .venv/bin/python benchmarks/scaling.py --sizes 1000 10000 100000
    .venv/bin/python benchmarks/scaling.py --sizes 10000 100000 1000000 --stages prepare balance \
        split induce rebalance                                       # a mixed table, 50 columns
    .venv/bin/python benchmarks/scaling.py --sizes 10000 100000 1000000 --stages learn_cddpm \
        draw_cddpm learn_mixture draw_mixture learn_copula draw_copula   # the same
    .venv/bin/python benchmarks/scaling.py --stages train sample --device cuda

Every stage and size has a process of its own, on one thread, so that its peak memory is known.
Seconds are of the processor, since the machine may be shared; with a GPU, those that passed, and
the GPU's peak memory is told as well:

- prepare, balance, split, induce, rebalance: the workflow's own scripts on a CSV file of 50 columns
  (numbers with and without gaps, counts, categories of 2, 4 and 200 levels, ordinals, dates);
  rebalance fills every group with rows of a synthetic table;
- encode: fit the scaling (quantiles) and encode the rows with jitter; the table is made beforehand
  and is part of the peak;
- train: 200 steps of `tuned`, which should not take longer on more rows;
- sample: a trained model draws the rows and writes them as the workflow does;
- hash: the digest of the drawn table's content;
- learn_KIND: as the workflow's train_generator on the mixed table, all features encoded, with few
  steps or iterations, so that what is measured is the encoding and what goes over all rows once;
- draw_KIND: as many rows as were learnt from, written as the workflow does.

The exponent p of time ~ rows^p is fitted over the sizes from 10⁵ on (or the last two); start-up of
the process, imports and making the input are left out of the time, and are part of the memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

DATA_STAGES = ("prepare", "balance", "split", "induce", "rebalance")
# Few steps: their number has no part in how time and memory grow with rows.
MIXED_SETTINGS: dict[str, dict[str, Any]] = {
    "cddpm": {"preset": "tuned_large", "steps": 50, "sampling_steps": 4, "category_steps": 4},
    "tabddpm": {"preset": "small", "steps": 50},
    "mixture": {"components": [8], "max_iterations": 3},
    "copula": {},
    "cart": {"min_leaf": 50},
}
MIXED_STAGES = tuple(f"{what}_{kind}" for kind in MIXED_SETTINGS for what in ("learn", "draw"))
STAGES = (*DATA_STAGES, "encode", "train", "sample", "hash", *MIXED_STAGES)
UPPER = 100_000
TRAINING_STEPS = 200
LIMIT = 2 * 1024**3


def counts(n_rows: int) -> np.ndarray:
    """Return the sizes of four groups of a table of so many rows."""
    sizes = (np.array([0.1, 0.4, 0.15, 0.35]) * n_rows).astype(int)
    sizes[-1] += n_rows - sizes.sum()
    return sizes


def encode(n_rows: int, folder: Path) -> float:
    """Fit and apply the encoding."""
    import sklearn.preprocessing  # noqa: F401 - not to be timed

    from mcrage.encoding.numeric import NumericEncoding
    from test_generators import ROLES, data

    rows = data(counts(n_rows)).features
    started = time.process_time()
    encoding = NumericEncoding.fit(rows, ROLES.features, scaling="quantile", derive=True)
    encoding.transform(rows, jitter_seed=0)
    return time.process_time() - started


def now(device: str) -> float:
    """Return seconds: of the processor, or with a GPU of the clock."""
    return time.process_time() if device == "cpu" else time.perf_counter()


def train(n_rows: int, folder: Path, device: str) -> float:
    """Train for some steps; what a fit of one step takes is not theirs."""
    import mcrage.generators.cddpm_fit  # noqa: F401 - not to be timed
    from mcrage.config.generators import CddpmSettings
    from mcrage.generators.cddpm import CddpmGenerator
    from test_generators import data

    rows = data(counts(n_rows))
    if device != "cpu":
        # A GPU's libraries are loaded when they are first used.
        once = CddpmSettings(kind="cddpm", preset="tuned", steps=20).resolved()
        CddpmGenerator(once).fit(data(counts(1000)), seed=0, device=device)
    seconds = []
    for steps in (1, 1 + TRAINING_STEPS):
        settings = CddpmSettings(kind="cddpm", preset="tuned", steps=steps).resolved()
        started = now(device)
        CddpmGenerator(settings).fit(rows, seed=0, device=device).save(folder)
        seconds.append(now(device) - started)
    return seconds[1] - seconds[0]


def sample(n_rows: int, folder: Path, device: str) -> float:
    """Draw and write as the rule sample_generator does."""
    import torch

    import mcrage.generators.cddpm_draw  # noqa: F401 - not to be timed
    from mcrage.config.generators import CddpmSettings
    from mcrage.generators.cddpm import CddpmGenerator
    from mcrage.generators.registry import settings_of
    from mcrage.groups import GroupSchema
    from mcrage.rebalancing import synthetic_schema, synthetic_table
    from mcrage.tables import table_writer
    from test_generators import ROLES

    torch.set_num_threads(1)
    settings = CddpmSettings(kind="cddpm", preset="tuned").resolved()
    model = CddpmGenerator.load(folder, settings_of("sample", settings))
    schema = GroupSchema.of(ROLES)
    text = {column: pa.string() for column in schema.columns}
    columns = pa.schema([(name, text.get(name, pa.float64())) for name in ROLES.columns])
    for _ in model.draw(counts(1000), seed=0, device=device):
        pass
    started = now(device)
    with table_writer(folder / "drawn.parquet", synthetic_schema(columns)) as write:
        for features, groups in model.draw(counts(n_rows), seed=1, device=device):
            write(synthetic_table(features, groups, columns.empty_table(), ROLES))
    return now(device) - started


def hash_content(n_rows: int, folder: Path) -> float:
    """Read what was drawn, and hash it."""
    from mcrage.tables import content_hash, read_table

    table = read_table(folder / "drawn.parquet")
    assert table.num_rows == n_rows
    started = time.process_time()
    content_hash(table)
    return time.process_time() - started


def data_stage(stage: str, n_rows: int, folder: Path) -> float:
    """Run the script of a data stage as the workflow does; what it reads was made before."""
    import importlib

    from mixed_table import prepare_settings_of

    inputs, outputs, settings, seeds = {
        "prepare": (
            {"files": [folder / "raw.csv"]},
            ["table", "roles"],
            prepare_settings_of(folder / "raw.csv") if stage == "prepare" else {},
            {},
        ),
        "balance": (["table"], [("table", "balanced")], {"balance": True, "split": "random"}, {}),
        "split": (
            [("table", "balanced")],
            ["training_pool", "test"],
            {"test_fraction": 0.2, "split": "random"},
            {},
        ),
        "induce": (
            ["training_pool"],
            ["train", "validation", "original"],
            {
                "keep": [{"where": {"sex": "f"}, "fraction": 0.1}],
                "validation_fraction": 0.1,
            },
            {"induce": 1, "validation": 2},
        ),
        "rebalance": (
            ["train", "synthetic"],
            ["rebalanced", "weights"],
            {"treatment": {"fill": 1.0, "fill_by": "group", "size": 1.0}},
            {},
        ),
    }[stage]

    def paths(names: list) -> dict[str, Path]:
        pairs = [(name, name) if isinstance(name, str) else name for name in names]
        ends = {"roles": "json"}
        return {key: folder / f"{file}.{ends.get(file, 'parquet')}" for key, file in pairs}

    given = inputs if isinstance(inputs, dict) else paths([*inputs, "roles"])
    script = importlib.import_module("induce_imbalance" if stage == "induce" else stage)
    found = SimpleNamespace(**given, get=given.get)
    started = time.process_time()
    script.main(
        input=found,
        output=SimpleNamespace(**paths(outputs)),
        params={"settings": settings, "seeds": seeds or {stage: 1}},
        wildcards=None,
        threads=1,
        origin={},
    )
    return time.process_time() - started


def make(n_rows: int, folder: Path) -> float:
    """Write the CSV file that `prepare` reads."""
    from mixed_table import write_raw

    write_raw(folder / "raw.csv", n_rows)
    return 1.0


def make_synthetic(n_rows: int, folder: Path) -> float:
    """Write more synthetic rows than the groups of the training set lack: repeated real ones."""
    from mcrage.datasets.roles import read_roles
    from mcrage.groups import GroupSchema
    from mcrage.rebalanced_file import rebalance_files
    from mcrage.tables import table_writer

    schema = GroupSchema.of(read_roles(folder / "roles.json"))
    repeated, _, _ = rebalance_files(
        folder / "train.parquet",
        schema,
        synthetic=None,
        labels=None,
        seed=0,
        treatment={"oversample": "group"},
    )
    columns = repeated.schema.remove(len(repeated.schema) - 1)
    with table_writer(folder / "synthetic.parquet", columns) as write:
        for portion in repeated.portions():
            write(portion.select(columns.names))
    return 1.0


def make_train(n_rows: int, folder: Path) -> float:
    """Write a mixed training set of so many rows, and its roles, without the stages before."""
    from mixed_table import portions, prepare_settings_of, write_raw

    from mcrage.datasets.card_model import PrepareSettings
    from mcrage.datasets.prepare import prepare
    from mcrage.tables import table_writer, write_json

    # All levels are there.
    write_raw(folder / "few.csv", 20_000)
    settings = PrepareSettings.model_validate(prepare_settings_of(folder / "few.csv"))
    found = prepare(settings, [folder / "few.csv"])
    write_json(found.roles.to_dict(), folder / "roles.json")
    with table_writer(folder / "train.parquet", found.spool.schema) as write:
        first = 0
        for rows in portions(n_rows):
            row_ids = pa.array(np.arange(first, first + rows.num_rows))
            whole = rows.append_column("row_id", row_ids)
            write(whole.select(found.spool.schema.names).cast(found.spool.schema))
            first += rows.num_rows
    return 1.0


def mixed_settings(kind: str) -> dict[str, Any]:
    """Return the settings of a kind of generator on the mixed table."""
    from mcrage.config.generators import KINDS

    return KINDS[kind].model_validate({"kind": kind, **MIXED_SETTINGS[kind]}).resolved()


def learn(kind: str, folder: Path) -> float:
    """Encode the mixed training set, and learn from it."""
    from mcrage.datasets.roles import read_roles
    from mcrage.generators.base import TrainingData
    from mcrage.generators.registry import generator_class

    generator = generator_class(kind)(mixed_settings(kind))
    started = time.process_time()
    train = TrainingData.read(folder / "train.parquet", read_roles(folder / "roles.json"))
    generator.fit(train, seed=0).save(folder)
    return time.process_time() - started


def draw(kind: str, n_rows: int, folder: Path) -> float:
    """Draw rows of the mixed table, and write them as the rule sample_generator does."""
    import pyarrow.parquet as pq

    from mcrage.datasets.roles import read_roles
    from mcrage.generators.registry import generator_class, settings_of
    from mcrage.groups import GroupSchema
    from mcrage.rebalancing import synthetic_schema, synthetic_table
    from mcrage.tables import table_writer

    model = generator_class(kind).load(folder, settings_of("sample", mixed_settings(kind)))
    roles = read_roles(folder / "roles.json")
    template = pq.read_schema(folder / "train.parquet").empty_table()
    n_groups = GroupSchema.of(roles).n_groups
    started = time.process_time()
    with table_writer(folder / "drawn.parquet", synthetic_schema(template.schema)) as write:
        for features, groups in model.draw(np.full(n_groups, n_rows // n_groups), seed=1):
            write(synthetic_table(features, groups, template, roles))
    return time.process_time() - started


def measure(stage: str, n_rows: int, folder: Path, device: str) -> dict[str, float]:
    """Run one stage in a process of its own; return its seconds and peak memory in bytes."""
    command = [sys.executable, __file__, "--device", device]
    command += ["--stage", stage, str(n_rows), str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def device_peak() -> int:
    """Return the most bytes that this process had on a GPU; 0 without one."""
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else 0


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return p of seconds ~ rows^p over the upper sizes."""
    first = min(next((i for i, n in enumerate(sizes) if n >= UPPER), 0), max(len(sizes) - 2, 0))
    if len(sizes) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes[first:]), np.log(seconds[first:]), 1)[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**k for k in range(3, 8)])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--device", default="cpu", help="of train and sample: cpu or cuda")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage, n_rows, folder = arguments.stage
        others = {"encode": encode, "hash": hash_content}
        others |= {
            name: partial(work, device=arguments.device)
            for name, work in (("train", train), ("sample", sample))
        }
        others |= {"make": make, "make_synthetic": make_synthetic, "make_train": make_train}
        what, _, kind = stage.partition("_")
        if stage in others:
            seconds = others[stage](int(n_rows), Path(folder))
        elif what == "learn":
            seconds = learn(kind, Path(folder))
        elif what == "draw":
            seconds = draw(kind, int(n_rows), Path(folder))
        else:
            seconds = data_stage(stage, int(n_rows), Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak": peak, "device_peak": device_peak()}))
        return
    run = partial(measure, device=arguments.device)
    sizes = sorted(arguments.sizes)
    with tempfile.TemporaryDirectory() as folder:
        # A model of the usual size, for those that only draw.
        if {"sample", "hash"} & set(arguments.stages):
            run("train", 3000, Path(folder))
        found: dict[str, list[dict[str, float]]] = {stage: [] for stage in arguments.stages}
        print(
            f"{'stage':<10}{'rows':>12}{'seconds':>10}{'rows/s':>12}{'peak MiB':>10}{'on GPU':>10}"
        )
        for n_rows in sizes:
            if "prepare" in arguments.stages:
                run("make", n_rows, Path(folder))
            if set(MIXED_STAGES) & set(arguments.stages):
                run("make_train", n_rows, Path(folder))
            for stage in arguments.stages:
                if stage == "rebalance":
                    run("make_synthetic", n_rows, Path(folder))
                told = run(stage, n_rows, Path(folder))
                found[stage].append(told)
                print(
                    f"{stage:<10}{n_rows:>12,}{told['seconds']:>10.2f}"
                    f"{n_rows / told['seconds']:>12,.0f}{told['peak'] / 2**20:>10,.0f}"
                    f"{told['device_peak'] / 2**20:>10,.0f}",
                    flush=True,
                )
    for stage, told in found.items():
        p = exponent(sizes, [each["seconds"] for each in told])
        growth = told[-1]["peak"] / told[0]["peak"]
        rows = sizes[-1] / sizes[0]
        print(f"{stage}: time ~ rows^{p:.2f}; peak memory x{growth:.2f} for rows x{rows:,.0f}")
    if "sample" in found:
        peak = found["sample"][-1]["peak"]
        print(f"{sizes[-1]:,} rows drawn and written in {peak / 2**20:,.0f} MiB: ", end="")
        print("under 2 GiB" if peak < LIMIT else "MORE THAN 2 GiB")


if __name__ == "__main__":
    main()
