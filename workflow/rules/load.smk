# vLLM's own server under load: a trace over HTTP at rising rates.


rule load_sweep:
    """a trace replayed against vLLM's server at rising rates"""
    input:
        TOKENIZER,
        **needs("load_sweep", "load_sweep", vllm=True),
        trace="results/traces/multi_turn_trace.parquet",
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
        plugin="src/vllm_lab/engines/plugins.py",
    output:
        sweep="results/load/sweep.json",
        server_log="results/load/server.log",
        prov="results/load/load_sweep.prov.json",
    log:
        "results/logs/load_sweep.log",
    benchmark:
        "results/timings/load_sweep.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=flags.load(config["load"]),
    message:
        "Sending the multi-turn trace to vLLM's server ({params.device})"
    shell:
        traced(
            "load_sweep",
            "--trace {input.trace:q} --model-dir results/data/model --device {params.device} {params.flags:q}"
            " --output {output.sweep:q} --server-log {output.server_log:q}",
            kind="measured",
        )


rule load_predict:
    """the sweep judged, and compared with what was predicted for it"""
    input:
        **needs("load_predict", "load", "load_requests", "document", vllm=True),
        sweep="results/load/sweep.json",
        cost_model="results/cost_model/cost_model.json",
    output:
        load="results/load/load.json",
        requests="results/load/requests.csv",
        prov="results/load/load_predict.prov.json",
    log:
        "results/logs/load_predict.log",
    benchmark:
        "results/timings/load_predict.tsv"
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    params:
        flags=flags.judging(config["load"]),
    message:
        "Comparing vLLM's server with its prediction in virtual time"
    shell:
        traced(
            "load_predict",
            "--sweep {input.sweep:q} --cost-model {input.cost_model:q} {params.flags:q}"
            " --output {output.load:q} --requests-table {output.requests:q}",
            kind="measured",
        )


rule load_figures:
    """latency over arrival rate"""
    input:
        **needs("load_figures"),
        load="results/load/load.json",
    output:
        *drawn("load", caption="load_figures", category="Load"),
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
        traced("load_figures", "--load {input.load:q} --outdir results/load/figures", kind="measured")
