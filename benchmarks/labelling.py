# SPDX-License-Identifier: MIT
"""Try other ways to label, weigh and choose synthetic rows than `tuned`'s, over replicates.

    .venv/bin/python benchmarks/labelling.py --mirror DIR --output FILE

The replicates, generator, teacher and seeds are those of experiments/strength.yaml, on which
`tuned` was chosen; so are the treatments `imbalanced`, `within_subgroup` (every group filled, rows
keep the label they were drawn for) and `ensemble_labels` (subgroups filled to 2.5 times the
largest, both labels with the teacher's weights). Each other treatment changes one thing of these:

- out_of_fold_labels: a synthetic row is labelled by the teacher of five that did not see the fold
  of the real row it lies nearest to, so that a copy is not labelled by who knows the original;
- redrawn_labels: one label, drawn with the teacher's probability, instead of both weighted;
- redrawn_out_of_fold_labels: that with the teachers out of fold;
- ensemble_labels_weight_25, _50: a synthetic row weighs a quarter or half of a real one;
- own_labels_weight_25, _50: the same of `within_subgroup`;
- own_labels_rejection, ensemble_labels_rejection: three times the rows are drawn, and a third of
  each group is kept in proportion to the odds of being real, by a forest that learnt to tell real
  training rows from synthetic ones other than those.

No test row has a part in any of it. ``--read FILE`` prints the tables of an earlier run.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import yaml
from ablation import ROOT, TRANSFERRED, Replicate, make_plan, prepared_of
from study_tables import shown, tables

from mcrage.classifiers.registry import fit
from mcrage.folds import stratified_folds
from mcrage.generators.base import TrainingData
from mcrage.groups import plan_rows
from mcrage.plan import Plan
from mcrage.rebalancing import Labels, rebalance, rows_to_add, synthetic_table
from mcrage.seeds import derive
from mcrage.statistics.summary import compare
from mcrage.tables import IS_SYNTHETIC, read_table, write_table
from project import merge

CONFIG = ROOT / "experiments" / "strength.yaml"
BASELINE, OWN, TAUGHT = "imbalanced", TRANSFERRED, "ensemble_labels"
FOLDS, POOL = 5, 3
SHOWN = ["auroc", "auroc@SEX", "f1", "brier"]

Treated = tuple[pa.Table, pa.Table]
"""A rebalanced table, and row_id and weight of its rows."""


class Trial:
    """The treatments of one replicate."""

    def __init__(self, replicate: Replicate) -> None:
        self._replicate, self._schema = replicate, replicate.schema
        self._train, self._roles = replicate.real["train"], replicate.roles
        self._data = TrainingData.of(self._train, self._roles)
        self._name = replicate.plan.recipes[OWN].generator
        self._generator = replicate.fitted(self._name)
        self._settings = replicate.params("rebalance", treatment=TAUGHT)
        self._seed = self._settings["seeds"]["teacher"]

    def treatments(self) -> dict[str, Treated]:
        """Return what each treatment makes of the training set."""
        replicate = self._replicate
        drawn = replicate.synthetic(self._name, fitted=self._generator)
        own, taught = (replicate.treated(name, drawn) for name in (OWN, TAUGHT))
        out_of_fold = self._taught(drawn, self._out_of_fold())
        return {
            BASELINE: replicate.treated(BASELINE, None),
            OWN: own,
            TAUGHT: taught,
            "out_of_fold_labels": out_of_fold,
            "redrawn_labels": self._redrawn(taught),
            "redrawn_out_of_fold_labels": self._redrawn(out_of_fold),
            "ensemble_labels_weight_25": weighed(taught, 0.25),
            "ensemble_labels_weight_50": weighed(taught, 0.5),
            "own_labels_weight_25": weighed(own, 0.25),
            "own_labels_weight_50": weighed(own, 0.5),
            "own_labels_rejection": replicate.treated(OWN, self._likeliest(OWN)),
            "ensemble_labels_rejection": replicate.treated(TAUGHT, self._likeliest(TAUGHT)),
        }

    def _taught(self, drawn: pa.Table, labels: Labels) -> Treated:
        treatment, seed = self._settings["settings"]["treatment"], self._settings["seeds"]
        return rebalance(
            self._train,
            self._schema,
            synthetic=drawn,
            labels=labels,
            seed=seed["rebalance"],
            **treatment,
        )

    def _out_of_fold(self) -> Labels:
        """Return the labels of the teacher that did not see the nearest real row."""
        teacher = self._settings["settings"]["teacher"]
        folds = stratified_folds(self._data.groups, FOLDS, derive(self._seed, "folds"))
        scores = [
            fit(teacher, self._train.filter(folds != fold), None, self._roles, seed=self._seed)
            for fold in range(FOLDS)
        ]

        def labels(rows: pa.Table) -> np.ndarray:
            found = TrainingData.of(rows, self._roles)
            nearest = self._nearest(found.features, self._schema.subgroup_of(found.groups))
            every = np.stack([score(rows) for score in scores])
            return every[folds[nearest], np.arange(rows.num_rows)]

        return labels

    def _nearest(self, features: np.ndarray, subgroups: np.ndarray) -> np.ndarray:
        """Return the real row of the same subgroup that each row lies nearest to."""
        from sklearn.neighbors import NearestNeighbors

        of_real = self._schema.subgroup_of(self._data.groups)
        out = np.empty(len(features), dtype=np.int64)
        for subgroup in np.unique(subgroups):
            real = np.flatnonzero(of_real == subgroup)
            mean = self._data.features[real].mean(axis=0)
            spread = self._data.features[real].std(axis=0)
            spread[spread == 0] = 1.0
            search = NearestNeighbors(n_neighbors=1)
            search.fit((self._data.features[real] - mean) / spread)
            mine = subgroups == subgroup
            place = search.kneighbors((features[mine] - mean) / spread, return_distance=False)
            out[mine] = real[place[:, 0]]
        return out

    def _redrawn(self, taught: Treated) -> Treated:
        """Return a treated table with one label for each synthetic row."""
        table, weights = taught
        synthetic = table.column(IS_SYNTHETIC).to_numpy()
        n_real, n = int((~synthetic).sum()), int(synthetic.sum()) // 2
        likely = weights.column("weight").to_numpy()[n_real : n_real + n]
        rng = np.random.default_rng(derive(self._seed, "redrawn"))
        positive = rng.random(n) < likely
        kept = np.concatenate([np.ones(n_real, dtype=bool), positive, ~positive])
        weights = weights.filter(kept)
        return table.filter(kept), _with_weight(weights, np.ones(weights.num_rows))

    def _likeliest(self, treatment: str) -> pa.Table:
        """Draw more rows than a treatment takes, and keep those that look real."""
        from sklearn.ensemble import RandomForestClassifier

        settings = self._replicate.params("rebalance", treatment=treatment)
        asked = settings["settings"]["treatment"]
        demand = {"by": asked["fill_by"], "size": asked["size"], "fill": asked["fill"]}
        plan = rows_to_add(self._schema.counts(self._data.groups), self._schema, **demand)
        pool, other = (
            self._drawn(plan * times, derive(self._seed, "pool", treatment, times))
            for times in (POOL, 1)
        )
        forest = RandomForestClassifier(300, min_samples_leaf=5, random_state=self._seed)
        real = self._told(self._data.features, self._data.groups)
        learnt = np.concatenate([real, self._told(*other)])
        is_real = np.repeat([1, 0], [len(real), len(other[1])])
        forest.fit(learnt, is_real)
        likely = forest.predict_proba(self._told(*pool))[:, 1].clip(1e-3, 1 - 1e-3)
        # The largest of log odds plus Gumbel noise are a draw in proportion to odds, without
        # replacement; how many rows of either kind were learnt from is the same factor for all.
        rng = np.random.default_rng(derive(self._seed, "kept", treatment))
        keys = np.log(likely / (1 - likely)) + rng.gumbel(size=len(likely))
        features, groups = pool
        kept = [
            np.flatnonzero(groups == group)[np.argsort(-keys[groups == group])[:wanted]]
            for group, wanted in enumerate(plan)
        ]
        rows = np.concatenate(kept)
        return synthetic_table(features[rows], groups[rows], self._train, self._roles)

    def _drawn(self, plan: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        groups = plan_rows(plan)
        table = synthetic_table(
            self._generator.sample(groups, seed=seed), groups, self._train, self._roles
        )
        # As recorded: a forest would tell unrounded rows at a glance.
        found = TrainingData.of(table, self._roles)
        return found.features, found.groups

    def _told(self, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return what the forest sees: features, subgroup and outcome."""
        schema = self._schema
        return np.column_stack([features, schema.subgroup_of(groups), schema.target_of(groups)])


