# A trace over HTTP against vLLM's own server.


rule load_replay:
    input:
        TOKENIZER,
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
        cost_model="results/cost_model/cost_model.json",
        code=code("load_replay"),
        plugin="src/vllm_lab/engines/forced_plugin.py",
        lock=[LOCK, VLLM_LOCK],
        replay_schema=schema("server_replay"),
        requests_schema=schema("server_requests"),
    output:
        replay="results/load/server_replay.json",
        requests="results/load/requests.csv",
        server_log="results/load/server.log",
        prov="results/load/load_replay.prov.json",
    log:
        "results/logs/load_replay.log",
    benchmark:
        "results/timings/load_replay.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=flags(config["load"]),
    message:
        "Replaying the multi-turn trace against vLLM's server ({params.device})"
    shell:
        traced(
            "load_replay",
            "scripts/load_replay.py --trace {input.trace:q} --model-dir results/data/model --device {params.device}"
            " --cost-model {input.cost_model:q} {params.flags:q} --output {output.replay:q}"
            " --requests-table {output.requests:q} --server-log {output.server_log:q}",
            checked=["replay", "requests"],
            kind="measured",
        )


rule load_figures:
    input:
        replay="results/load/server_replay.json",
        code=code("load_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/load/figures/{name}.png", name=SERVING_FIGURES),
            caption="../report/load_figures.rst",
            category="Server replay",
        ),
        expand("results/load/figures/{name}.svg", name=SERVING_FIGURES),
        prov="results/load/load_figures.prov.json",
    log:
        "results/logs/load_figures.log",
    benchmark:
        "results/timings/load_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing latency over arrival rate"
    shell:
        traced(
            "load_figures",
            "scripts/load_figures.py --replay {input.replay:q} --outdir results/load/figures",
            kind="measured",
        )
