"""What /metrics tells: vLLM's names (vllm/v1/metrics/loggers.py), in Prometheus' text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mini_vllm.request import Request

TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 40.0)
REQUEST_BUCKETS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0)


class Telemetry:
    """The metrics of one engine serving one model."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model, "engine": "0"}

        self._queries = self._make(Counter, "prefix_cache_queries", "Prompt tokens looked up in the cache.")
        self._hits = self._make(Counter, "prefix_cache_hits", "Of these, tokens found.")
        self._preemptions = self._make(Counter, "num_preemptions", "Times a request lost its blocks.")
        self._prompt = self._make(Counter, "prompt_tokens", "Prompt tokens of admitted requests.")
        self._generated = self._make(Counter, "generation_tokens", "Tokens handed out.")
        self._first = self._make(
            Histogram, "time_to_first_token_seconds", "Arrival to first token.", buckets=TOKEN_BUCKETS
        )
        self._gap = self._make(
            Histogram, "inter_token_latency_seconds", "Gaps between tokens.", buckets=TOKEN_BUCKETS
        )
        self._e2e = self._make(
            Histogram, "e2e_request_latency_seconds", "Arrival to last token.", buckets=REQUEST_BUCKETS
        )
        ends = Counter(
            "vllm:request_success",
            "Requests that ended, by how.",
            [*self._labels, "finished_reason"],
            registry=self._registry,
        )
        self._length, self._abort = (ends.labels(*self._labels.values(), end) for end in ("length", "abort"))

    def watch(
        self, running: Callable[[], float], waiting: Callable[[], float], usage: Callable[[], float]
    ) -> None:
        """Ask these for the gauges whenever the page is read; usage: fraction of the blocks."""
        self._make(Gauge, "num_requests_running", "Requests running.").set_function(running)
        self._make(Gauge, "num_requests_waiting", "Requests waiting.").set_function(waiting)
        self._make(Gauge, "kv_cache_usage_perc", "KV cache usage, 1 is all.").set_function(usage)

    def scheduled(self, admitted: Sequence[Request], preempted: int) -> None:
        """A step admitted these for the first time, and preempted so many."""
        for request in admitted:
            self._queries.inc(request.prompt_tokens)
            self._hits.inc(request.cached_tokens)
            self._prompt.inc(request.prompt_tokens)
        self._preemptions.inc(preempted)

    def token(self, seconds: float, first: bool) -> None:
        """A token was handed out, `seconds` after the one before it, or after the request's arrival."""
        self._generated.inc()
        (self._first if first else self._gap).observe(seconds)

    def finished(self, e2e: float) -> None:
        """A request got its last token, `e2e` seconds after its arrival."""
        self._e2e.observe(e2e)
        self._length.inc()

    def aborted(self) -> None:
        """A request's client left before its end."""
        self._abort.inc()

    def page(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def _make(self, kind: type, name: str, words: str, **options: object) -> Counter | Gauge | Histogram:
        metric = kind(f"vllm:{name}", words, list(self._labels), registry=self._registry, **options)
        return metric.labels(*self._labels.values())
