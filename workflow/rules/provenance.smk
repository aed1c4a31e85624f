# The research object: what was made, from what, by whom, in one description and in one file.


rule configuration:
    input:
        code=code("configuration"),
        lock=LOCK,
        configuration_schema=schema("config"),
    output:
        configuration="results/project/configuration.json",
        prov="results/project/configuration.prov.json",
    log:
        "results/logs/configuration.log",
    benchmark:
        "results/benchmarks/configuration.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        settings=json.dumps(config, sort_keys=True),
    message:
        "Writing down the configuration"
    shell:
        traced(
            "configuration",
            "scripts/configuration.py --settings {params.settings:q} --output {output.configuration:q}",
            checked=["configuration"],
        )


rule crate:
    input:
        report=[
            rules.render.output.html,
            rules.render.output.markdown,
            rules.render.output.summary,
        ],
        documents=[*rules.render.input.documents, rules.render.output.prov],
        configuration=rules.configuration.output.configuration,
        project=project_files(),
        code=code("crate"),
        lock=LOCK,
        crate_schema=schema("crate"),
    output:
        crate="results/ro-crate-metadata.json",
        workflow="results/project/Snakefile",
        source="results/project/source.zip",
        prov="results/project/crate.prov.json",
    log:
        "results/logs/crate.log",
    benchmark:
        "results/benchmarks/crate.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Describing the run as a research object"
    shell:
        traced(
            "crate",
            "scripts/crate.py --report {input.report:q} --settings {input.configuration:q}"
            " --citation CITATION.cff --snakefile Snakefile --project {input.project:q}"
            " --workflow {output.workflow:q} --source {output.source:q} --crate {output.crate:q}",
            checked=["crate"],
            kind="measured",
        )


rule archive:
    input:
        crate=rules.crate.output.crate,
        workflow=rules.crate.output.workflow,
        source=rules.crate.output.source,
        code=code("archive"),
        lock=LOCK,
    output:
        archive="results/project/archive.zip",
        prov="results/project/archive.prov.json",
    log:
        "results/logs/archive.log",
    benchmark:
        "results/benchmarks/archive.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Packing everything into one file"
    shell:
        traced(
            "archive",
            "scripts/archive.py --output {output.archive:q}",
            kind="measured",
        )
