# SPDX-License-Identifier: MIT
"""Run an experiment file in one process a core, and print each treatment's differences.

    .venv/bin/python benchmarks/ablation.py --configfile experiments/strength.yaml --mirror DIR

The stages are the workflow's: the same library calls, params and seeds, so the same results
(tests/test_ablation.py), without a process and files for each of a thousand jobs; a classifier
that labels rows for several treatments is fitted once. Printed are tables in Markdown of every
treatment's mean, and its difference to a baseline with the 95 % Nadeau-Bengio interval; see
study_tables.py (*: the interval excludes 0; **: Holm's p is below .05, too). What --output names is
written after each replicate of each dataset, so that a run that is stopped leaves what it has;
--read FILE prints other tables.

    ... --read FILE --show auroc brier auroc@sex@sex=Female worst_auroc_difference@sex
    ... --read FILE --show theil_index --columns classifier --baseline reweighing
    ... --read FILE --joint --show auroc brier worst_group_auroc@sex

--joint: one table of all remedies, whether they change rows (every treatment with the first
classifier and rule), the classifier or the rule (each with the baseline's rows), compared with the
baseline by the first classifier and rule.

A generator that is chosen on the validation set is, too: experiments/mcrage-full.yaml is for
`--device cuda`, where its 2,500 forests a replicate take most of the time.

With --together the diffusion generators of all replicates are trained as one ensemble before
anything is drawn: on a GPU much sooner than one after the other, and each is as alone.

With --transfer SIGMA one more treatment, `transfer`, does as `within_subgroup` in that file, but
its rows start from real ones of the largest subgroup with the same outcome, noised to SIGMA,
instead of from noise, and are told the group they are to become.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow" / "scripts")]

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import yaml  # noqa: E402
from study_tables import COLUMNS, joint_tables, shown, tables  # noqa: E402

from mcrage.classifiers.judged import fit_and_judge  # noqa: E402
from mcrage.classifiers.registry import fit  # noqa: E402
from mcrage.classifiers.validation import validation_f1  # noqa: E402
from mcrage.clusters import clusters_of  # noqa: E402
from mcrage.config.load import load_config  # noqa: E402
from mcrage.datasets.card_model import PrepareSettings  # noqa: E402
from mcrage.datasets.cards import describe_settings, read_card  # noqa: E402
from mcrage.datasets.download import fetch  # noqa: E402
from mcrage.datasets.prepare import Prepared, prepare  # noqa: E402
from mcrage.datasets.roles import Roles, with_words  # noqa: E402
from mcrage.figures.differences import draw_differences  # noqa: E402
from mcrage.figures.style import save  # noqa: E402
from mcrage.figures.words import subgroup_words  # noqa: E402
from mcrage.generators.base import TrainingData  # noqa: E402
from mcrage.generators.registry import generator_class  # noqa: E402
from mcrage.groups import GroupSchema, plan_rows  # noqa: E402
from mcrage.plan import Plan  # noqa: E402
from mcrage.rare_groups import settle  # noqa: E402
from mcrage.rebalancing import rebalance, rows_to_add, synthetic_table  # noqa: E402
from mcrage.scenario import official_split, split, thin_out, undersample  # noqa: E402
from mcrage.statistics.joint import all_remedies, compare_remedies  # noqa: E402
from mcrage.statistics.summary import compare  # noqa: E402
from mcrage.tables import (  # noqa: E402
    IS_OFFICIAL_TEST,
    read_table,
    write_table,
)
from project import merge  # noqa: E402
from sample_generator import past_gate  # noqa: E402

if TYPE_CHECKING:
    import pandas as pd

TRANSFERRED = "within_subgroup"
"""The treatment that --transfer starts otherwise."""


class Replicate:
    """One replicate of one dataset and scenario, with the workflow's params of every stage."""

    def __init__(
        self, plan: Plan, prepared: Prepared, dataset: str, scenario: str, number: int
    ) -> None:
        self.plan, self.roles = plan, prepared.roles
        self.schema = GroupSchema.of(self.roles)
        self.names = {"dataset": dataset, "scenario": scenario, "replicate": str(number)}
        self.taught: dict[str, Any] = {}
        table, groups = prepared.table, self.schema.index(prepared.table)
        params = self.params("balance")
        official = params["settings"]["split"] == "official"
        if official and params["settings"]["balance"]:
            sys.exit(f"{scenario} balances what an official split leaves: run it with snakemake")
        if params["settings"]["balance"]:
            kept = undersample(self.schema.subgroup_of(groups), params["seeds"]["balance"])
            table, groups = table.take(kept), groups[kept]
        if official:
            pool, test = official_split(table)
        else:
            clusters = clusters_of(table, self.roles.cluster)
            pool, test = self._split("split", "test_fraction", groups, clusters)
        if IS_OFFICIAL_TEST in table.column_names:
            table = table.drop_columns([IS_OFFICIAL_TEST])
        self.test, pool_table, groups = table.take(test), table.take(pool), groups[pool]
        params = self.params("induce_imbalance")
        induced = thin_out(
            self.schema.digits(pool_table),
            self.schema,
            params["settings"]["keep"],
            params["seeds"]["induce"],
        )
        clusters = clusters_of(pool_table, self.roles.cluster)
        train, validation = self._split(
            "induce_imbalance",
            "validation_fraction",
            groups[induced],
            None if clusters is None else clusters[induced],
            "validation",
        )
        held = induced[validation]
        original = np.setdiff1d(np.arange(len(pool)), held)
        if clusters is not None:
            original = original[~np.isin(clusters[original], clusters[held])]
        self.real = {
            "train": pool_table.take(induced[train]),
            "original": pool_table.take(original),
        }
        self.validation = pool_table.take(held)

    def params(self, rule: str, **names: str) -> dict[str, Any]:
        """Return a rule's params."""
        return self.plan.params(rule)(SimpleNamespace(**self.names, **names))

    def _split(
        self,
        rule: str,
        fraction: str,
        groups: np.ndarray,
        clusters: np.ndarray | None,
        seed: str = "split",
    ) -> tuple[np.ndarray, np.ndarray]:
        params = self.params(rule)
        share = params["settings"][fraction]
        return split(groups, share, params["seeds"][seed], self.schema.n_groups, clusters)

    def fitted(
        self, name: str, *, device: str = "cpu", threads: int = 1, models: Path | None = None
    ) -> Any:
        """Train a generator, or read it from the folder that `train_together` wrote it to."""
        kind, settings = self.kind_and_settings(name)
        if models is not None and (folder := models / self.place(name)).exists():
            _, drawing = self._params_of(name)
            return generator_class(kind).load(folder, drawing["settings"]["sampling"])
        generator = generator_class(kind)(settings)
        learnt, seed, criterion = self.learnt(name, threads=threads)
        generator.fit(learnt, criterion=criterion, seed=seed, device=device, threads=threads)
        if criterion is not None:
            print(json.dumps({**self.names, "generator": name, **generator.facts}), flush=True)
        return generator

    def kind_and_settings(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return a generator's kind and all of its settings."""
        training, drawing = self._params_of(name)
        settings = {**training["settings"]["generator"], **drawing["settings"]["sampling"]}
        return settings["kind"], settings

    def learnt(self, name: str, *, threads: int) -> tuple[TrainingData, int, Any]:
        """Return what a generator learns from, its seed, and what judges it or None."""
        params, _ = self._params_of(name)
        data = TrainingData.of(self.real["train"], self.roles)
        learnt, _ = settle(data, params["settings"]["rare_groups"], params["seeds"]["train"])
        seed, criterion = params["seeds"]["train"], None
        if judge := params["settings"].get("judge"):
            tables = (self.real["train"], self.validation)
            criterion = validation_f1(judge, *tables, self.roles, seed=seed, threads=threads)
        return learnt, seed, criterion

    def place(self, generator: str) -> Path:
        """Return where a generator lies among those that were trained together."""
        return Path(*self.names.values(), generator)

    def _params_of(self, generator: str) -> list[dict[str, Any]]:
        rules = ("train_generator", "sample_generator")
        return [self.params(rule, generator=generator) for rule in rules]

    def synthetic(
        self,
        name: str,
        transfer: float | None = None,
        fitted: Any | None = None,
        **local: Any,
    ) -> pa.Table:
        """Draw the rows that treatments take; train the generator unless it is given.

        `local` goes to `fitted`.
        """
        train = self.real["train"]
        data = TrainingData.of(train, self.roles)
        _, drawing = self._params_of(name)
        generator = fitted or self.fitted(name, **local)
        counts = self.schema.counts(data.groups)
        plans = [
            rows_to_add(counts, self.schema, **demand) for demand in drawing["settings"]["demands"]
        ]
        groups = plan_rows(np.max(plans, axis=0))
        seed, memorising = drawing["seeds"]["sample"], drawing["settings"]["memorising"]
        if transfer is not None:
            from transfer import transferred

            features = transferred(generator, data, groups, transfer, seed)
        elif memorising == "keep":
            features = generator.sample(groups, seed=seed)
        else:
            chunks = generator.draw(np.bincount(groups), seed=seed)
            chunks, _ = past_gate(
                memorising, chunks, lambda g, s: generator.sample(g, seed=s), data, seed
            )
            features = np.concatenate([rows for rows, _ in chunks])
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


def run(
    dataset: str,
    scenario: str,
    number: int,
    given: dict,
    mirror: Path,
    transfer: float | None = None,
    **local: Any,
) -> pa.Table:
    """Return the metrics of every treatment and classifier of one replicate.

    `local` are device and threads of trainings, and where models are that were trained together.
    """
    start = perf_counter()
    plan = make_plan(given)
    replicate = Replicate(plan, prepared_of(plan, dataset, mirror), dataset, scenario, number)
    drawn: dict[str, pa.Table] = {}
    out = []
    for name in plan.treatments:
        generator = plan.recipes[name].generator
        if generator and generator not in drawn:
            drawn[generator] = replicate.synthetic(generator, **local)
        treated = replicate.treated(name, drawn.get(generator))
        out += [replicate.judged(name, treated, classifier) for classifier in plan.classifiers]
    if transfer is not None:
        generator = plan.recipes[TRANSFERRED].generator
        rows = replicate.synthetic(generator, transfer, **local)
        treated = replicate.treated(TRANSFERRED, rows)
        out += [replicate.judged("transfer", treated, name) for name in plan.classifiers]
    told = f"{dataset}, {scenario}, replicate {number}: {perf_counter() - start:.0f} s"
    print(f"{told}, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at most")
    sys.stdout.flush()
    return pa.concat_tables(out)


def prepared_of(plan: Plan, dataset: str, mirror: Path) -> Prepared:
    """Return a dataset, read and checked."""
    params = plan.params("prepare")(SimpleNamespace(dataset=dataset))
    card = plan.cards[dataset]
    with TemporaryDirectory() as folder:
        raw = [str(Path(folder) / file.name) for file in card.files]
        for file, path in zip(card.files, raw, strict=True):
            fetch(file, path, dataset=dataset, mirror=str(mirror), layout=card.format)
        return prepare(PrepareSettings.model_validate(params["settings"]), raw)


def make_plan(given: dict) -> Plan:
    """Return the plan of a config."""
    cards = {
        name: read_card(name, ROOT / "resources" / "datasets")
        for name in given["experiment"]["datasets"]
    }
    # Published numbers stand in the report, which is not made here.
    return Plan(load_config(given | {"published": []}), cards)


def draw(comparisons: "pd.DataFrame", plan: Plan, roles: Roles, stem: Path) -> None:
    """Draw the differences to the baseline, as the workflow does."""
    rows = comparisons[(comparisons["classifier"] == plan.classifiers[0])]
    figure = draw_differences(
        rows.to_dict("records"), treatments=plan.treatments, subgroup_words=subgroup_words(roles)
    )
    save(figure, stem.with_suffix(".svg"), stem.with_suffix(".png"), {})


def train_together(
    plan: Plan, replicates: list[Replicate], models: Path, *, device: str, threads: int
) -> None:
    """Train each diffusion generator of all replicates as one ensemble, into a folder."""
    used = dict.fromkeys(plan.recipes[name].generator for name in plan.treatments)
    for name in filter(None, used):
        kind, settings = replicates[0].kind_and_settings(name)
        if kind != "cddpm":
            continue
        start = perf_counter()
        found = generator_class(kind).fit_together(
            settings,
            [one.learnt(name, threads=threads) for one in replicates],
            device=device,
            threads=threads,
        )
        for replicate, generator in zip(replicates, found, strict=True):
            folder = models / replicate.place(name)
            folder.mkdir(parents=True)
            generator.save(folder)
        told = f"{name} of {len(found)} replicates together: {perf_counter() - start:.0f} s"
        print(", ".join(list(replicate.names.values())[:2]) + f", {told}", flush=True)


def run_all(plan: Plan, given: dict, arguments: argparse.Namespace, replicates: int) -> pa.Table:
    """Run all replicates of all datasets, and write what there is after each."""
    mirror, numbers = Path(arguments.mirror), range(arguments.first, arguments.first + replicates)
    local = {"device": arguments.device, "threads": arguments.threads}
    with TemporaryDirectory() as folder:
        if arguments.together:
            local["models"] = Path(folder)
            for dataset in plan.datasets:
                prepared = prepared_of(plan, dataset, mirror)
                for scenario in plan.scenarios:
                    all_of = [Replicate(plan, prepared, dataset, scenario, n) for n in numbers]
                    train_together(plan, all_of, **local)
        work = partial(run, given=given, mirror=mirror, transfer=arguments.transfer, **local)
        return run_each(plan, work, numbers, arguments)


def run_each(
    plan: Plan, work: Callable[..., pa.Table], numbers: range, arguments: argparse.Namespace
) -> pa.Table:
    """Do the work of each dataset, scenario and replicate in a process of its own."""
    found: list[pa.Table] = []
    # Spawned, since CUDA can't go on in a process that was forked.
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, spawned) as pool:
        jobs = [
            pool.submit(work, dataset, scenario, number)
            for number in numbers
            for dataset in plan.datasets
            for scenario in plan.scenarios
        ]
        for job in as_completed(jobs):
            found.append(job.result())
            if arguments.output:
                write_table(pa.concat_tables(found), arguments.output)
    return pa.concat_tables(found)


