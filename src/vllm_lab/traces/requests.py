"""The rows of a trace while it is being made: columns of requests, still numbered by the streams' table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vllm_lab.traces.stream_table import StreamTable
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class Requests:
    """R requests; conversation and stream are numbers in the StreamTable that they come from."""

    conversation: np.ndarray  # int64 [R]
    turn: np.ndarray  # int64 [R]
    arrival_time: np.ndarray  # float64 [R], seconds
    priority: np.ndarray  # int32 [R]
    prompt_tokens: np.ndarray  # int32 [R]
    output_tokens: np.ndarray  # int32 [R]
    answered: np.ndarray  # bool [R]
    stream: np.ndarray  # int64 [R]

    def take(self, rows: np.ndarray) -> Requests:
        """The requests at `rows` (indices or mask)."""
        return Requests(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    def in_order(self) -> Requests:
        """Sorted by arrival, then conversation (order of the file), then turn."""
        return self.take(np.lexsort((self.turn, self.conversation, self.arrival_time)))

    def name(self, row: int, streams: StreamTable) -> str:
        """request_id of `row`."""
        return f"{streams.conversation_id[self.conversation[row]]}-t{self.turn[row]}"

    def trace(self, streams: StreamTable, metadata: dict[str, Any]) -> Trace:
        """The trace of these requests in this order, its streams cut off behind the last token that one
        needs."""
        used, first_rows, number = np.unique(self.stream, return_index=True, return_inverse=True)
        by_first_use = np.argsort(first_rows)
        rank = np.empty_like(by_first_use)
        rank[by_first_use] = np.arange(len(used))
        needed = np.zeros(len(used), dtype=np.int64)
        np.maximum.at(needed, number, self.prompt_tokens.astype(np.int64) + self.output_tokens)
        starts = streams.token_offsets[used]
        return Trace(
            request_id=[self.name(row, streams) for row in range(len(self.turn))],
            conversation_id=[streams.conversation_id[index] for index in self.conversation],
            turn=self.turn,
            arrival_time=self.arrival_time,
            priority=self.priority,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            stream=rank[number],
            stream_ids=np.concatenate(
                [streams.token_ids[starts[index] : starts[index] + needed[index]] for index in by_first_use]
            ),
            stream_offsets=np.concatenate([[0], np.cumsum(needed[by_first_use])]),
            metadata=metadata,
        )
