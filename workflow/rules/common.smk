"""Config, dataset cards and the functions that rules use. The thought is in mcrage.plan."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from mcrage.config.load import load_config
from mcrage.datasets.cards import read_card
from mcrage.errors import UserError
from mcrage.plan import Plan

CARDS = Path(workflow.basedir) / "resources" / "datasets"


def make_plan():
    """Check config and cards before any job; one message for all mistakes."""
    try:
        checked = load_config(config)
        cards = {name: read_card(name, CARDS) for name in checked.experiment.datasets}
        return Plan(checked, cards)
    except UserError as error:
        # WorkflowError ends the run with its message and no traceback.
        raise WorkflowError(str(error)) from None


PLAN = make_plan()


wildcard_constraints:
    dataset="|".join(PLAN.datasets),
    scenario="|".join(PLAN.scenarios),
    replicate=r"\d+",
    generator="|".join(PLAN.generators) or "none",
    treatment="|".join(PLAN.all_treatments),
    classifier="|".join(PLAN.classifiers),
    file="[^/]+",


REPLICATE = "<results>/{dataset}/{scenario}/{replicate}"


def stage_params(rule):
    """One dict of plain values: settings, seeds, code digest, library versions."""
    return PLAN.params(rule)


def mirror(wildcards, output):
    """Where to look first; taking `output` keeps it out of what reruns a job."""
    return PLAN.config.mirror


def device(wildcards, output):
    """Where to train; taking `output` keeps it out of what reruns a job."""
    return PLAN.config.device


def combinations(pattern, **more):
    """The pattern for every dataset, scenario and replicate."""
    return expand(
        pattern,
        dataset=PLAN.datasets,
        scenario=PLAN.scenarios,
        replicate=PLAN.replicates,
        **more,
    )


def replicate_files(*names):
    return combinations(f"{REPLICATE}/{{name}}", name=names)


def generator_files(name):
    return combinations(f"{REPLICATE}/{{generator}}/{name}", generator=PLAN.generators)


def metric_files(name):
    return combinations(
        f"{REPLICATE}/{{treatment}}/{{classifier}}/{name}",
        treatment=PLAN.treatments,
        classifier=PLAN.classifiers,
    )


def raw_files(wildcards):
    return [
        f"<resources>/downloads/{wildcards.dataset}/{file.name}"
        for file in PLAN.cards[wildcards.dataset].files
    ]


def training_table(wildcards):
    """The table a generator learns from: the training set, or what a treatment made of it."""
    source = PLAN.trained_on(wildcards.generator)
    return f"{REPLICATE}/{source}/rebalanced.parquet" if source else f"{REPLICATE}/train.parquet"


def treated_table(wildcards):
    """The real rows that a treatment starts from."""
    return f"{REPLICATE}/{PLAN.config.treatments[wildcards.treatment].train_on}.parquet"


def synthetic_table(wildcards):
    """The synthetic rows that a treatment adds, if it has a generator."""
    generator = PLAN.config.treatments[wildcards.treatment].generator
    return f"{REPLICATE}/{generator}/synthetic.parquet" if generator else []


def models_of_replicate(wildcards):
    return expand(f"{REPLICATE}/{{generator}}/model.json", generator=PLAN.generators, **wildcards)


def tables_of_replicate(name):
    """The given file of every treatment of a replicate, in the order of PLAN.all_treatments."""

    def files(wildcards):
        return expand(f"{REPLICATE}/{{treatment}}/{name}", treatment=PLAN.all_treatments, **wildcards)

    return files


def tell_where_the_results_are():
    summary = Path("results/summary.txt")
    if summary.is_file():
        print(summary.read_text(encoding="utf-8"))
