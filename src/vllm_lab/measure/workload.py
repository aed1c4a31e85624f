"""The requests of the tests, from a seeded generator or from a trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mini_vllm.limits import Limits
from vllm_lab.load.workload import choose
from vllm_lab.replay.requests import TracedRequest
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


def sharegpt(
    trace: Path, count: int, prompt_tokens: int, output_tokens: int, seed: int
) -> list[TracedRequest]:
    """`count` short requests of randomly chosen conversations by arrival, but all at 0 s.

    `prompt_tokens`: the longest; `output_tokens`: what longer outputs are cut to. LabError where the trace
    has too few.
    """
    chosen = choose(Trace.read(trace), count, prompt_tokens, output_tokens, seed)
    return [replace(row, arrival_time=0.0) for row in chosen]


def poisson(requests: list[TracedRequest], rate: float, seed: int) -> list[TracedRequest]:
    """The same requests, arriving as a Poisson process of `rate` (1/s), the first at 0 s."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, len(requests))
    arrivals = np.cumsum(gaps) - gaps[0]
    return [replace(row, arrival_time=float(at)) for row, at in zip(requests, arrivals, strict=True)]


def with_shared_prefix(
    requests: list[TracedRequest], sharing_requests: float, shared_prompt: float, vocabulary: int, seed: int
) -> list[TracedRequest]:
    """The same requests, of one length, but `sharing_requests` of them begin with one common prefix.

    They stand in random places. `shared_prompt`: the prefix's part of a prompt. Both fractions are rounded to
    whole requests and tokens.
    """
    rng = np.random.default_rng([seed, 1])
    length = round(shared_prompt * len(requests[0].prompt))
    prefix = rng.integers(0, vocabulary, length).tolist()
    sharing = set(rng.permutation(len(requests))[: round(sharing_requests * len(requests))].tolist())
    return [
        replace(row, prompt=prefix + row.prompt[length:]) if number in sharing else row
        for number, row in enumerate(requests)
    ]


def ample_limits(
    requests: list[TracedRequest], block_size: int, max_num_seqs: int, max_num_batched_tokens: int
) -> Limits:
    """Limits under which all requests fit into the KV cache at once: nobody is preempted or evicted."""
    blocks = sum(-(-(len(row.prompt) + len(row.output)) // block_size) for row in requests)
    return Limits(blocks + 1, block_size, max_num_seqs, max_num_batched_tokens)
