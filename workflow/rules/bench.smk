# The benchmark plan: real vLLM, test by test; and the code's own size.


rule bench_code_quality:
    input:
        measured=python_files(),
        code=code("bench_code_quality"),
        lock=LOCK,
        result_schema=schema("result"),
    output:
        result="results/bench/code_quality.json",
        prov="results/bench/bench_code_quality.prov.json",
    log:
        "results/logs/bench_code_quality.log",
    benchmark:
        "results/benchmarks/bench_code_quality.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        paths=config["bench"]["code_quality"],
    message:
        "Counting the code's lines, functions and branches"
    shell:
        traced(
            "bench_code_quality",
            "scripts/bench_code_quality.py --paths {params.paths:q} --output {output.result:q}",
            checked=["result"],
        )


rule bench_basics:
    input:
        model=rules.model.output.config,
        weights=rules.model.output.weights,
        code=code("bench_basics"),
        lock=[LOCK, VLLM_LOCK],
        throughput_schema=schema("result"),
        latency_schema=schema("result"),
        memory_schema=schema("result"),
    output:
        throughput="results/bench/{device}/throughput.json",
        latency="results/bench/{device}/latency.json",
        memory="results/bench/{device}/memory.json",
        prov="results/bench/bench_basics.{device}.prov.json",
    log:
        "results/logs/bench_basics.{device}.log",
    benchmark:
        "results/benchmarks/bench_basics.{device}.tsv"
    wildcard_constraints:
        device=DEVICE,
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=bench_flags("basics"),
    message:
        "Measuring throughput, latency and memory of vLLM ({wildcards.device})"
    shell:
        traced(
            "bench_basics",
            "scripts/bench_basics.py --model-dir results/model --device {wildcards.device} {params.flags:q}"
            " --throughput {output.throughput:q} --latency {output.latency:q} --memory {output.memory:q}",
            kind="measured",
            wildcards=["device"],
            checked=["throughput", "latency", "memory"],
        )


rule bench_prefix_cache:
    input:
        model=rules.model.output.config,
        weights=rules.model.output.weights,
        code=code("bench_prefix_cache"),
        lock=[LOCK, VLLM_LOCK],
        result_schema=schema("result"),
    output:
        result="results/bench/{device}/prefix_cache.json",
        prov="results/bench/bench_prefix_cache.{device}.prov.json",
    log:
        "results/logs/bench_prefix_cache.{device}.log",
    benchmark:
        "results/benchmarks/bench_prefix_cache.{device}.tsv"
    wildcard_constraints:
        device=DEVICE,
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=bench_flags("prefix_cache"),
    message:
        "Measuring vLLM with the prefix cache off and on ({wildcards.device})"
    shell:
        traced(
            "bench_prefix_cache",
            "scripts/bench_prefix_cache.py --model-dir results/model --device {wildcards.device} {params.flags:q}"
            " --output {output.result:q}",
            kind="measured",
            wildcards=["device"],
            checked=["result"],
        )


rule bench_pair:
    input:
        model=rules.model.output.config,
        weights=rules.model.output.weights,
        code=code("bench_pair"),
        lock=[LOCK, VLLM_LOCK],
        result_schema=schema("result"),
    output:
        result="results/bench/{device}/{test}.json",
        prov="results/bench/bench_pair.{device}.{test}.prov.json",
    log:
        "results/logs/bench_pair.{device}.{test}.log",
    benchmark:
        "results/benchmarks/bench_pair.{device}.{test}.tsv"
    wildcard_constraints:
        device=DEVICE,
        test="|".join(BENCH_PAIRS),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=bench_flags("pairs"),
    message:
        "Measuring vLLM with and without: {wildcards.test} ({wildcards.device})"
    shell:
        traced(
            "bench_pair",
            "scripts/bench_pair.py --model-dir results/model --device {wildcards.device} {params.flags:q}"
            " --test {wildcards.test} --output {output.result:q}",
            kind="measured",
            wildcards=["device", "test"],
            checked=["result"],
        )


rule bench_figures:
    input:
        results=[f"results/bench/{DEVICE}/{test}.json" for test in BENCH_TESTS],
        code=code("bench_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/bench/figures/{test}.png", test=BENCH_TESTS),
            caption="../report/bench_figures.rst",
            category="Benchmarks",
        ),
        expand("results/bench/figures/{test}.svg", test=BENCH_TESTS),
        prov="results/bench/bench_figures.prov.json",
    log:
        "results/logs/bench_figures.log",
    benchmark:
        "results/benchmarks/bench_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing the runs of the benchmarks"
    shell:
        traced(
            "bench_figures",
            "scripts/bench_figures.py --results {input.results:q} --outdir results/bench/figures",
            kind="measured",
        )
