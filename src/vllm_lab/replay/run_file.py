"""What one replay leaves behind: its steps and requests, and a record of what was run and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab.common import files
from vllm_lab.engines.measured import Measured
from vllm_lab.oracle.engine import VLLM
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay.events import write_events
from vllm_lab.replay.metrics import Asked, metrics, metrics_by_priority
from vllm_lab.replay.records import Result, write_requests, write_steps


@dataclass(frozen=True)
class RunFiles:
    """Where a run's files go."""

    steps: str | os.PathLike  # JSON Lines, a step a line
    requests: str | os.PathLike  # CSV, a request a row
    record: str | os.PathLike  # JSON
    events: str | os.PathLike | None = None  # text, a decision a line

    @classmethod
    def of(cls, stem: str) -> RunFiles:
        """The files under their usual endings."""
        return cls(f"{stem}.steps.jsonl", f"{stem}.requests.csv", f"{stem}.json")

    def write(self, result: Result, record: Mapping[str, Any]) -> None:
        """Write them all, each whole or not at all."""
        write_steps(self.steps, result.steps)
        write_requests(self.requests, result.requests)
        if self.events is not None:
            write_events(self.events, result.steps)
        files.write_json(self.record, record)

    def write_not_run(self, engine: str, limits: Limits, reason: str) -> None:
        """The same files where `engine` could not run: no step, no request, and why."""
        record = {"engine": engine, "status": "not_run", "reason": reason, "limits": limits_record(limits)}
        self.write(Result([], [], []), record)


def simulated_record(
    engine: str, requests: Sequence[Asked], limits: Limits, result: Result
) -> dict[str, Any]:
    """Engine, limits, metrics (see simulation/metrics.py), refusals and v1's crash, as JSON."""
    return {
        "engine": engine,
        "status": "simulated",
        **({"vllm_version": vllm_version()} if engine == VLLM else {}),
        "limits": limits_record(limits),
        **outcome_record(requests, limits, result),
    }


def measured_record(
    requests: Sequence[Asked], limits: Limits, repeats: Sequence[Measured]
) -> tuple[Measured, dict[str, Any]]:
    """The repeat with the median makespan (the faster of the middle two), and the same record of it.

    What ran it stands in place of a clock, and every repeat's raw makespan and TTFT beside it.
    """
    came = [(measured, outcome_record(requests, limits, measured.decisions)) for measured in repeats]
    came.sort(key=lambda pair: pair[1]["metrics"]["makespan"])
    measured, outcome = came[(len(came) - 1) // 2]
    record = {
        "engine": "vllm",
        "status": "measured",
        "vllm_version": measured.environment["vllm"],
        "environment": measured.environment,
        "limits": {**limits_record(limits), "clock": {"kind": "real"}},
        **outcome,
        "repeats": [
            {name: found["metrics"][name] for name in ("makespan", "ttft_mean")} for _, found in came
        ],
        "same_decisions": all(_decisions(one) == _decisions(measured) for one in repeats),
    }
    return measured, record


def _decisions(measured: Measured) -> list[tuple]:
    steps = (step.step for step in measured.steps)
    return [(list(step.scheduled.items()), step.preempted, step.finished, step.evicted) for step in steps]


def outcome_record(requests: Sequence[Asked], limits: Limits, result: Result) -> dict[str, Any]:
    """What came of a run, however its time passed."""
    by_priority = metrics_by_priority(requests, result)
    return {
        "metrics": metrics(requests, result, limits.num_blocks),
        "metrics_by_priority": {str(priority): values for priority, values in by_priority.items()},
        "refused": [asdict(refusal) for refusal in result.refused],
        "crash": asdict(result.crash) if result.crash else None,
    }


def limits_record(limits: Limits) -> dict[str, Any]:
    """The limits as JSON, the clock by its kind and numbers."""
    return {**asdict(limits), "clock": {"kind": type(limits.clock).__name__, **limits.clock._asdict()}}
