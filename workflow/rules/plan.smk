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
        model=bench_model(),
        trace=bench_trace,
        code=code("bench_basics"),
        lock=[LOCK, VLLM_LOCK],
        throughput_schema=schema("result"),
        latency_schema=schema("result"),
        memory_schema=schema("result"),
    output:
        throughput="results/bench/{device}/throughput{prompts}.json",
        latency="results/bench/{device}/latency{prompts}.json",
        memory="results/bench/{device}/memory{prompts}.json",
        prov="results/bench/bench_basics.{device}{prompts}.prov.json",
    log:
        "results/logs/bench_basics.{device}{prompts}.log",
    benchmark:
        "results/benchmarks/bench_basics.{device}{prompts}.tsv"
    wildcard_constraints:
        device=DEVICE,
        prompts=PROMPTS,
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
        "Measuring throughput, latency and memory of vLLM ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "bench_basics",
            "scripts/bench_basics.py --device {wildcards.device} {params.flags:q}"
            " --throughput {output.throughput:q} --latency {output.latency:q} --memory {output.memory:q}",
            kind="measured",
            wildcards=["device", "prompts"],
            checked=["throughput", "latency", "memory"],
        )


rule bench_prefix_cache:
    input:
        model=bench_model(),
        trace=bench_trace,
        code=code("bench_prefix_cache"),
        lock=[LOCK, VLLM_LOCK],
        result_schema=schema("result"),
    output:
        result="results/bench/{device}/prefix_cache{prompts}.json",
        prov="results/bench/bench_prefix_cache.{device}{prompts}.prov.json",
    log:
        "results/logs/bench_prefix_cache.{device}{prompts}.log",
    benchmark:
        "results/benchmarks/bench_prefix_cache.{device}{prompts}.tsv"
    wildcard_constraints:
        device=DEVICE,
        prompts=PROMPTS,
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
        "Measuring vLLM with the prefix cache off and on ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "bench_prefix_cache",
            "scripts/bench_prefix_cache.py --device {wildcards.device} {params.flags:q}"
            " --output {output.result:q}",
            kind="measured",
            wildcards=["device", "prompts"],
            checked=["result"],
        )


rule bench_pair:
    input:
        model=bench_model(),
        trace=bench_trace,
        code=code("bench_pair"),
        lock=[LOCK, VLLM_LOCK],
        result_schema=schema("result"),
    output:
        result="results/bench/{device}/{test}{prompts}.json",
        prov="results/bench/bench_pair.{device}.{test}{prompts}.prov.json",
    log:
        "results/logs/bench_pair.{device}.{test}{prompts}.log",
    benchmark:
        "results/benchmarks/bench_pair.{device}.{test}{prompts}.tsv"
    wildcard_constraints:
        device=DEVICE,
        test="|".join(BENCH_PAIRS),
        prompts=PROMPTS,
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
        "Measuring vLLM with and without: {wildcards.test} ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "bench_pair",
            "scripts/bench_pair.py --device {wildcards.device} {params.flags:q} --test {wildcards.test}"
            " --output {output.result:q}",
            kind="measured",
            wildcards=["device", "test", "prompts"],
            checked=["result"],
        )


rule bench_scaling:
    input:
        model=bench_model(),
        trace=bench_trace,
        code=code("bench_scaling"),
        lock=[LOCK, VLLM_LOCK],
        single_schema=schema("result"),
        strong_schema=schema("result"),
        weak_schema=schema("result"),
    output:
        single="results/bench/{device}/single_device{prompts}.json",
        strong="results/bench/{device}/strong_scaling{prompts}.json",
        weak="results/bench/{device}/weak_scaling{prompts}.json",
        prov="results/bench/bench_scaling.{device}{prompts}.prov.json",
    log:
        "results/logs/bench_scaling.{device}{prompts}.log",
    benchmark:
        "results/benchmarks/bench_scaling.{device}{prompts}.tsv"
    wildcard_constraints:
        device=DEVICE,
        prompts=PROMPTS,
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(gpus=min(max(BENCH[DEVICE]["scaling"]["devices"]), CLUSTER["gpus"])),
    params:
        flags=bench_flags("scaling"),
    message:
        "Measuring vLLM on one and on more devices ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "bench_scaling",
            "scripts/bench_scaling.py --device {wildcards.device} {params.flags:q}"
            " --single {output.single:q} --strong {output.strong:q} --weak {output.weak:q}",
            kind="measured",
            wildcards=["device", "prompts"],
            checked=["single", "strong", "weak"],
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
