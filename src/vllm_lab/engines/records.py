"""The record of a real run, in the form that a replay in virtual time has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab.engines.replay import RealRun
from vllm_lab.replay.records import REAL, limits_record, outcome_record
from vllm_lab.replay.replay import TracedRequest


def measured_record(
    requests: Sequence[TracedRequest], limits: Limits, repeats: Sequence[RealRun]
) -> tuple[RealRun, dict[str, Any]]:
    """The repeat with the median makespan (the faster of the middle two), and its record as JSON.

    The record names the environment in place of a clock, and has every repeat's makespan and mean TTFT (s).
    """
    runs = [(run, outcome_record(requests, limits, run.decisions)) for run in repeats]
    runs.sort(key=lambda pair: pair[1]["metrics"]["makespan"])
    median, outcome = runs[(len(runs) - 1) // 2]
    record = {
        "engine": REAL,
        "status": "measured",
        "vllm_version": median.environment["vllm"],
        "environment": median.environment,
        "limits": {**limits_record(limits), "clock": {"kind": "real"}},
        **outcome,
        "repeats": [
            {name: found["metrics"][name] for name in ("makespan", "ttft_mean")} for _, found in runs
        ],
        "same_decisions": all(_decisions(run) == _decisions(median) for run in repeats),
    }
    return median, record


def _decisions(run: RealRun) -> list[tuple]:
    return [(list(step.scheduled.items()), step.preempted, step.finished, step.evicted) for step in run.steps]
