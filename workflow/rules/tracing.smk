# What real vLLM calls to answer a prompt: modules by hooks, kernels by PyTorch's profiler.


rule tracing_calls:
    """every call of a module of real vLLM"""
    input:
        **needs("tracing_calls", "tracing_calls", "document", vllm=True),
        model=rules.data_model.output.config,
        tokenizer=TOKENIZER,
        weights=rules.data_model.output.weights,
    output:
        simple="results/tracing/{device}/simple.json",
        detailed="results/tracing/{device}/detailed.json",
        texts=["results/tracing/{device}/simple.txt", "results/tracing/{device}/detailed.txt"],
        prov="results/tracing/tracing_calls.{device}.prov.json",
    log:
        "results/logs/tracing_calls.{device}.log",
    benchmark:
        "results/timings/tracing_calls.{device}.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=flags.of(config["tracing"]),
    message:
        "Tracing the calls of vLLM's modules ({wildcards.device})"
    shell:
        traced(
            "tracing_calls",
            "--model results/data/model --device {wildcards.device} {params.flags:q}"
            " --simple {output.simple:q} --detailed {output.detailed:q}",
            kind="measured",
            wildcards=["device"],
        )


rule tracing_kernels:
    """the kernels of real vLLM, by PyTorch's profiler"""
    input:
        **needs("tracing_kernels", "tracing_kernels", "document", vllm=True),
        model=rules.data_model.output.config,
        tokenizer=TOKENIZER,
        weights=rules.data_model.output.weights,
    output:
        kernels="results/tracing/{device}/kernels.json",
        text="results/tracing/{device}/kernels.txt",
        report="results/tracing/{device}/profiler_report.txt",
        trace="results/tracing/{device}/chrome_trace.json.gz",
        prov="results/tracing/tracing_kernels.{device}.prov.json",
    log:
        "results/logs/tracing_kernels.{device}.log",
    benchmark:
        "results/timings/tracing_kernels.{device}.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=flags.of(config["tracing"]),
    message:
        "Profiling the kernels of vLLM ({wildcards.device})"
    shell:
        traced(
            "tracing_kernels",
            "--model results/data/model --device {wildcards.device} {params.flags:q}"
            " --output {output.kernels:q} --report {output.report:q} --chrome-trace {output.trace:q}",
            kind="measured",
            wildcards=["device"],
        )
