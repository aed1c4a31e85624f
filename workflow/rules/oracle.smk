# The same traces through vLLM's own scheduler, and mini-vLLM held against it.


# One job for all replays of a trace: loading vLLM takes longer than a replay.
rule oracle_replay:
    input:
        trace="results/traces/{trace}_trace.parquet",
        code=code("oracle_replay"),
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
        prov="results/oracle/oracle_replay.{trace}.prov.json",
    log:
        "results/logs/oracle_replay.{trace}.log",
    benchmark:
        "results/timings/oracle_replay.{trace}.tsv"
    wildcard_constraints:
        trace="|".join(MODES),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        limits=limit_flags(),
        memory=[word for name in MEMORY for word in ("--memory", name, config["replay"]["num_blocks"][name])],
    message:
        "Replaying the {wildcards.trace} trace through vLLM's scheduler"
    shell:
        traced(
            "oracle_replay",
            "scripts/oracle_replay.py --trace {input.trace:q} {params.limits:q} {params.memory:q} --outdir results/oracle",
            wildcards=["trace"],
            checked=["steps", "requests", "record"],
            kind="simulated",
        )


rule replay_compare:
    input:
        run_files("steps.jsonl", "requests.csv"),
        records=run_files("json"),
        code=code("replay_compare"),
        lock=LOCK,
        comparison_schema=schema("comparison"),
    output:
        comparison=report(
            "results/replay/comparison.json", caption="../report/comparison.rst", category="Scheduling"
        ),
        prov="results/oracle/replay_compare.prov.json",
    log:
        "results/logs/replay_compare.log",
    benchmark:
        "results/timings/replay_compare.tsv"
    conda:
        ENVIRONMENT
    message:
        "Comparing mini-vLLM with vLLM's scheduler, step by step"
    shell:
        traced(
            "replay_compare",
            "scripts/replay_compare.py --records {input.records:q} --output {output.comparison:q}",
            checked=["comparison"],
            kind="simulated",
        )


rule replay_figures:
    input:
        run_files("steps.jsonl", "requests.csv"),
        records=run_files("json"),
        trace="results/traces/multi_turn_trace.parquet",
        comparison="results/replay/comparison.json",
        code=code("replay_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/replay/figures/{name}.png", name=SCHEDULING_FIGURES),
            caption="../report/replay_figures.rst",
            category="Scheduling",
        ),
        expand("results/replay/figures/{name}.svg", name=SCHEDULING_FIGURES),
        prov="results/oracle/replay_figures.prov.json",
    log:
        "results/logs/replay_figures.log",
    benchmark:
        "results/timings/replay_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing the figures of scheduling"
    shell:
        traced(
            "replay_figures",
            "scripts/replay_figures.py --records {input.records:q} --comparison {input.comparison:q}"
            " --trace {input.trace:q} --outdir results/replay/figures",
            kind="simulated",
        )
