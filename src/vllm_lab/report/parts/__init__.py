"""One module for each part of the laboratory, in the pipeline's order.

Each offers `build(results: Results) -> Section | None`: its section, or None when its results were not made.
The list is spelt out, not discovered, so that the workflow sees the imports and reruns the report when one
of these modules changes.
"""

from vllm_lab.report.parts import (
    checklist,
    cost_model,
    data,
    experiments,
    hardware,
    imported,
    load,
    model,
    nsight,
    plan,
    reference,
    replay,
    settings,
    sharing,
    sweeps,
    traces,
    tracing,
)

SECTIONS = (
    data.build,
    model.build,
    traces.build,
    sharing.build,
    sweeps.build,
    reference.build,
    imported.build,
    replay.build,
    experiments.build,
    cost_model.build,
    plan.build,
    checklist.build,
    load.build,
    nsight.build,
    tracing.build,
    hardware.build,
    settings.build,
)
