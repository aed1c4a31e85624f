"""The parts of the report, one module per stage of the pipeline and in its order.

Each part has `build(results) -> Section | None`: its section, or None where its results were not made. A new
part is a module here and a line in PARTS. The list is written out, so that the workflow sees the imports and
renders the report again when a part changes.
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

PARTS = (data, traces, sharing, replay, experiments, cost_model, plan, load, nsight, tracing, provenance)
