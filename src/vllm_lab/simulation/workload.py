"""Which requests of a trace a run takes, and how it changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vllm_lab.oracle.engine import TracedRequest


@dataclass(frozen=True)
class Workload:
    """A trace's beginning, cut down to what a slow machine can run."""

    requests: int = 0  # the first so many of those that are short enough; 0 = all
    max_prompt_tokens: int | None = None  # requests with longer prompts are left out
    max_output_tokens: int | None = None  # longer outputs are cut
    at_once: bool = False  # all arrive at 0 s, in the trace's order

    def of(self, requests: Sequence[TracedRequest]) -> list[TracedRequest]:
        """The workload's requests, in the trace's order."""
        longest = self.max_prompt_tokens
        fitting = [request for request in requests if longest is None or len(request.prompt) <= longest]
        return [self._changed(request) for request in fitting[: self.requests or None]]

    def _changed(self, request: TracedRequest) -> TracedRequest:
        arrival = 0.0 if self.at_once else request.arrival_time
        return replace(request, arrival_time=arrival, output=request.output[: self.max_output_tokens])
