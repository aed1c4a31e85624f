"""The metrics of a replay: one table of their titles, units, definitions and sources, and the functions.

Times count from the replay's start, in virtual or in real time. A request has P prompt tokens and N output
tokens.
"""

from collections.abc import Sequence

from mini_vllm.request import Request
from vllm_lab.common.metric import Metric, Value
from vllm_lab.common.statistics import Distribution
from vllm_lab.replay.replay import Result, TracedRequest

Asked = TracedRequest | Request  # whose outcomes are measured

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
_SOURCES = {
    "ttft": "vLLM: vllm:time_to_first_token_seconds",
    "tpot": "vLLM: vllm:request_time_per_output_token_seconds",
    "e2e": "vLLM: vllm:e2e_request_latency_seconds",
}
# For all requests or for those of one priority.
REQUEST_METRICS = {
    "requests": Metric("requests", "requests of the trace", "Requests"),
    "refused": Metric("requests", "requests that could never finish and never entered", "Requests refused"),
    "finished": Metric("requests", "requests that got their last token", "Requests finished"),
    "preemptions": Metric(
        "preemptions",
        "times a running request lost its blocks and was put back into the queue",
        "Preemptions",
        "vLLM: vllm:num_preemptions",
    ),
    "preempted_requests": Metric("requests", "requests preempted at least once", "Requests preempted"),
    "prompt_tokens": Metric("tokens", "sum of P over the requests that were admitted", "Prompt tokens"),
    "cached_tokens": Metric(
        "tokens",
        "prompt tokens found in the prefix cache at a request's first admission",
        "Prompt tokens found in the cache",
        "vLLM: vllm:prefix_cache_hits",
    ),
    "hit_rate": Metric(
        "fraction",
        "cached_tokens / prompt_tokens",
        "Hit rate of prompt tokens",
        "vLLM: vllm:prefix_cache_hits / vllm:prefix_cache_queries",
    ),
    **{
        f"{time}_{statistic}": Metric(
            "s",
            f"{words}; {title} over the requests that have it",
            f"{time.upper()}, {title}",
            _SOURCES[time],
        )
        for time, words in TIMES.items()
        for statistic, title in STATISTICS.items()
    },
}
# For the whole run only.
RUN_METRICS = {
    "steps": Metric("steps", "steps that scheduled at least one token", "Steps"),
    "makespan": Metric("s", "time 0 to the last token of all", "Time to the last token"),
    "evictions": Metric(
        "blocks",
        "cached blocks that lost their content because a request needed a block",
        "Cached blocks evicted",
        "vLLM: BlockPool._maybe_evict_cached_block",
    ),
    "scheduled_tokens": Metric("tokens", "tokens computed in all steps", "Tokens computed"),
    "recomputed_tokens": Metric(
        "tokens",
        "scheduled_tokens - sum over the finished requests of (P + N - 1 - cached tokens): what preemptions "
        "made the engine compute again; none if the run ended early",
        "Tokens computed again",
    ),
    "peak_running": Metric(
        "requests", "maximum of the requests in one step", "Requests in one step, maximum"
    ),
    "peak_used_blocks": Metric(
        "blocks", "maximum of the blocks that are not free at the end of a step", "Blocks in use, maximum"
    ),
    "request_throughput": Metric("requests/s", "finished / makespan"),
    "output_throughput": Metric("tokens/s", "output tokens of all requests / makespan"),
    "total_throughput": Metric("tokens/s", "prompt and output tokens of the finished requests / makespan"),
    "first_preemption_step": Metric(
        "step", "number of the first step that preempted a request", "First step with a preemption"
    ),
    "crash_step": Metric(
        "step", "number of the step in which the run ended because no block was free", "Ended in step"
    ),
    "crash_time": Metric("s", "start of that step", "Ended at"),
}
METRICS = REQUEST_METRICS | RUN_METRICS
# For two replays of the same requests, of which the first is the reference.
COMPARISON_METRICS = {
    "equal_steps": Metric("steps", "steps in which every field is equal", "Steps equal"),
    "differing_steps": Metric(
        "steps", "steps in which a field differs, or which only one side has", "Steps that differ"
    ),
    "first_difference": Metric("step", "number of the first step that differs", "First difference in step"),
    "differing_requests": Metric(
        "requests", "requests of which a column of the table differs", "Requests that differ"
    ),
}


