# The traces replayed through the four versions of mini-vLLM, with ample and with scarce memory.


rule mini:
    input:
        trace="results/traces/{trace}_trace.parquet",
        code=code("mini"),
        lock=LOCK,
        steps_schema=schema("steps"),
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
    output:
        steps="results/mini/{version}.{trace}.{memory}.steps.jsonl",
        requests="results/mini/{version}.{trace}.{memory}.requests.csv",
        record="results/mini/{version}.{trace}.{memory}.json",
        prov="results/mini/mini.{version}.{trace}.{memory}.prov.json",
    log:
        "results/logs/mini.{version}.{trace}.{memory}.log",
    benchmark:
        "results/benchmarks/mini.{version}.{trace}.{memory}.tsv"
    wildcard_constraints:
        version="|".join(VERSIONS),
        trace="|".join(MODES),
        memory="|".join(MEMORY),
    conda:
        ENVIRONMENT
    params:
        limits=limit_flags(),
        num_blocks=lookup(within=config, dpath="simulation/num_blocks/{memory}"),
    message:
        "Replaying the {wildcards.trace} trace through {wildcards.version}, memory {wildcards.memory}"
    shell:
        traced(
            "mini",
            "scripts/mini.py --version {wildcards.version} --trace {input.trace:q} --num-blocks {params.num_blocks}"
            " {params.limits:q} --steps {output.steps:q} --requests {output.requests:q} --record {output.record:q}",
            wildcards=["version", "trace", "memory"],
            checked=["steps", "requests", "record"],
            kind="simulated",
        )


rule mini_imported:
    input:
        trace="results/traces/{imported}_trace.parquet",
        code=code("mini_imported"),
        lock=LOCK,
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
    output:
        requests="results/mini/{version}.{imported}.{memory}.requests.csv",
        record="results/mini/{version}.{imported}.{memory}.json",
        prov="results/mini/mini_imported.{version}.{imported}.{memory}.prov.json",
    log:
        "results/logs/mini_imported.{version}.{imported}.{memory}.log",
    benchmark:
        "results/benchmarks/mini_imported.{version}.{imported}.{memory}.tsv"
    wildcard_constraints:
        version="|".join(VERSIONS),
        imported="|".join(IMPORTED) or "(?!)",
        memory="|".join(MEMORY),
    conda:
        ENVIRONMENT
    params:
        limits=imported_limit_flags,
        num_blocks=lookup(within=config, dpath="simulation/imported_num_blocks/{memory}"),
    message:
        "Replaying the trace {wildcards.imported} through {wildcards.version}, memory {wildcards.memory}"
    shell:
        traced(
            "mini_imported",
            "scripts/mini_imported.py --version {wildcards.version} --trace {input.trace:q}"
            " --num-blocks {params.num_blocks} {params.limits:q} --requests {output.requests:q}"
            " --record {output.record:q}",
            wildcards=["version", "imported", "memory"],
            checked=["requests", "record"],
            kind="simulated",
        )
