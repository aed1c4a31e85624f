# The raw conversations, the mended ones, and the model.


rule data_sharegpt:
    """the raw conversations, fetched and checked against their sha256"""
    input:
        files.given(config["sharegpt"]),
        **needs("data_sharegpt"),
    output:
        raw="results/data/sharegpt.json",
        prov="results/data/data_sharegpt.prov.json",
    log:
        "results/logs/data_sharegpt.log",
    benchmark:
        "results/timings/data_sharegpt.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        flags=flags.source(config["sharegpt"]),
    message:
        "Fetching ShareGPT ({config[sharegpt][source]})"
    shell:
        traced("data_sharegpt", "{params.flags:q} --output {output.raw:q}")


rule data_conversations:
    """the conversations, read and mended, and a table of what was dropped"""
    input:
        **needs("data_conversations", "conversations", "rejects"),
        raw="results/data/sharegpt.json",
    output:
        conversations="results/data/conversations.parquet",
        rejects="results/data/rejects.json",
        prov="results/data/data_conversations.prov.json",
    log:
        "results/logs/data_conversations.log",
    benchmark:
        "results/timings/data_conversations.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags.of({key: config["sharegpt"][key] or False for key in ("merge_parts", "max_records")}),
    message:
        "Reading and mending the conversations"
    shell:
        traced(
            "data_conversations",
            "--input {input.raw:q} {params.flags:q}"
            " --output {output.conversations:q} --rejects {output.rejects:q}",
        )


rule data_model:
    """the model's checkpoint: tokenizer, configuration and weights"""
    input:
        files.given(config["model"]),
        **needs("data_model", "model_summary"),
    output:
        tokenizer=TOKENIZER,
        config="results/data/model/config.json",
        generation="results/data/model/generation_config.json",
        weights=[f"results/data/model/{name}" for name in config["model"]["weights"]],
        summary="results/data/model/summary.json",
        prov="results/data/model/data_model.prov.json",
    log:
        "results/logs/data_model.log",
    benchmark:
        "results/timings/data_model.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        flags=[
            *flags.source(config["model"]),
            *flags.of({key: config["model"][key] for key in ("name", "licence", "weights")}),
        ],
    message:
        "Making the checkpoint of {config[model][name]}"
    shell:
        traced("data_model", "{params.flags:q} --outdir results/data/model --summary {output.summary:q}")
