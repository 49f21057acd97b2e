# SPDX-License-Identifier: MIT
"""Train generators on Adult's official training rows, and judge their rows as published tables do.

    .venv/bin/python benchmarks/adult.py --mirror DIR
    .venv/bin/python benchmarks/adult.py --mirror DIR --generators tabddpm:small,steps=500 smote

DIR holds adult/adult.data and adult/adult.test. A generator is a kind, a preset where the kind has
some (the cheaper one if left out) and settings: ``kind[:preset][,key=value]...``. It learns from
the 32,561 training rows, all 14 columns, with sex, race and income as its groups, and draws as
many rows of each group as there are, on one thread.

What is reported, for each generator and seed, and for the real training rows in its place:

- AUC, F1, macro F1: gradient boosting (`mcrage.classifiers`) trained on these rows alone and tested
  on adult.test; its settings are chosen by held-out folds of the rows it is trained on. F1 is that
  of the positive level, macro F1 the mean of both levels', at a probability of .5; TabDDPM's table
  (arXiv 2209.15421) has the latter, with a tuned CatBoost.
- shape, trend, C2ST, alpha-precision, beta-recall: of `mcrage.fidelity.whole`, against the training
  rows, as TabSyn's table (arXiv 2310.09656) and those after it have them (``--against test``: the
  test rows). C2ST is 1 - 2 |AUROC - .5| of gradient boosting, where those tables have logistic
  regression or XGBoost. Where real training rows stand, they are held against the test rows.
- DCR share: of rows nearer to a training row than to one of as many test rows; .5 is neutral.
- The share of rows with each number's three commonest values in the training rows (a second table).
- Seconds of CPU time for training and for drawing, and with ``--device cuda`` those that training
  held the GPU.

Published on Adult, synthetic rows only (generators.md of the project's references): TabDDPM AUC
.9136 and macro F1 .7951 (real .9276 and .8152); TabSyn .910, TabDiff .913, TabPC .916; shape .99,
trend .98, beta-recall .48 to .53, C2ST .79 to .86, DCR share .5 to .55.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from mcrage.classifiers.registry import fit_and_score  # noqa: E402
from mcrage.config.classifiers import GradientBoosting  # noqa: E402
from mcrage.config.generators import KINDS  # noqa: E402
from mcrage.datasets.card_model import PrepareSettings  # noqa: E402
from mcrage.datasets.cards import parse_card, prepare_settings  # noqa: E402
from mcrage.datasets.prepare import prepare  # noqa: E402
from mcrage.datasets.roles import Roles  # noqa: E402
from mcrage.encoding.columns import feature_matrix  # noqa: E402
from mcrage.errors import UserError  # noqa: E402
from mcrage.fidelity.whole import all_columns, judge_whole  # noqa: E402
from mcrage.generators.base import TrainingData  # noqa: E402
from mcrage.generators.registry import generator_class  # noqa: E402
from mcrage.groups import GroupSchema  # noqa: E402
from mcrage.rebalancing import synthetic_table  # noqa: E402
from mcrage.tables import atomic_output  # noqa: E402

CHEAPER = {"cddpm": "tuned", "tabddpm": "small"}
# Columns that the card leaves out and published tables have.
_PUBLISHED = {
    "fnlwgt": {"type": "integer", "resolution": 1},
    "education-num": {"type": "integer", "resolution": 1},
}
# Of each group, of a part of the rows: what SMOTE needs.
_FEW = 6
JUDGE = GradientBoosting(
    kind="gradient_boosting",
    n_trees=200,
    learning_rate=0.1,
    max_depth=None,
    grid={"max_depth": [4, 8], "min_samples_leaf": [10, 50]},
    grid_folds=3,
)


@dataclass(frozen=True)
class Adult:
    """Training and test rows, and what their columns are for."""

    train: pa.Table
    test: pa.Table
    roles: Roles


def read_adult(mirror: Path, n_rows: int | None = None, seed: int = 0) -> Adult:
    """Read the official split, with all columns.

    Parameters
    ----------
    mirror : Path
        Folder with adult/adult.data and adult/adult.test.
    n_rows : int, optional
        Take so many training rows only, drawn by `seed`; the first few of each group are kept.
    """
    card = yaml.safe_load((ROOT / "resources" / "datasets" / "adult.yaml").read_text())
    card["columns"] |= {name: card["columns"][name] | own for name, own in _PUBLISHED.items()}
    settings = PrepareSettings.model_validate(prepare_settings(parse_card(card, "adult.yaml")))
    files = [mirror / "adult" / name for name in ("adult.data", "adult.test")]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such file. Give the folder above it as --mirror.")
    prepared = prepare(settings, files)
    table, official = prepared.table, prepared.table.column("is_official_test").to_numpy()
    train, test = table.filter(pa.array(~official)), table.filter(pa.array(official))
    if n_rows is not None:
        schema = GroupSchema.of(prepared.roles)
        order = np.random.default_rng(seed).permutation(train.num_rows)
        groups = schema.index(train)[order]
        few = [np.flatnonzero(groups == group)[:_FEW] for group in range(schema.n_groups)]
        first = np.concatenate([*few, np.arange(len(order))])
        kept = order[first[np.sort(np.unique(first, return_index=True)[1])]][:n_rows]
        train = train.take(pa.array(np.sort(kept)))
    return Adult(train, test, prepared.roles)


def settings_of(told: str, budget: int | None = None) -> dict[str, Any]:
    """Return a generator's settings from ``kind[:preset][,key=value]...``.

    Parameters
    ----------
    told : str
    budget : int, optional
        Steps of training, for kinds that have them.
    """
    # A comma may also stand in a list.
    name, *others = re.split(r",(?=\s*\w+=|\w+$)", told)
    kind, _, preset = name.partition(":")
    if kind not in KINDS:
        raise UserError(f"--generators {told}: no kind {kind!r}; known are {', '.join(KINDS)}.")
    given: dict[str, Any] = {"kind": kind}
    if preset or kind in CHEAPER:
        given["preset"] = preset or CHEAPER[kind]
    if budget is not None and "steps" in KINDS[kind].model_fields:
        given["steps"] = budget
    for other in others:
        key, found, value = other.partition("=")
        if not found:
            raise UserError(f"--generators {told}: {other!r} is no key=value.")
        given[key] = yaml.safe_load(value)
    try:
        return KINDS[kind].model_validate(given).resolved()
    except ValueError as error:
        raise UserError(f"--generators {told}: {error}") from None


def judged(
    rows: pa.Table, adult: Adult, real: pa.Table, seed: int, max_rows: int
) -> dict[str, float]:
    """Return all measures of a table of training rows' kind; see the module."""
    features = all_columns(adult.roles)
    made, train, test, against = (
        feature_matrix(table, features) for table in (rows, adult.train, adult.test, real)
    )
    found = judge_whole(made, train, test, features, real=against, seed=seed, max_rows=max_rows)
    return efficacy(rows, adult, seed) | found | common_values(rows, adult)


