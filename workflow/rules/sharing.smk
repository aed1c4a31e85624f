# How much of the prompts is shared, and what a prefix cache of limited size makes of it.


rule sharing:
    input:
        trace="results/traces/{trace}_trace.parquet",
        model="results/model/summary.json",
        code=code("sharing"),
        lock=LOCK,
        stats_schema=schema("stats"),
        requests_schema=schema("request_metrics"),
        blocks_schema=schema("block_metrics"),
        gaps_schema=schema("reuse_gaps"),
        working_set_schema=schema("working_set"),
    output:
        stats="results/sharing/{trace}_stats.json",
        requests="results/sharing/{trace}_request_metrics.csv",
        blocks="results/sharing/{trace}_block_metrics.csv",
        gaps="results/sharing/{trace}_reuse_gaps.csv",
        working_set="results/sharing/{trace}_working_set.csv",
        prov="results/sharing/sharing.{trace}.prov.json",
    log:
        "results/logs/sharing.{trace}.log",
    benchmark:
        "results/benchmarks/sharing.{trace}.tsv"
    wildcard_constraints:
        trace="|".join(TRACES),
    conda:
        ENVIRONMENT
    params:
        block_size=config["sharing"]["block_size"],
        block_sizes=config["sharing"]["block_sizes"],
        windows=config["sharing"]["working_set_windows"],
    message:
        "Measuring prefix sharing in the {wildcards.trace} trace"
    shell:
        traced(
            "sharing",
            "scripts/sharing.py --trace {input.trace:q} --block-size {params.block_size}"
            " --block-sizes {params.block_sizes} --windows {params.windows} --model-summary {input.model:q}"
            " --stats {output.stats:q} --requests {output.requests:q} --blocks {output.blocks:q}"
            " --reuse-gaps {output.gaps:q} --working-set {output.working_set:q}",
            wildcards=["trace"],
            checked=["stats", "requests", "blocks", "gaps", "working_set"],
        )


rule sweep:
    input:
        trace="results/traces/{trace}_trace.parquet",
        model="results/model/summary.json",
        code=code("sweep"),
        lock=LOCK,
        table_schema=schema("sweep"),
    output:
        table="results/sweeps/{trace}.csv",
        prov="results/sweeps/sweep.{trace}.prov.json",
    log:
        "results/logs/sweep.{trace}.log",
    benchmark:
        "results/benchmarks/sweep.{trace}.tsv"
    wildcard_constraints:
        trace="|".join(TRACES),
    conda:
        ENVIRONMENT
    params:
        flags=sweep_flags,
    message:
        "Sweeping cache sizes and eviction policies over the {wildcards.trace} trace"
    shell:
        traced(
            "sweep",
            "scripts/sweep.py --trace {input.trace:q} {params.flags:q} --model-summary {input.model:q}"
            " --output {output.table:q}",
            wildcards=["trace"],
            checked=["table"],
        )


rule sweep_table:
    input:
        parts=expand("results/sweeps/{trace}.csv", trace=TRACES),
        code=code("sweep_table"),
        lock=LOCK,
        table_schema=schema("sweep"),
    output:
        table="results/sweeps/hit_rates.csv",
        prov="results/sweeps/sweep_table.prov.json",
    log:
        "results/logs/sweep_table.log",
    benchmark:
        "results/benchmarks/sweep_table.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Joining the sweeps"
    shell:
        traced(
            "sweep_table",
            "scripts/sweep_table.py --sweep {input.parts:q} --output {output.table:q}",
            checked=["table"],
        )
