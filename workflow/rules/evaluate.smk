"""Classifiers on every treatment, the leakage guard, and the public tables of results.

REQUIRED INPUTS: <results>/{dataset}/{scenario}/{replicate}/{treatment}/{rebalanced,weights}.parquet
                 <results>/{dataset}/{scenario}/{replicate}/test.parquet
OUTPUTS: <results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/metrics.parquet
         <results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/predictions.parquet
         <results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/held_out.parquet, where
             experiment.thresholds has a rule that is fitted
         <results>/{dataset}/{scenario}/{replicate}/leakage.json
         <results>/{dataset}/{scenario}/{replicate}/within_replicate.parquet
         <results>/{metrics,summary,comparisons,within_replicate}.parquet
"""


rule evaluate:
    """Judge a treatment by a classifier's scores on test rows that nothing has seen."""
    input:
        rebalanced="<results>/{dataset}/{scenario}/{replicate}/{treatment}/rebalanced.parquet",
        weights="<results>/{dataset}/{scenario}/{replicate}/{treatment}/weights.parquet",
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
        roles="<results>/{dataset}/roles.json",
        real=left_out_table,
    output:
        **held_out_scores(),
        metrics="<results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/metrics.parquet",
        predictions="<results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/predictions.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/evaluate.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/evaluate.jsonl"
    group:
        "replicate"
    conda:
        "../../envs/evaluate.yaml"
    params:
        stage=stage_params("evaluate"),
    script:
        "../scripts/evaluate.py"


rule check_leakage:
    """Prove for each replicate that no test or validation row was learnt from."""
    input:
        train="<results>/{dataset}/{scenario}/{replicate}/train.parquet",
        validation="<results>/{dataset}/{scenario}/{replicate}/validation.parquet",
        original="<results>/{dataset}/{scenario}/{replicate}/original.parquet",
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
        table="<results>/{dataset}/table.parquet",
        roles="<results>/{dataset}/roles.json",
        models=files_of_generators("model.json"),
        arrays=files_of_generators("model.safetensors"),
        synthetic=files_of_generators("synthetic.parquet"),
        metrics=files_of_runs("metrics.parquet"),
        predictions=files_of_runs("predictions.parquet"),
        held_out=files_of_held_out_scores,
        rebalanced=files_of_treatments("rebalanced.parquet"),
        weights=files_of_treatments("weights.parquet"),
    output:
        leakage="<results>/{dataset}/{scenario}/{replicate}/leakage.json",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/check_leakage.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/check_leakage.jsonl"
    group:
        "replicate"
    conda:
        "../../envs/generate.yaml"
    params:
        stage=stage_params("check_leakage"),
    script:
        "../scripts/check_leakage.py"


rule compare_predictions:
    """Tell what other test rows could have made of each difference in this replicate."""
    input:
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
        roles="<results>/{dataset}/roles.json",
        predictions=files_of_runs("predictions.parquet"),
    output:
        within="<results>/{dataset}/{scenario}/{replicate}/within_replicate.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/compare_predictions.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/compare_predictions.jsonl"
    group:
        "replicate"
    conda:
        "../../envs/evaluate.yaml"
    params:
        stage=stage_params("compare_predictions"),
    script:
        "../scripts/compare_predictions.py"


rule gather_within_replicate:
    """Have the comparisons within all replicates in one table."""
    input:
        within=replicate_files("within_replicate.parquet"),
        leakage=replicate_files("leakage.json"),
    output:
        within="<results>/within_replicate.parquet",
    log:
        "<logs>/gather_within_replicate.log",
    benchmark:
        "<benchmarks>/gather_within_replicate.jsonl"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("gather_within_replicate"),
    script:
        "../scripts/gather_within_replicate.py"


rule summarise:
    """Gather all metrics, and compare treatments within replicates."""
    input:
        metrics=metric_files("metrics.parquet"),
        leakage=replicate_files("leakage.json"),
    output:
        metrics="<results>/metrics.parquet",
        summary="<results>/summary.parquet",
        comparisons="<results>/comparisons.parquet",
    log:
        "<logs>/summarise.log",
    benchmark:
        "<benchmarks>/summarise.jsonl"
    conda:
        "../../envs/evaluate.yaml"
    params:
        stage=stage_params("summarise"),
    script:
        "../scripts/summarise.py"
