"""Generators: trained on the groups, then asked for the rows that each group lacks.

REQUIRED INPUTS: <results>/{dataset}/{scenario}/{replicate}/{train,validation,test,original}.parquet
                 <results>/{dataset}/{scenario}/{replicate}/groups.json
OUTPUTS: <together>/{dataset}/{scenario}/{batch}/{generator}
         <results>/{dataset}/{scenario}/{replicate}/{generator}/{model.safetensors,model.json}
         <results>/{dataset}/{scenario}/{replicate}/{generator}/{history,synthetic,fidelity}.parquet
         <results>/fidelity.parquet
         <results>/{dataset}/{scenario}/{replicate}/{treatment}/{rebalanced,weights}.parquet
"""


rule train_together:
    """Learn several replicates as one ensemble; train_generator takes each replicate's own."""
    input:
        train=of_batch(training_table),
        validation=of_batch(validation_table),
        roles="<results>/{dataset}/roles.json",
        after=of_batch(checked_groups),
    output:
        learnt=directory("<together>/{dataset}/{scenario}/{batch}/{generator}"),
    log:
        "<logs>/{dataset}/{scenario}/{batch}/{generator}/train_together.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{batch}/{generator}/train_together.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: PLAN.config.threads
    resources:
        gpu=training_gpus,
    params:
        stage=stage_params("train_together"),
        device=device,
        checkpoints=checkpoint_folder,
    script:
        "../scripts/train_together.py"


rule train_generator:
    """Learn every group at once, so that small groups borrow strength from large ones."""
    input:
        train=training_table,
        validation=validation_table,
        roles="<results>/{dataset}/roles.json",
        # Only an order; nothing is read from it.
        after=checked_groups,
        learnt=learnt_together,
    output:
        weights="<results>/{dataset}/{scenario}/{replicate}/{generator}/model.safetensors",
        model="<results>/{dataset}/{scenario}/{replicate}/{generator}/model.json",
        history="<results>/{dataset}/{scenario}/{replicate}/{generator}/history.parquet",
        # Times and device: beside the benchmarks, since results hold nothing of the machine.
        facts="<benchmarks>/{dataset}/{scenario}/{replicate}/{generator}/train_facts.json",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{generator}/train.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{generator}/train.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: PLAN.config.threads
    resources:
        gpu=training_gpus,
    params:
        stage=stage_params("train_generator"),
        device=device,
        checkpoints=checkpoint_folder,
    script:
        "../scripts/train_generator.py"


rule sample_generator:
    """Draw the rows that each group lacks."""
    input:
        train="<results>/{dataset}/{scenario}/{replicate}/train.parquet",
        weights="<results>/{dataset}/{scenario}/{replicate}/{generator}/model.safetensors",
        model="<results>/{dataset}/{scenario}/{replicate}/{generator}/model.json",
        roles="<results>/{dataset}/roles.json",
    output:
        synthetic="<results>/{dataset}/{scenario}/{replicate}/{generator}/synthetic.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{generator}/sample.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{generator}/sample.jsonl"
    group:
        sampling_group
    conda:
        "../../envs/generate.yaml"
    params:
        stage=stage_params("sample_generator"),
        device=device,
        checkpoints=checkpoint_folder,
    script:
        "../scripts/sample_generator.py"


rule judge_synthetic:
    """Tell whether synthetic rows could be real ones, and whether they are copies of some."""
    input:
        train="<results>/{dataset}/{scenario}/{replicate}/train.parquet",
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
        synthetic="<results>/{dataset}/{scenario}/{replicate}/{generator}/synthetic.parquet",
        roles="<results>/{dataset}/roles.json",
    output:
        fidelity="<results>/{dataset}/{scenario}/{replicate}/{generator}/fidelity.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{generator}/judge_synthetic.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{generator}/judge_synthetic.jsonl"
    group:
        "replicate"
    conda:
        "../../envs/generate.yaml"
    params:
        stage=stage_params("judge_synthetic"),
    script:
        "../scripts/judge_synthetic.py"


rule gather_fidelity:
    """Have what was found of all synthetic rows in one table."""
    input:
        fidelity=generator_files("fidelity.parquet"),
    output:
        fidelity="<results>/fidelity.parquet",
    log:
        "<logs>/gather_fidelity.log",
    benchmark:
        "<benchmarks>/gather_fidelity.jsonl"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("gather_fidelity"),
    script:
        "../scripts/gather_fidelity.py"


rule rebalance:
    """Make the table, and the weights, that a treatment gives to the classifier."""
    input:
        train=treated_table,
        synthetic=synthetic_table,
        roles="<results>/{dataset}/roles.json",
        after="<results>/{dataset}/{scenario}/{replicate}/groups.json",
    output:
        rebalanced="<results>/{dataset}/{scenario}/{replicate}/{treatment}/rebalanced.parquet",
        weights="<results>/{dataset}/{scenario}/{replicate}/{treatment}/weights.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{treatment}/rebalance.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{treatment}/rebalance.jsonl"
    group:
        rebalancing_group
    conda:
        "../../envs/generate.yaml"
    params:
        stage=stage_params("rebalance"),
    script:
        "../scripts/rebalance.py"


rule export_csv:
    """The rebalanced table for those who don't read Parquet."""
    input:
        table="<results>/{dataset}/{scenario}/{replicate}/{treatment}/rebalanced.parquet",
    output:
        csv="<results>/{dataset}/{scenario}/{replicate}/{treatment}/rebalanced.csv",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/{treatment}/export_csv.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/{treatment}/export_csv.jsonl"
    group:
        rebalancing_group
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("export_csv"),
    script:
        "../scripts/export_csv.py"
