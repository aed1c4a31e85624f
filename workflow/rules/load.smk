# A trace over HTTP against vLLM's own server.


rule server_replay:
    input:
        TOKENIZER,
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.model.output.config,
        weights=rules.model.output.weights,
        cost_model="results/calibration/cost_model.json",
        code=code("server_replay"),
        plugin="src/vllm_lab/engine/forced_plugin.py",
        lock=[LOCK, VLLM_LOCK],
        replay_schema=schema("server_replay"),
        requests_schema=schema("server_requests"),
    output:
        replay="results/serving/server_replay.json",
        requests="results/serving/requests.csv",
        server_log="results/serving/server.log",
        prov="results/serving/server_replay.prov.json",
    log:
        "results/logs/server_replay.log",
    benchmark:
        "results/benchmarks/server_replay.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=flags(config["serving"]),
    message:
        "Replaying the multi-turn trace against vLLM's server ({params.device})"
    shell:
        traced(
            "server_replay",
            "scripts/server_replay.py --trace {input.trace:q} --model-dir results/model --device {params.device}"
            " --cost-model {input.cost_model:q} {params.flags:q} --output {output.replay:q}"
            " --requests-table {output.requests:q} --server-log {output.server_log:q}",
            checked=["replay", "requests"],
            kind="measured",
        )


rule server_figures:
    input:
        replay="results/serving/server_replay.json",
        code=code("server_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/serving/figures/{name}.png", name=SERVING_FIGURES),
            caption="../report/server_figures.rst",
            category="Server replay",
        ),
        expand("results/serving/figures/{name}.svg", name=SERVING_FIGURES),
        prov="results/serving/server_figures.prov.json",
    log:
        "results/logs/server_figures.log",
    benchmark:
        "results/benchmarks/server_figures.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Drawing latency over arrival rate"
    shell:
        traced(
            "server_figures",
            "scripts/server_figures.py --replay {input.replay:q} --outdir results/serving/figures",
            kind="measured",
        )
