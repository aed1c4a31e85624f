"""An open-loop client of OpenAI-compatible servers.

Every request is sent at its arrival time, whatever happens to the other requests. The client notes when each
part of a streamed answer arrives, and reads the server's counters.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from vllm_lab.engines.settings import FORCED_TOKENS
from vllm_lab.replay.requests import TracedRequest

ERROR_LENGTH = 500  # characters kept of a server's error
COUNTERS = {
    "prefix_cache_queries": "vllm:prefix_cache_queries_total",  # prompt tokens looked up
    "prefix_cache_hits": "vllm:prefix_cache_hits_total",  # prompt tokens found
    "preemptions": "vllm:num_preemptions_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
}


@dataclass
class SentRequest:
    """A request as its client saw it. Times are in s since the replay began.

    A chunk is an event of the stream that carries choices. vLLM sends one chunk for each token, or one for
    several tokens if the client is slower than the model.
    """

    request_id: str
    arrival: float  # when the trace wants it to be sent
    prompt_tokens: int
    asked_tokens: int  # output tokens asked for
    sent: float | None = None  # when it was sent
    chunks: list[float] = field(default_factory=list)  # when each chunk arrived
    output_tokens: int = 0  # as the server counts them; 0 if it did not report them
    cached_tokens: int | None = None  # prompt tokens found in the cache, as the server reports them
    text: str = ""
    error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer came in full and without an error."""
        return self.error is None

    @property
    def ttft(self) -> float | None:
        """Sent to first chunk (s)."""
        return self.chunks[0] - self.sent if self.chunks else None

    @property
    def e2e(self) -> float | None:
        """Sent to last chunk (s); None unless the request is complete."""
        return self.chunks[-1] - self.sent if self.complete and self.chunks else None

    @property
    def tpot(self) -> float | None:
        """(E2E − TTFT) / (output tokens − 1) (s); None for one token or an incomplete request."""
        if self.e2e is None or self.output_tokens < 2:
            return None
        return (self.e2e - self.ttft) / (self.output_tokens - 1)

    @property
    def itls(self) -> list[float]:
        """The gaps between the chunks (s)."""
        return [after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)]


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
