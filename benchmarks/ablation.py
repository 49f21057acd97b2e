# SPDX-License-Identifier: MIT
"""Run an experiment file in one process a core, and print each treatment's differences.

    .venv/bin/python benchmarks/ablation.py --configfile experiments/strength.yaml --mirror DIR

The stages are the workflow's: the same library calls, params and seeds, so the same results
(tests/test_ablation.py), without a process and files for each of a thousand jobs; a classifier
that labels rows for several treatments is fitted once. Columns: mean difference to the first
baseline over the replicates, in units of 1e-4, with half the width of its 95 % Nadeau-Bengio
interval; it says which changes earn their place, on replicates that judge nothing else.

With --transfer SIGMA one more treatment, `transfer`, does as `within_subgroup` in that file, but
its rows start from real ones of the largest subgroup with the same outcome, noised to SIGMA,
instead of from noise, and are told the group they are to become.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import yaml  # noqa: E402

from mcrage.classifiers.judged import fit_and_judge  # noqa: E402
from mcrage.classifiers.registry import fit  # noqa: E402
from mcrage.config.load import load_config  # noqa: E402
from mcrage.datasets.card_model import PrepareSettings  # noqa: E402
from mcrage.datasets.cards import describe_settings, read_card  # noqa: E402
from mcrage.datasets.prepare import Prepared, prepare  # noqa: E402
from mcrage.datasets.roles import Roles, with_words  # noqa: E402
from mcrage.figures.differences import draw_differences  # noqa: E402
from mcrage.figures.style import save  # noqa: E402
from mcrage.figures.words import subgroup_words  # noqa: E402
from mcrage.generators.base import TrainingData  # noqa: E402
from mcrage.generators.registry import generator_class  # noqa: E402
from mcrage.groups import GroupSchema, plan_rows  # noqa: E402
from mcrage.plan import Plan  # noqa: E402
from mcrage.rebalancing import rebalance, rows_to_add, synthetic_table  # noqa: E402
from mcrage.scenario import split, thin_out, undersample  # noqa: E402
from mcrage.statistics.summary import compare  # noqa: E402
from mcrage.tables import read_table, write_table  # noqa: E402
from project import merge  # noqa: E402
from sample_generator import draw_past_gate  # noqa: E402

SHOWN = ("auroc", "f1", "brier")
TRANSFERRED = "within_subgroup"
"""The treatment that --transfer starts otherwise."""


class Replicate:
    """One replicate of one dataset and scenario, with the workflow's params of every stage."""

    def __init__(self, plan: Plan, prepared: Prepared, number: int) -> None:
        self.plan, self.roles = plan, prepared.roles
        self.schema = GroupSchema.of(self.roles)
        self.names = {"dataset": plan.datasets[0], "scenario": plan.scenarios[0]}
        self.names["replicate"] = str(number)
        self.taught: dict[str, Any] = {}
        table, groups = prepared.table, self.schema.index(prepared.table)
        params = self.params("balance")
        if params["settings"]["balance"]:
            kept = undersample(self.schema.subgroup_of(groups), params["seeds"]["balance"])
            table, groups = table.take(kept), groups[kept]
        pool, test = self._split("split", "test_fraction", groups)
        self.test, pool_table, groups = table.take(test), table.take(pool), groups[pool]
        params = self.params("induce_imbalance")
        induced = thin_out(
            self.schema.digits(pool_table),
            self.schema,
            params["settings"]["keep"],
            params["seeds"]["induce"],
        )
        train, validation = self._split(
            "induce_imbalance", "validation_fraction", groups[induced], "validation"
        )
        original = np.setdiff1d(np.arange(len(pool)), induced[validation])
        self.real = {
            "train": pool_table.take(induced[train]),
            "original": pool_table.take(original),
        }

    def params(self, rule: str, **names: str) -> dict[str, Any]:
        """Return a rule's params."""
        return self.plan.params(rule)(SimpleNamespace(**self.names, **names))

    def _split(self, rule: str, fraction: str, groups: np.ndarray, seed: str = "split"):
        if self.roles.cluster:
            sys.exit(f"{self.names['dataset']} has clusters, which this script can't split by")
        params = self.params(rule)
        share = params["settings"][fraction]
        return split(groups, share, params["seeds"][seed], self.schema.n_groups, None)

    def synthetic(self, name: str, transfer: float | None = None) -> pa.Table:
        """Train a generator and draw the rows that treatments take."""
        train = self.real["train"]
        data = TrainingData.of(train, self.roles)
        params, drawing = (
            self.params(rule, generator=name) for rule in ("train_generator", "sample_generator")
        )
        settings = {**params["settings"]["generator"], **drawing["settings"]["sampling"]}
        generator = generator_class(settings["kind"])(settings)
        generator.fit(data, seed=params["seeds"]["train"], threads=1)
        counts = self.schema.counts(data.groups)
        plans = [
            rows_to_add(counts, self.schema, **demand) for demand in drawing["settings"]["demands"]
        ]
        groups = plan_rows(np.max(plans, axis=0))
        seed, memorising = drawing["seeds"]["sample"], drawing["settings"]["memorising"]
        if transfer is not None:
            features = transferred(generator, data, groups, transfer, seed)
        elif memorising == "keep":
            features = generator.sample(groups, seed=seed)
        else:
            features, _ = draw_past_gate(
                memorising, lambda g, s: generator.sample(g, seed=s), groups, data, seed
            )
        return synthetic_table(features, groups, train, self.roles)

    def treated(self, name: str, synthetic: pa.Table | None) -> tuple[pa.Table, pa.Table]:
        """Apply a treatment."""
        params = self.params("rebalance", treatment=name)
        settings, labels = params["settings"], None
        train = self.real[settings["made_from"]["train_on"]]
        if teacher := settings.get("teacher"):
            key = json.dumps(teacher)
            if key not in self.taught:
                seed = params["seeds"]["teacher"]
                self.taught[key] = fit(teacher, train, None, self.roles, seed=seed)
            labels = self.taught[key]
        return rebalance(
            train,
            self.schema,
            synthetic=synthetic,
            labels=labels,
            seed=params["seeds"]["rebalance"],
            **settings["treatment"],
        )

    def judged(self, name: str, treated: tuple[pa.Table, pa.Table], classifier: str) -> pa.Table:
        """Judge a classifier fitted on a treated table: rows of results/metrics.parquet."""
        treatment = name if name in self.plan.recipes else TRANSFERRED
        params = self.params("evaluate", treatment=treatment, classifier=classifier)
        settings = params["settings"]
        real = self.real[self.plan.recipes[treatment].train_on] if settings["left_out"] else None
        found = fit_and_judge(
            settings, *treated, self.test, self.roles, real=real, seeds=params["seeds"]
        ).metrics
        names = {**self.names, "replicate": int(self.names["replicate"])}
        names |= {"treatment": name, "classifier": classifier}
        n = len(found["metric"])
        return pa.table({**{key: [value] * n for key, value in names.items()}, **found})


