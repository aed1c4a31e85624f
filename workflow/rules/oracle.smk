# The same traces through vLLM's own scheduler.


# One job for all replays of a trace: loading vLLM takes longer than a replay.
rule oracle_replay:
    """a trace replayed through vLLM's own scheduler"""
    input:
        **needs("oracle_replay", "steps", "replayed_requests", "replay", vllm=True),
        trace="results/traces/{trace}_trace.parquet",
    output:
        steps=expand(
            "results/oracle/vllm_{caching}.{{trace}}.{memory}.steps.jsonl",
            caching=files.CACHING,
            memory=MEMORY,
        ),
        requests=expand(
            "results/oracle/vllm_{caching}.{{trace}}.{memory}.requests.csv",
            caching=files.CACHING,
            memory=MEMORY,
        ),
        record=expand(
            "results/oracle/vllm_{caching}.{{trace}}.{memory}.json", caching=files.CACHING, memory=MEMORY
        ),
        prov="results/oracle/oracle_replay.{trace}.prov.json",
    log:
        "results/logs/oracle_replay.{trace}.log",
    benchmark:
        "results/timings/oracle_replay.{trace}.tsv"
    wildcard_constraints:
        trace=any_of(files.MODES),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        limits=flags.replay(config),
        memory=[word for name in MEMORY for word in ("--memory", name, config["replay"]["num_blocks"][name])],
    message:
        "Replaying the {wildcards.trace} trace through vLLM's scheduler"
    shell:
        traced(
            "oracle_replay",
            "--trace {input.trace:q} {params.limits:q} {params.memory:q} --outdir results/oracle",
            wildcards=["trace"],
            kind="simulated",
        )
