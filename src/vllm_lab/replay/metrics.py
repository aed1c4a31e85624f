"""What one replay comes to, in numbers: each with its unit and its definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vllm_lab.common.metric import Metric, Value
from vllm_lab.common.statistics import Distribution
from vllm_lab.replay.replay import Outcome, Result

TIMES = {
    "ttft": "arrival to first token",
    "tpot": "(last token - first token) / (output tokens - 1)",
    "e2e": "arrival to last token",
}
STATISTICS = {
    "mean": "mean",
    "p50": "median",
    "p95": "95th percentile",
    "p99": "99th percentile",
    "max": "maximum",
}
# Asked of all requests, or of those of one priority; RUN_METRICS only make sense for the whole run.
REQUEST_METRICS = {
    "requests": Metric("requests", "in the trace"),
    "refused": Metric("requests", "that could never finish and never entered"),
    "finished": Metric("requests", "that got their last token"),
    "preemptions": Metric("preemptions", "times a request lost its blocks and was put back"),
    "preempted_requests": Metric("requests", "preempted at least once"),
    "prompt_tokens": Metric("tokens", "prompts of admitted requests"),
    "cached_tokens": Metric("tokens", "of these, found in the prefix cache at first admission"),
    "hit_rate": Metric("fraction", "cached_tokens / prompt_tokens"),
    **{
        f"{time}_{statistic}": Metric("s", f"{words}, {title} over the requests that have it")
        for time, words in TIMES.items()
        for statistic, title in STATISTICS.items()
    },
}
RUN_METRICS = {
    "steps": Metric("steps", "that scheduled a token"),
    "makespan": Metric("s", "time 0 to the last token"),
    "evictions": Metric("blocks", "cached blocks given up for others"),
    "scheduled_tokens": Metric("tokens", "computed in all steps"),
    "recomputed_tokens": Metric(
        "tokens",
        "computed again after preemptions: scheduled_tokens less what each finished request needs once",
    ),
    "peak_running": Metric("requests", "scheduled in one step, at most"),
    "peak_used_blocks": Metric("blocks", "not free at the end of a step, at most"),
    "request_throughput": Metric("requests/s", "finished / makespan"),
    "output_throughput": Metric("tokens/s", "output tokens / makespan"),
    "total_throughput": Metric("tokens/s", "prompt and output tokens of finished requests / makespan"),
    "first_preemption_step": Metric("step", "the first that lists a preemption"),
    "crash_step": Metric("step", "in which the run ended for want of a block"),
    "crash_time": Metric("s", "of that step"),
}
METRICS = REQUEST_METRICS | RUN_METRICS


class Asked(Protocol):
    """What the metrics ask of a request: vllm_lab's TracedRequest and mini_vllm's Request tell it."""

    @property
    def request_id(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


@dataclass(frozen=True)
class _Row:
    """A request and what became of it."""

    asked: Asked
    got: Outcome
    refused: bool

    @property
    def admitted(self) -> bool:
        return self.got.cached_tokens is not None

    @property
    def finished(self) -> bool:
        return self.got.e2e is not None


def metrics(requests: Sequence[Asked], result: Result, num_blocks: int) -> dict[str, Value]:
    """Every metric of METRICS. None where nothing has the value (no request finished, no crash).

    `num_blocks` counts as vLLM's num_gpu_blocks does: the null block is one of them.
    """
    rows = _rows(requests, result)
    return _request_metrics(rows) | _run_metrics(rows, result, num_blocks)


def metrics_by_priority(requests: Sequence[Asked], result: Result) -> dict[int, dict[str, Value]]:
    """REQUEST_METRICS of the requests of each priority, the one served first in front."""
    rows = _rows(requests, result)
    priorities = sorted({row.asked.priority for row in rows})
    return {p: _request_metrics([row for row in rows if row.asked.priority == p]) for p in priorities}


def _rows(requests: Sequence[Asked], result: Result) -> list[_Row]:
    asked = {request.request_id: request for request in requests}
    refused = {refusal.request_id for refusal in result.refused}
    return [_Row(asked[got.request_id], got, got.request_id in refused) for got in result.requests]


def _request_metrics(rows: Sequence[_Row]) -> dict[str, Value]:
    admitted = [row for row in rows if row.admitted]
    prompt_tokens = sum(row.asked.prompt_tokens for row in admitted)
    cached_tokens = sum(row.got.cached_tokens for row in admitted)
    preemptions = [row.got.preemptions for row in admitted]
    return {
        "requests": len(rows),
        "refused": sum(row.refused for row in rows),
        "finished": sum(row.finished for row in rows),
        "preemptions": sum(preemptions),
        "preempted_requests": sum(count > 0 for count in preemptions),
        "prompt_tokens": prompt_tokens,
        "cached_tokens": cached_tokens,
        "hit_rate": cached_tokens / prompt_tokens if prompt_tokens else None,
        **{
            f"{time}_{name}": value
            for time in TIMES
            for name, value in _statistics(getattr(row.got, time) for row in rows).items()
        },
    }


def _statistics(values: Iterable[float | None]) -> dict[str, float | None]:
    """STATISTICS of those that are not None."""
    sample = Distribution.of([value for value in values if value is not None])
    return {
        "mean": sample.mean(),
        **{f"p{percent}": sample.percentile(percent) for percent in (50, 95, 99)},
        "max": sample.percentile(100),
    }


def _run_metrics(rows: Sequence[_Row], result: Result, num_blocks: int) -> dict[str, Value]:
    finished = [row for row in rows if row.finished]
    makespan = max((row.got.arrival + row.got.e2e for row in finished), default=None)
    scheduled = sum(sum(step.scheduled.values()) for step in result.steps)
    once = sum(
        row.asked.prompt_tokens + row.asked.output_tokens - 1 - row.got.cached_tokens for row in finished
    )
    output = sum(row.got.output_tokens for row in rows)
    total = sum(row.asked.prompt_tokens + row.got.output_tokens for row in finished)
    return {
        "steps": len(result.steps),
        "makespan": makespan,
        "evictions": sum(len(step.evicted) for step in result.steps),
        "scheduled_tokens": scheduled,
        "recomputed_tokens": None if result.crash else scheduled - once,
        "peak_running": max((len(step.scheduled) for step in result.steps), default=0),
        "peak_used_blocks": max((num_blocks - 1 - step.free_blocks for step in result.steps), default=0),
        "request_throughput": len(finished) / makespan if makespan else None,
        "output_throughput": output / makespan if makespan else None,
        "total_throughput": total / makespan if makespan else None,
        "first_preemption_step": next((step.step for step in result.steps if step.preempted), None),
        "crash_step": result.crash.step if result.crash else None,
        "crash_time": result.crash.time if result.crash else None,
    }
