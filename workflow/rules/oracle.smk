# The same traces through vLLM's own scheduler, and mini-vLLM held against it.


# One job for all replays of a trace: loading vLLM takes longer than a replay.
rule oracle:
    input:
        trace="results/traces/{trace}_trace.parquet",
        code=code("oracle"),
        lock=[LOCK, VLLM_LOCK],
        steps_schema=schema("steps"),
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
    output:
        steps=expand(
            "results/oracle/vllm_{caching}.{{trace}}.{memory}.steps.jsonl", caching=CACHING, memory=MEMORY
        ),
        requests=expand(
            "results/oracle/vllm_{caching}.{{trace}}.{memory}.requests.csv", caching=CACHING, memory=MEMORY
        ),
        record=expand("results/oracle/vllm_{caching}.{{trace}}.{memory}.json", caching=CACHING, memory=MEMORY),
        prov="results/oracle/oracle.{trace}.prov.json",
    log:
        "results/logs/oracle.{trace}.log",
    benchmark:
        "results/benchmarks/oracle.{trace}.tsv"
    wildcard_constraints:
        trace="|".join(MODES),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        limits=limit_flags(),
        memory=[
            word for name in MEMORY for word in ("--memory", name, config["simulation"]["num_blocks"][name])
        ],
    message:
        "Replaying the {wildcards.trace} trace through vLLM's scheduler"
    shell:
        traced(
            "oracle",
            "scripts/oracle.py --trace {input.trace:q} {params.limits:q} {params.memory:q} --outdir results/oracle",
            wildcards=["trace"],
            checked=["steps", "requests", "record"],
            kind="simulated",
        )


rule compare:
    input:
        run_files("steps.jsonl", "requests.csv"),
        records=run_files("json"),
        code=code("compare"),
        lock=LOCK,
        comparison_schema=schema("comparison"),
    output:
        comparison=report(
            "results/oracle/comparison.json", caption="../report/comparison.rst", category="Scheduling"
        ),
        prov="results/oracle/compare.prov.json",
    log:
        "results/logs/compare.log",
    benchmark:
        "results/benchmarks/compare.tsv"
    conda:
        ENVIRONMENT
    message:
        "Comparing mini-vLLM with vLLM's scheduler, step by step"
    shell:
        traced(
            "compare",
            "scripts/compare.py --records {input.records:q} --output {output.comparison:q}",
            checked=["comparison"],
            kind="simulated",
        )


rule scheduling_figures:
    input:
        run_files("steps.jsonl", "requests.csv"),
        records=run_files("json"),
        trace="results/traces/multi_turn_trace.parquet",
        comparison="results/oracle/comparison.json",
        code=code("scheduling_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/oracle/figures/{name}.png", name=SCHEDULING_FIGURES),
            caption="../report/scheduling_figures.rst",
            category="Scheduling",
        ),
        expand("results/oracle/figures/{name}.svg", name=SCHEDULING_FIGURES),
        prov="results/oracle/scheduling_figures.prov.json",
    log:
        "results/logs/scheduling_figures.log",
    benchmark:
        "results/benchmarks/scheduling_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing the figures of scheduling"
    shell:
        traced(
            "scheduling_figures",
            "scripts/scheduling_figures.py --records {input.records:q} --comparison {input.comparison:q}"
            " --trace {input.trace:q} --outdir results/oracle/figures",
            kind="simulated",
        )
