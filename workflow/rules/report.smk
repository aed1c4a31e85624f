# Everything on one page.


rule render:
    input:
        results=report_inputs(),
        documents=[
            rules.sharegpt.output.prov,
            rules.conversations.output.prov,
            rules.model.output.prov,
            rules.tokens.output.prov,
            *expand(rules.trace.output.prov, mode=MODES),
            *expand(rules.import_trace.output.prov, imported=IMPORTED),
            rules.trace_summary.output.prov,
            rules.exports.output.prov,
            *expand(rules.sharing.output.prov, trace=TRACES),
            rules.sharing_figures.output.prov,
            rules.reference.output.prov,
            *expand(rules.sweep.output.prov, trace=TRACES),
            rules.sweep_table.output.prov,
            rules.sweep_figures.output.prov,
            *expand(rules.mini.output.prov, version=VERSIONS, trace=MODES, memory=MEMORY),
            *expand(rules.mini_imported.output.prov, version="v4_prefix", imported=IMPORTED, memory=MEMORY),
            *expand(rules.oracle.output.prov, trace=MODES),
            rules.compare.output.prov,
            rules.scheduling_figures.output.prov,
            rules.calibrate.output.prov,
            rules.calibration_figures.output.prov,
            rules.bench_code_quality.output.prov,
            *bench_documents(),
            rules.bench_figures.output.prov,
            rules.server_replay.output.prov,
            rules.server_figures.output.prov,
            *expand(rules.nsight_capture.output.prov, run=CAPTURED_RUNS),
            *expand(rules.nsight_metrics.output.prov, run=CAPTURED_RUNS),
            *([rules.nsight_figures.output.prov] if CAPTURED_RUNS else []),
            *expand(rules.tracing_calls.output.prov, device=DEVICE),
            *expand(rules.tracing_kernels.output.prov, device=DEVICE),
            *([rules.mooncake_published.output.prov] if "mooncake_conversation" in IMPORTED else []),
            *expand(rules.experiment_run.output.prov, run=SIMULATED_RUNS),
            *expand(rules.experiment_real.output.prov, run=REAL_RUNS),
            *expand(rules.experiment_verdict.output.prov, experiment=EXPERIMENTS),
            rules.progress.output.prov,
            "results/project/configuration.prov.json",
            *(path for path in BUNDLES if path.endswith(".prov.json")),
        ],
        code=code("render"),
        lock=LOCK,
        summary_schema=schema("report_summary"),
    output:
        html=report("results/report/index.html", caption="../report/page.rst", category="Report"),
        markdown="results/report/report.md",
        evaluation="results/report/vllm_evaluation.md",
        summary="results/report/summary.json",
        prov="results/report/render.prov.json",
    log:
        "results/logs/render.log",
    benchmark:
        "results/benchmarks/render.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Rendering the report"
    shell:
        traced(
            "render",
            "scripts/render.py --inputs {input.results:q} --html {output.html:q} --markdown {output.markdown:q}"
            " --evaluation {output.evaluation:q} --summary {output.summary:q}",
            checked=["summary"],
        )
