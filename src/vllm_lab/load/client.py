"""An open-loop client of OpenAI-compatible servers: one replay, and a sweep over several rates.

Every request is sent at its arrival time, whatever happens to the other requests. The client notes when each
part of a streamed answer arrives, and reads the server's counters.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from vllm_lab.common import console
from vllm_lab.engines.settings import FORCED_TOKENS
from vllm_lab.load.measurements import Cell, SentRequest, Sweep
from vllm_lab.load.server import MODEL, ServerFailedError, VllmServer
from vllm_lab.measure.workload import at_rate
from vllm_lab.replay.requests import TracedRequest

WARM_UP_REQUESTS = 4
ERROR_LENGTH = 500  # characters kept of a server's error
COUNTERS = {
    "prefix_cache_queries": "vllm:prefix_cache_queries_total",  # prompt tokens looked up
    "prefix_cache_hits": "vllm:prefix_cache_hits_total",  # prompt tokens found
    "preemptions": "vllm:num_preemptions_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
}


def replay(
    base_url: str, model: str, requests: Sequence[TracedRequest], *, forced: bool, timeout: float
) -> list[SentRequest]:
    """Send every request at its arrival_time (s from now) and wait for all, in the order given.

    `forced`: ask the server to answer with the trace's outputs (it must run vllm_lab.engines.forced_plugin).
    `timeout`: s without a byte after which the client gives a request up. A failure of a request does not
    raise an exception; it is the request's `error`.
    """
    return asyncio.run(_replay(base_url, model, requests, forced, timeout))


async def _replay(
    base_url: str, model: str, requests: Sequence[TracedRequest], forced: bool, timeout: float
) -> list[SentRequest]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=base_url, timeout=timeout, limits=limits, trust_env=False) as http:
        origin = time.perf_counter()
        return await asyncio.gather(
            *(_send(http, row, request_body(row, model, forced), origin) for row in requests)
        )


def request_body(request: TracedRequest, model: str, forced: bool) -> dict[str, Any]:
    """The JSON of a streaming /v1/completions for the request's token ids and exactly its output's length."""
    body = {
        "model": model,
        "prompt": request.prompt,
        "max_tokens": len(request.output),
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "priority": request.priority,
    }
    return body | {"vllm_xargs": {FORCED_TOKENS: request.output}} if forced else body


async def _send(
    http: httpx.AsyncClient, row: TracedRequest, body: dict[str, Any], origin: float
) -> SentRequest:
    request = SentRequest(row.request_id, row.arrival_time, len(row.prompt), len(row.output))
    await asyncio.sleep(max(0.0, origin + row.arrival_time - time.perf_counter()))
    request.sent = time.perf_counter() - origin
    try:
        async with http.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                text = (await response.aread()).decode(errors="replace")
                request.error = f"HTTP {response.status_code}: {text[:ERROR_LENGTH]}"
                return request
            async for event in _events(response):
                _note(request, event, time.perf_counter() - origin)
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        request.error = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
        return request
    if request.error is None and request.output_tokens != request.asked_tokens:
        request.error = f"received {request.output_tokens} tokens instead of {request.asked_tokens}"
    return request


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def _note(request: SentRequest, event: dict[str, Any], now: float) -> None:
    if "error" in event:
        request.error = json.dumps(event["error"])[:ERROR_LENGTH]
    if event.get("choices"):
        request.chunks.append(now)
        request.text += event["choices"][0].get("text") or ""
    if event.get("usage"):
        request.output_tokens = event["usage"]["completion_tokens"]
        request.cached_tokens = (event["usage"].get("prompt_tokens_details") or {}).get("cached_tokens")


def read_counters(base_url: str) -> dict[str, int]:
    """The values of COUNTERS now, summed over a server's engines. httpx.HTTPError if it does not answer."""
    page = httpx.get(f"{base_url}/metrics", trust_env=False).raise_for_status().text
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return {name: int(totals[sample]) for name, sample in COUNTERS.items()}


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How much each counter grew."""
    return {name: after[name] - before[name] for name in COUNTERS}


def sweep(
    server: VllmServer,
    requests: Sequence[TracedRequest],
    rates: Sequence[float],
    repeats: int,
    timeout: float,
) -> Sweep:
    """Replay `requests` at each of `rates` (1/s), `repeats` times. The cells record what fails."""
    environment = server.environment()
    warm_up = at_rate(requests, 1000.0)[:WARM_UP_REQUESTS]
    replay(server.url, MODEL, warm_up, forced=True, timeout=timeout)
    cells = []
    for repeat in range(repeats):
        for rate in rates:
            cells.append(_cell(server, at_rate(requests, rate), rate, repeat, timeout))
            _log(cells[-1])
    return Sweep(cells, list(requests), environment, server.exit_status)


def _cell(
    server: VllmServer, requests: Sequence[TracedRequest], rate: float, repeat: int, timeout: float
) -> Cell:
    load = os.getloadavg()[0]
    try:
        server.forget()
        before = read_counters(server.url)
    except (ServerFailedError, httpx.HTTPError) as error:
        return Cell(rate, repeat, [], None, load, load, _problem(server, error))
    sent = replay(server.url, MODEL, requests, forced=True, timeout=timeout)
    try:
        counters, problem = growth(before, read_counters(server.url)), None
    except httpx.HTTPError as error:
        counters, problem = None, _problem(server, error)
    return Cell(rate, repeat, sent, counters, load, os.getloadavg()[0], problem)


def _problem(server: VllmServer, error: Exception) -> str:
    status = server.exit_status
    return str(error) if status is None else f"vLLM's server has ended with {status}: {error}"


def _log(cell: Cell) -> None:
    console.log(
        f"{cell.rate:g} requests/s, repeat {cell.repeat}: "
        f"{len(cell.requests) - sum(cell.errors.values())} of {len(cell.requests)} answered, "
        f"counters {cell.counters}{', ' + cell.problem if cell.problem else ''}"
    )
