# The raw conversations, the mended ones, and the model.


rule sharegpt:
    input:
        given_files("sharegpt"),
        code=code("sharegpt"),
        lock=LOCK,
    output:
        raw="results/data/sharegpt.json",
        prov="results/data/sharegpt.prov.json",
    log:
        "results/logs/sharegpt.log",
    benchmark:
        "results/benchmarks/sharegpt.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        flags=source_flags("sharegpt"),
    message:
        "Fetching ShareGPT ({config[sharegpt][source]})"
    shell:
        traced("sharegpt", "scripts/sharegpt.py {params.flags:q} --output {output.raw:q}")


rule conversations:
    input:
        raw="results/data/sharegpt.json",
        code=code("conversations"),
        lock=LOCK,
        conversations_schema=schema("conversations"),
        rejects_schema=schema("rejects"),
    output:
        conversations="results/data/conversations.parquet",
        rejects="results/data/rejects.json",
        prov="results/data/conversations.prov.json",
    log:
        "results/logs/conversations.log",
    benchmark:
        "results/benchmarks/conversations.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags({key: config["sharegpt"][key] or False for key in ("merge_parts", "max_records")}),
    message:
        "Reading and mending the conversations"
    shell:
        traced(
            "conversations",
            "scripts/conversations.py --input {input.raw:q} {params.flags:q}"
            " --output {output.conversations:q} --rejects {output.rejects:q}",
            checked=["conversations", "rejects"],
        )


rule model:
    input:
        given_files("model"),
        code=code("model"),
        lock=LOCK,
        summary_schema=schema("model_summary"),
    output:
        tokenizer=TOKENIZER,
        config="results/model/config.json",
        generation="results/model/generation_config.json",
        weights=[f"results/model/{name}" for name in config["model"]["weights"]],
        summary="results/model/summary.json",
        prov="results/model/model.prov.json",
    log:
        "results/logs/model.log",
    benchmark:
        "results/benchmarks/model.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        flags=[
            *source_flags("model"),
            *flags({key: config["model"][key] for key in ("name", "licence", "weights")}),
        ],
    message:
        "Making the checkpoint of {config[model][name]}"
    shell:
        traced(
            "model",
            "scripts/model.py {params.flags:q} --outdir results/model --summary {output.summary:q}",
            checked=["summary"],
        )
