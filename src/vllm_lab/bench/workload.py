"""The requests of the tests, from a seeded generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mini_vllm.limits import Limits
from vllm_lab.oracle.engine import TracedRequest
from vllm_lab.traces.trace import Trace


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


def poisson(requests: list[TracedRequest], rate: float, seed: int) -> list[TracedRequest]:
    """The same requests, arriving as a Poisson process of `rate` (1/s), the first at 0 s."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, len(requests))
    arrivals = np.cumsum(gaps) - gaps[0]
    return [replace(row, arrival_time=float(at)) for row, at in zip(requests, arrivals, strict=True)]


def shared_prefix(
    count: int,
    prompt_tokens: int,
    output_tokens: int,
    sharing_requests: float,
    shared_prompt: float,
    vocabulary: int,
    seed: int,
) -> list[TracedRequest]:
    """As `uniform`, but `sharing_requests` of them, in random places, begin with one common prefix.

    `shared_prompt`: the prefix's part of a prompt. Both fractions are rounded to whole requests and tokens.
    """
    requests = uniform(count, prompt_tokens, output_tokens, vocabulary, seed)
    rng = np.random.default_rng([seed, 1])
    length = round(shared_prompt * prompt_tokens)
    prefix = rng.integers(0, vocabulary, length).tolist()
    sharing = set(rng.permutation(count)[: round(sharing_requests * count)].tolist())
    return [
        replace(row, prompt=prefix + row.prompt[length:]) if number in sharing else row
        for number, row in enumerate(requests)
    ]


def trace_of(requests: list[TracedRequest]) -> Trace:
    """The same requests as a trace, for the sharing analysis; each is a conversation of its own."""
    streams = [row.prompt + row.output for row in requests]
    return Trace(
        request_id=[row.request_id for row in requests],
        conversation_id=[row.request_id for row in requests],
        turn=np.ones(len(requests)),
        arrival_time=[row.arrival_time for row in requests],
        priority=[row.priority for row in requests],
        prompt_tokens=[len(row.prompt) for row in requests],
        output_tokens=[len(row.output) for row in requests],
        stream=np.arange(len(requests)),
        stream_ids=np.concatenate([np.asarray(stream) for stream in streams]),
        stream_offsets=np.cumsum([0, *map(len, streams)]),
    )


def ample_limits(
    requests: list[TracedRequest], block_size: int, max_num_seqs: int, max_num_batched_tokens: int
) -> Limits:
    """Limits under which all requests fit into the KV cache at once: nobody is preempted or evicted."""
    blocks = sum(-(-(len(row.prompt) + len(row.output)) // block_size) for row in requests)
    return Limits(blocks + 1, block_size, max_num_seqs, max_num_batched_tokens)