def common_values(rows: pa.Table, adult: Adult, most: int = 3) -> dict[str, float]:
    """Return the share of rows with each number's commonest values in the training rows."""
    shares = {}
    for feature in adult.roles.features:
        if feature.levels:
            continue
        values, counts = np.unique(adult.train.column(feature.column), return_counts=True)
        held = np.asarray(rows.column(feature.column))
        for value in values[np.argsort(-counts, kind="stable")[:most]]:
            shares[f"{feature.column} = {value:g}"] = float(np.mean(held == value))
    return shares


def efficacy(rows: pa.Table, adult: Adult, seed: int) -> dict[str, float]:
    """Return AUC, F1 and macro F1 on test rows of what is trained on these rows alone."""
    from sklearn.metrics import f1_score, roc_auc_score

    scores = fit_and_score(JUDGE.resolved({}), rows, None, adult.test, adult.roles, seed=seed)
    target = adult.roles.target
    wanted = np.array(adult.test.column(target.column).to_pylist()) == target.levels[1]
    chosen = scores > 0.5
    return {
        "auc": float(roc_auc_score(wanted, scores)),
        "f1": float(f1_score(wanted, chosen)),
        "macro_f1": float(f1_score(wanted, chosen, average="macro")),
    }


def compare(
    generators: list[str],
    adult: Adult,
    seeds: int,
    *,
    budget: int | None = None,
    against: str = "train",
    device: str = "cpu",
    max_rows: int = 10_000,
) -> Iterator[dict[str, Any]]:
    """Yield a line of the table for the real rows, and for each generator and seed."""
    told = {one: settings_of(one, budget) for one in generators}
    template = adult.train.slice(0, 0)
    real = adult.train if against == "train" else adult.test
    for seed in range(seeds):
        found = judged(adult.train, adult, adult.test, seed, max_rows)
        # They are at distance 0 from themselves.
        found = {key: value for key, value in found.items() if not key.startswith("nearer")}
        yield {"rows": "real", "seed": seed} | found
        train = TrainingData.of(adult.train, adult.roles)
        for one, settings in told.items():
            generator = generator_class(settings["kind"])(settings)
            started = time.process_time()
            generator.fit(train, seed=seed, device=device)
            trained = time.process_time()
            chunks = list(generator.draw(train.counts, seed=seed + 1000, device=device))
            drawn = time.process_time()
            rows = pa.concat_tables(
                synthetic_table(features, groups, template, adult.roles)
                for features, groups in chunks
            )
            yield {
                "rows": one,
                "seed": seed,
                "train_seconds": trained - started,
                "draw_seconds": drawn - trained,
                **{key: generator.facts.get(key) for key in ("n_parameters", "gpu_seconds")},
            } | judged(rows, adult, real, seed, max_rows)


