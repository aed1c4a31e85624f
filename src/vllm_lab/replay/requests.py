"""The requests of a trace, in the form that every engine of the laboratory takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class TracedRequest:
    """A request of a trace: when it arrives, its prompt, and the answer that it will get."""

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
    def tokens(self) -> int:
        """Tokens of prompt and output."""
        return len(self.prompt) + len(self.output)

    @property
    def output_tokens(self) -> int:
        """Tokens of the output."""
        return len(self.output)


def requests_of(trace: Trace, limit: int | None = None) -> list[TracedRequest]:
    """The trace's requests (its first `limit`) in the trace's order.

    In a trace of blocks an id becomes as many equal tokens as a block has, so that two blocks are equal if
    and only if their ids are. The prompt's partial last block and the output consist of the token -1 - row,
    which no other request has (mini_vllm reads such a trace in the same way).
    """
    read = _of_blocks if trace.unit == "block" else _of_tokens
    return [read(trace, row) for row in range(len(trace))[:limit]]


def _of_tokens(trace: Trace, row: int) -> TracedRequest:
    return _request(trace, row, trace.prompt(row).tolist(), trace.output(row).tolist())


def _of_blocks(trace: Trace, row: int) -> TracedRequest:
    size, tokens = trace.block_tokens, int(trace.prompt_tokens[row])
    full = trace.prompt(row)[: tokens // size]
    own = -1 - row
    prompt = np.repeat(full, size).tolist() + [own] * (tokens % size)
    return _request(trace, row, prompt, [own] * int(trace.output_tokens[row]))


def _request(trace: Trace, row: int, prompt: list[int], output: list[int]) -> TracedRequest:
    arrival, priority = float(trace.arrival_time[row]), int(trace.priority[row])
    return TracedRequest(trace.request_id[row], arrival, priority, prompt, output)


def shortened(
    requests: Sequence[TracedRequest],
    max_prompt_tokens: int | None = None,
    max_output_tokens: int | None = None,
    time_scale: float = 1.0,
) -> list[TracedRequest]:
    """The requests made small enough for a small machine.

    Those with prompts longer than `max_prompt_tokens` are left out, outputs are cut to `max_output_tokens`,
    and arrival times count from the first one that is kept, multiplied by `time_scale`.
    """
    kept = [row for row in requests if max_prompt_tokens is None or len(row.prompt) <= max_prompt_tokens]
    start = min((row.arrival_time for row in kept), default=0.0)
    return [
        replace(
            row,
            arrival_time=(row.arrival_time - start) * time_scale,
            output=row.output[:max_output_tokens],
        )
        for row in kept
    ]
