# The benchmark plan: real vLLM, test by test; and the code's own size.


rule plan_code_quality:
    """lines, functions and branches of the code"""
    input:
        **needs("plan_code_quality", "plan", "document"),
        measured=files.code(config["plan"]["code_quality"]),
    output:
        result="results/plan/code_quality.json",
        prov="results/plan/plan_code_quality.prov.json",
    log:
        "results/logs/plan_code_quality.log",
    benchmark:
        "results/timings/plan_code_quality.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        paths=config["plan"]["code_quality"],
    message:
        "Counting the code's lines, functions and branches"
    shell:
        traced("plan_code_quality", "--paths {params.paths:q} --output {output.result:q}")


rule plan_basics:
    """throughput, latency and memory of real vLLM"""
    input:
        **needs("plan_basics", "plan", "document", vllm=True),
        model=plan_model(),
        trace=plan_trace,
    output:
        throughput="results/plan/{device}/throughput{prompts}.json",
        latency="results/plan/{device}/latency{prompts}.json",
        memory="results/plan/{device}/memory{prompts}.json",
        prov="results/plan/plan_basics.{device}{prompts}.prov.json",
    log:
        "results/logs/plan_basics.{device}{prompts}.log",
    benchmark:
        "results/timings/plan_basics.{device}{prompts}.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=lambda wildcards: flags.plan(config, DEVICE, "basics", plan_trace(wildcards)),
    message:
        "Measuring throughput, latency and memory of vLLM ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "plan_basics",
            "--device {wildcards.device} {params.flags:q}"
            " --throughput {output.throughput:q} --latency {output.latency:q} --memory {output.memory:q}",
            kind="measured",
            wildcards=["device", "prompts"],
        )


rule plan_prefix_cache:
    """real vLLM with the prefix cache off and on"""
    input:
        **needs("plan_prefix_cache", "plan", "document", vllm=True),
        model=plan_model(),
        trace=plan_trace,
    output:
        result="results/plan/{device}/prefix_cache{prompts}.json",
        prov="results/plan/plan_prefix_cache.{device}{prompts}.prov.json",
    log:
        "results/logs/plan_prefix_cache.{device}{prompts}.log",
    benchmark:
        "results/timings/plan_prefix_cache.{device}{prompts}.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=lambda wildcards: flags.plan(config, DEVICE, "prefix_cache", plan_trace(wildcards)),
    message:
        "Measuring vLLM with the prefix cache off and on ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "plan_prefix_cache",
            "--device {wildcards.device} {params.flags:q} --output {output.result:q}",
            kind="measured",
            wildcards=["device", "prompts"],
        )


rule plan_pair:
    """real vLLM with one feature off and on"""
    input:
        **needs("plan_pair", "plan", "document", vllm=True),
        model=plan_model(),
        trace=plan_trace,
    output:
        result="results/plan/{device}/{test}{prompts}.json",
        prov="results/plan/plan_pair.{device}.{test}{prompts}.prov.json",
    log:
        "results/logs/plan_pair.{device}.{test}{prompts}.log",
    benchmark:
        "results/timings/plan_pair.{device}.{test}{prompts}.tsv"
    wildcard_constraints:
        test=any_of(test.id for test in TESTS.values() if test.kind == "pair"),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        flags=lambda wildcards: flags.plan(config, DEVICE, "pairs", plan_trace(wildcards)),
    message:
        "Measuring vLLM with and without: {wildcards.test} ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "plan_pair",
            "--device {wildcards.device} {params.flags:q} --test {wildcards.test}"
            " --output {output.result:q}",
            kind="measured",
            wildcards=["device", "test", "prompts"],
        )


rule plan_scaling:
    """real vLLM on one and on more devices"""
    input:
        **needs("plan_scaling", "plan", "document", vllm=True),
        model=plan_model(),
        trace=plan_trace,
    output:
        single_device="results/plan/{device}/single_device{prompts}.json",
        strong_scaling="results/plan/{device}/strong_scaling{prompts}.json",
        weak_scaling="results/plan/{device}/weak_scaling{prompts}.json",
        prov="results/plan/plan_scaling.{device}{prompts}.prov.json",
    log:
        "results/logs/plan_scaling.{device}{prompts}.log",
    benchmark:
        "results/timings/plan_scaling.{device}{prompts}.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(gpus=min(max(config["plan"][DEVICE]["scaling"]["devices"]), CLUSTER["gpus"])),
    params:
        flags=lambda wildcards: flags.plan(config, DEVICE, "scaling", plan_trace(wildcards)),
    message:
        "Measuring vLLM on one and on more devices ({wildcards.device}{wildcards.prompts})"
    shell:
        traced(
            "plan_scaling",
            "--device {wildcards.device} {params.flags:q}"
            " --single-device {output.single_device:q} --strong-scaling {output.strong_scaling:q}"
            " --weak-scaling {output.weak_scaling:q}",
            kind="measured",
            wildcards=["device", "prompts"],
        )


rule plan_figures:
    """the runs of every test of the plan"""
    input:
        **needs("plan_figures"),
        results=[f"results/plan/{DEVICE}/{test}.json" for test in PLAN_TESTS],
    output:
        *drawn("plan", caption="plan_figures", category="Benchmarks", names=PLAN_TESTS),
        prov="results/plan/plan_figures.prov.json",
    log:
        "results/logs/plan_figures.log",
    benchmark:
        "results/timings/plan_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing the runs of the benchmarks"
    shell:
        traced("plan_figures", "--results {input.results:q} --outdir results/plan/figures", kind="measured")
