# vllm-lab: from real conversations to a report in which every number can be traced.
#
#   snakemake --cores 1 report        everything the report needs
#   snakemake --list                  every rule
#   snakemake --cores 1 FILE          one output

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/traces.smk"
include: "workflow/rules/sharing.smk"
include: "workflow/rules/cost_model.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/load.smk"
include: "workflow/rules/tracing.smk"
include: "workflow/rules/replay.smk"
include: "workflow/rules/oracle.smk"
include: "workflow/rules/nsight.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/provenance.smk"


report: "workflow/report/workflow.rst"


# The default target must be in this file, since included files never set one.
rule report:
    """everything on one page: results/report/index.html"""
    default_target: True
    input:
        "results/report/index.html",
        "results/report/report.md",
        "results/report/vllm_evaluation.md",
        "results/report/summary.json",
    localrule: True


rule archive:
    """the report, its research object and all results in one file: results/provenance/archive.zip"""
    input:
        "results/provenance/archive.zip",
    localrule: True


rule crate:
    """the run as a research object: results/ro-crate-metadata.json"""
    input:
        "results/ro-crate-metadata.json",
    localrule: True


rule plan:
    """all tests of the benchmark plan; each configured test also has a target of its own name"""
    input:
        files.plan_results(config, DEVICE),
    localrule: True


for test in PLAN_TESTS:

    rule:
        name:
            test
        input:
            f"results/plan/{DEVICE}/{test}.json",
        localrule: True