def parsed() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--configfile", required=True, nargs="+", help="later files are laid over earlier ones")
    add("--mirror", required=True, help="folder with <dataset>/<file>")
    add("--datasets", nargs="+", help="as the file says, if left out")
    add("--replicates", type=int, help="as the file says, if left out")
    add("--first", type=int, default=0, help="number of the first replicate")
    add("--processes", type=int, default=os.cpu_count())
    add("--device", default="cpu", help="of trainings: cpu or cuda")
    add("--threads", type=int, default=1, help="of each process, for trainings and their forests")
    add("--together", action="store_true", help="train a generator's replicates as one ensemble")
    add("--transfer", type=float, help="noise level of the start; 1 is usual")
    add("--output", help="Parquet file for the metrics of every replicate")
    add("--read", nargs="+", help="such files of earlier runs: only print and draw them")
    add("--show", nargs="+", help="METRIC, METRIC@ATTRIBUTE or METRIC@ATTRIBUTE@SUBGROUP")
    add("--columns", choices=COLUMNS, default="metric", help="of the tables")
    add("--baseline", help="the first of the file's, if left out")
    add("--treatments", nargs="+", help="those that the tables show; all, if left out")
    add("--joint", action="store_true", help="one table of treatments, classifiers and rules")
    add("--markdown", type=Path, help="file for the tables that are printed")
    add("--figure", type=Path, help="SVG and PNG of the differences, no suffix")
    return parser


