# SPDX-License-Identifier: MIT
"""The rerun contract. Read `CONTRACT`: what is changed → exactly what `snakemake -n` runs again.

The small experiment (`project.SMALL`) has 2 replicates, 8 treatments, 4 generators (smote and
three of the diffusion model, of which `cddpm_paper` chooses its checkpoint by the rows it draws,
and `cddpm_after_smote` learns from SMOTE's table), 1 classifier and 2 baselines.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from project import SMALL, Project, merge

LIBRARY = "workflow/scripts/mcrage"
DATA = "results/diabetes/keep_25_percent_of_sex_2"
RAW = "resources/downloads/diabetes/diabetes.csv"
CARD = "resources/datasets/diabetes.yaml"


# --- what is changed ----------------------------------------------------------------------------


class Change:
    """Something done to a finished project.

    Parameters
    ----------
    *actions : callable
        Called with the project.
    config : dict
        Keys laid over the small experiment's, section by section; a callable gets the config.
    arguments : sequence of str
        For snakemake.
    environment : callable
        Called with the project, returns variables.
    """

    def __init__(self, *actions, config=None, arguments=(), environment=None) -> None:
        self.actions, self.arguments = actions, arguments
        self.config, self.environment = config, environment


def edit(path: str, old: str, new: str) -> Change:
    def action(project: Project) -> None:
        file = project.folder / path
        text = file.read_text()
        assert old in text, f"{path} has changed; mend the test"
        file.write_text(text.replace(old, new, 1))

    return Change(action)


def edits(*changes: Change) -> Change:
    return Change(*(action for change in changes for action in change.actions))


def both(first: Change, second: Change) -> Change:
    """What the first does to files, and the second to files and config."""
    return Change(*first.actions, *second.actions, config=second.config)


def do(action: Callable[[Path], Any]) -> Change:
    return Change(lambda project: action(project.folder))


def config(**sections: Any) -> Change:
    return Change(config=lambda base: merge(base, sections))


def treatments(change: Callable[[list[str]], list[str]], **more: Any) -> Change:
    return config(
        experiment={"treatments": change(list(SMALL["experiment"]["treatments"]))}, **more
    )


def doses_of_tuned(fill: list[float]) -> Change:
    """Fill by the tuned diffusion model at these doses, the last of which is shown."""
    shown = ["imbalanced", "smote", f"mcrage_tuned_fill_{round(100 * fill[-1])}_percent"]
    return config(
        treatments={"mcrage_tuned": {"fill": fill}},
        figures={
            "umap_treatments": shown,
            "density_treatments": shown[1:],
            "roc_treatments": shown,
        },
    )


def installed(package: str, version: str) -> Change:
    """A package's metadata of another version, found before the real one."""

    def environment(project: Project) -> dict[str, str]:
        folder = project.folder / "site" / f"{package.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        (folder / "METADATA").write_text(text)
        return {"PYTHONPATH": str(folder.parent)}

    return Change(environment=environment)


def touch(*patterns: str) -> Change:
    def action(folder: Path) -> None:
        files = [file for pattern in patterns for file in folder.glob(pattern)]
        assert files
        for file in files:
            file.touch()

    return do(action)


def delete(path: str) -> Change:
    return do(lambda folder: (folder / path).unlink())


def same_size(path: str, old: bytes, new: bytes) -> Change:
    def action(folder: Path) -> None:
        data = (folder / path).read_bytes()
        assert old in data
        assert len(old) == len(new)
        (folder / path).write_bytes(data.replace(old, new, 1))

    return do(action)


def other_rows(path: str) -> Change:
    """Rows in another order, with all that the table says of itself: only the content differs."""

    def action(folder: Path) -> None:
        table = pq.read_table(folder / path, partitioning=None)
        pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), folder / path)

    return do(action)


