"""MCRAGE, from a table of patients to a report of who was helped. See README.md."""

from snakemake.utils import min_version

min_version("9.25")


configfile: f"{workflow.basedir}/config.yaml"


pathvars:
    logs="results/logs",
    benchmarks="results/benchmarks",
    # Models on their way from a batch of replicates to each of them.
    together="results/together",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


rule all:
    """Everything promised, so that what is deleted of it is made again."""
    default_target: True
    input:
        "<results>/report.html",
        "<results>/metrics.parquet",
        "<results>/comparisons.parquet",
        "<results>/within_replicate.parquet",
        fidelity_table(),
        "<results>/summary.parquet",
        "<results>/summary.txt",
        generator_files("model.json"),
        generator_files("history.parquet"),
        generator_files("synthetic.parquet"),
        treatment_files("rebalanced.parquet"),
        csv_files(),
        figure_files("png"),


rule data:
    """Tables up to the induced imbalance, for every replicate."""
    input:
        replicate_files(
            "train.parquet", "validation.parquet", "test.parquet", "groups.json"
        ),


rule models:
    """Trained generators."""
    input:
        generator_files("model.json"),


rule samples:
    """Synthetic rows of every generator."""
    input:
        generator_files("synthetic.parquet"),


rule evaluation:
    """Metrics of every treatment and their comparisons, checked for leakage."""
    input:
        "<results>/metrics.parquet",
        "<results>/comparisons.parquet",
        "<results>/within_replicate.parquet",


rule figures:
    """All figures."""
    input:
        figure_files("png"),


# Now that all rules are known, and before Snakemake looks at what there is.
distrust_results()


onstart:
    note_holder()
    tell_what_is_left_out()
    forget_noted_trainings()
    refuse_a_missing_gpu()
    refuse_a_folder_that_takes_nothing(Path("results"), Path("resources"))
    spare_the_scheduler()


onsuccess:
    forget_noted_trainings()
    tell_where_the_results_are()