_SHOWN = {
    "auc": "AUC",
    "f1": "F1",
    "macro_f1": "macro F1",
    "shape": "shape",
    "trend": "trend",
    "alpha_precision": "alpha",
    "beta_recall": "beta",
    "c2st": "C2ST",
    "nearer_to_training": "DCR share",
    "train_seconds": "train s",
    "draw_seconds": "draw s",
    "gpu_seconds": "GPU s",
}


def shares_as_markdown(lines: list[dict[str, Any]]) -> str:
    """Return the table of common values, a row a value: the mean over seeds."""
    names = list(dict.fromkeys(line["rows"] for line in lines))
    out = [f"| value | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for key in lines[0]:
        if " = " in key:
            means = (np.mean([one[key] for one in lines if one["rows"] == name]) for name in names)
            out.append(f"| {key} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    return "\n".join(out) + "\n"


def as_markdown(lines: list[dict[str, Any]]) -> str:
    """Return the table, a row a generator: the mean over seeds and, of several, its deviation."""
    shown = {key: told for key, told in _SHOWN.items() if any(line.get(key) for line in lines)}
    out = [
        f"| rows | {' | '.join(shown.values())} |",
        f"|---|{'---|' * len(shown)}",
    ]
    for name in dict.fromkeys(line["rows"] for line in lines):
        cells = []
        for key in shown:
            own = (line.get(key) for line in lines if line["rows"] == name)
            values = np.array([value for value in own if value is not None])
            digits = 0 if key.endswith("seconds") else 4
            cell = f"{values.mean():.{digits}f}" if len(values) else ""
            if len(values) > 1:
                cell += f" ± {values.std(ddof=1):.{digits}f}"
            cells.append(cell)
        out.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def arguments() -> argparse.Namespace:
    """Return what the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, required=True, help="folder with adult/adult.data")
    parser.add_argument(
        "--generators", nargs="+", default=["tabddpm:small"], metavar="KIND[:PRESET][,KEY=VALUE]"
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on")
    parser.add_argument("--budget", type=int, help="steps of training, where there are any")
    parser.add_argument("--rows", type=int, help="so many training rows only")
    parser.add_argument("--against", choices=["train", "test"], default="train")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, help="a JSON file for all numbers")
    return parser.parse_args()


def main() -> None:
    """Compare, and print the table after each generator."""
    chosen = arguments()
    try:
        adult = read_adult(chosen.mirror, chosen.rows)
        lines = []
        for line in compare(
            chosen.generators,
            adult,
            chosen.seeds,
            budget=chosen.budget,
            against=chosen.against,
            device=chosen.device,
        ):
            lines.append(line)
            print(as_markdown(lines), shares_as_markdown(lines), sep="\n", flush=True)
            if chosen.output is not None:
                with atomic_output(chosen.output) as temporary:
                    temporary.write_text(json.dumps(lines, indent=2) + "\n")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