def clone(*, with_records: bool, with_dates: bool = True) -> Change:
    """A fresh checkout beside the old one, with the old results copied into it."""
    copy = shutil.copy2 if with_dates else shutil.copyfile

    def action(folder: Path) -> None:
        old = folder.with_name("old")
        folder.rename(old)
        folder.mkdir()
        Project(folder)
        kept = ["results", "resources/downloads", *([".snakemake"] if with_records else [])]
        for part in kept:
            shutil.copytree(old / part, folder / part, copy_function=copy, dirs_exist_ok=True)

    return do(action)


NOTHING = Change()
REFORMATTED = (
    "        losses = self.process.losses(output, batch.target)\n",
    "        losses = self.process.losses(\n            output,\n"
    "            batch.target,\n        )\n",
)

# --- what runs again ----------------------------------------------------------------------------

REPORT = {"report": 1, "all": 1}


def judged_anew(n: int) -> dict[str, int]:
    """What follows from the rows of n generators, or from what they are held against."""
    return {"judge_synthetic": n, "gather_fidelity": 1}


SUMMARISED = {
    "summarise": 1,
    "plot_tradeoff": 1,
    "plot_differences": 2,
    "plot_dose_response": 1,
    **REPORT,
}
# What follows from the guard's verdict.
COMPARED = {"gather_within_replicate": 1, **SUMMARISED}
JUDGED = {
    "check_leakage": 2,
    "compare_predictions": 2,
    "plot_roc": 1,
    "plot_calibration": 1,
    **COMPARED,
}
EVALUATED = {"evaluate": 16, **JUDGED}
SHOWN = {"plot_umap": 1, "plot_densities": 1, "plot_group_composition": 1}
# Everything that is made from a model of the diffusion generator.
DRAWN = {
    "sample_generator": 6,
    **judged_anew(6),
    "rebalance": 6,
    "plot_training_curves": 1,
    **SHOWN,
    **EVALUATED,
    "evaluate": 6,
}
# Everything that is made from the paper's models.
PAPER_ANEW = {
    "train_generator": 2,
    "sample_generator": 2,
    **judged_anew(2),
    "rebalance": 2,
    "evaluate": 2,
    "plot_training_curves": 1,
    "plot_group_composition": 1,
    **JUDGED,
    # Not among the curves that are shown.
    "plot_roc": 0,
    "plot_calibration": 0,
}
CHAIN = {
    "check_groups": 2,
    "train_generator": 8,
    "sample_generator": 8,
    **judged_anew(8),
    "rebalance": 16,
    "plot_training_curves": 1,
    **SHOWN,
    **EVALUATED,
}
PREPARED = {"balance": 2, "split": 2, "induce_imbalance": 2, **CHAIN}
ONE_REPLICATE = {
    **{name: 1 for name in ("balance", "split", "induce_imbalance", "check_groups")},
    **{"train_generator": 4, "sample_generator": 4, "rebalance": 8, "evaluate": 8},
    **judged_anew(4),
    **{
        "check_leakage": 1,
        "compare_predictions": 1,
        "plot_roc": 1,
        "plot_calibration": 1,
        "plot_training_curves": 1,
    },
    **COMPARED,
}

# Everything that is made from labels of synthetic rows.
LABELLED = {
    "rebalance": 2,
    "evaluate": 2,
    "plot_umap": 1,
    "plot_group_composition": 1,
    **JUDGED,
}

