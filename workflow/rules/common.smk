"""Config, dataset cards and the functions that rules use. The thought is in mcrage.plan."""

import sys
from pathlib import Path
from types import SimpleNamespace

import snakemake.exceptions
from snakemake.exceptions import CliException, LockException, WorkflowError
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from mcrage.accelerator import require
from mcrage.checkpoint_folders import sweep_checkpoints
from mcrage.config.load import load_config
from mcrage.datasets.cards import download_settings, own_files, read_cards
from mcrage.errors import UserError
from mcrage.lineage import distrust
from mcrage.plan import Plan
from mcrage.snakemake_repairs import end_pauses_early, spare_timers, watch_steadily
from mcrage.working_folder import held_by, note_holder, require_writable

CARDS = Path(workflow.basedir) / "resources" / "datasets"
PUBLISHED = Path(workflow.basedir) / "resources" / "published"
CHECKPOINTS = "results/checkpoints"


class Mistake(CliException):
    """A user's mistake: Snakemake prints its message, and no frames of ours below it."""

    __traceback__ = None


class Locked(LockException):
    """Snakemake's refusal to work beside another run, in words that say which and what to do."""

    def __init__(self):
        WorkflowError.__init__(self, held_by())


snakemake.exceptions.LockException = Locked

if not workflow.local_exec:
    end_pauses_early()


def refuse_a_folder_that_takes_nothing(*folders):
    try:
        require_writable(*folders)
    except UserError as error:
        raise Mistake(str(error)) from None


# Here for Snakemake's own folder, without which it can't even plan.
refuse_a_folder_that_takes_nothing(Path(".snakemake"))


def asked_of_init_dataset():
    """What the command `init_dataset` is told by --config, which no experiment knows."""
    keys = ("path", "target", "sensitive", "cluster", "name")
    asked = "init_dataset" in sys.argv
    return {key: config.pop(key) for key in keys if asked and key in config}


ASKED = asked_of_init_dataset()


def make_plan():
    """Check config and cards before any job; one message for all mistakes."""
    try:
        checked = load_config(config)
        cards = read_cards(checked.experiment.datasets, CARDS)
        published = {path.stem: path for path in sorted(PUBLISHED.glob("*.yaml"))}
        return Plan(checked, cards, published)
    except UserError as error:
        raise Mistake(str(error)) from None


PLAN = make_plan()


def tell_what_is_left_out():
    if workflow.is_main_process and PLAN.config.left_out:
        logger.info(
            f"Left out, since no scenario thins rows: {', '.join(PLAN.config.left_out)} (it would be "
            "the training set itself)"
        )


def distrust_results():
    """What a result says of itself counts, not what Snakemake remembers of another."""
    if workflow.is_main_process:
        marked = distrust(
            Path.cwd(),
            PLAN.expected_digest,
            lambda path: any(rule.is_producer(path) for rule in workflow.rules),
        )
        if marked:
            more = f" and {len(marked) - 1} more" if len(marked) > 1 else ""
            logger.info(
                f"Made with other settings or code than now, so made anew: {marked[0]}{more}"
            )


wildcard_constraints:
    dataset="|".join(PLAN.datasets),
    scenario="|".join(PLAN.scenarios),
    replicate=r"\d+",
    batch=r"\d+-\d+",
    generator="|".join(PLAN.generators) or "none",
    treatment="|".join(PLAN.all_treatments),
    classifier="|".join(PLAN.classifiers),
    baseline="|".join(PLAN.baselines),
    threshold="|".join(PLAN.config.experiment.thresholds),
    file="[^/]+",


REPLICATE = "<results>/{dataset}/{scenario}/{replicate}"


def stage_params(rule):
    """One dict of plain values: settings, seeds, code digest, library versions."""
    return PLAN.params(rule)


def mirror(wildcards, output):
    """Where to look first; taking `output` keeps it out of what reruns a job."""
    return PLAN.config.mirror


def sources(wildcards, output):
    """Where to look; taking `output`, since the checksum alone says what a file holds."""
    return download_settings(PLAN.cards[wildcards.dataset], wildcards.file)


def tables_of_ones_own(wildcards, output):
    """Taking `output`: messages name the user's file, and where it lies reruns nothing."""
    return own_files(PLAN.cards[wildcards.dataset])


def device(wildcards, output):
    """Where to train; taking `output` keeps it out of what reruns a job."""
    return {
        "device": PLAN.config.device,
        "missing": PLAN.config.gpu_missing,
        "scheduled": workflow.remote_exec,
    }


