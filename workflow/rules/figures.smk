"""Figures, SVG for the report and PNG for slides; none of them makes a model train again.

REQUIRED INPUTS: <results>/{dataset}/words.json
                 <results>/{dataset}/{scenario}/{replicate}/{original,test}.parquet
                 <results>/{dataset}/{scenario}/{replicate}/{generator}/{history,synthetic}.parquet
                 <results>/{dataset}/{scenario}/{replicate}/{treatment}/{rebalanced,weights}.parquet
                 <results>/{dataset}/{scenario}/{replicate}/{treatment}/{classifier}/predictions.parquet
                 <results>/{comparisons,summary}.parquet
OUTPUTS: <results>/figures/rule_graph.{svg,png}
         <results>/figures/{dataset}/{scenario}/{umap,densities}.{svg,png}
         <results>/figures/{dataset}/{scenario}/{group_composition,training_curves}.{svg,png}
         <results>/figures/{dataset}/{scenario}/{classifier}/{roc,calibration,tradeoff}.{svg,png}
         <results>/figures/{dataset}/{scenario}/{classifier}/differences_to_{baseline}.{svg,png}
         <results>/figures/{dataset}/{scenario}/{classifier}/dose_response.{svg,png}
         <results>/figures/across_datasets/{scenario}/{classifier}/{threshold}/ranks.{svg,png}
"""


rule plot_rule_graph:
    """Show the reader what was done, from the workflow itself (Figure 1 of the paper)."""
    output:
        svg=report(
            "<results>/figures/rule_graph.svg",
            caption="../report/rule_graph.rst",
            category=category("How it was made"),
            labels={"figure": "Rule graph"},
        ),
        png="<results>/figures/rule_graph.png",
    log:
        "<logs>/figures/plot_rule_graph.log",
    benchmark:
        "<benchmarks>/figures/plot_rule_graph.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_rule_graph"),
        snakefile=snakefile,
        config=whole_config,
    script:
        "../scripts/plot_rule_graph.py"


