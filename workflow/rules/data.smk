"""From the source to an imbalanced training set.

REQUIRED INPUTS: none (dataset cards name the sources)
OUTPUTS: <results>/{dataset}/{table.parquet,roles.json,words.json}
         <results>/{dataset}/{scenario}/{replicate}/{balanced,training_pool,test}.parquet
         <results>/{dataset}/{scenario}/{replicate}/{train,validation,original}.parquet
         <results>/{dataset}/{scenario}/{replicate}/groups.json
"""


rule download:
    """Fetch one raw file, from the mirror first, and check its SHA-256."""
    output:
        file="<resources>/downloads/{dataset}/{file}",
    log:
        "<logs>/{dataset}/download/{file}.log",
    benchmark:
        "<benchmarks>/{dataset}/download/{file}.jsonl"
    # Where Snakemake runs: nodes of a cluster often reach no address.
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("download"),
        sources=sources,
        mirror=mirror,
    script:
        "../scripts/download.py"


rule prepare:
    """Hold the raw file against its card, so that no later stage meets a surprise."""
    input:
        files=raw_files,
    output:
        table="<results>/{dataset}/table.parquet",
        roles="<results>/{dataset}/roles.json",
    log:
        "<logs>/{dataset}/prepare.log",
    benchmark:
        "<benchmarks>/{dataset}/prepare.jsonl"
    group:
        "dataset"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("prepare"),
        own=tables_of_ones_own,
    script:
        "../scripts/prepare.py"


rule describe:
    """Keep the reader's words apart: a better label makes no model train again."""
    input:
        roles="<results>/{dataset}/roles.json",
    output:
        words="<results>/{dataset}/words.json",
    log:
        "<logs>/{dataset}/describe.log",
    benchmark:
        "<benchmarks>/{dataset}/describe.jsonl"
    group:
        "dataset"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("describe"),
    script:
        "../scripts/describe.py"


rule balance:
    """Start from equally large subgroups, so that the induced imbalance is the only one."""
    input:
        table="<results>/{dataset}/table.parquet",
        roles="<results>/{dataset}/roles.json",
    output:
        table="<results>/{dataset}/{scenario}/{replicate}/balanced.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/balance.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/balance.jsonl"
    group:
        "data"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("balance"),
    script:
        "../scripts/balance.py"


rule split:
    """Lock the test set away before anything is thinned out or learnt."""
    input:
        table="<results>/{dataset}/{scenario}/{replicate}/balanced.parquet",
        roles="<results>/{dataset}/roles.json",
    output:
        training_pool="<results>/{dataset}/{scenario}/{replicate}/training_pool.parquet",
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/split.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/split.jsonl"
    group:
        "data"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("split"),
    script:
        "../scripts/split.py"


rule induce_imbalance:
    """Thin out a subgroup of the training rows, and set validation rows aside."""
    input:
        training_pool="<results>/{dataset}/{scenario}/{replicate}/training_pool.parquet",
        roles="<results>/{dataset}/roles.json",
    output:
        train="<results>/{dataset}/{scenario}/{replicate}/train.parquet",
        validation="<results>/{dataset}/{scenario}/{replicate}/validation.parquet",
        original="<results>/{dataset}/{scenario}/{replicate}/original.parquet",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/induce_imbalance.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/induce_imbalance.jsonl"
    group:
        "data"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("induce_imbalance"),
    script:
        "../scripts/induce_imbalance.py"


rule check_groups:
    """Refuse groups too small for what is asked, before anything is trained."""
    input:
        train="<results>/{dataset}/{scenario}/{replicate}/train.parquet",
        validation="<results>/{dataset}/{scenario}/{replicate}/validation.parquet",
        original="<results>/{dataset}/{scenario}/{replicate}/original.parquet",
        test="<results>/{dataset}/{scenario}/{replicate}/test.parquet",
        roles="<results>/{dataset}/roles.json",
    output:
        groups="<results>/{dataset}/{scenario}/{replicate}/groups.json",
    log:
        "<logs>/{dataset}/{scenario}/{replicate}/check_groups.log",
    benchmark:
        "<benchmarks>/{dataset}/{scenario}/{replicate}/check_groups.jsonl"
    group:
        "data"
    conda:
        "../../envs/data.yaml"
    params:
        stage=stage_params("check_groups"),
        needs=group_needs,
    script:
        "../scripts/check_groups.py"