CONTRACT: dict[str, tuple[Change, dict[str, int]]] = {
    # Nothing that matters
    "nothing": (NOTHING, {}),
    "every script and module touched": (
        touch("workflow/scripts/*.py", f"{LIBRARY}/**/*.py", "Snakefile", "workflow/rules/*.smk"),
        {},
    ),
    "cards, config and environments touched": (
        touch("resources/**/*.yaml", "config.yaml", "envs/*.yaml"),
        {},
    ),
    "every result touched in its order": (
        do(
            lambda folder: [
                os.utime(path)
                for path in sorted(
                    (p for p in folder.glob("res*/**/*") if p.is_file()),
                    key=lambda path: path.stat().st_mtime_ns,
                )
            ]
        ),
        {},
    ),
    "the raw file touched": (touch(RAW), {}),
    "one replicate's training set touched": (touch(f"{DATA}/0/train.parquet"), {}),
    "fresh clone, results copied with .snakemake": (clone(with_records=True), {}),
    "fresh clone, results copied with .snakemake and new dates": (
        clone(with_records=True, with_dates=False),
        {},
    ),
    "fresh clone, results copied without .snakemake": (clone(with_records=False), {}),
    "a comment in the diffusion module": (
        edit(f"{LIBRARY}/diffusion/training.py", "class Trainer", "# why\nclass Trainer"),
        {},
    ),
    "a docstring in the diffusion module": (
        edit(f"{LIBRARY}/diffusion/training.py", '"""Trains M', '"""Truly trains M'),
        {},
    ),
    "a reformat of the diffusion module": (
        edit(f"{LIBRARY}/diffusion/training.py", *REFORMATTED),
        {},
    ),
    "a log line in stage": (
        edit(f"{LIBRARY}/stage.py", '"rule %s, wildcards %s"', '"This is rule %s of %s"'),
        {},
    ),
    "a message to the user": (edit(f"{LIBRARY}/errors.py", "the disk is full", "No space"), {}),
    "how progress is told": (
        edit(f"{LIBRARY}/progress.py", "_EVERY_SECONDS = 15.0", "_EVERY_SECONDS = 60.0"),
        {},
    ),
    "what signals do": (
        edit(f"{LIBRARY}/interruption.py", "_SECONDS = 1.0", "_SECONDS = 2.0"),
        {},
    ),
    "how often checkpoints are written": (
        edit(f"{LIBRARY}/generators/checkpoint.py", "_SHARE = 0.005", "_SHARE = 0.01"),
        {},
    ),
    "how spans of time are written": (
        edit(f"{LIBRARY}/durations.py", "min {seconds % 60:02d} s", "min {seconds % 60} s"),
        REPORT,
    ),
    "a comment in a rule file": (
        edit("workflow/rules/generate.smk", "rule sample", "# why\nrule sample"),
        {},
    ),
    "another address of the same raw file": (
        edit(CARD, "sources:\n", "sources:\n      - url: https://example.org/diabetes.csv\n"),
        {},
    ),
    "config: mirror": (config(mirror="elsewhere"), {}),
    "config: device": (config(device="cpu"), {}),
    "config: gpu_missing": (config(gpu_missing="cpu"), {}),
    "config: gpu_attempts": (config(gpu_attempts=2), {}),
    "config: replicates_together": (
        config(replicates_together=2),
        {"train_together": 3, "train_generator": 6, **DRAWN},
    ),
    "fewer cores": (Change(arguments=("--cores", "1")), {}),
    "config: threads": (
        config(threads=2),
        {
            **{"train_generator": 8, "sample_generator": 8, "rebalance": 8, "evaluate": 8},
            **judged_anew(8),
            **{"plot_training_curves": 1, **SHOWN, **JUDGED},
        },
    ),
    "config: rare_groups": (
        config(rare_groups={"fewer_than": 10}),
        {
            **{"train_generator": 8, "sample_generator": 8, "rebalance": 8, "evaluate": 8},
            **judged_anew(8),
            **{"plot_training_curves": 1, **SHOWN, **JUDGED},
        },
    ),
    "config: lineage": (config(lineage="results/metrics.parquet"), {}),
    "config: rebalanced_csv": (config(rebalanced_csv=True), {"export_csv": 16, "all": 1}),
    # Code
    "code of sampling": (
        edit(f"{LIBRARY}/diffusion/sampling.py", "from torch import Tensor\n", "EDITED = 1\n"),
        # The paper's checkpoints are chosen by the rows they draw.
        {"train_generator": 2, **DRAWN},
    ),
    "code that lends rows to rare groups": (
        edit(f"{LIBRARY}/rare_groups.py", "@dataclass(frozen", "EDITED = 1\n\n\n@dataclass(frozen"),
        {
            **{"train_generator": 8, "sample_generator": 8, "rebalance": 8, "evaluate": 8},
            **judged_anew(8),
            **{"plot_training_curves": 1, **SHOWN, **JUDGED},
        },
    ),
    "code of training": (
        edit(f"{LIBRARY}/diffusion/training.py", "self.n_steps += 1", "self.n_steps += 1 * 1"),
        {"train_generator": 6, **DRAWN},
    ),
    "code of SMOTE's sampling": (
        edit(f"{LIBRARY}/generators/smote_draw.py", "import numpy as np\n", "EDITED = 1\n"),
        # And of what learns from its table.
        {
            "sample_generator": 4,
            **judged_anew(4),
            "train_generator": 2,
            "rebalance": 4,
            "plot_training_curves": 1,
            **SHOWN,
            **EVALUATED,
            "evaluate": 4,
        },
    ),
    "code of the gate against memorising": (
        edit(f"{LIBRARY}/fidelity/gate.py", "ROUNDS = 50", "ROUNDS = 51"),
        # One generator's rows pass it.
        {
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "evaluate": 2,
            **SHOWN,
            **JUDGED,
        },
    ),
    "code that judges synthetic rows": (
        edit(f"{LIBRARY}/fidelity/structure.py", "_MAX_CORNERS = 10", "_MAX_CORNERS = 9"),
        {**judged_anew(8), **REPORT},
    ),
    "code of labels from real rows": (
        edit(f"{LIBRARY}/classifiers/teacher.py", "from typing import Any\n", "EDITED = 1\n"),
        # One treatment's rows have them; the guard finds them anew.
        LABELLED,
    ),
    "code of cuts": (
        edit(f"{LIBRARY}/classifiers/thresholds.py", "import numpy as np\n", "EDITED = 1\n"),
        EVALUATED,
    ),
    "code of kinds of classifiers and of recalibration that nobody uses": (
        edits(
            *(
                edit(f"{LIBRARY}/classifiers/{name}.py", "import numpy as np\n", "EDITED = 1\n")
                for name in ("recalibration", "group_dro", "exponentiated_gradient")
            )
        ),
        {},
    ),
    "another fairlearn, which nobody uses": (installed("fairlearn", "99.1"), {}),
    "code of metrics": (
        edit(
            f"{LIBRARY}/metrics/rates.py",
            "ratio(_hits(counts).sum(axis=-1), counts.sum(axis=(-1, -2)))",
            "ratio(_hits(counts).sum(-1), counts.sum(axis=(-1, -2)))",
        ),
        EVALUATED,
    ),
    "code of F1, by which the paper's checkpoints are chosen": (
        edit(f"{LIBRARY}/metrics/f1.py", "ratio(2 * hits", "ratio(2.0 * hits"),
        {
            "train_generator": 2,
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "plot_training_curves": 1,
            "plot_group_composition": 1,
            **EVALUATED,
        },
    ),
    "code of a figure": (
        edit(f"{LIBRARY}/figures/roc.py", "def mean_curve(", "EDITED = 1\n\n\ndef mean_curve("),
        {"plot_roc": 1, **REPORT},
    ),
    "code of the statistics": (
        edit(f"{LIBRARY}/statistics/summary.py", "\nimport pandas", "\nEDITED = 1\nimport pandas"),
        SUMMARISED,
    ),
    "code of the statistics within a replicate": (
        edit(f"{LIBRARY}/statistics/within.py", "EXACT_BELOW = 200", "EXACT_BELOW = 201"),
        {"compare_predictions": 2, "gather_within_replicate": 1, **REPORT},
    ),
    "the report's template": (
        edit(f"{LIBRARY}/report/templates/report.html.j2", "Limits", "What it can't tell"),
        REPORT,
    ),
    "code of the leakage guard": (
        edit(f"{LIBRARY}/leakage/rows.py", "import pyarrow as pa\n", "EDITED = 1\n"),
        {"check_leakage": 2, **COMPARED},
    ),
    "code of the download": (
        edit(f"{LIBRARY}/datasets/download.py", "_BLOCK = 1024", "_BLOCK = 2048"),
        {},
    ),
    "a rule": (
        edit("workflow/rules/generate.smk", "rule sample_generator:", "rule sample_generator: #"),
        {},
    ),
    "a rule's threads": (
        edit("workflow/rules/evaluate.smk", "    script:", "    threads: 1\n    script:"),
        {"plot_rule_graph": 1, **REPORT},
    ),
    "code of the check of groups": (
        edit(f"{LIBRARY}/group_check.py", "def check_groups(", "EDITED = 1\n\n\ndef check_groups("),
        {},
    ),
    # Config, section by section
    "config: title": (config(experiment={"title": "Another"}), REPORT),
    "config: the declared question": (
        config(experiment={"primary": {"metric": "brier"}}),
        REPORT,
    ),
    "config: margins, what is too small to matter": (config(margins={"gap": 0.03}), SUMMARISED),
    "config: bootstrap": (
        config(experiment={"bootstrap": 100}),
        {"compare_predictions": 2, "gather_within_replicate": 1, **REPORT},
    ),
    "config: a reference subgroup": (
        config(experiment={"references": {"diabetes": {"sex": 2}}}),
        EVALUATED,
    ),
    "config: seed": (config(experiment={"seed": 1}), PREPARED),
    "config: one more replicate": (config(experiment={"replicates": 3}), ONE_REPLICATE),
    "config: one replicate less": (
        config(experiment={"replicates": 1}),
        {
            "plot_roc": 1,
            "plot_calibration": 1,
            "plot_training_curves": 1,
            "gather_fidelity": 1,
            **COMPARED,
        },
    ),
    "config: baselines": (
        config(experiment={"baselines": ["imbalanced"]}),
        {"compare_predictions": 2, **COMPARED, "plot_differences": 1},
    ),
    "config: one more treatment": (
        treatments(lambda names: [*names, "group_oversampling"]),
        {
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            "check_leakage": 2,
            "compare_predictions": 2,
            **COMPARED,
        },
    ),
    "config: one treatment less": (
        treatments(lambda names: [name for name in names if name != "target_oversampling"]),
        # It was the only one with a list of doses.
        {
            "plot_group_composition": 1,
            "check_leakage": 2,
            "compare_predictions": 2,
            **COMPARED,
            "plot_dose_response": 0,
            "plot_rule_graph": 1,
        },
    ),
    "config: treatments, one more dose of repeated rows": (
        config(treatments={"target_oversampling": {"fill": [0.5, 1.5]}}),
        {
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            "check_leakage": 2,
            "compare_predictions": 2,
            **COMPARED,
        },
    ),
    "config: treatments, two doses up to 1 in the place of one": (
        doses_of_tuned([0.5, 1]),
        # Nothing is trained, nothing drawn.
        {
            "rebalance": 4,
            "evaluate": 4,
            "plot_group_composition": 1,
            "plot_umap": 1,
            **JUDGED,
        },
    ),
    "config: treatments, a dose above 1": (
        doses_of_tuned([1, 2]),
        # Twice as many rows are drawn of it, and nothing is trained.
        {
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 4,
            "evaluate": 4,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: a treatment renamed": (
        treatments(
            lambda names: ["filled" if name == "mcrage_tuned" else name for name in names],
            treatments={
                "filled": {
                    "description": "As it was.",
                    "generator": "cddpm_tuned",
                    "fill_by": "subgroup",
                    "size": 5,
                    "labels": "teacher",
                }
            },
            figures={
                "umap_treatments": ["imbalanced", "smote", "filled"],
                "density_treatments": ["smote", "filled"],
                "roc_treatments": ["imbalanced", "smote", "filled"],
            },
        ),
        # Nothing is trained, nothing drawn; densities show the same generators.
        {
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            "plot_umap": 1,
            **JUDGED,
        },
    ),
    "config: scenarios": (
        config(
            scenarios={
                "keep_25_percent_of_sex_2": {
                    "keep": [{"where": {"sex": "2"}, "fraction": 0.3}],
                }
            }
        ),
        {"induce_imbalance": 2, **CHAIN},
    ),
    "config: generators": (
        config(generators={"cddpm_tuned": {"steps": 61}}),
        {
            "train_generator": 2,
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "evaluate": 2,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: generators, chosen by cross-validation": (
        config(generators={"cddpm_tuned": {"selection": "cross_validation", "folds": 3}}),
        {
            "train_generator": 2,
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "evaluate": 2,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: generators, what training may take in memory": (
        config(generators={"cddpm_tuned": {"max_memory_gib": 1.5}}),
        {
            "train_generator": 2,
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "evaluate": 2,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: generators, steps of sampling": (
        config(generators={"cddpm_tuned": {"sampling_steps": 12}}),
        {"sample_generator": 2, **judged_anew(2), "rebalance": 2, "evaluate": 2, **SHOWN, **JUDGED},
    ),
    "config: generators, guidance, by whose rows the paper's checkpoints are chosen": (
        config(generators={"cddpm_paper": {"guidance": 2.0}}),
        PAPER_ANEW,
    ),
    "config: generators, SMOTE's neighbours": (
        config(generators={"smote": {"k_neighbors": 4}}),
        # SMOTE's model is its rows; what learns from its table is trained anew.
        {
            "train_generator": 2,
            "sample_generator": 4,
            **judged_anew(4),
            "rebalance": 4,
            "evaluate": 4,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: generators, a gate against memorising": (
        config(generators={"cddpm_paper": {"memorising": "drop"}}),
        # Also where the checkpoint is chosen by drawn rows, nothing is trained.
        {
            "sample_generator": 2,
            **judged_anew(2),
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            **JUDGED,
            "plot_roc": 0,
            "plot_calibration": 0,
        },
    ),
    "config: generators, two values swapped": (
        config(generators={"cddpm_paper": {"epochs": 2, "select_every_epochs": 4}}),
        PAPER_ANEW,
    ),
    "config: treatments": (
        config(treatments={"smote": {"fill": 0.5}}),
        # And what learns from its table.
        {
            "rebalance": 4,
            "train_generator": 2,
            "sample_generator": 2,
            **judged_anew(2),
            "evaluate": 4,
            **{"plot_training_curves": 1, "plot_umap": 1, "plot_group_composition": 1},
            **JUDGED,
        },
    ),
    "config: treatments, a number of rows": (
        config(treatments={"smote": {"fill_by": "rows", "rows": 40}}),
        # And what learns from its table.
        {
            "train_generator": 2,
            "sample_generator": 4,
            **judged_anew(4),
            "rebalance": 4,
            "evaluate": 4,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
        },
    ),
    "config: treatments, weights_over": (
        config(treatments={"group_weights": {"weights_over": ["sex"]}}),
        {
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            **JUDGED,
            "plot_roc": 0,
            "plot_calibration": 0,
        },
    ),
    "config: classifiers": (config(classifiers={"random_forest": {"n_trees": 31}}), EVALUATED),
    "config: classifiers, one that labels synthetic rows": (
        config(classifiers={"teacher": {"gamma": 0.1}}),
        LABELLED,
    ),
    "config: treatments, own labels": (
        config(treatments={"mcrage_tuned": {"labels": None}}),
        LABELLED,
    ),
    "config: treatments, what is filled": (
        config(treatments={"mcrage_tuned": {"fill_by": "group"}}),
        {"sample_generator": 2, **judged_anew(2), **LABELLED, "plot_densities": 1},
    ),
    "config: classifiers, recalibration": (
        config(classifiers={"random_forest": {"recalibration": "platt"}}),
        EVALUATED,
    ),
    "config: thresholds": (config(experiment={"thresholds": [0.5, "randomised"]}), EVALUATED),
    "config: thresholds, in another order": (
        # Tables and figures show the first.
        config(experiment={"thresholds": ["f1", 0.5]}),
        EVALUATED,
    ),
    "config: classifiers, two values swapped": (
        config(classifiers={"random_forest": {"min_samples_split": 5, "min_samples_leaf": 20}}),
        EVALUATED,
    ),
    "config: one more classifier": (
        config(
            experiment={"classifiers": ["random_forest", "small_forest"]},
            classifiers={"small_forest": {"kind": "random_forest", "n_trees": 5}},
        ),
        {
            **{"evaluate": 16, **JUDGED},
            **{"plot_differences": 4, "plot_dose_response": 2, "plot_tradeoff": 2},
        },
    ),
    "config: figures": (
        config(figures={"umap_treatments": ["imbalanced", "smote"]}),
        {"plot_umap": 1, **REPORT},
    ),
    "config: published": (config(published=["mcrage"]), REPORT),
    "seeds exchanged, so that the set of values stays the same": (
        edits(
            edit(f"{LIBRARY}/rule_settings/data.py", '(wildcards, "induce")', '(wildcards, "v")'),
            edit(
                f"{LIBRARY}/rule_settings/data.py",
                '(wildcards, "validation")',
                '(wildcards, "induce")',
            ),
            edit(
                f"{LIBRARY}/rule_settings/data.py", '(wildcards, "v")', '(wildcards, "validation")'
            ),
        ),
        {"induce_imbalance": 2, **CHAIN},
    ),
    # Cards
    "a card's label": (
        edit(CARD, "label: Body mass index", "label: BMI"),
        {
            "describe": 1,
            **SHOWN,
            "plot_roc": 1,
            "plot_calibration": 1,
            **{"plot_differences": 2, "plot_dose_response": 1, "plot_tradeoff": 1},
            **REPORT,
        },
    ),
    "a card's licence": (edit(CARD, "licence:", "licence: really"), REPORT),
    "a card's resolution": (
        edit(CARD, "resolution: 0.01,", "resolution: 0.02,"),
        {"prepare": 1, "describe": 1, **PREPARED},
    ),
    # Versions
    "another torch": (installed("torch", "99.1"), {"train_generator": 6, **DRAWN}),
    "another scikit-learn": (
        installed("scikit-learn", "99.1"),
        {
            # The paper's forest judges checkpoints; SMOTE and the gate seek neighbours.
            "train_generator": 4,
            "sample_generator": 8,
            **judged_anew(8),
            "rebalance": 8,
            "plot_training_curves": 1,
            **SHOWN,
            **EVALUATED,
        },
    ),
    "another imbalanced-learn": (
        installed("imbalanced-learn", "99.1"),
        {
            "sample_generator": 4,
            **judged_anew(4),
            "train_generator": 2,
            "rebalance": 4,
            "plot_training_curves": 1,
            **SHOWN,
            **EVALUATED,
            "evaluate": 4,
        },
    ),
    "another pandas": (installed("pandas", "99.1"), SUMMARISED),
    # Files
    "the raw file's content, not its size": (
        same_size(RAW, b"\n59,", b"\n95,"),
        {"prepare": 1, "describe": 1, **PREPARED},
    ),
    "one replicate's training set, not its size": (
        other_rows(f"{DATA}/0/train.parquet"),
        {
            "check_groups": 1,
            "train_generator": 4,
            "sample_generator": 4,
            **judged_anew(4),
            "rebalance": 8,  # `original`, too, since the gate that it waits for is passed anew
            "evaluate": 8,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
            **{"check_leakage": 1, "compare_predictions": 1},
        },
    ),
    "a deleted intermediate that nobody needs any more": (delete(f"{DATA}/0/balanced.parquet"), {}),
    "a deleted rebalanced table, which is promised": (
        delete(f"{DATA}/1/imbalanced/rebalanced.parquet"),
        {
            **{"rebalance": 1, "evaluate": 1},
            **JUDGED,
            **{"check_leakage": 1, "compare_predictions": 1},
        },
    ),
    "a deleted model, which is promised": (
        delete(f"{DATA}/0/cddpm_tuned/model.json"),
        {
            "train_generator": 1,
            "sample_generator": 1,
            **judged_anew(1),
            "rebalance": 1,
            "evaluate": 1,
            "plot_training_curves": 1,
            **SHOWN,
            **JUDGED,
            **{"check_leakage": 1, "compare_predictions": 1},
        },
    ),
    "a deleted summary": (delete("results/summary.txt"), REPORT),
    "a deleted figure": (
        delete("results/figures/rule_graph.png"),
        {"plot_rule_graph": 1, **REPORT},
    ),
    "a deleted table of results": (delete("results/comparisons.parquet"), SUMMARISED),
    # No stale result where Snakemake has no record
    "results copied without .snakemake, then another classifier": (
        both(
            clone(with_records=False),
            config(classifiers={"random_forest": {"n_trees": 31}}),
        ),
        EVALUATED,
    ),
    "results copied without .snakemake, then a treatment made from another table": (
        both(
            clone(with_records=False),
            config(treatments={"target_oversampling": {"train_on": "original"}}),
        ),
        {
            "rebalance": 2,
            "evaluate": 2,
            "plot_group_composition": 1,
            **JUDGED,
            "plot_roc": 0,
            "plot_calibration": 0,
        },
    ),
    "results copied without .snakemake, then one replicate less": (
        both(clone(with_records=False), config(experiment={"replicates": 1})),
        {
            "plot_roc": 1,
            "plot_calibration": 1,
            "plot_training_curves": 1,
            "gather_fidelity": 1,
            **COMPARED,
        },
    ),
    "results copied without .snakemake, then another replicate shown": (
        both(clone(with_records=False), config(figures={"replicate": 1})),
        {**SHOWN, **REPORT},
    ),
    "dated anew by --touch under other settings": (
        both(
            do(
                lambda folder: Project.at(folder).run(
                    "--touch",
                    config=merge(SMALL, {"classifiers": {"random_forest": {"n_trees": 31}}}),
                )
            ),
            config(classifiers={"random_forest": {"n_trees": 31}}),
        ),
        EVALUATED,
    ),
}


# One of each kind is planned as a user would: in a process of its own, where strings have hashes of
# their own, and with them the order of what Snakemake compares.
ALONE = {
    "nothing",
    "every script and module touched",
    "fresh clone, results copied without .snakemake",
    "code of a figure",
    "config: figures",
    "another pandas",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_exactly_these_rules_run_again(finished_run, tmp_path, name):
    change, expected = CONTRACT[name]
    folder = tmp_path / "project"
    # Nothing is made from what is left out.
    left_out = shutil.ignore_patterns("logs", "benchmarks", "records")
    shutil.copytree(finished_run.folder, folder, ignore=left_out)
    project = Project.at(folder)
    for action in change.actions:
        action(project)
    variables = change.environment(project) if change.environment else {}
    plan = project.plan(
        *change.arguments,
        config=change.config(SMALL) if change.config else SMALL,
        environment=variables,
        alone=name in ALONE,
    )
    plan.pop("total", None)
    assert plan == {rule: n for rule, n in expected.items() if n}


def test_one_of_each_kind_is_planned_alone():
    assert CONTRACT.keys() >= ALONE


def test_the_contract_covers_every_section_of_the_config():
    from mcrage.config.model import Config

    told = " ".join(CONTRACT)
    sections = set(Config.model_fields) - {"experiment"}
    assert {name for name in sections if not re.search(rf"config: .*{name}", told)} == set()
