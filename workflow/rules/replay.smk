# The traces replayed through mini-vLLM, with ample and with scarce memory, and compared with vLLM's scheduler.


rule replay_mini:
    """a trace replayed through one version of mini-vLLM"""
    input:
        **needs("replay_mini", "steps", "replayed_requests", "replay"),
        trace="results/traces/{trace}_trace.parquet",
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
        trace=any_of(files.MODES),
    conda:
        ENVIRONMENT
    params:
        limits=flags.replay(config),
        num_blocks=lookup(within=config, dpath="replay/num_blocks/{memory}"),
        steps=lambda _, output: ["--steps", output.steps],
    message:
        "Replaying the {wildcards.trace} trace through {wildcards.version}, memory {wildcards.memory}"
    shell:
        traced(
            "replay_mini",
            "--version {wildcards.version} --trace {input.trace:q} --num-blocks {params.num_blocks} {params.limits:q}"
            " {params.steps:q} --requests {output.requests:q} --record {output.record:q}",
            wildcards=["version", "trace", "memory"],
            kind="simulated",
        )


# Without steps: they list every running request, 70 MB for Mooncake's trace.
use rule replay_mini as replay_mini_imported with:
    """an imported trace replayed through mini-vLLM"""
    input:
        **needs("replay_mini", "replayed_requests", "replay"),
        trace="results/traces/{trace}_trace.parquet",
    output:
        requests="results/replay/{version}.{trace}.{memory}.requests.csv",
        record="results/replay/{version}.{trace}.{memory}.json",
        prov="results/replay/replay_mini_imported.{version}.{trace}.{memory}.prov.json",
    log:
        "results/logs/replay_mini_imported.{version}.{trace}.{memory}.log",
    benchmark:
        "results/timings/replay_mini_imported.{version}.{trace}.{memory}.tsv"
    wildcard_constraints:
        trace=any_of(IMPORTED),
    params:
        limits=lambda wildcards: flags.replay(config, wildcards.trace),
        num_blocks=lookup(within=config, dpath="replay/imported_num_blocks/{memory}"),
        steps=[],


rule replay_compare:
    """mini-vLLM compared with vLLM's scheduler, step by step"""
    input:
        files.replays(config, "steps.jsonl", "requests.csv"),
        **needs("replay_compare", "comparison"),
        records=files.replays(config, "json"),
    output:
        comparison=report(
            "results/replay/comparison.json", caption="../report/comparison.rst", category="Scheduling"
        ),
        prov="results/replay/replay_compare.prov.json",
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
            "--records {input.records:q} --output {output.comparison:q}",
            kind="simulated",
        )


rule replay_figures:
    """the figures of scheduling"""
    input:
        files.replays(config, "steps.jsonl", "requests.csv"),
        **needs("replay_figures"),
        records=files.replays(config, "json"),
        trace="results/traces/multi_turn_trace.parquet",
        comparison="results/replay/comparison.json",
    output:
        *drawn("replay", caption="replay_figures", category="Scheduling"),
        prov="results/replay/replay_figures.prov.json",
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
            "--records {input.records:q} --comparison {input.comparison:q}"
            " --trace {input.trace:q} --outdir results/replay/figures",
            kind="simulated",
        )
