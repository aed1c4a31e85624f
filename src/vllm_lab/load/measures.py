"""What a replay against a server comes to, in numbers: each with its unit and its definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vllm_lab.common.metric import Metric, Value
from vllm_lab.common.statistics import Distribution
from vllm_lab.load.client import Answer

TIMES = {
    "ttft": "sent to first chunk of the stream",
    "tpot": "(last chunk - first chunk) / (output tokens - 1), of requests with two tokens or more",
    "itl": "each gap between chunks, of all requests together",
    "e2e": "sent to last chunk",
}
PERCENTS = (50, 90, 95, 99)
METRICS = {
    "requests": Metric("requests", "sent"),
    "completed": Metric("requests", "answered in full and without an error"),
    "failed": Metric("requests", "the others"),
    "duration": Metric("s", "first request sent to last chunk of all, the drain included"),
    "lateness_max": Metric(
        "s", "a request's sending behind its arrival time, at most: the client's own delay"
    ),
    "request_throughput": Metric("requests/s", "completed / duration"),
    "output_throughput": Metric("tokens/s", "output tokens of completed requests / duration"),
    "total_throughput": Metric("tokens/s", "prompt and output tokens of completed requests / duration"),
    "goodput": Metric("requests/s", "completed requests that meet every limit / duration"),
    "within_limits": Metric("fraction", "of the requests sent, those that meet every limit"),
    "steady_output_throughput": Metric(
        "tokens/s",
        "chunks that came in the steady state / its seconds: from the arrival that ends the first "
        "quarter of all to the one that begins the last",
    ),
    "steady_ttft_p50": Metric("s", "ttft_p50 of the requests that arrived in the steady state"),
    "steady_e2e_p50": Metric("s", "e2e_p50 of the requests that arrived in the steady state"),
    **{
        f"{time}_{name}": Metric("s", f"{words}, {title}")
        for time, words in TIMES.items()
        for name, title in {"mean": "mean", **{f"p{p}": f"{p}th percentile" for p in PERCENTS}}.items()
    },
}


@dataclass(frozen=True)
class LatencyLimits:
    """What a request must keep to count for goodput, each in s."""

    ttft: float
    tpot: float
    e2e: float

    def met_by(self, answer: Answer) -> bool:
        """Whether a complete request keeps all three; one token has no TPOT and keeps that one."""
        return (
            answer.e2e is not None
            and answer.ttft <= self.ttft
            and (answer.tpot or 0.0) <= self.tpot
            and answer.e2e <= self.e2e
        )


def measures(answers: Sequence[Answer], limits: LatencyLimits) -> dict[str, Value]:
    """Every metric of METRICS; None where no request has the value."""
    complete = [answer for answer in answers if answer.e2e is not None]
    last = max((answer.sent + answer.e2e for answer in complete), default=None)
    duration = None if last is None else last - min(answer.sent for answer in answers)
    good = sum(limits.met_by(answer) for answer in answers)
    output = sum(answer.output_tokens for answer in complete)
    prompt = sum(answer.prompt_tokens for answer in complete)

    def per_second(count: int) -> float | None:
        return count / duration if duration else None

    return {
        "requests": len(answers),
        "completed": len(complete),
        "failed": len(answers) - len(complete),
        "duration": duration,
        "lateness_max": max(answer.sent - answer.arrival for answer in answers),
        "request_throughput": per_second(len(complete)),
        "output_throughput": per_second(output),
        "total_throughput": per_second(prompt + output),
        "goodput": per_second(good),
        "within_limits": good / len(answers),
        **_steady(answers),
        **_latencies(complete),
    }


def _steady(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Of a replay without its beginning, while the server fills, and its end, while it drains."""
    ordered = sorted(answers, key=lambda answer: answer.sent)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    start, end = middle[0].sent, middle[-1].sent
    chunks = sum(start <= chunk < end for answer in answers for chunk in answer.chunks)
    complete = [answer for answer in middle if answer.e2e is not None]
    return {
        "steady_output_throughput": chunks / (end - start) if end > start else None,
        "steady_ttft_p50": Distribution.of([answer.ttft for answer in complete]).percentile(50),
        "steady_e2e_p50": Distribution.of([answer.e2e for answer in complete]).percentile(50),
    }


def _latencies(complete: Sequence[Answer]) -> dict[str, float | None]:
    samples = {
        name: [value for answer in complete if (value := getattr(answer, name)) is not None]
        for name in ("ttft", "tpot", "e2e")
    }
    samples["itl"] = [gap for answer in complete for gap in answer.itls]
    return {
        f"{time}_{name}": value
        for time in TIMES
        for name, value in _statistics(Distribution.of(samples[time])).items()
    }


def _statistics(sample: Distribution) -> dict[str, float | None]:
    return {"mean": sample.mean(), **{f"p{percent}": sample.percentile(percent) for percent in PERCENTS}}