rule plot_umap:
    """See whether synthetic rows fill their group's place or copy a few rows (Figure 2)."""
    input:
        roles="<results>/{dataset}/words.json",
        original=shown_file("original.parquet"),
        rebalanced=shown_files(
            "{treatment}/rebalanced.parquet",
            treatment=PLAN.config.figures.umap_treatments,
        ),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/umap.svg",
            caption="../report/umap.rst",
            category=category("Synthetic rows"),
            labels={
                "figure": "UMAP",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/umap.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/plot_umap.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/plot_umap.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_umap"),
    script:
        "../scripts/plot_umap.py"


rule plot_densities:
    """Hold every feature of the synthetic rows against test rows (Figure 3)."""
    input:
        roles="<results>/{dataset}/words.json",
        test=shown_file("test.parquet"),
        synthetic=shown_files(
            "{generator}/synthetic.parquet", generator=PLAN.density_generators()
        ),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/densities.svg",
            caption="../report/densities.rst",
            category=category("Synthetic rows"),
            labels={
                "figure": "Densities",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/densities.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/plot_densities.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/plot_densities.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_densities"),
    script:
        "../scripts/plot_densities.py"


rule plot_group_composition:
    """Show how many rows of each group a classifier is given, and how many are real."""
    input:
        roles="<results>/{dataset}/words.json",
        rebalanced=shown_files(
            "{treatment}/rebalanced.parquet", treatment=PLAN.treatments
        ),
        weights=shown_files("{treatment}/weights.parquet", treatment=PLAN.treatments),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/group_composition.svg",
            caption="../report/group_composition.rst",
            category=category("Training"),
            labels={
                "figure": "Rows per group",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/group_composition.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/plot_group_composition.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/plot_group_composition.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_group_composition"),
    script:
        "../scripts/plot_group_composition.py"


rule plot_training_curves:
    """Show whether the generators were trained long enough to be judged at all."""
    input:
        history=every_replicate(
            "{generator}/history.parquet", generator=PLAN.iterated_generators()
        ),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/training_curves.svg",
            caption="../report/training_curves.rst",
            category=category("Training"),
            labels={
                "figure": "Training",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/training_curves.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/plot_training_curves.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/plot_training_curves.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_training_curves"),
    script:
        "../scripts/plot_training_curves.py"


rule plot_roc:
    """Show how well each subgroup is ranked, whatever threshold is chosen."""
    input:
        roles="<results>/{dataset}/words.json",
        predictions=every_replicate(
            "{treatment}/{classifier}/predictions.parquet",
            treatment=PLAN.config.figures.roc_treatments,
        ),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/{classifier}/roc.svg",
            caption="../report/roc.rst",
            category=category("Calibration and ROC curves"),
            labels={
                "figure": "ROC curves",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/{classifier}/roc.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/{classifier}/plot_roc.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/{classifier}/plot_roc.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_roc"),
    script:
        "../scripts/plot_roc.py"


rule plot_differences:
    """Show who is helped and who is harmed, with what uncertainty."""
    input:
        roles="<results>/{dataset}/words.json",
        comparisons="<results>/comparisons.parquet",
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/{classifier}/differences_to_{baseline}.svg",
            caption="../report/differences.rst",
            category=category("Differences"),
            labels={
                "figure": "Differences to {baseline}",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/{classifier}/differences_to_{baseline}.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/{classifier}/plot_differences_to_{baseline}.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/{classifier}/plot_differences_to_{baseline}.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_differences"),
    script:
        "../scripts/plot_differences.py"


rule plot_dose_response:
    """Show whether more rows of a kind help, or harm in proportion."""
    input:
        roles="<results>/{dataset}/words.json",
        comparisons="<results>/comparisons.parquet",
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/{classifier}/dose_response.svg",
            caption="../report/dose_response.rst",
            category=category("Dose"),
            labels={
                "figure": "Dose-response",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/{classifier}/dose_response.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/{classifier}/plot_dose_response.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/{classifier}/plot_dose_response.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_dose_response"),
    script:
        "../scripts/plot_dose_response.py"


rule plot_calibration:
    """Show whether a probability means the same for every subgroup."""
    input:
        roles="<results>/{dataset}/words.json",
        predictions=every_replicate(
            "{treatment}/{classifier}/predictions.parquet",
            treatment=PLAN.config.figures.roc_treatments,
        ),
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/{classifier}/calibration.svg",
            caption="../report/calibration.rst",
            category=category("Calibration and ROC curves"),
            labels={
                "figure": "Calibration",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/{classifier}/calibration.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/{classifier}/plot_calibration.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/{classifier}/plot_calibration.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_calibration"),
    script:
        "../scripts/plot_calibration.py"


rule plot_tradeoff:
    """Show what a smaller gap between subgroups costs everyone, and who is beaten in both."""
    input:
        roles="<results>/{dataset}/words.json",
        comparisons="<results>/comparisons.parquet",
        summary="<results>/summary.parquet",
    output:
        svg=report(
            "<results>/figures/{dataset}/{scenario}/{classifier}/tradeoff.svg",
            caption="../report/tradeoff.rst",
            category=category("Trade-off"),
            labels={
                "figure": "Utility against fairness",
                "dataset": "{dataset}",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
            },
        ),
        png="<results>/figures/{dataset}/{scenario}/{classifier}/tradeoff.png",
    log:
        "<logs>/figures/{dataset}/{scenario}/{classifier}/plot_tradeoff.log",
    benchmark:
        "<benchmarks>/figures/{dataset}/{scenario}/{classifier}/plot_tradeoff.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_tradeoff"),
    script:
        "../scripts/plot_tradeoff.py"


rule plot_ranks:
    """Show which treatments are better over many datasets; asked for from five on."""
    input:
        summary="<results>/summary.parquet",
    output:
        svg=report(
            "<results>/figures/across_datasets/{scenario}/{classifier}/{threshold}/ranks.svg",
            caption="../report/ranks.rst",
            category=category("Across datasets"),
            labels={
                "figure": "Ranks over datasets",
                "scenario": "{scenario}",
                "classifier": "{classifier}",
                "decisions by": "{threshold}",
            },
        ),
        png="<results>/figures/across_datasets/{scenario}/{classifier}/{threshold}/ranks.png",
    log:
        "<logs>/figures/across_datasets/{scenario}/{classifier}/{threshold}/plot_ranks.log",
    benchmark:
        "<benchmarks>/figures/across_datasets/{scenario}/{classifier}/{threshold}/plot_ranks.jsonl"
    group:
        "figures"
    conda:
        "../../envs/figures.yaml"
    params:
        stage=stage_params("plot_ranks"),
    script:
        "../scripts/plot_ranks.py"
