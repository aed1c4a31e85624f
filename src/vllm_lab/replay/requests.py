"""The requests of a trace, as every engine of the laboratory takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class TracedRequest:
    """A request as the trace tells it: when it comes, what it asks, what it will be answered."""

    request_id: str
    arrival_time: float  # s
    priority: int
    prompt: list[int]  # token ids, >= 1
    output: list[int]  # token ids, >= 1

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt)

    @property
    def output_tokens(self) -> int:
        """Tokens of the output."""
        return len(self.output)


def requests_of(trace: Trace, limit: int | None = None) -> list[TracedRequest]:
    """The trace's requests (its first `limit`) in its order.

    Of a trace of blocks, an id is expanded to as many equal tokens as a block has, so that two blocks are
    equal if and only if their ids are. The prompt's partial last block and the output are -1 - row, which no
    other request has (as mini_vllm's Request.of_blocks).
    """
    if trace.unit == "block":
        return [_of_blocks(trace, row) for row in range(len(trace))[:limit]]
    return [
        TracedRequest(
            trace.request_id[row],
            float(trace.arrival_time[row]),
            int(trace.priority[row]),
            trace.prompt(row).tolist(),
            trace.output(row).tolist(),
        )
        for row in range(len(trace))[:limit]
    ]


def _of_blocks(trace: Trace, row: int) -> TracedRequest:
    size, tokens = trace.block_tokens, int(trace.prompt_tokens[row])
    full = trace.prompt(row)[: tokens // size]
    own = -1 - row
    return TracedRequest(
        trace.request_id[row],
        float(trace.arrival_time[row]),
        int(trace.priority[row]),
        np.repeat(full, size).tolist() + [own] * (tokens % size),
        [own] * int(trace.output_tokens[row]),
    )
