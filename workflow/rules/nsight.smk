# Runs of experiments (those with `profiler: nsys`) under Nsight Systems. Values of `run` are NAME.RUN.


rule nsight_capture:
    input:
        **needs("nsight_capture", "nsight_capture", "steps", "replayed_requests", "replay", vllm=True),
        trace=experiment_trace,
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
    output:
        report="results/nsight/{run}.nsys-rep",
        sqlite="results/nsight/{run}.sqlite",
        capture="results/nsight/{run}.capture.json",
        steps="results/experiments/{run}.steps.jsonl",
        requests="results/experiments/{run}.requests.csv",
        record="results/experiments/{run}.json",
        events="results/experiments/{run}.events.txt",
        prov="results/nsight/nsight_capture.{run}.prov.json",
    log:
        "results/logs/nsight_capture.{run}.log",
    benchmark:
        "results/timings/nsight_capture.{run}.tsv"
    wildcard_constraints:
        run="|".join(CAPTURED_RUNS) or "(?!)",
    conda:
        VLLM_ENVIRONMENT
    container:
        VLLM_CONTAINER
    threads: ALL_CORES
    resources:
        **measured(),
    params:
        device=DEVICE,
        flags=experiment_flags,
    message:
        "Capturing {wildcards.run} with Nsight Systems ({params.device})"
    shell:
        traced(
            "nsight_capture",
            "--model-dir results/data/model --device {params.device} --trace {input.trace:q}"
            " {params.flags:q} --report {output.report:q} --sqlite {output.sqlite:q} --capture {output.capture:q}"
            " --steps {output.steps:q} --requests {output.requests:q} --record {output.record:q}"
            " --events {output.events:q}",
            wildcards=["run"],
            kind="measured",
        )


rule nsight_metrics:
    input:
        **needs("nsight_metrics", "nsight_metrics"),
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
        run="|".join(CAPTURED_RUNS) or "(?!)",
    conda:
        ENVIRONMENT
    message:
        "Reading the capture of {wildcards.run}"
    shell:
        traced(
            "nsight_metrics",
            "--capture {input.capture:q} --sqlite {input.sqlite:q}" " --output {output.metrics:q}",
            wildcards=["run"],
            kind="measured",
        )


rule nsight_figures:
    input:
        **needs("nsight_figures"),
        metrics=expand("results/nsight/{run}.json", run=CAPTURED_RUNS),
    output:
        *drawn("results/nsight/figures", NSIGHT_FIGURES, caption="nsight_figures", category="Nsight Systems"),
        prov="results/nsight/nsight_figures.prov.json",
    log:
        "results/logs/nsight_figures.log",
    benchmark:
        "results/timings/nsight_figures.tsv"
    conda:
        ENVIRONMENT
    message:
        "Drawing what the captures hold"
    shell:
        traced(
            "nsight_figures",
            "--metrics {input.metrics:q} --outdir results/nsight/figures",
            kind="measured",
        )
