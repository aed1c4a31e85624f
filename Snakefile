# vllm-lab: from real conversations to a report in which every number can be traced.
#
#   snakemake --cores 1 report        everything the report needs
#   snakemake --list                  every rule
#   snakemake --cores 1 FILE          one output

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/common_experiments.smk"
include: "workflow/rules/common_plan.smk"
include: "workflow/rules/common_report.smk"
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


onstart:
    # How many jobs start in a second need not be limited here. With its limit Snakemake 9.27 looks at all jobs that
    # are ready once a second for every job that has ended: after 80 a third of a core, taken from what is measured.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


# The default target; it must stand here, since included files never set one.
rule report:
    default_target: True
    input:
        "results/report/index.html",
        "results/report/report.md",
        "results/report/vllm_evaluation.md",
        "results/report/summary.json",
    localrule: True


# Single tests of the benchmark plan by name, on the device that there is.
rule plan:
    input:
        bench_files(),
    localrule: True


for test in BENCH_TESTS:

    rule:
        name:
            test
        input:
            f"results/plan/{DEVICE}/{test}.json",
        localrule: True