def metrics(requests: Sequence[Asked], result: Result, num_blocks: int) -> dict[str, Value]:
    """Compute METRICS. A metric is None where nothing has the value (no request finished, no crash).

    `num_blocks` counts as vLLM's num_gpu_blocks does: the null block is one of them.
    """
    return _request_metrics(requests, result) | _run_metrics(requests, result, num_blocks)


def metrics_by_priority(requests: Sequence[Asked], result: Result) -> dict[int, dict[str, Value]]:
    """Compute REQUEST_METRICS for the requests of each priority, smallest first."""
    groups: dict[int, list[Asked]] = {}
    for request in requests:
        groups.setdefault(request.priority, []).append(request)
    return {priority: _request_metrics(groups[priority], result) for priority in sorted(groups)}


def _request_metrics(requests: Sequence[Asked], result: Result) -> dict[str, Value]:
    outcomes = {got.request_id: got for got in result.requests}
    rows = [(asked, outcomes[asked.request_id]) for asked in requests]
    admitted = [(asked, got) for asked, got in rows if got.cached_tokens is not None]
    refused = {refusal.request_id for refusal in result.refused}
    prompt_tokens = sum(asked.prompt_tokens for asked, _ in admitted)
    cached_tokens = sum(got.cached_tokens for _, got in admitted)
    found = {
        "requests": len(rows),
        "refused": sum(asked.request_id in refused for asked in requests),
        "finished": sum(got.e2e is not None for _, got in rows),
        "preemptions": sum(got.preemptions for _, got in admitted),
        "preempted_requests": sum(got.preemptions > 0 for _, got in admitted),
        "prompt_tokens": prompt_tokens,
        "cached_tokens": cached_tokens,
        "hit_rate": cached_tokens / prompt_tokens if prompt_tokens else None,
    }
    for time in TIMES:
        values = [value for _, got in rows if (value := getattr(got, time)) is not None]
        summary = Distribution.of(values).summary((50, 95, 99))
        found |= {f"{time}_{statistic}": summary[statistic] for statistic in STATISTICS}
    return found


def _run_metrics(requests: Sequence[Asked], result: Result, num_blocks: int) -> dict[str, Value]:
    outcomes = {got.request_id: got for got in result.requests if got.e2e is not None}
    finished = [(asked, outcomes[asked.request_id]) for asked in requests if asked.request_id in outcomes]
    makespan = max((got.arrival + got.e2e for _, got in finished), default=None)
    scheduled = sum(sum(step.scheduled.values()) for step in result.steps)
    once = sum(asked.prompt_tokens + asked.output_tokens - 1 - got.cached_tokens for asked, got in finished)
    counts = {
        "request_throughput": len(finished),
        "output_throughput": sum(got.output_tokens for got in result.requests),
        "total_throughput": sum(asked.prompt_tokens + got.output_tokens for asked, got in finished),
    }
    return {
        "steps": len(result.steps),
        "makespan": makespan,
        "evictions": sum(len(step.evicted) for step in result.steps),
        "scheduled_tokens": scheduled,
        "recomputed_tokens": None if result.crash else scheduled - once,
        "peak_running": max((len(step.scheduled) for step in result.steps), default=0),
        "peak_used_blocks": max((num_blocks - 1 - step.free_blocks for step in result.steps), default=0),
        **{name: count / makespan if makespan else None for name, count in counts.items()},
        "first_preemption_step": next((step.step for step in result.steps if step.preempted), None),
        "crash_step": result.crash.step if result.crash else None,
        "crash_time": result.crash.time if result.crash else None,
    }
