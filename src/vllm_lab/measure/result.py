"""A test of the plan, and the document that tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from vllm_lab.common.host import hardware
from vllm_lab.common.metric import Metric
from vllm_lab.common.statistics import Summary, verification
from vllm_lab.measure.repeats import Repeats, Run

GENERATED, SHAREGPT = "generated", "sharegpt"
PROMPTS = {
    GENERATED: "random tokens from a seeded generator",
    SHAREGPT: "short requests of randomly chosen conversations of the multi-turn ShareGPT trace, "
    "prompt_tokens at most; outputs of the trace's own lengths, cut at output_tokens",
}


@dataclass(frozen=True, eq=False)
class Test:
    """What a test measures and how."""

    __test__ = False  # for pytest, which takes classes of this name for its own

    id: str
    name: str
    method: str
    how_obtained: str
    metrics: Mapping[str, Metric]  # a run gives a value for each, or leaves it out where there is none
    headline: str = ""  # the metric whose spread over the runs verifies the test

    def of(self, prompts: str) -> Test:
        """The test on one of PROMPTS; generated ones leave it its id and its name."""
        method = f"{self.method} Prompts: {PROMPTS[prompts]}."
        if prompts == GENERATED:
            return replace(self, method=method)
        return replace(
            self, id=f"{self.id}_{prompts}", name=f"{self.name}, ShareGPT's prompts", method=method
        )


@dataclass(frozen=True)
class Check:
    """Something that must hold, by another way of knowing it."""

    statement: str
    expected: float | int
    found: float | int
    tolerance_pct: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether `found` is within the tolerance of `expected`."""
        return abs(self.found - self.expected) <= self.tolerance_pct / 100 * abs(self.expected)


def measured(
    test: Test,
    device: str,
    parameters: Mapping[str, Any],
    environments: Mapping[str, Any],
    runs: Sequence[Run],
    repeats: Repeats,
    checks: Sequence[Check] = (),
) -> dict[str, Any]:
    """The document of a test that ran; `environments`: of each engine, by name."""
    counting = [run for run in runs if run.used]
    summaries = {
        name: Summary.of([run.values[name] for run in counting])
        for name in test.metrics
        if all(name in run.values for run in counting)
    }
    return document(test, device, parameters, "measured") | {
        "test_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "environments": dict(environments),
        "runs": [
            {"run": number, "values": run.values, "raw": run.raw, "used": run.used, **asdict(run.disturbance)}
            for number, run in enumerate(runs)
        ],
        "results": {
            name: {
                "value": summary.mean,
                "unit": test.metrics[name].unit,
                "definition": test.metrics[name].definition,
                "interval": summary.interval,
                "cv_pct": summary.cv_pct,
                "spread_pct": summary.spread_pct,
            }
            for name, summary in summaries.items()
        },
        "verification": verification(
            test.headline, [run.values[test.headline] for run in counting], repeats.tolerance_pct
        ),
        "checks": checks_of(checks),
    }


def not_run(test: Test, device: str, parameters: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The document of a test that could not be."""
    return document(test, device, parameters, "not_run") | {"reason": reason, "hardware": hardware()}


def document(test: Test, device: str | None, parameters: Mapping[str, Any], status: str) -> dict[str, Any]:
    """What every test's document has; the rest is empty."""
    return {
        "test_id": test.id,
        "test_name": test.name,
        "test_date": None,
        "hardware": None,
        "device": device,
        "method": test.method,
        "how_obtained": test.how_obtained,
        "parameters": dict(parameters),
        "status": status,
        "reason": None,
        "environments": {},
        "runs": [],
        "results": {},
        "parts_not_run": [],
        "verification": None,
        "checks": [],
    }


def checks_of(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Checks as documents have them."""
    return [asdict(check) | {"holds": check.holds} for check in checks]
