# SPDX-License-Identifier: MIT
"""Weigh the members of the ensemble that labels synthetic rows in several ways, over replicates.

    .venv/bin/python benchmarks/shares.py --mirror DIR [--output FILE]

Scenario and classifiers are those of experiments/five-datasets.yaml, its replicates those of a seed
that judges nothing (777): by them `shares: held_out` was chosen. Each member is fitted on the
thinned rows, with no synthetic one, and judged on the test rows:

- forest: the classifier that is to learn from the labelled rows;
- equal: the plain mean of the members;
- likeliest: weighted so that held-out training rows are likeliest;
- held_out: as far from the plain mean as these rows are sure of, see
  `mcrage.classifiers.member_shares`.

Shares go by held-out training rows alone. ``--read FILE`` prints the tables of an earlier run.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import yaml
from ablation import ROOT, Replicate, make_plan, prepared_of
from study_tables import shown, tables

from mcrage.classifiers.member_shares import most_likely_shares, shares_of, told_of_what_came
from mcrage.classifiers.registry import fit
from mcrage.metrics.names import ALL, OVERALL
from mcrage.statistics.summary import compare
from mcrage.tables import read_table, write_table
from project import merge

CONFIG = ROOT / "experiments" / "five-datasets.yaml"
SEED = 777
DATASETS = ["patient-treatment", "adult", "eicu-demo", "diabetes"]
WAYS = ["equal", "forest", "likeliest", "held_out"]
BASELINE, SHOWN = "equal", ["auroc", "brier"]


def given_of(datasets: list[str]) -> dict:
    """Return the config of the replicates."""
    with CONFIG.open() as file:
        config = yaml.safe_load(file)
    with (ROOT / "config.yaml").open() as file:
        config = merge(yaml.safe_load(file), config)
    own = {"datasets": datasets, "seed": SEED, "references": {}}
    return merge(config, {"experiment": own})


def run(dataset: str, number: int, given: dict, mirror: Path) -> pa.Table:
    """Return AUROC and Brier score of each way to weigh, of one replicate."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    start = perf_counter()
    plan = make_plan(given)
    (scenario,) = plan.scenarios
    replicate = Replicate(plan, prepared_of(plan, dataset, mirror), dataset, scenario, number)
    params = replicate.params("rebalance", treatment="mcrage_tuned")
    judge = replicate.params("evaluate", treatment="imbalanced", classifier="random_forest")
    settings = [judge["settings"]["classifier"], *params["settings"]["teacher"]["members"]]
    train, roles, schema = replicate.real["train"], replicate.roles, replicate.schema
    forest, *members = [
        fit(one, train, None, roles, seed=params["seeds"]["teacher"]) for one in settings
    ]
    held = [member.held_out for member in members]
    scores, y = [one.scores for one in held], schema.target_of(held[0].groups)
    told = told_of_what_came(scores, y)
    shares = {
        "equal": np.full(len(members), 1 / len(members)),
        "likeliest": most_likely_shares(told),
        "held_out": shares_of(scores, y),
    }
    of_test = np.stack([member(replicate.test) for member in members], axis=1)
    found = {"forest": forest(replicate.test)}
    found |= {name: of_test @ share for name, share in shares.items()}
    came = schema.target_of(schema.index(replicate.test))
    names = {"dataset": dataset, "scenario": scenario, "replicate": number}
    names |= {"classifier": "teacher", "threshold": "", "attribute": OVERALL, "subgroup": ALL}
    metrics = {"auroc": roc_auc_score, "brier": brier_score_loss}
    rows = [
        {**names, "treatment": name, "metric": metric, "value": judged(came, score)}
        for name, score in found.items()
        for metric, judged in metrics.items()
    ]
    apart = ", ".join(f"{share:.2f}" for share in shares["held_out"])
    seconds = perf_counter() - start
    print(f"{dataset}, replicate {number}: shares {apart}; {seconds:.0f} s", flush=True)
    return pa.Table.from_pylist([{**row, "support": len(came)} for row in rows])


def main() -> None:
    """Run the replicates and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", required=True, help="folder with <dataset>/<file>")
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--replicates", type=int, default=6)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", help="Parquet file for the metrics of every replicate")
    parser.add_argument("--read", help="such a file of an earlier run: only print")
    arguments = parser.parse_args()
    given = given_of(arguments.datasets)
    if arguments.read:
        metrics = read_table(arguments.read)
    else:
        work = partial(run, given=given, mirror=Path(arguments.mirror))
        with ProcessPoolExecutor(arguments.processes) as pool:
            numbers = range(arguments.replicates)
            jobs = [pool.submit(work, name, n) for n in numbers for name in arguments.datasets]
            metrics = pa.concat_tables(job.result() for job in as_completed(jobs))
        if arguments.output:
            write_table(metrics, arguments.output)
    frame = metrics.to_pandas()
    comparisons = compare(frame, [BASELINE], make_plan(given).test_to_train())
    asked = shown(frame, SHOWN)
    print(tables(frame, comparisons, shown=asked, columns="dataset", treatments=WAYS))


if __name__ == "__main__":
    main()
