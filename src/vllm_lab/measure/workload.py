"""The requests that engines are measured with, from a seeded generator or from a trace."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mini_vllm.limits import Limits
from vllm_lab.common.errors import LabError
from vllm_lab.replay.replay import TracedRequest, requests_of, shortened
from vllm_lab.traces.trace import Trace

# The settings of an engine that limit its scheduler, and their types.
LIMITS = {"num_blocks": int, "block_size": int, "max_num_seqs": int, "max_num_batched_tokens": int}


def uniform(
    count: int, prompt_tokens: int, output_tokens: int, vocabulary: int, seed: int
) -> list[TracedRequest]:
    """`count` requests of random token ids, all of one length, all at 0 s."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocabulary, (count, prompt_tokens + output_tokens))
    return [
        TracedRequest(f"r{number}", 0.0, 0, row[:prompt_tokens], row[prompt_tokens:])
        for number, row in enumerate(tokens.tolist())
    ]


def choose(
    trace: Trace, count: int, max_prompt_tokens: int, max_output_tokens: int, seed: int
) -> list[TracedRequest]:
    """`count` short requests of randomly chosen conversations, in order of arrival.

    Prompts longer than `max_prompt_tokens` are left out and outputs are cut at `max_output_tokens`. LabError
    where the trace has too few such requests.
    """
    rng = np.random.default_rng(seed)
    chosen = shuffled(trace, max_prompt_tokens, max_output_tokens, rng)[:count]
    if len(chosen) < count:
        raise LabError(
            f"the trace has {len(chosen)} requests of at most {max_prompt_tokens} prompt tokens, but {count} "
            "are needed; ask for fewer requests, or allow longer prompts"
        )
    return sorted(chosen, key=lambda row: row.arrival_time)


def shuffled(
    trace: Trace, max_prompt_tokens: int, max_output_tokens: int, rng: np.random.Generator
) -> list[TracedRequest]:
    """The trace's short requests, conversation by conversation in a random order, each by arrival."""
    conversations = rng.permutation(sorted(set(trace.conversation_id))).tolist()
    rank = {name: place for place, name in enumerate(conversations)}
    of_request = dict(zip(trace.request_id, trace.conversation_id, strict=True))
    short = shortened(requests_of(trace), max_prompt_tokens, max_output_tokens)
    return sorted(short, key=lambda row: (rank[of_request[row.request_id]], row.arrival_time))


def trace_of(requests: Sequence[TracedRequest]) -> Trace:
    """The trace of these requests, for an analysis."""
    prompts, outputs = [row.prompt for row in requests], [row.output for row in requests]
    return Trace.from_requests(prompts, outputs, [row.arrival_time for row in requests])


def at_once(requests: Sequence[TracedRequest]) -> list[TracedRequest]:
    """The same requests, all at 0 s."""
    return [replace(row, arrival_time=0.0) for row in requests]


def at_rate(requests: Sequence[TracedRequest], rate: float) -> list[TracedRequest]:
    """The same requests in order of arrival, from 0 s on, at `rate` (1/s) on average.

    They keep the trace's pattern of arrivals, which is stretched or squeezed.
    """
    ordered = sorted(requests, key=lambda row: row.arrival_time)
    span = ordered[-1].arrival_time - ordered[0].arrival_time
    return shortened(ordered, time_scale=(len(ordered) - 1) / rate / span if span else 1.0)


def poisson(requests: list[TracedRequest], rate: float, seed: int) -> list[TracedRequest]:
    """The same requests, arriving as a Poisson process of `rate` (1/s), the first at 0 s."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, len(requests))
    arrivals = np.cumsum(gaps) - gaps[0]
    return [replace(row, arrival_time=float(at)) for row, at in zip(requests, arrivals, strict=True)]


def with_shared_prefix(
    requests: list[TracedRequest], sharing_requests: float, shared_prompt: float, vocabulary: int, seed: int
) -> list[TracedRequest]:
    """The same requests, all of one length, of which `sharing_requests` (a fraction) get a common prefix.

    These are in random places. `shared_prompt` is the prefix's fraction of a prompt. Both fractions are
    rounded to whole requests and tokens.
    """
    rng = np.random.default_rng([seed, 1])
    length = round(shared_prompt * len(requests[0].prompt))
    prefix = rng.integers(0, vocabulary, length).tolist()
    sharing = set(rng.permutation(len(requests))[: round(sharing_requests * len(requests))].tolist())
    return [
        replace(row, prompt=prefix + row.prompt[length:]) if number in sharing else row
        for number, row in enumerate(requests)
    ]


def limits_of(parameters: Mapping[str, Any]) -> Limits:
    """The limits among a test's parameters, named as in LIMITS."""
    return Limits(**{name: parameters[name] for name in LIMITS})


def ample_limits(
    requests: list[TracedRequest], block_size: int, max_num_seqs: int, max_num_batched_tokens: int
) -> Limits:
    """Limits with room for all requests in the KV cache at once: no preemption, no eviction."""
    blocks = sum(-(-row.tokens // block_size) for row in requests)
    return Limits(blocks + 1, block_size, max_num_seqs, max_num_batched_tokens)
