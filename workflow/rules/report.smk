# Everything on one page.


rule report_render:
    """the report as a page, as Markdown and as numbers"""
    input:
        **needs("report_render", "report_summary"),
        results=report_files(config, DEVICE, EXPERIMENTS),
        documents=[
            rules.data_sharegpt.output.prov,
            rules.data_conversations.output.prov,
            rules.data_model.output.prov,
            rules.traces_tokens.output.prov,
            *expand(rules.traces_make.output.prov, mode=MODES),
            *expand(rules.traces_import.output.prov, imported=IMPORTED),
            rules.traces_summary.output.prov,
            rules.traces_exports.output.prov,
            *expand(rules.sharing_analysis.output.prov, trace=TRACES),
            rules.sharing_figures.output.prov,
            rules.sharing_reference.output.prov,
            *expand(rules.sharing_sweep.output.prov, trace=TRACES),
            rules.sharing_sweep_table.output.prov,
            rules.sharing_sweep_figures.output.prov,
            *expand(rules.replay_mini.output.prov, version=VERSIONS, trace=MODES, memory=MEMORY),
            *expand(
                rules.replay_mini_imported.output.prov, version="v4_prefix", trace=IMPORTED, memory=MEMORY
            ),
            *expand(rules.oracle_replay.output.prov, trace=MODES),
            rules.replay_compare.output.prov,
            rules.replay_figures.output.prov,
            rules.cost_model_measure.output.prov,
            rules.cost_model_fit.output.prov,
            rules.cost_model_figures.output.prov,
            rules.plan_code_quality.output.prov,
            *plan_documents(config, DEVICE),
            rules.plan_figures.output.prov,
            rules.load_sweep.output.prov,
            rules.load_predict.output.prov,
            rules.load_figures.output.prov,
            *expand(rules.nsight_mini.output.prov, run=CAPTURED_MINI_RUNS),
            *expand(rules.nsight_vllm.output.prov, run=CAPTURED_VLLM_RUNS),
            *expand(rules.nsight_metrics.output.prov, run=CAPTURED_RUNS),
            *([rules.nsight_figures.output.prov] if CAPTURED_RUNS else []),
            *expand(rules.tracing_calls.output.prov, device=DEVICE),
            *expand(rules.tracing_kernels.output.prov, device=DEVICE),
            *([rules.sharing_published.output.prov] if "mooncake_conversation" in IMPORTED else []),
            *expand(rules.experiments_run.output.prov, run=SIMULATED_RUNS),
            *expand(rules.experiments_real.output.prov, run=REAL_RUNS),
            *expand(rules.experiments_verdict.output.prov, experiment=EXPERIMENTS),
            rules.experiments_progress.output.prov,
            "results/provenance/provenance_configuration.prov.json",
            *(path for path in bundled_files() if path.endswith(".prov.json")),
        ],
    output:
        html=report("results/report/index.html", caption="../report/page.rst", category="Report"),
        markdown="results/report/report.md",
        evaluation="results/report/vllm_evaluation.md",
        summary="results/report/summary.json",
        prov="results/report/report_render.prov.json",
    log:
        "results/logs/report_render.log",
    benchmark:
        "results/timings/report_render.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Rendering the report"
    shell:
        traced(
            "report_render",
            "--inputs {input.results:q} --html {output.html:q} --markdown {output.markdown:q}"
            " --evaluation {output.evaluation:q} --summary {output.summary:q}",
        )