def weighed(treated: Treated, factor: float) -> Treated:
    """Return a treated table whose synthetic rows weigh a part of what they did."""
    table, weights = treated
    synthetic = table.column(IS_SYNTHETIC).to_numpy()
    return table, _with_weight(
        weights, weights.column("weight").to_numpy() * np.where(synthetic, factor, 1.0)
    )


def _with_weight(weights: pa.Table, values: np.ndarray) -> pa.Table:
    place = weights.schema.get_field_index("weight")
    return weights.set_column(place, "weight", pa.array(values))


def run(number: int, given: dict[str, Any], mirror: Path) -> pa.Table:
    """Return the metrics of every treatment of one replicate."""
    start = perf_counter()
    plan = make_plan(given)
    (dataset,), (scenario,), (classifier,) = plan.datasets, plan.scenarios, plan.classifiers
    replicate = Replicate(plan, prepared_of(plan, dataset, mirror), dataset, scenario, number)
    treated = Trial(replicate).treatments()
    found = [replicate.judged(name, pair, classifier) for name, pair in treated.items()]
    print(f"replicate {number}: {perf_counter() - start:.0f} s", flush=True)
    return pa.concat_tables(found)


def told(metrics: pa.Table, plan: Plan, asked: Sequence[str] | None) -> str:
    """Return the tables of the differences to doing nothing, and to the teacher's labels."""
    frame = metrics.to_pandas()
    names = list(dict.fromkeys(frame["treatment"]))
    parts = []
    for baseline in (BASELINE, TAUGHT):
        comparisons = compare(frame, [baseline], plan.test_to_train(), [])
        parts.append(
            tables(
                *(frame, comparisons),
                shown=shown(frame, asked),
                columns="metric",
                treatments=names,
            )
        )
    return "\n".join(parts)


def main() -> None:
    """Parse arguments, run, print, and write the values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", required=True, type=Path, help="folder with <dataset>/<file>")
    parser.add_argument("--replicates", type=int, help="as the experiment says, if left out")
    parser.add_argument("--first", type=int, default=0, help="number of the first replicate")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", help="Parquet file for the metrics of every replicate")
    parser.add_argument("--read", nargs="+", help="such files of earlier runs: only print them")
    arguments = parser.parse_args()
    given = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    given = merge(given, yaml.safe_load(CONFIG.read_text(encoding="utf-8")))
    plan = make_plan(given)
    if arguments.read:
        print(told(pa.concat_tables(map(read_table, arguments.read)), plan, SHOWN))
        return
    numbers = range(
        arguments.first, arguments.first + (arguments.replicates or len(plan.replicates))
    )
    found: list[pa.Table] = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        work = partial(run, given=given, mirror=arguments.mirror)
        for job in as_completed([pool.submit(work, number) for number in numbers]):
            found.append(job.result())
            if arguments.output:
                write_table(pa.concat_tables(found), arguments.output)
    print(told(pa.concat_tables(found), plan, SHOWN))


if __name__ == "__main__":
    main()
