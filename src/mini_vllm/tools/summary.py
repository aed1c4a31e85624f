"""A run in a few lines: how many requests, steps, preemptions and evictions there were, and the latencies."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mini_vllm.request import Request
from mini_vllm.tools.records import COLUMNS, outcome
from mini_vllm.v1_naive.engine import Engine

LATENCIES = ("ttft", "tpot", "e2e")  # see docs/mini_vllm.md


def summary(engine: Engine, requests: Sequence[Request], end: str | None) -> Iterator[str]:
    """Lines about a run of `engine` that is over, with the refused requests among `requests`; `end` says
    where and why v1 ended before all requests had finished."""
    admitted = [request for request in requests if request.cached_tokens is not None]
    finished = sum(request.finished for request in requests)
    yield f"requests     {len(requests)}: {finished} finished, {len(engine.refused)} refused"
    yield f"steps        {engine.steps} in {engine.now:.6g} s"
    if end:
        yield f"ended        {end}"
    yield f"preemptions  {sum(request.preemptions for request in requests)}"
    cache = getattr(engine.blocks, "cache", None)
    yield f"evictions    {cache.evictions if cache else 0} blocks"
    prompts = sum(request.prompt_tokens for request in admitted)
    cached = sum(request.cached_tokens for request in admitted)
    rate = f"{cached / prompts:.2%} of the prompt tokens ({cached} of {prompts})" if prompts else "-"
    yield f"hit rate     {rate}"
    rows = [dict(zip(COLUMNS, outcome(request), strict=True)) for request in requests]
    for name in LATENCIES:
        yield f"{name.upper():<12} {_latency(row[name] for row in rows)}"


def _latency(values: Iterable[float | None]) -> str:
    """Median and 99th percentile (linear between ranks) of the values in s that there are."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    median, p99 = np.percentile(there, [50, 99])
    return f"median {median:.6g} s, p99 {p99:.6g} s"