def transferred(
    generator: Any, data: TrainingData, groups: np.ndarray, sigma: float, seed: int
) -> np.ndarray:
    """Draw rows from noised rows of the largest subgroup with the same outcome (SDEdit's start).

    Parameters
    ----------
    generator : CddpmGenerator
        Fitted, with continuous noise levels.
    data : TrainingData
    groups : ndarray of int64, shape (m,)
        What the rows are to become.
    sigma : float
        Noise level of the start; rows have unit variance.
    seed : int
    """
    import torch

    from mcrage.diffusion.network import StackedParameters
    from mcrage.diffusion.sampling import guided_denoiser, heun
    from mcrage.diffusion.schedule import karras_sigmas

    rng = np.random.default_rng(seed)
    schema, encoding, scaling = data.schema, generator._encoding, generator.settings["scaling"]
    encoded = encoding.transform(data.features, within=data.within(scaling))
    subgroups = schema.subgroup_of(data.groups)
    largest = np.argmax(np.bincount(subgroups))
    donors = np.empty(len(groups), dtype=np.int64)
    for level in np.unique(schema.target_of(groups)):
        wanted = schema.target_of(groups) == level
        rows = np.flatnonzero((subgroups == largest) & (schema.target_of(data.groups) == level))
        donors[wanted] = rng.choice(rows, wanted.sum())
    parts = generator._parts(torch.device("cpu"))
    n_members = len(generator._weights)
    values = StackedParameters(parts.network.parameters, n_members).views(generator._weights)
    # Padded so that every member draws as many.
    order = np.resize(rng.permutation(len(groups)), (n_members, -(-len(groups) // n_members)))
    start = torch.from_numpy(encoded[donors[order]])
    noise = torch.empty_like(start).normal_(generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        asked = torch.from_numpy(groups[order])
        denoise = guided_denoiser(parts.network, parts.condition, parts.process, values, asked, 0.0)
        rows = heun(denoise, start + sigma * noise, karras_sigmas(25, 0.01, sigma)).numpy()
    out = np.empty((len(groups), rows.shape[-1]))
    out[order.ravel()] = rows.reshape(-1, rows.shape[-1])
    within = (
        groups if generator.settings["scaling"] == "within_group" else schema.subgroup_of(groups)
    )
    return encoding.inverse(out, within)


def run(number: int, given: dict, raw: list[str], transfer: float | None) -> pa.Table:
    """Return the metrics of every treatment and classifier of one replicate."""
    plan = make_plan(given)
    params = plan.params("prepare")(SimpleNamespace(dataset=plan.datasets[0]))
    prepared = prepare(PrepareSettings.model_validate(params["settings"]), raw)
    replicate = Replicate(plan, prepared, number)
    drawn: dict[str, pa.Table] = {}
    out = []
    for name in plan.treatments:
        generator = plan.recipes[name].generator
        if generator and generator not in drawn:
            drawn[generator] = replicate.synthetic(generator)
        treated = replicate.treated(name, drawn.get(generator))
        out += [replicate.judged(name, treated, classifier) for classifier in plan.classifiers]
    if transfer is not None:
        rows = replicate.synthetic(plan.recipes[TRANSFERRED].generator, transfer)
        treated = replicate.treated(TRANSFERRED, rows)
        out += [replicate.judged("transfer", treated, name) for name in plan.classifiers]
    print(f"replicate {number} done", file=sys.stderr, flush=True)
    return pa.concat_tables(out)


def make_plan(given: dict) -> Plan:
    """Return the plan of a config."""
    cards = {
        name: read_card(name, ROOT / "resources" / "datasets")
        for name in given["experiment"]["datasets"]
    }
    return Plan(load_config(given), cards)


def tell(comparisons: pd.DataFrame) -> None:
    """Print the mean differences, in units of 1e-4, and half of their intervals."""
    first = comparisons["baseline"].iloc[0]
    shown = comparisons[(comparisons["baseline"] == first) & comparisons["metric"].isin(SHOWN)]
    cell = [
        f"{1e4 * mean:+.0f} ±{1e4 * (high - low) / 2:.0f}"
        for mean, low, high in zip(
            shown["mean_difference"], shown["ci_low"], shown["ci_high"], strict=True
        )
    ]
    column = shown["metric"] + " " + shown["subgroup"]
    table = shown.assign(cell=cell, column=column).pivot_table(
        index=["classifier", "treatment"],
        columns="column",
        values="cell",
        aggfunc="first",
        sort=False,
    )
    print(f"{shown['n_replicates'].max()} replicates; differences to {first}, in 1e-4")
    print(table.to_string())


def draw(comparisons: pd.DataFrame, plan: Plan, roles: Roles, stem: Path) -> None:
    """Draw the differences to the first baseline, as the workflow does."""
    rows = comparisons[
        (comparisons["classifier"] == plan.classifiers[0])
        & (comparisons["baseline"] == plan.baselines[0])
    ]
    figure = draw_differences(
        rows.to_dict("records"), treatments=plan.treatments, subgroup_words=subgroup_words(roles)
    )
    save(figure, stem.with_suffix(".svg"), stem.with_suffix(".png"), {})


def main() -> None:
    """Parse arguments, run, print, and write the values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", required=True)
    parser.add_argument("--mirror", required=True, help="folder with <dataset>/<file>")
    parser.add_argument("--replicates", type=int, help="as the file says, if left out")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--transfer", type=float, help="noise level of the start; 1 is usual")
    parser.add_argument("--output", help="Parquet file for the metrics of every replicate")
    parser.add_argument("--read", help="such a file of an earlier run: only print and draw it")
    parser.add_argument("--figure", type=Path, help="SVG and PNG of the differences, no suffix")
    arguments = parser.parse_args()
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    given = merge(default, yaml.safe_load(Path(arguments.configfile).read_text(encoding="utf-8")))
    plan = make_plan(given)
    if arguments.transfer is not None and TRANSFERRED not in plan.treatments:
        parser.error(f"--transfer needs the treatment {TRANSFERRED}, as in strength.yaml")
    for name in plan.generators:
        if plan.trained_on(name) or name in plan.judged_on_validation():
            parser.error(f"generator {name} needs the whole workflow: run it with snakemake")
    folder = Path(arguments.mirror) / plan.datasets[0]
    raw = [str(folder / file.name) for file in plan.cards[plan.datasets[0]].files]
    if arguments.read:
        metrics = read_table(arguments.read)
    else:
        numbers = range(arguments.replicates or len(plan.replicates))
        work = partial(run, given=given, raw=raw, transfer=arguments.transfer)
        with ProcessPoolExecutor(arguments.processes) as pool:
            metrics = pa.concat_tables(pool.map(work, numbers))
    if arguments.output:
        write_table(metrics, arguments.output)
    share = plan.config.scenarios[plan.scenarios[0]].test_fraction
    controls = [name for name in plan.treatments if plan.recipes[name].train_on == "original"]
    comparisons = compare(
        metrics.to_pandas(), plan.baselines, {plan.scenarios[0]: share / (1 - share)}, controls
    )
    tell(comparisons)
    if arguments.figure:
        params = plan.params("prepare")(SimpleNamespace(dataset=plan.datasets[0]))
        roles = prepare(PrepareSettings.model_validate(params["settings"]), raw).roles
        roles = with_words(roles, describe_settings(plan.cards[plan.datasets[0]]))
        draw(comparisons, plan, roles, arguments.figure)


if __name__ == "__main__":
    main()
