# The research object: what was made, from what, by whom, in one description and in one file.


rule provenance_configuration:
    """the configuration that the run used"""
    input:
        **needs("provenance_configuration", "config"),
    output:
        configuration="results/provenance/configuration.json",
        prov="results/provenance/provenance_configuration.prov.json",
    log:
        "results/logs/provenance_configuration.log",
    benchmark:
        "results/timings/provenance_configuration.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        settings=json.dumps(config, sort_keys=True),
    message:
        "Writing down the configuration"
    shell:
        traced("provenance_configuration", "--settings {params.settings:q} --output {output.configuration:q}")


rule provenance_crate:
    """the run as a research object (RO-Crate)"""
    input:
        **needs("provenance_crate", "crate"),
        report=[
            rules.report_render.output.html,
            rules.report_render.output.markdown,
            rules.report_render.output.evaluation,
            rules.report_render.output.summary,
        ],
        documents=[*rules.report_render.input.documents, rules.report_render.output.prov],
        configuration=rules.provenance_configuration.output.configuration,
        project=files.project(),
    output:
        crate="results/ro-crate-metadata.json",
        workflow="results/provenance/Snakefile",
        source="results/provenance/source.zip",
        prov="results/provenance/provenance_crate.prov.json",
    log:
        "results/logs/provenance_crate.log",
    benchmark:
        "results/timings/provenance_crate.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Describing the run as a research object"
    shell:
        traced(
            "provenance_crate",
            "--report {input.report:q} --settings {input.configuration:q}"
            " --citation CITATION.cff --snakefile Snakefile --project {input.project:q}"
            " --workflow {output.workflow:q} --source {output.source:q} --crate {output.crate:q}",
            kind="measured",
        )


rule provenance_archive:
    """the report and everything behind it in one zip file"""
    input:
        **needs("provenance_archive"),
        crate=rules.provenance_crate.output.crate,
        workflow=rules.provenance_crate.output.workflow,
        source=rules.provenance_crate.output.source,
    output:
        archive="results/provenance/archive.zip",
        prov="results/provenance/provenance_archive.prov.json",
    log:
        "results/logs/provenance_archive.log",
    benchmark:
        "results/timings/provenance_archive.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    message:
        "Packing everything into one file"
    shell:
        traced("provenance_archive", "--output {output.archive:q}", kind="measured")
