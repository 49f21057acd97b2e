"""The page that a reader opens, and the text that ends a run.

REQUIRED INPUTS: <results>/{metrics,comparisons}.parquet, <results>/{dataset}/words.json
                 <results>/figures/**.svg, resources/published/*.yaml
OUTPUTS: <results>/report.html
         <results>/summary.txt
"""


rule report:
    """Say what was asked, what came out, how sure that is and what it cost."""
    input:
        metrics="<results>/metrics.parquet",
        comparisons="<results>/comparisons.parquet",
        roles=expand("<results>/{dataset}/words.json", dataset=PLAN.datasets),
        figures=figure_files("svg"),
        published=published_files(),
        # The code digest sees Python only.
        templates=project_files("workflow/scripts/mcrage/report/templates/*"),
    output:
        report="<results>/report.html",
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
    script:
        "../scripts/report.py"
