# Token streams of the conversations, and the traces made of them.


rule traces_tokens:
    """every conversation rendered and tokenised once"""
    input:
        TOKENIZER,
        files.template(config),
        **needs("traces_tokens", "streams", "tokens_summary"),
        conversations="results/data/conversations.parquet",
    output:
        streams="results/traces/streams.parquet",
        summary="results/traces/streams_summary.json",
        prov="results/traces/traces_tokens.prov.json",
    log:
        "results/logs/traces_tokens.log",
    benchmark:
        "results/timings/traces_tokens.tsv"
    conda:
        ENVIRONMENT
    threads: 16
    params:
        flags=flags.template(config["traces"]),
    message:
        "Tokenising every conversation once"
    shell:
        traced(
            "traces_tokens",
            "--conversations {input.conversations:q} --model-dir results/data/model {params.flags:q}"
            " --output {output.streams:q} --summary {output.summary:q}",
        )


rule traces_make:
    """a trace of requests made from the conversations"""
    input:
        **needs("traces_make", "trace", "trace_summary"),
        streams="results/traces/streams.parquet",
        model="results/data/model/config.json",
    output:
        trace="results/traces/{mode}_trace.parquet",
        summary="results/traces/{mode}_trace.json",
        prov="results/traces/traces_make.{mode}.prov.json",
    log:
        "results/logs/traces_make.{mode}.log",
    benchmark:
        "results/timings/traces_make.{mode}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags.trace(config["traces"]),
    message:
        "Making the {wildcards.mode} trace"
    shell:
        traced(
            "traces_make",
            "--mode {wildcards.mode} --streams {input.streams:q} --model-config {input.model:q}"
            " {params.flags:q} --output {output.trace:q} --summary {output.summary:q}",
            wildcards=["mode"],
        )


rule traces_jsonl:
    """a trace as JSON Lines, with the text and tokens of every prompt"""
    input:
        TOKENIZER,
        files.template(config),
        **needs("traces_jsonl", "trace_jsonl"),
        trace="results/traces/{mode}_trace.parquet",
        conversations="results/data/conversations.parquet",
    output:
        jsonl="results/traces/{mode}_trace.jsonl",
        prov="results/traces/traces_jsonl.{mode}.prov.json",
    log:
        "results/logs/traces_jsonl.{mode}.log",
    benchmark:
        "results/timings/traces_jsonl.{mode}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags.template(config["traces"]),
    message:
        "Writing the {wildcards.mode} trace as JSON Lines"
    shell:
        traced(
            "traces_jsonl",
            "--trace {input.trace:q} --conversations {input.conversations:q}"
            " --model-dir results/data/model {params.flags:q} --output {output.jsonl:q}",
            wildcards=["mode"],
        )


rule traces_import:
    """a trace from another project's file"""
    input:
        lambda wildcards: config["traces"]["imported"][wildcards.imported]["path"],
        **needs("traces_import", "trace", "trace_summary"),
    output:
        trace="results/traces/{imported}_trace.parquet",
        summary="results/traces/{imported}_trace.json",
        prov="results/traces/traces_import.{imported}.prov.json",
    log:
        "results/logs/traces_import.{imported}.log",
    benchmark:
        "results/timings/traces_import.{imported}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=lambda wildcards: flags.imported(config["traces"]["imported"][wildcards.imported]),
    message:
        "Importing the trace {wildcards.imported}"
    shell:
        traced(
            "traces_import",
            "{params.flags:q} --output {output.trace:q} --summary {output.summary:q}",
            wildcards=["imported"],
        )


rule traces_summary:
    """requests, tokens and lengths of all traces"""
    input:
        **needs("traces_summary", "traces_summary"),
        parts=expand("results/traces/{trace}_trace.json", trace=TRACES),
    output:
        summary="results/traces/summary.json",
        prov="results/traces/traces_summary.prov.json",
    log:
        "results/logs/traces_summary.log",
    benchmark:
        "results/timings/traces_summary.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        parts=[word for trace in TRACES for word in ("--part", f"{trace}=results/traces/{trace}_trace.json")],
    message:
        "Summing up the traces"
    shell:
        traced("traces_summary", "{params.parts:q} --output {output.summary:q}")


# One job writes all files, so that it reads their sources only once.
rule traces_exports:
    """the traces in the formats of other tools"""
    input:
        TOKENIZER,
        files.template(config),
        **needs("traces_exports", "exports"),
        traces=expand("results/traces/{trace}_trace.parquet", trace=TRACES),
        conversations="results/data/conversations.parquet",
    output:
        files.exports(config),
        index="results/traces/exports/index.json",
        prov="results/traces/exports/traces_exports.prov.json",
    log:
        "results/logs/traces_exports.log",
    benchmark:
        "results/timings/traces_exports.tsv"
    conda:
        ENVIRONMENT
    params:
        exports=flags.of(config["exports"]),
        template=flags.template(config["traces"]),
    message:
        "Writing the traces for other tools"
    shell:
        traced(
            "traces_exports",
            "--traces {input.traces:q} {params.exports:q} --conversations {input.conversations:q}"
            " --model-dir results/data/model {params.template:q} --outdir results/traces/exports --index {output.index:q}",
        )
