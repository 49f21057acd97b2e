"""The page that a reader opens, and the text that ends a run.

REQUIRED INPUTS: <results>/{metrics,summary,comparisons,within_replicate,fidelity}.parquet,
                 <results>/{dataset}/{words.json,table.parquet}
                 <results>/figures/**.svg
                 <results>/{dataset}/{scenario}/{replicate}/{generator}/history.parquet
                 <results>/{dataset}/{scenario}/{replicate}/groups.json
OUTPUTS: <results>/report.html
         <results>/summary.txt
"""


rule report:
    """Say what was asked, what came out, how sure that is and what it cost."""
    input:
        metrics="<results>/metrics.parquet",
        summary="<results>/summary.parquet",
        comparisons="<results>/comparisons.parquet",
        within="<results>/within_replicate.parquet",
        fidelity=fidelity_table(),
        roles=expand("<results>/{dataset}/words.json", dataset=PLAN.datasets),
        tables=expand("<results>/{dataset}/table.parquet", dataset=PLAN.datasets),
        figures=figure_files("svg"),
        history=selecting_files("history.parquet"),
        groups=replicate_files("groups.json"),
    output:
        report=report(
            "<results>/report.html",
            caption="../report/report.rst",
            category=category("Verdicts"),
            labels={"page": "Verdicts, tables and figures"},
        ),
        summary="<results>/summary.txt",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.jsonl"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("report"),
        benchmarks=benchmark_folder,
        published=published_files,
    script:
        "../scripts/report.py"


rule lineage:
    """Check where every result comes from, or tell it of one: --config lineage=FILE."""
    log:
        "<logs>/lineage.log",
    # Asked again it says the same.
    retries: 0
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("lineage"),
        file=PLAN.config.lineage,
        cards=str(CARDS),
        published=str(PUBLISHED),
    script:
        "../scripts/lineage.py"


rule init_dataset:
    """Write a card of one's own table: --config path=TABLE target=COLUMN sensitive=COLUMN,..."""
    log:
        "<logs>/init_dataset.log",
    # Asked again it says the same.
    retries: 0
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("init_dataset"),
        asked=ASKED,
        cards=str(CARDS),
        experiments=str(Path(workflow.basedir) / "experiments"),
    script:
        "../scripts/init_dataset.py"


rule preflight:
    """Tell what a run would do and cost, and what would stop it."""
    log:
        "<logs>/preflight.log",
    # Asked again it says the same.
    retries: 0
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("preflight"),
        run=this_run,
        device=device,
        folders=["results", "resources", ".snakemake"],
        benchmarks=benchmark_folder,
    script:
        "../scripts/preflight.py"