def training_gpus(wildcards, attempt):
    """What a training asks a cluster for; on one machine it limits nothing."""
    # Where a batch has learnt, its models are only taken from it.
    taken = hasattr(wildcards, "replicate") and learnt_together(wildcards)
    return 0 if taken else PLAN.training_gpus(wildcards.generator, attempt)


def sampling_group(wildcards):
    """Which small stages share a cluster job. Training is one of its own, with a GPU."""
    return PLAN.cluster_group(generator=wildcards.generator)


def rebalancing_group(wildcards):
    return PLAN.cluster_group(treatment=wildcards.treatment)


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


def fidelity_table():
    """What was found of synthetic rows, if there are any."""
    return ["<results>/fidelity.parquet"] if PLAN.generators else []


def selecting_files(name):
    """Of the generators that chose among candidates, replicate by replicate."""
    return [
        path
        for dataset in PLAN.datasets
        for scenario in PLAN.scenarios
        for generator in PLAN.selecting_generators()
        for path in expand(
            f"{REPLICATE}/{generator}/{name}",
            dataset=dataset,
            scenario=scenario,
            replicate=PLAN.replicates,
        )
    ]


def treatment_files(name):
    return combinations(
        f"{REPLICATE}/{{treatment}}/{name}", treatment=PLAN.all_treatments
    )


def csv_files():
    """The rebalanced tables as CSV, if they are asked for."""
    return treatment_files("rebalanced.csv") if PLAN.config.rebalanced_csv else []


def metric_files(name):
    return combinations(
        f"{REPLICATE}/{{treatment}}/{{classifier}}/{name}",
        treatment=PLAN.treatments,
        classifier=PLAN.classifiers,
    )


def group_needs(wildcards, output):
    """Taking `output`: a treatment more is checked by its own stages, and reruns no other."""
    return PLAN.group_needs()


def whole_config(wildcards, output):
    """Taking `output`: only its shape, which is among the params, changes the rule graph."""
    return PLAN.science()


def checkpoint_folder(wildcards, output):
    """Where a killed training continues from. Not an output: Snakemake deletes those on a retry."""
    return CHECKPOINTS


def raw_files(wildcards):
    return [
        f"<resources>/downloads/{wildcards.dataset}/{file.name}"
        for file in PLAN.cards[wildcards.dataset].files
    ]


def training_table(wildcards):
    """The table a generator learns from: the training set, or what a treatment made of it."""
    source = PLAN.trained_on(wildcards.generator)
    return (
        f"{REPLICATE}/{source}/rebalanced.parquet"
        if source
        else f"{REPLICATE}/train.parquet"
    )


def checked_groups(wildcards):
    return f"{REPLICATE}/groups.json"


def learnt_together(wildcards):
    """The models of the batch that a replicate belongs to, if a generator learns batches."""
    batch = PLAN.batch_of(wildcards.generator, wildcards.replicate)
    return f"<together>/{{dataset}}/{{scenario}}/{batch}/{{generator}}" if batch else []


def of_batch(files):
    """The files of every replicate of a batch, by the function of one replicate's."""

    def of_all(wildcards):
        found = []
        for replicate in PLAN.replicates_of(wildcards.batch):
            one = {**wildcards, "replicate": replicate}
            patterns = files(SimpleNamespace(**one))
            found += expand(patterns, **one) if patterns else []
        return found

    return of_all


def validation_table(wildcards):
    """Only for a generator whose checkpoint is chosen on it: no other ever sees it."""
    judged = wildcards.generator in PLAN.judged_on_validation()
    return f"{REPLICATE}/validation.parquet" if judged else []


def treated_table(wildcards):
    """The real rows that a treatment starts from."""
    return f"{REPLICATE}/{PLAN.recipes[wildcards.treatment].train_on}.parquet"


def left_out_table(wildcards):
    """The real rows, for who judges by those that a treatment leaves out of its table."""
    needed = PLAN.judges_left_out(wildcards.treatment, wildcards.classifier)
    return treated_table(wildcards) if needed else []


def synthetic_table(wildcards):
    """The synthetic rows that a treatment adds, if it has a generator."""
    generator = PLAN.recipes[wildcards.treatment].generator
    return f"{REPLICATE}/{generator}/synthetic.parquet" if generator else []


def of_replicate(pattern, **names):
    """The pattern for these names in a replicate, in their order."""

    def files(wildcards):
        return expand(f"{REPLICATE}/{pattern}", **names, **wildcards)

    return files


def files_of_generators(name):
    return of_replicate(f"{{generator}}/{name}", generator=PLAN.generators)


def files_of_treatments(name):
    return of_replicate(f"{{treatment}}/{name}", treatment=PLAN.all_treatments)


def files_of_runs(name):
    return of_replicate(
        f"{{treatment}}/{{classifier}}/{name}",
        treatment=PLAN.treatments,
        classifier=PLAN.classifiers,
    )


