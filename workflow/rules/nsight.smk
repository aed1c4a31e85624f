# Runs of experiments (those with `profiler: nsys`) under Nsight Systems. Values of `run` are NAME.RUN.

CAPTURE_SCHEMAS = ("nsight_capture", "steps", "replayed_requests", "replay")


rule nsight_mini:
    """a run of mini-vLLM captured by Nsight Systems"""
    input:
        **needs("nsight_mini", *CAPTURE_SCHEMAS, vllm=True),
        trace=experiment_trace,
    output:
        report="results/nsight/{run}.nsys-rep",
        sqlite="results/nsight/{run}.sqlite",
        capture="results/nsight/{run}.capture.json",
        steps="results/experiments/{run}.steps.jsonl",
        requests="results/experiments/{run}.requests.csv",
        record="results/experiments/{run}.json",
        events="results/experiments/{run}.events.txt",
        prov="results/nsight/nsight_mini.{run}.prov.json",
    log:
        "results/logs/nsight_mini.{run}.log",
    benchmark:
        "results/timings/nsight_mini.{run}.tsv"
    wildcard_constraints:
        run=runs_made_by("nsight_mini"),
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        script="nsight_mini",
        device=DEVICE,
        flags=experiment_flags,
    message:
        "Capturing {wildcards.run} with Nsight Systems ({params.device})"
    shell:
        traced(
            "{params.script}",
            "--device {params.device} --trace {input.trace:q} {params.flags:q} --report {output.report:q}"
            " --sqlite {output.sqlite:q} --capture {output.capture:q} --steps {output.steps:q}"
            " --requests {output.requests:q} --record {output.record:q} --events {output.events:q}",
            wildcards=["run"],
            kind="measured",
        )


use rule nsight_mini as nsight_vllm with:
    """a run of real vLLM captured by Nsight Systems"""
    input:
        **needs("nsight_vllm", *CAPTURE_SCHEMAS, vllm=True),
        trace=experiment_trace,
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        **{name: str(path) for name, path in rules.nsight_mini.output.items() if name != "prov"},
        prov="results/nsight/nsight_vllm.{run}.prov.json",
    log:
        "results/logs/nsight_vllm.{run}.log",
    benchmark:
        "results/timings/nsight_vllm.{run}.tsv"
    wildcard_constraints:
        run=runs_made_by("nsight_vllm"),
    params:
        script="nsight_vllm",
        device=DEVICE,
        flags=lambda wildcards: [*experiment_flags(wildcards), "--model-dir", "results/data/model"],


rule nsight_metrics:
    """the numbers that a capture holds"""
    input:
        **needs("nsight_metrics", "nsight_metrics", "document"),
        capture="results/nsight/{run}.capture.json",
        sqlite="results/nsight/{run}.sqlite",
    output:
        metrics="results/nsight/{run}.json",
        prov="results/nsight/nsight_metrics.{run}.prov.json",
    log:
        "results/logs/nsight_metrics.{run}.log",
    benchmark:
        "results/timings/nsight_metrics.{run}.tsv"
    wildcard_constraints:
        run=any_of(CAPTURED_RUNS),
    conda:
        ENVIRONMENT
    message:
        "Reading the capture of {wildcards.run}"
    shell:
        traced(
            "nsight_metrics",
            "--capture {input.capture:q} --sqlite {input.sqlite:q} --output {output.metrics:q}",
            wildcards=["run"],
            kind="measured",
        )


rule nsight_figures:
    """the figures of the captures"""
    input:
        **needs("nsight_figures"),
        metrics=expand("results/nsight/{run}.json", run=CAPTURED_RUNS),
    output:
        *drawn("nsight", caption="nsight_figures", category="Nsight Systems"),
        prov="results/nsight/nsight_figures.prov.json",
    log:
        "results/logs/nsight_figures.log",
    benchmark:
        "results/timings/nsight_figures.tsv"
    conda:
        ENVIRONMENT
    message:
        "Drawing what the captures contain"
    shell:
        traced(
            "nsight_figures",
            "--metrics {input.metrics:q} --outdir results/nsight/figures",
            kind="measured",
        )
