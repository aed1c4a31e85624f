# Runs of experiments (those with `profiler: nsys`) under Nsight Systems. Values of `run` are NAME.RUN.


rule nsight_capture:
    input:
        trace=experiment_trace,
        model=rules.data_model.output.config,
        weights=rules.data_model.output.weights,
        code=code("nsight_capture"),
        lock=[LOCK, VLLM_LOCK],
        capture_schema=schema("nsight_capture"),
        steps_schema=schema("steps"),
        requests_schema=schema("replayed_requests"),
        record_schema=schema("replay"),
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
            "scripts/nsight_capture.py --model-dir results/data/model --device {params.device} --trace {input.trace:q}"
            " {params.flags:q} --report {output.report:q} --sqlite {output.sqlite:q} --capture {output.capture:q}"
            " --steps {output.steps:q} --requests {output.requests:q} --record {output.record:q}"
            " --events {output.events:q}",
            wildcards=["run"],
            checked=["capture", "steps", "requests", "record"],
            kind="measured",
        )


rule nsight_metrics:
    input:
        capture="results/nsight/{run}.capture.json",
        sqlite="results/nsight/{run}.sqlite",
        code=code("nsight_metrics"),
        lock=LOCK,
        metrics_schema=schema("nsight_metrics"),
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
            "scripts/nsight_metrics.py --capture {input.capture:q} --sqlite {input.sqlite:q}"
            " --output {output.metrics:q}",
            wildcards=["run"],
            checked=["metrics"],
            kind="measured",
        )


rule nsight_figures:
    input:
        metrics=expand("results/nsight/{run}.json", run=CAPTURED_RUNS),
        code=code("nsight_figures"),
        lock=LOCK,
    output:
        report(
            expand("results/nsight/figures/{name}.png", name=NSIGHT_FIGURES),
            caption="../report/nsight_figures.rst",
            category="Nsight Systems",
        ),
        expand("results/nsight/figures/{name}.svg", name=NSIGHT_FIGURES),
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
            "scripts/nsight_figures.py --metrics {input.metrics:q} --outdir results/nsight/figures",
            kind="measured",
        )
