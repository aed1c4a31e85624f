# How much of the prompts is shared, and how much a prefix cache of limited size finds.


rule sharing_analysis:
    """how much of its prompts a trace shares, with tables"""
    input:
        **needs("sharing_analysis", "stats", "request_metrics", "block_metrics", "reuse_gaps", "working_set"),
        trace="results/traces/{trace}_trace.parquet",
        model="results/data/model/summary.json",
    output:
        stats=report(
            "results/sharing/{trace}_stats.json", caption="../report/stats.rst", category="Prefix sharing"
        ),
        requests="results/sharing/{trace}_request_metrics.csv",
        blocks="results/sharing/{trace}_block_metrics.csv",
        gaps="results/sharing/{trace}_reuse_gaps.csv",
        working_set="results/sharing/{trace}_working_set.csv",
        prov="results/sharing/sharing_analysis.{trace}.prov.json",
    log:
        "results/logs/sharing_analysis.{trace}.log",
    benchmark:
        "results/timings/sharing_analysis.{trace}.tsv"
    wildcard_constraints:
        trace=any_of(TRACES),
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
            "sharing_analysis",
            "--trace {input.trace:q} --block-size {params.block_size}"
            " --block-sizes {params.block_sizes} --windows {params.windows} --model-summary {input.model:q}"
            " --stats {output.stats:q} --requests {output.requests:q} --blocks {output.blocks:q}"
            " --reuse-gaps {output.gaps:q} --working-set {output.working_set:q}",
            wildcards=["trace"],
        )


rule sharing_figures:
    """the figures of prefix sharing"""
    input:
        **needs("sharing_figures"),
        tables=[table for trace in TRACES for table in files.sharing_tables(trace)],
    output:
        *drawn("sharing", caption="figures", category="Prefix sharing"),
        prov="results/sharing/sharing_figures.prov.json",
    log:
        "results/logs/sharing_figures.log",
    benchmark:
        "results/timings/sharing_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        traces=[word for trace in TRACES for word in ("--trace", trace, *files.sharing_tables(trace))],
    message:
        "Drawing the figures of prefix sharing"
    shell:
        traced("sharing_figures", "{params.traces:q} --outdir results/sharing/figures")


rule sharing_reference:
    """the published run compared with this project's"""
    input:
        **needs("sharing_reference", "reference", "reference_table"),
        streams="results/traces/streams.parquet",
        tokens="results/traces/streams_summary.json",
    output:
        reference="results/sharing/reference.json",
        table="results/sharing/reference.csv",
        prov="results/sharing/sharing_reference.prov.json",
    log:
        "results/logs/sharing_reference.log",
    benchmark:
        "results/timings/sharing_reference.tsv"
    conda:
        ENVIRONMENT
    params:
        samples=config["sharing"]["reference_samples"],
        seed=config["traces"]["seed"],
    message:
        "Comparing with the published run"
    shell:
        traced(
            "sharing_reference",
            "--streams {input.streams:q} --tokens-summary {input.tokens:q}"
            " --samples {params.samples} --seed {params.seed} --output {output.reference:q} --csv {output.table:q}",
        )


rule sharing_sweep:
    """hit rates of one trace by cache size, block size and eviction policy"""
    input:
        **needs("sharing_sweep", "sweep"),
        trace="results/traces/{trace}_trace.parquet",
        model="results/data/model/summary.json",
    output:
        table="results/sharing/sweeps/{trace}.csv",
        prov="results/sharing/sweeps/sharing_sweep.{trace}.prov.json",
    log:
        "results/logs/sharing_sweep.{trace}.log",
    benchmark:
        "results/timings/sharing_sweep.{trace}.tsv"
    wildcard_constraints:
        trace=any_of(TRACES),
    conda:
        ENVIRONMENT
    params:
        flags=lambda wildcards: flags.sweep(config, wildcards.trace),
    message:
        "Sweeping cache sizes and eviction policies over the {wildcards.trace} trace"
    shell:
        traced(
            "sharing_sweep",
            "--trace {input.trace:q} {params.flags:q} --model-summary {input.model:q}"
            " --output {output.table:q}",
            wildcards=["trace"],
            kind="simulated",
        )


rule sharing_sweep_table:
    """the hit rates of all traces in one table"""
    input:
        **needs("sharing_sweep_table", "sweep"),
        parts=expand("results/sharing/sweeps/{trace}.csv", trace=TRACES),
    output:
        table=report(
            "results/sharing/sweeps/hit_rates.csv", caption="../report/sweep.rst", category="Cache sweeps"
        ),
        prov="results/sharing/sweeps/sharing_sweep_table.prov.json",
    log:
        "results/logs/sharing_sweep_table.log",
    benchmark:
        "results/timings/sharing_sweep_table.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Joining the sweeps"
    shell:
        traced("sharing_sweep_table", "--sweep {input.parts:q} --output {output.table:q}", kind="simulated")


rule sharing_sweep_figures:
    """the figures of the cache sweeps"""
    input:
        **needs("sharing_sweep_figures"),
        table="results/sharing/sweeps/hit_rates.csv",
    output:
        *drawn("sharing/sweeps", caption="sweep_figures", category="Cache sweeps"),
        prov="results/sharing/sweeps/sharing_sweep_figures.prov.json",
    log:
        "results/logs/sharing_sweep_figures.log",
    benchmark:
        "results/timings/sharing_sweep_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        block_size=config["sharing"]["block_size"],
    message:
        "Drawing the figures of the sweeps"
    shell:
        traced(
            "sharing_sweep_figures",
            "--table {input.table:q} --block-size {params.block_size}"
            " --outdir results/sharing/sweeps/figures",
            kind="simulated",
        )


rule sharing_published:
    """Mooncake's published hit rates compared with this project's"""
    input:
        **needs("sharing_published", "mooncake_published"),
        sweep="results/sharing/sweeps/mooncake_conversation.csv",
        stats="results/sharing/mooncake_conversation_stats.json",
    output:
        comparison="results/sharing/sweeps/mooncake_published.json",
        prov="results/sharing/sweeps/sharing_published.prov.json",
    log:
        "results/logs/sharing_published.log",
    benchmark:
        "results/timings/sharing_published.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Comparing with the hit rates that Mooncake published"
    shell:
        traced(
            "sharing_published",
            "--sweep {input.sweep:q} --stats {input.stats:q} --output {output.comparison:q}",
            kind="simulated",
        )
