# The traces replayed through the four versions of mini-vLLM, with ample and with scarce memory.


rule replay_mini:
    input:
        trace="results/traces/{trace}_trace.parquet",
        code=code("replay_mini"),
        lock=LOCK,
        steps_schema=schema("steps"),
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
    output:
        steps="results/replay/{version}.{trace}.{memory}.steps.jsonl",
        requests="results/replay/{version}.{trace}.{memory}.requests.csv",
        record="results/replay/{version}.{trace}.{memory}.json",
        prov="results/replay/replay_mini.{version}.{trace}.{memory}.prov.json",
    log:
        "results/logs/replay_mini.{version}.{trace}.{memory}.log",
    benchmark:
        "results/timings/replay_mini.{version}.{trace}.{memory}.tsv"
    wildcard_constraints:
        version="|".join(VERSIONS),
        trace="|".join(MODES),
        memory="|".join(MEMORY),
    conda:
        ENVIRONMENT
    params:
        limits=limit_flags(),
        num_blocks=lookup(within=config, dpath="replay/num_blocks/{memory}"),
    message:
        "Replaying the {wildcards.trace} trace through {wildcards.version}, memory {wildcards.memory}"
    shell:
        traced(
            "replay_mini",
            "scripts/replay_mini.py --version {wildcards.version} --trace {input.trace:q} --num-blocks {params.num_blocks}"
            " {params.limits:q} --steps {output.steps:q} --requests {output.requests:q} --record {output.record:q}",
            wildcards=["version", "trace", "memory"],
            checked=["steps", "requests", "record"],
            kind="simulated",
        )


rule replay_mini_imported:
    input:
        trace="results/traces/{imported}_trace.parquet",
        code=code("replay_mini_imported"),
        lock=LOCK,
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
    output:
        requests="results/replay/{version}.{imported}.{memory}.requests.csv",
        record="results/replay/{version}.{imported}.{memory}.json",
        prov="results/replay/replay_mini_imported.{version}.{imported}.{memory}.prov.json",
    log:
        "results/logs/replay_mini_imported.{version}.{imported}.{memory}.log",
    benchmark:
        "results/timings/replay_mini_imported.{version}.{imported}.{memory}.tsv"
    wildcard_constraints:
        version="|".join(VERSIONS),
        imported="|".join(IMPORTED) or "(?!)",
        memory="|".join(MEMORY),
    conda:
        ENVIRONMENT
    params:
        limits=imported_limit_flags,
        num_blocks=lookup(within=config, dpath="replay/imported_num_blocks/{memory}"),
    message:
        "Replaying the trace {wildcards.imported} through {wildcards.version}, memory {wildcards.memory}"
    shell:
        traced(
            "replay_mini_imported",
            "scripts/replay_mini_imported.py --version {wildcards.version} --trace {input.trace:q}"
            " --num-blocks {params.num_blocks} {params.limits:q} --requests {output.requests:q}"
            " --record {output.record:q}",
            wildcards=["version", "imported", "memory"],
            checked=["requests", "record"],
            kind="simulated",
        )
