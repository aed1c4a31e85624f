# Token streams of the conversations, and the traces made of them.


rule tokens:
    input:
        TOKENIZER,
        template_file(),
        conversations="results/data/conversations.parquet",
        code=code("tokens"),
        lock=LOCK,
        streams_schema=schema("streams"),
        summary_schema=schema("tokens_summary"),
    output:
        streams="results/tokens/streams.parquet",
        summary="results/tokens/summary.json",
        prov="results/tokens/tokens.prov.json",
    log:
        "results/logs/tokens.log",
    benchmark:
        "results/benchmarks/tokens.tsv"
    conda:
        ENVIRONMENT
    threads: 16
    params:
        flags=TEMPLATE_FLAGS,
    message:
        "Tokenising every conversation once"
    shell:
        traced(
            "tokens",
            "scripts/tokens.py --conversations {input.conversations:q} --model-dir results/model {params.flags:q}"
            " --output {output.streams:q} --summary {output.summary:q}",
            checked=["streams", "summary"],
        )


rule trace:
    input:
        streams="results/tokens/streams.parquet",
        model="results/model/config.json",
        code=code("trace"),
        lock=LOCK,
        trace_schema=schema("trace"),
        summary_schema=schema("trace_summary"),
    output:
        trace="results/traces/{mode}_trace.parquet",
        summary="results/traces/{mode}_trace.json",
        prov="results/traces/trace.{mode}.prov.json",
    log:
        "results/logs/trace.{mode}.log",
    benchmark:
        "results/benchmarks/trace.{mode}.tsv"
    wildcard_constraints:
        mode="|".join(MODES),
    conda:
        ENVIRONMENT
    params:
        flags=trace_flags(),
    message:
        "Making the {wildcards.mode} trace"
    shell:
        traced(
            "trace",
            "scripts/trace.py --mode {wildcards.mode} --streams {input.streams:q} --model-config {input.model:q}"
            " {params.flags:q} --output {output.trace:q} --summary {output.summary:q}",
            wildcards=["mode"],
            checked=["trace", "summary"],
        )


rule trace_jsonl:
    input:
        TOKENIZER,
        template_file(),
        trace="results/traces/{mode}_trace.parquet",
        conversations="results/data/conversations.parquet",
        code=code("trace_jsonl"),
        lock=LOCK,
        jsonl_schema=schema("trace_jsonl"),
    output:
        jsonl="results/traces/{mode}_trace.jsonl",
        prov="results/traces/trace_jsonl.{mode}.prov.json",
    log:
        "results/logs/trace_jsonl.{mode}.log",
    benchmark:
        "results/benchmarks/trace_jsonl.{mode}.tsv"
    wildcard_constraints:
        mode="|".join(MODES),
    conda:
        ENVIRONMENT
    params:
        flags=TEMPLATE_FLAGS,
    message:
        "Writing the {wildcards.mode} trace as JSON Lines"
    shell:
        traced(
            "trace_jsonl",
            "scripts/trace_jsonl.py --trace {input.trace:q} --conversations {input.conversations:q}"
            " --model-dir results/model {params.flags:q} --output {output.jsonl:q}",
            wildcards=["mode"],
            checked=["jsonl"],
        )


rule import_trace:
    input:
        imported_file,
        code=code("import_trace"),
        lock=LOCK,
        trace_schema=schema("trace"),
        summary_schema=schema("trace_summary"),
    output:
        trace="results/traces/{imported}_trace.parquet",
        summary="results/traces/{imported}_trace.json",
        prov="results/traces/import_trace.{imported}.prov.json",
    log:
        "results/logs/import_trace.{imported}.log",
    benchmark:
        "results/benchmarks/import_trace.{imported}.tsv"
    wildcard_constraints:
        imported="|".join(IMPORTED) or "(?!)",
    conda:
        ENVIRONMENT
    params:
        flags=imported_flags,
    message:
        "Importing the trace {wildcards.imported}"
    shell:
        traced(
            "import_trace",
            "scripts/import_trace.py {params.flags:q} --output {output.trace:q} --summary {output.summary:q}",
            wildcards=["imported"],
            checked=["trace", "summary"],
        )


rule trace_summary:
    input:
        parts=expand("results/traces/{trace}_trace.json", trace=TRACES),
        code=code("trace_summary"),
        lock=LOCK,
        summary_schema=schema("traces_summary"),
    output:
        summary="results/traces/summary.json",
        prov="results/traces/trace_summary.prov.json",
    log:
        "results/logs/trace_summary.log",
    benchmark:
        "results/benchmarks/trace_summary.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        parts=[word for trace in TRACES for word in ("--part", f"{trace}=results/traces/{trace}_trace.json")],
    message:
        "Summing up the traces"
    shell:
        traced(
            "trace_summary",
            "scripts/trace_summary.py {params.parts:q} --output {output.summary:q}",
            checked=["summary"],
        )


# One job for all files: what a trace is written from is read once.
rule exports:
    input:
        TOKENIZER,
        template_file(),
        traces=expand("results/traces/{trace}_trace.parquet", trace=TRACES),
        conversations="results/data/conversations.parquet",
        code=code("exports"),
        lock=LOCK,
        index_schema=schema("exports"),
    output:
        export_files(),
        index="results/exports/index.json",
        prov="results/exports/exports.prov.json",
    log:
        "results/logs/exports.log",
    benchmark:
        "results/benchmarks/exports.tsv"
    conda:
        ENVIRONMENT
    params:
        exports=flags(config["exports"]),
        template=TEMPLATE_FLAGS,
    message:
        "Writing the traces for other tools"
    shell:
        traced(
            "exports",
            "scripts/exports.py --traces {input.traces:q} {params.exports:q} --conversations {input.conversations:q}"
            " --model-dir results/model {params.template:q} --outdir results/exports --index {output.index:q}",
            checked=["index"],
        )
