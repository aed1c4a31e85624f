# Everything on one page.


rule report_render:
    """the report as a page, as Markdown and as numbers"""
    input:
        **needs("report_render", "report_summary"),
        results=files.report_results(config, DEVICE, EXPERIMENTS),
        documents=files.report_documents(config, DEVICE, EXPERIMENTS),
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
