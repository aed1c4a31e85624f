"""Random small traces with much sharing, and the plainest possible analysis of them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from vllm_lab.traces.trace import Trace

Block = tuple[int, ...]  # the whole prefix up to the block's end: its identity


def make_trace(
    streams: Sequence[Sequence[int]], requests: Sequence[tuple[int, int, int, float]], **metadata
) -> Trace:
    """requests: (stream, prompt tokens, output tokens, arrival time), sorted here; unused streams go."""
    requests = sorted(requests, key=lambda request: request[3])
    used = list(dict.fromkeys(stream for stream, *_ in requests))  # numbered by first use
    streams = [streams[stream] for stream in used]
    requests = [(used.index(stream), *rest) for stream, *rest in requests]
    names = [f"c{stream}-{row}" for row, (stream, *_) in enumerate(requests)]
    stream, prompt, output, arrival = zip(*requests, strict=True) if requests else ((), (), (), ())
    return Trace(
        request_id=names,
        conversation_id=[f"c{number}" for number in stream],
        turn=np.ones(len(requests)),
        arrival_time=arrival,
        priority=np.zeros(len(requests)),
        prompt_tokens=prompt,
        output_tokens=output,
        stream=stream,
        stream_ids=[id_ for ids in streams for id_ in ids],
        stream_offsets=list(itertools.accumulate((len(ids) for ids in streams), initial=0)),
        metadata={"mode": "multi_turn", "unit": "token", **metadata},
    )


@st.composite
def token_traces(draw, longest: int = 14, most_streams: int = 6, most_requests: int = 14) -> Trace:
    """Traces over the ids 0 and 1, so that prefixes are shared, with equal streams, prompts and times."""
    ids = st.lists(st.integers(0, 1), min_size=2, max_size=longest)
    streams = draw(st.lists(ids, min_size=1, max_size=most_streams))
    requests = []
    for _ in range(draw(st.integers(1, most_requests))):
        stream = draw(st.integers(0, len(streams) - 1))
        prompt = draw(st.integers(1, len(streams[stream]) - 1))
        output = draw(st.integers(1, len(streams[stream]) - prompt))
        requests.append((stream, prompt, output, draw(st.sampled_from([0.0, 0.25, 1.0, 1.5, 7.0]))))
    return make_trace(streams, requests)


@st.composite
def block_traces(draw, block_tokens: int = 4) -> Trace:
    """Traces of block ids in which an id identifies its whole prefix, and the last block may be partial."""
    number: dict[Block, int] = {}
    streams, requests = [], []
    for row in range(draw(st.integers(1, 10))):
        tokens = tuple(draw(st.lists(st.integers(0, 1), min_size=1, max_size=14)))
        prefixes = [tokens[: end + block_tokens] for end in range(0, len(tokens), block_tokens)]
        streams.append([number.setdefault(prefix, len(number)) for prefix in prefixes])
        requests.append((row, len(tokens), 1, float(row)))
    return make_trace(streams, requests, mode="imported", unit="block", block_tokens=block_tokens)


def paths_of(trace: Trace, block_size: int, *, generated: bool = False) -> list[list[Block]]:
    """Each prompt's full blocks as prefixes; with `generated`, also those that its output completes."""
    paths = []
    for row in range(len(trace)):
        ids = trace.stream_of(trace.stream[row]).tolist()
        length = int(trace.prompt_tokens[row]) + (int(trace.output_tokens[row]) - 1 if generated else 0)
        paths.append(
            [tuple(ids[: end + block_size]) for end in range(0, length - block_size + 1, block_size)]
        )
    return paths


def leading_run(path: Sequence[Block], known: set[Block]) -> int:
    return len(list(itertools.takewhile(known.__contains__, path)))


def shared_blocks(wanted: list[list[Block]], stored: list[list[Block]]) -> list[int]:
    """Leading blocks that each request wants and an earlier one stored."""
    known: set[Block] = set()
    found = []
    for path, kept in zip(wanted, stored, strict=True):
        found.append(leading_run(path, known))
        known.update(kept)
    return found


def access_times(trace: Trace, paths: list[list[Block]]) -> dict[Block, list[float]]:
    """Arrival times of the requests that access each block, in the order of first access."""
    times = defaultdict(list)
    for row, path in enumerate(paths):
        for block in path:
            times[block].append(float(trace.arrival_time[row]))
    return dict(times)