def held_out_scores():
    """The scores of training rows by which decisions are made, where a rule is fitted on them."""
    path = f"{REPLICATE}/{{treatment}}/{{classifier}}/held_out.parquet"
    return {"held_out": path} if PLAN.fits_decisions() else {}


def files_of_held_out_scores(wildcards):
    return [
        file
        for name in held_out_scores()
        for file in files_of_runs(f"{name}.parquet")(wildcards)
    ]


# As a reviewer reads. Snakemake's report sorts categories by their names, so they begin with their
# places: nine at the most, since names are compared letter by letter.
READING = (
    "Verdicts",
    "Differences",
    "Trade-off",
    "Calibration and ROC curves",
    "Dose",
    "Across datasets",
    "Training",
    "Synthetic rows",
    "How it was made",
)


def category(name):
    """A category of Snakemake's report."""
    return f"{READING.index(name) + 1} {name}"


def shown_file(name):
    """A file of the replicate that figures show."""
    return f"<results>/{{dataset}}/{{scenario}}/{PLAN.config.figures.replicate}/{name}"


def shown_files(pattern, **names):
    """The pattern in the replicate that figures show."""

    def files(wildcards):
        replicate = PLAN.config.figures.replicate
        return expand(
            f"{REPLICATE}/{pattern}", replicate=replicate, **names, **wildcards
        )

    return files


def every_replicate(pattern, **names):
    """The pattern in every replicate, name by name."""

    def files(wildcards):
        return [
            path
            for value in names[next(iter(names))]
            for path in expand(
                f"{REPLICATE}/{pattern}",
                replicate=PLAN.replicates,
                **{next(iter(names)): value},
                **wildcards,
            )
        ]

    return files


def figure_files(ending):
    """Every figure of the experiment."""
    folder = "<results>/figures/{dataset}/{scenario}"
    common = dict(dataset=PLAN.datasets, scenario=PLAN.scenarios, ending=ending)
    return [
        f"<results>/figures/rule_graph.{ending}",
        *expand(f"{folder}/{{kind}}.{{ending}}", kind=PLAN.figures(), **common),
        *expand(
            f"{folder}/{{classifier}}/{{kind}}.{{ending}}",
            kind=PLAN.classifier_figures(),
            classifier=PLAN.classifiers,
            **common,
        ),
        *expand(
            "<results>/figures/across_datasets/{scenario}/{classifier}/{threshold}/ranks.{ending}",
            scenario=PLAN.scenarios if PLAN.ranked() else [],
            classifier=PLAN.classifiers,
            threshold=PLAN.config.experiment.thresholds,
            ending=ending,
        ),
    ]


def published_files(wildcards, output):
    """Taking `output`: their content is among the params, and their place is no reason to rerun."""
    return [str(PUBLISHED / f"{name}.yaml") for name in PLAN.config.published]


def snakefile(wildcards, output):
    """Taking `output` keeps the place of the checkout out of what reruns a job."""
    return str(Path(workflow.basedir) / "Snakefile")


def this_run(wildcards, output):
    """What was asked for, and where jobs go."""
    partitions = getattr(workflow.executor_settings, "partition_config", None)
    return {
        "arguments": sys.argv[1:],
        "cluster": not workflow.local_exec,
        "partitions": str(partitions) if partitions else None,
    }


def benchmark_folder(wildcards, output):
    """Taking `output`: times are shown, but new ones alone are no reason for a new report."""
    return "results/benchmarks"


def refuse_a_missing_gpu():
    """Before any job. On a cluster the jobs have the GPUs, and each job looks for itself."""
    if workflow.local_exec:
        try:
            require(PLAN.config.device)
        except UserError as error:
            raise Mistake(str(error)) from None


def forget_noted_trainings():
    """Remove checkpoints that no training needs any more, also those of runs that were killed."""
    sweep_checkpoints(
        Path.cwd(),
        CHECKPOINTS,
        rules.train_generator.output,
        rules.train_together.output,
    )


def spare_the_scheduler():
    """Mend what costs time or never ends in Snakemake 9.27 and its SLURM executor 2.8."""
    spare_timers(workflow.scheduler, limited=not workflow.local_exec)
    if not workflow.local_exec:
        seconds = workflow.remote_execution_settings.seconds_between_status_checks
        watch_steadily(workflow.scheduler, longest_pause=seconds)


def tell_where_the_results_are():
    summary = Path("results/summary.txt")
    asked = set(workflow.dag_settings.targets)
    if summary.is_file() and (not asked or asked & {"all", "report"}):
        print(summary.read_text(encoding="utf-8"))
