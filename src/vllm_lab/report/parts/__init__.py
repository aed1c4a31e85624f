"""The parts of the report, in the order of the pipeline: one file for the section of each stage.

`build` of each file takes the results and returns the Section, or None where its results were not made. The
list is written out, so that the workflow sees the imports and renders the report again when a part changes.
"""

from vllm_lab.report.parts import (
    cost_model,
    data,
    experiments,
    load,
    nsight,
    plan,
    provenance,
    replay,
    sharing,
    traces,
    tracing,
)

PARTS = (
    data.build, traces.build, sharing.build, replay.build, experiments.build, cost_model.build, plan.build,
    load.build, nsight.build, tracing.build, provenance.build,
)  # fmt: skip
