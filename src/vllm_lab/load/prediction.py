"""Prompt tokens that a server finds in its prefix cache, foretold without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mini_vllm.limits import Limits
from vllm_lab.oracle import engine
from vllm_lab.replay.records import Outcome
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.stream_order import StreamOrder
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class SharedTokens:
    """What the sharing analysis says, whatever the time: a cache that is unbounded and instantaneous."""

    prompts: int  # tokens in leading blocks that an earlier prompt has
    with_outputs: int  # … that an earlier prompt or its output has: no server can find more


def shared_tokens(requests: Sequence[TracedRequest], block_size: int) -> SharedTokens:
    """Of `requests` in order of arrival.

    As in vLLM, a prompt's last token is never found: one that fills its blocks computes its last block again.
    """
    trace = Trace.from_requests(
        [row.prompt for row in requests],
        [row.output for row in requests],
        [row.arrival_time for row in requests],
    )
    sharing = Sharing.of(trace, StreamOrder.of(trace), block_size)
    most = (trace.prompt_tokens.astype(np.int64) - 1) // block_size
    return SharedTokens(
        *(
            int(np.minimum(found, most).sum()) * block_size
            for found in (sharing.shared_blocks, sharing.shared_with_generated)
        )
    )


def scheduled(requests: Sequence[TracedRequest], limits: Limits) -> list[Outcome]:
    """Every request through vLLM's own scheduler in virtual time, in order of arrival."""
    return engine.run(requests, limits).requests