def main() -> None:
    """Parse arguments, run, print, and write the values."""
    parser = parsed()
    arguments = parser.parse_args()
    given = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for path in arguments.configfile:
        given = merge(given, yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    if arguments.datasets:
        given["experiment"]["datasets"] = arguments.datasets
    plan = make_plan(given)
    if arguments.transfer is not None and TRANSFERRED not in plan.treatments:
        parser.error(f"--transfer needs the treatment {TRANSFERRED}, as in strength.yaml")
    for name in plan.generators:
        if plan.trained_on(name):
            parser.error(f"generator {name} needs the whole workflow: run it with snakemake")
    if arguments.read:
        metrics = pa.concat_tables(map(read_table, arguments.read))
    else:
        metrics = run_all(plan, given, arguments, arguments.replicates or len(plan.replicates))
    baseline = arguments.baseline or plan.baselines[0]
    controls = [name for name in plan.treatments if plan.recipes[name].train_on == "original"]
    frame = metrics.to_pandas()
    frame = frame[frame["dataset"].isin(plan.datasets)]
    comparisons = compare(frame, [baseline], plan.test_to_train(), controls)
    asked = shown(frame, arguments.show)
    ran = list(dict.fromkeys(frame["treatment"]))
    if arguments.joint:
        remedies = all_remedies(**{**plan.remedies(), "plain": baseline, "treatments": ran})
        joint = compare_remedies(frame, remedies, plan.test_to_train(), controls)
        kept = {baseline, *(arguments.treatments or ran)}
        remedies = [one for one in remedies if one.treatment in kept]
        text = joint_tables(frame, joint, shown=asked, remedies=remedies)
    else:
        text = tables(
            frame,
            comparisons,
            shown=asked,
            columns=arguments.columns,
            treatments=arguments.treatments or ran,
        )
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.figure:
        dataset = plan.datasets[0]
        roles = prepared_of(plan, dataset, Path(arguments.mirror)).roles
        roles = with_words(roles, describe_settings(plan.cards[dataset]))
        draw(comparisons[comparisons["dataset"] == dataset], plan, roles, arguments.figure)


if __name__ == "__main__":
    main()
