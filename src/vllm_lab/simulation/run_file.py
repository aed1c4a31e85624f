"""What one replay leaves behind: its steps, its requests, and a record of what was run and came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab import files
from vllm_lab.oracle import records
from vllm_lab.oracle.engine import VLLM, TracedRequest
from vllm_lab.oracle.records import Result
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.simulation.metrics import metrics, metrics_by_priority


@dataclass(frozen=True)
class RunFiles:
    """Where a replay's three files go."""

    steps: str | os.PathLike  # JSON Lines, a step a line
    requests: str | os.PathLike  # CSV, a request a row
    record: str | os.PathLike  # JSON

    @classmethod
    def of(cls, stem: str) -> RunFiles:
        """The three files under their usual endings."""
        return cls(f"{stem}.steps.jsonl", f"{stem}.requests.csv", f"{stem}.json")

    def write(self, engine: str, requests: Sequence[TracedRequest], limits: Limits, result: Result) -> None:
        """Write all three, each whole or not at all."""
        records.write_steps(self.steps, result.steps)
        records.write_requests(self.requests, result.requests)
        files.write_json(self.record, record(engine, requests, limits, result))

    def write_not_run(self, engine: str, limits: Limits, reason: str) -> None:
        """The same files where `engine` could not run: no step, no request, and why."""
        records.write_steps(self.steps, [])
        records.write_requests(self.requests, [])
        absent = {"engine": engine, "status": "not_run", "reason": reason, "limits": _limits(limits)}
        files.write_json(self.record, absent)


def record(engine: str, requests: Sequence[TracedRequest], limits: Limits, result: Result) -> dict[str, Any]:
    """Engine, limits, metrics (see simulation/metrics.py), refusals and v1's crash, as JSON."""
    return {
        "engine": engine,
        "status": "simulated",
        **({"vllm_version": vllm_version()} if engine == VLLM else {}),
        "limits": _limits(limits),
        "metrics": metrics(requests, result, limits.num_blocks),
        "metrics_by_priority": {
            str(priority): values for priority, values in metrics_by_priority(requests, result).items()
        },
        "refused": [asdict(refusal) for refusal in result.refused],
        "crash": asdict(result.crash) if result.crash else None,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    clock = {"kind": type(limits.clock).__name__, **limits.clock._asdict()}
    return {**asdict(limits), "clock": clock}
