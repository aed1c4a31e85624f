"""The prompt tokens that an engine will find in its prefix cache, predicted without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mini_vllm.limits import Limits
from vllm_lab.oracle import engine
from vllm_lab.replay.replay import Outcome
from vllm_lab.replay.requests import TracedRequest
from vllm_lab.sharing.analysis import Sharing
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class SharedTokens:
    """What the sharing analysis predicts: the hits of an unbounded cache that stores every block at once."""

    prompts: int  # tokens in leading blocks that an earlier prompt has
    with_outputs: (
        int  # tokens in leading blocks that an earlier prompt or its output has: no engine finds more
    )


def shared_tokens(requests: Sequence[TracedRequest], block_size: int) -> SharedTokens:
    """The tokens that `requests`, in order of arrival, share in blocks of `block_size` tokens.

    As in vLLM, a prompt's last token is always computed. A prompt that fills its blocks therefore computes
    its last block.
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
    """What vLLM's own scheduler does with every request in virtual time, in order of arrival."""
    return engine.run(requests, limits).requests
