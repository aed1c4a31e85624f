"""Which requests are replayed: those that the model is fitted to, and those held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.replay.requests import TracedRequest, requests_of
from vllm_lab.replay.selection import shortened
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class Workload:
    """No conversation is in both sets: their prompts share nothing but what all conversations share."""

    groups: list[list[TracedRequest]]  # to fit to, each all at 0 s: of 1, 2, 4, 8 … requests, then the rest
    heldout: list[TracedRequest]  # at times of their own, from 0 on


def choose(
    trace: Trace,
    *,
    requests: int,
    heldout_requests: int,
    rate: float,
    max_prompt_tokens: int,
    max_output_tokens: int,
    seed: int,
) -> Workload:
    """Whole conversations in a random order, their short requests, outputs cut to `max_output_tokens`.

    The held-out requests keep the trace's pattern of arrivals, stretched or squeezed to `rate` (1/s) on
    average. LabError where the trace has too few requests.
    """
    rng = np.random.default_rng(seed)
    short = shuffled(trace, max_prompt_tokens, max_output_tokens, rng)
    of_request = dict(zip(trace.request_id, trace.conversation_id, strict=True))
    fitted = short[:requests]
    seen = {of_request[row.request_id] for row in fitted}
    heldout = [row for row in short if of_request[row.request_id] not in seen][:heldout_requests]
    if len(fitted) < requests or len(heldout) < heldout_requests:
        raise LabError(
            f"the trace gives {len(fitted)} requests to fit to and {len(heldout)} held out, wanted are "
            f"{requests} and {heldout_requests}; lower these, or raise calibration.max_prompt_tokens"
        )
    ends = rng.integers(1, max_output_tokens, size=len(fitted), endpoint=True)
    staggered = [replace(row, output=row.output[:end]) for row, end in zip(fitted, ends, strict=True)]
    return Workload(_groups(staggered), at_rate(heldout, rate))


def shuffled(
    trace: Trace, max_prompt_tokens: int, max_output_tokens: int, rng: np.random.Generator
) -> list[TracedRequest]:
    """Conversation by conversation in a random order, the short requests of each by arrival."""
    conversations = sorted(set(trace.conversation_id))
    order = rng.permutation(len(conversations))
    rank = {conversations[index]: place for place, index in enumerate(order)}
    of_request = dict(zip(trace.request_id, trace.conversation_id, strict=True))
    short = shortened(requests_of(trace), max_prompt_tokens, max_output_tokens)
    return sorted(short, key=lambda row: (rank[of_request[row.request_id]], row.arrival_time))


def _groups(requests: Sequence[TracedRequest]) -> list[list[TracedRequest]]:
    """Groups of doubling size visit steps of every number of requests.

    In the last, requests that had to wait for a place join the decodes one by one, as outputs end one by one.
    """
    groups = []
    size, start = 1, 0
    while start < len(requests):
        end = start + size if start + 2 * size < len(requests) else len(requests)
        groups.append([replace(row, arrival_time=0.0) for row in requests[start:end]])
        start, size = end, 2 * size
    return groups


def at_rate(requests: Sequence[TracedRequest], rate: float) -> list[TracedRequest]:
    """In order of arrival, from 0 s on, stretched or squeezed to `rate` (1/s) on average."""
    ordered = sorted(requests, key=lambda row: row.arrival_time)
    span = ordered[-1].arrival_time - ordered[0].arrival_time
    return shortened(ordered, time_scale=(len(ordered) - 1) / rate / span if span else 1.0)
