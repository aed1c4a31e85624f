"""Streams in lexicographic order and what each shares with the one before: all that prefix sharing needs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vllm_lab.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class StreamOrder:
    """S streams sorted so that streams with a common prefix stand together.

    The longest common prefix of any two streams is the least `shared` between their places, in ids; floor
    division by a block size gives it in whole blocks. So one sort serves every block size, without a hash.
    """

    place: np.ndarray  # int64 [S]: stream -> its place in the order
    shared: np.ndarray  # int64 [S]: by place, ids shared with the stream one place before; 0 at place 0

    @classmethod
    def of(cls, trace: Trace) -> StreamOrder:
        """Sort `trace`'s streams by their bytes (memcmp); equal streams stay in the order of their numbers.

        Ids are four bytes each, so a common prefix of b bytes is one of b // 4 ids, whatever the byte order.
        """
        raw = memoryview(np.ascontiguousarray(trace.stream_ids, dtype="<i4")).cast("B")
        ends = (4 * trace.stream_offsets).tolist()
        streams = [raw[start:end].tobytes() for start, end in pairwise(ends)]
        order = np.array(sorted(range(len(streams)), key=streams.__getitem__), dtype=np.int64)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        shared = [0] * min(1, len(order))
        shared += [
            _common_prefix(trace.stream_of(before), trace.stream_of(stream))
            for before, stream in pairwise(order.tolist())
        ]
        return cls(place, np.array(shared, dtype=np.int64))


def _common_prefix(one: np.ndarray, other: np.ndarray) -> int:
    """Ids that the two share at their beginnings."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length
