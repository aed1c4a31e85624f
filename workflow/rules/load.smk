# A trace over HTTP against vLLM's own server.


rule load_replay:
    input:
        TOKENIZER,
        **needs("load_replay", "server_replay", "server_requests", vllm=True),
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
        cost_model="results/cost_model/cost_model.json",
        plugin="src/vllm_lab/engines/forced_plugin.py",
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
            "--trace {input.trace:q} --model-dir results/data/model --device {params.device}"
            " --cost-model {input.cost_model:q} {params.flags:q} --output {output.replay:q}"
            " --requests-table {output.requests:q} --server-log {output.server_log:q}",
            kind="measured",
        )


rule load_figures:
    input:
        **needs("load_figures"),
        replay="results/load/server_replay.json",
    output:
        *drawn("load", caption="load_figures", category="Server replay"),
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
            "--replay {input.replay:q} --outdir results/load/figures",
            kind="measured",
        )
