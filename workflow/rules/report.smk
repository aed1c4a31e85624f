# Everything on one page.


rule render:
    input:
        results=report_inputs(),
        documents=report_documents(),
        code=code("render"),
        lock=LOCK,
        summary_schema=schema("report_summary"),
    output:
        html=report("results/report/index.html", caption="../report/page.rst", category="Report"),
        markdown="results/report/report.md",
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
            " --summary {output.summary:q}",
            checked=["summary"],
        )
