"""One of mini-vLLM's engines in real time, and its metrics: each step lasts as long as the clock says.

A step is decided when it starts, and its tokens are counted at once. They are handed out when the step's time
has passed. This has no other effect, because a request that arrives during a step waits for the next step.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import ENGINES
from mini_vllm.tools.records import Step

TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 40.0)
REQUEST_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0)


class EngineDeadError(Exception):
    """The engine has stopped for good, as v1 does without a free block; the message says why."""


class RefusedError(Exception):
    """The request could never finish under these limits; the message says why."""


@dataclass
class Generation:
    """A request that a client waits for. Times are in s of the engine's clock."""

    request: Request
    events: asyncio.Queue[EngineDeadError | None] = field(default_factory=asyncio.Queue)  # None: a token
    handed_out: int = 0  # output tokens
    last: float | None = None  # when the last token was handed out


class LiveEngine:
    """The version `version` of mini-vLLM under `limits`. Their clock may be a fitted cost model."""

    def __init__(self, version: str, limits: Limits, telemetry: "Telemetry") -> None:
        self.engine = ENGINES[version]([], limits)
        self.telemetry = telemetry
        self.death: EngineDeadError | None = None
        self._generations: dict[str, Generation] = {}
        self._numbers = itertools.count()
        self._origin = time.perf_counter()
        self._work = asyncio.Event()
        scheduler, blocks = self.engine.scheduler, self.engine.blocks
        telemetry.gauge("num_requests_running", "Requests running.", lambda: len(scheduler.running))
        telemetry.gauge("num_requests_waiting", "Requests waiting.", lambda: len(scheduler.waiting))
        telemetry.gauge(
            "kv_cache_usage_perc",
            "KV cache usage; 1 means full.",
            lambda: 1 - blocks.num_free / blocks.num_usable,
        )

    async def run(self) -> None:
        """Run steps, and sleep while no request waits. Returns only when the engine dies."""
        while self.death is None:
            if self.engine.scheduler.has_requests():
                await self._step()
            else:
                self._work.clear()
                await self._work.wait()

    def add(self, prompt: Sequence[int], output: Sequence[int], priority: int) -> Generation:
        """Queue a request that gets the tokens `output`. RefusedError, EngineDeadError."""
        if self.death is not None:
            raise self.death
        reason = self.engine.limits.refusal(len(prompt) + len(output))
        if reason is not None:
            raise RefusedError(f"a request of {len(prompt)} + {len(output)} tokens {reason}")
        request = Request(str(next(self._numbers)), self._now(), priority, prompt, output)
        generation = self._generations[request.request_id] = Generation(request)
        self.engine.scheduler.add(request)
        self._work.set()
        return generation

    async def tokens(self, generation: Generation) -> AsyncIterator[int]:
        """Yield the number of each output token (0, 1, …) when it appears. Call `abort` to stop early."""
        for number in range(generation.request.output_tokens):
            death = await generation.events.get()
            if death is not None:
                raise death
            yield number

    def abort(self, generation: Generation) -> None:
        """Forget the request and free its blocks. Does nothing once the last token was handed out."""
        request = generation.request
        if self._generations.pop(request.request_id, None) is None:
            return
        if not request.finished and self.death is None:
            self.engine.scheduler.abort(request)
        self.telemetry.aborted()

    def _now(self) -> float:
        return time.perf_counter() - self._origin

    async def _step(self) -> None:
        self.engine.now = max(self.engine.now, self._now())
        try:
            step = self.engine.step()
        except OutOfBlocks as error:
            self._die(str(error))
            return
        if step is not None:
            self.telemetry.scheduled(self._admitted(step), len(step.preempted))
            await asyncio.sleep(max(0.0, self.engine.now - self._now()))
            self._hand_out(step)

    def _admitted(self, step: Step) -> list[Request]:
        """The requests of the step that have computed no more than its tokens: it is their first step."""
        found = []
        for name, tokens in step.scheduled.items():
            request = self._generations[name].request
            first = (request.cached_tokens or 0) + tokens
            if not request.preemptions and request.num_computed_tokens == first:
                found.append(request)
        return found

    def _hand_out(self, step: Step) -> None:
        """Give the step's tokens to the requests whose clients still wait."""
        now = self._now()
        for name in step.scheduled:
            generation = self._generations.get(name)
            if generation is None:
                continue  # its client left during the step
            request = generation.request
            if request.num_tokens - request.prompt_tokens == generation.handed_out:
                continue  # a chunk of a prompt, not its last
            before = request.arrival_time if generation.last is None else generation.last
            self.telemetry.token(now - before, generation.last is None)
            generation.handed_out += 1
            generation.last = now
            generation.events.put_nowait(None)
            if request.finished:
                del self._generations[name]
                self.telemetry.finished(now - request.arrival_time)

    def _die(self, reason: str) -> None:
        self.death = EngineDeadError(f"the engine stopped: {reason}")
        for generation in self._generations.values():
            generation.events.put_nowait(self.death)


class Telemetry:
    """The engine's Prometheus metrics, under vLLM's names (vllm/v1/metrics/loggers.py)."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model, "engine": "0"}
        counter = partial(self._make, Counter)
        seconds = partial(self._make, Histogram, buckets=TOKEN_BUCKETS)
        self._queries = counter("prefix_cache_queries", "Prompt tokens looked up in the cache.")
        self._hits = counter("prefix_cache_hits", "Prompt tokens found in the cache.")
        self._preemptions = counter("num_preemptions", "Times a request lost its blocks.")
        self._prompt = counter("prompt_tokens", "Prompt tokens of admitted requests.")
        self._generated = counter("generation_tokens", "Tokens handed out.")
        self._first = seconds("time_to_first_token_seconds", "Arrival to first token.")
        self._gap = seconds("inter_token_latency_seconds", "Gaps between tokens.")
        self._e2e = seconds("e2e_request_latency_seconds", "Arrival to last token.", buckets=REQUEST_BUCKETS)
        labels, words = [*self._labels, "finished_reason"], "Requests that ended, by reason."
        ends = Counter("vllm:request_success", words, labels, registry=self._registry)
        self._length, self._abort = (ends.labels(*self._labels.values(), end) for end in ("length", "abort"))

    def gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Add a gauge: `value` is called whenever the page is read."""
        self._make(Gauge, name, words).set_function(value)

    def scheduled(self, admitted: Sequence[Request], preempted: int) -> None:
        """Count a step: the requests that it admitted for the first time, and its number of preemptions."""
        for request in admitted:
            self._queries.inc(request.prompt_tokens)
            self._hits.inc(request.cached_tokens)
            self._prompt.inc(request.prompt_tokens)
        self._preemptions.inc(preempted)

    def token(self, seconds: float, first: bool) -> None:
        """Count a token, handed out `seconds` after the one before it, or after the request's arrival."""
        self._generated.inc()
        (self._first if first else self._gap).observe(seconds)

    def finished(self, e2e: float) -> None:
        """Count a request that got its last token `e2e` seconds after its arrival."""
        self._e2e.observe(e2e)
        self._length.inc()

    def aborted(self) -> None:
        """Count a request whose client left before the end."""
        self._abort.inc()

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _make(self, kind: type, name: str, words: str, **options: object) -> Counter | Gauge | Histogram:
        metric = kind(f"vllm:{name}", words, list(self._labels), registry=self._registry, **options)
        return metric.labels(*self._labels.values())
