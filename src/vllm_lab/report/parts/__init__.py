"""The parts of the report, in the order of the pipeline: one function for the section of each stage.

Each function takes the results and returns its Section, or None where its results were not made. The list is
written out, so that the workflow sees the imports and renders the report again when a part changes.
"""

from vllm_lab.report.parts import (
    cost_model,
    data,
    experiments,
    inside,
    load,
    plan,
    provenance,
    replay,
    sharing,
)

PARTS = (
    data.data, data.traces, sharing.build, replay.build, experiments.build, cost_model.build, plan.build,
    load.build, inside.nsight, inside.tracing, provenance.build,
)  # fmt: skip
