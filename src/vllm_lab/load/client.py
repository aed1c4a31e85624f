"""Open-loop replay against an OpenAI-compatible server: every request leaves at its time, whatever the server
does with the others, and its streamed tokens are timed as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from vllm_lab.engines.settings import FORCED_TOKENS
from vllm_lab.replay.requests import TracedRequest

ERROR_LENGTH = 500  # characters of a server's answer that are kept


@dataclass
class Answer:
    """What a client saw of one request. Times in s since the replay began.

    A chunk is one event of the stream that carries choices; vLLM sends one for each token, or one for several
    where the client is slower than the model.
    """

    request_id: str
    arrival: float  # when it should leave, as the trace says
    prompt_tokens: int
    asked_tokens: int  # output tokens asked for
    sent: float | None = None  # when it left
    chunks: list[float] = field(default_factory=list)  # when each chunk came
    output_tokens: int = 0  # as the server counts them; 0 where it never said
    cached_tokens: int | None = None  # of the prompt, as the server tells them
    text: str = ""
    error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether it was answered without an error, in full."""
        return self.error is None

    @property
    def ttft(self) -> float | None:
        """Sent to first chunk (s)."""
        return self.chunks[0] - self.sent if self.chunks else None

    @property
    def e2e(self) -> float | None:
        """Sent to last chunk (s); None for a request that was not answered in full."""
        return self.chunks[-1] - self.sent if self.complete and self.chunks else None

    @property
    def tpot(self) -> float | None:
        """(E2E − TTFT) / (output tokens − 1) (s); None where there is one token, or not all."""
        if self.e2e is None or self.output_tokens < 2:
            return None
        return (self.e2e - self.ttft) / (self.output_tokens - 1)

    @property
    def itls(self) -> list[float]:
        """The gaps between its chunks (s)."""
        return [after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)]


def replay(
    base_url: str, model: str, requests: Sequence[TracedRequest], *, forced: bool, timeout: float
) -> list[Answer]:
    """Send every request at its arrival_time (s from now) and wait for all; answers in the order given.

    `forced`: ask the server to answer what the trace holds (it must run vllm_lab.engines.forced_plugin).
    `timeout`: s without a byte after which a request is given up. Whatever goes wrong with a request is its
    answer's `error`.
    """
    return asyncio.run(_replay(base_url, model, requests, forced, timeout))


async def _replay(
    base_url: str, model: str, requests: Sequence[TracedRequest], forced: bool, timeout: float
) -> list[Answer]:
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


async def _send(http: httpx.AsyncClient, row: TracedRequest, body: dict[str, Any], origin: float) -> Answer:
    answer = Answer(row.request_id, row.arrival_time, len(row.prompt), len(row.output))
    await asyncio.sleep(max(0.0, origin + row.arrival_time - time.perf_counter()))
    answer.sent = time.perf_counter() - origin
    try:
        async with http.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                text = (await response.aread()).decode(errors="replace")
                answer.error = f"HTTP {response.status_code}: {text[:ERROR_LENGTH]}"
                return answer
            async for event in _events(response):
                _note(answer, event, time.perf_counter() - origin)
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        answer.error = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
        return answer
    if answer.error is None and answer.output_tokens != answer.asked_tokens:
        answer.error = f"{answer.output_tokens} tokens came, {answer.asked_tokens} were asked for"
    return answer


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def _note(answer: Answer, event: dict[str, Any], now: float) -> None:
    if "error" in event:
        answer.error = json.dumps(event["error"])[:ERROR_LENGTH]
    if event.get("choices"):
        answer.chunks.append(now)
        answer.text += event["choices"][0].get("text") or ""
    if event.get("usage"):
        answer.output_tokens = event["usage"]["completion_tokens"]
        answer.cached_tokens = (event["usage"].get("prompt_tokens_details") or {}).get("cached_tokens")
