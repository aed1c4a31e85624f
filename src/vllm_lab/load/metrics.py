"""The metrics of one replay against a server: percentiles of latencies, throughput and goodput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vllm_lab.common.metric import Metric, Value
from vllm_lab.common.statistics import Distribution
from vllm_lab.load.measurements import SentRequest

SOURCE = "vLLM, vllm/benchmarks/serve.py"
TIMES = {
    "ttft": ("TTFT", "request sent to first chunk of the stream"),
    "tpot": ("TPOT", "(last chunk - first chunk) / (output tokens - 1), of requests with two tokens or more"),
    "itl": ("ITL", "each gap between two chunks, of all requests together"),
    "e2e": ("E2E", "request sent to last chunk"),
}
PERCENTS = (50, 90, 95, 99)
STATISTICS = {"mean": "mean", **{f"p{percent}": f"{percent}th percentile" for percent in PERCENTS}}
METRICS = {
    "requests": Metric("requests", "requests sent", "Sent"),
    "completed": Metric("requests", "requests answered in full and without an error", "Completed", SOURCE),
    "failed": Metric("requests", "requests - completed", "Failed", SOURCE),
    "duration": Metric(
        "s", "first request sent to last chunk of all requests, the drain included", "Duration", SOURCE
    ),
    "lateness_max": Metric(
        "s", "largest delay between a request's arrival time and its sending, caused by the client"
    ),
    "request_throughput": Metric("requests/s", "completed / duration", "Request throughput", SOURCE),
    "output_throughput": Metric(
        "tokens/s", "output tokens of completed requests / duration", "Output token throughput", SOURCE
    ),
    "total_throughput": Metric(
        "tokens/s",
        "prompt and output tokens of completed requests / duration",
        "Total token throughput",
        SOURCE,
    ),
    "goodput": Metric(
        "requests/s", "completed requests that meet every latency limit / duration", "Goodput", SOURCE
    ),
    "within_limits": Metric("fraction", "requests that meet every latency limit / requests sent"),
    "steady_output_throughput": Metric(
        "tokens/s",
        "chunks that arrived in the steady state / its seconds; the steady state lasts from the request that "
        "ends the first quarter to the request that begins the last quarter",
        "Output token throughput, steady state",
    ),
    "steady_ttft_p50": Metric(
        "s", "median TTFT of the requests sent in the steady state", "TTFT, steady state, median"
    ),
    "steady_e2e_p50": Metric(
        "s", "median E2E of the requests sent in the steady state", "E2E, steady state, median"
    ),
    **{
        f"{time}_{name}": Metric("s", f"{words}: {statistic}", f"{title}, {statistic}", SOURCE)
        for time, (title, words) in TIMES.items()
        for name, statistic in STATISTICS.items()
    },
}


@dataclass(frozen=True)
class LatencyLimits:
    """The latencies (s) that a request must not exceed to count for goodput."""

    ttft: float
    tpot: float
    e2e: float

    def met_by(self, request: SentRequest) -> bool:
        """Whether a request is complete and within all limits. One token has no TPOT to exceed."""
        return (
            request.e2e is not None
            and request.ttft <= self.ttft
            and (request.tpot or 0.0) <= self.tpot
            and request.e2e <= self.e2e
        )


def metrics(requests: Sequence[SentRequest], limits: LatencyLimits) -> dict[str, Value]:
    """A value for every name in METRICS; None if no request has the value."""
    complete = [request for request in requests if request.e2e is not None]
    last = max((request.sent + request.e2e for request in complete), default=None)
    duration = None if last is None else last - min(request.sent for request in requests)
    good = sum(limits.met_by(request) for request in requests)
    output = sum(request.output_tokens for request in complete)
    prompt = sum(request.prompt_tokens for request in complete)

    def per_second(count: int) -> float | None:
        return count / duration if duration else None

    return {
        "requests": len(requests),
        "completed": len(complete),
        "failed": len(requests) - len(complete),
        "duration": duration,
        "lateness_max": max(request.sent - request.arrival for request in requests),
        "request_throughput": per_second(len(complete)),
        "output_throughput": per_second(output),
        "total_throughput": per_second(prompt + output),
        "goodput": per_second(good),
        "within_limits": good / len(requests),
        **_steady(requests),
        **_latencies(complete),
    }


def _steady(requests: Sequence[SentRequest]) -> dict[str, float | None]:
    """The steady state: the replay without its first quarter, when the server fills, and its last quarter."""
    ordered = sorted(requests, key=lambda request: request.sent)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    start, end = middle[0].sent, middle[-1].sent
    chunks = sum(start <= chunk < end for request in requests for chunk in request.chunks)
    complete = [request for request in middle if request.e2e is not None]
    return {
        "steady_output_throughput": chunks / (end - start) if end > start else None,
        "steady_ttft_p50": Distribution.of([request.ttft for request in complete]).percentile(50),
        "steady_e2e_p50": Distribution.of([request.e2e for request in complete]).percentile(50),
    }


def _latencies(complete: Sequence[SentRequest]) -> dict[str, float | None]:
    samples = {
        name: [value for request in complete if (value := getattr(request, name)) is not None]
        for name in ("ttft", "tpot", "e2e")
    }
    samples["itl"] = [gap for request in complete for gap in request.itls]
    return {
        f"{time}_{name}": value
        for time in TIMES
        for name, value in _statistics(Distribution.of(samples[time])).items()
    }


def _statistics(sample: Distribution) -> dict[str, float | None]:
    return {"mean": sample.mean(), **{f"p{percent}": sample.percentile(percent) for percent in PERCENTS}}
