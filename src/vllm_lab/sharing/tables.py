"""The sharing tables: rows for each request, block, reuse gap and point of the working set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vllm_lab.sharing.analysis import Sharing
from vllm_lab.sharing.metrics import reuse_gaps, window_name
from vllm_lab.sharing.working_set import WorkingSet

POINTS = 201


@dataclass(frozen=True)
class Table:
    """A CSV in the making: column names, and rows that are made when asked for."""

    header: Sequence[str]
    rows: Iterator[Sequence[Any]]


def request_table(sharing: Sharing, shared_tokens: np.ndarray | None) -> Table:
    """One row a request, in the trace's order. `shared_tokens` is token level: unknown (empty) for blocks."""
    trace = sharing.trace
    unknown = [None] * len(trace)
    columns = {
        "request_id": trace.request_id,
        "conversation_id": trace.conversation_id,
        "turn": trace.turn.tolist(),
        "arrival_time": trace.arrival_time.tolist(),
        "prompt_tokens": trace.prompt_tokens.tolist(),
        "shared_blocks": sharing.shared_blocks.tolist(),
        "sharing_fraction": (sharing.shared_tokens / trace.prompt_tokens).tolist(),
        "token_sharing_fraction": unknown
        if shared_tokens is None
        else (shared_tokens / trace.prompt_tokens).tolist(),
        "shared_tokens": unknown if shared_tokens is None else shared_tokens.tolist(),
    }
    return Table(list(columns), zip(*columns.values(), strict=True))


def block_table(sharing: Sharing) -> Table:
    """One row a distinct block, numbered in order of first access (of the prompts, then by depth).

    hits counts every access, the first too; times in seconds; mean_gap is empty for a block accessed once.
    """
    accesses, tree = sharing.accesses, sharing.tree
    first, last = np.flatnonzero(accesses.first), np.flatnonzero(accesses.last())
    segment = accesses.segment[first]
    order = np.lexsort((tree.start[segment], accesses.request[first]))
    first, last, segment = first[order], last[order], segment[order]
    blocks = tree.blocks[segment]
    hits = last - first + 1
    begin, end = (sharing.trace.arrival_time[accesses.request[at]] for at in (first, last))
    gap = (end - begin) / np.maximum(hits - 1, 1)
    row = np.repeat(np.arange(len(blocks)), blocks)
    depth = tree.start[segment][row] + np.arange(len(row)) - (np.cumsum(blocks) - blocks)[row]
    gaps = [value if count > 1 else None for value, count in zip(gap.tolist(), hits.tolist(), strict=True)]
    columns = [range(len(row)), depth.tolist(), hits[row].tolist(), begin[row].tolist(), end[row].tolist()]
    columns.append([gaps[at] for at in row.tolist()])
    return Table(
        ["block", "depth", "hits", "first_access", "last_access", "mean_gap"], zip(*columns, strict=True)
    )


def gap_table(sharing: Sharing) -> Table:
    """The distribution of reuse gaps: each distinct gap (s) and how many pairs of block accesses have it."""
    gaps = reuse_gaps(sharing)
    return Table(["gap_s", "count"], zip(gaps.values.tolist(), gaps.counts.tolist(), strict=True))


def working_set_table(sharing: Sharing, windows: Sequence[float], kv_bytes: int | None) -> Table:
    """The working set at POINTS evenly spaced times from 0 to the last arrival, for each window and inf."""
    times = np.linspace(0.0, float(sharing.trace.arrival_time[-1]), POINTS)

    def rows() -> Iterator[Sequence[Any]]:
        for window in (*windows, math.inf):
            name = window_name(window)
            blocks = WorkingSet.of(sharing, window).at(times)
            for time, count in zip(times.tolist(), blocks.tolist(), strict=True):
                yield time, name, count, None if kv_bytes is None else count * sharing.block_tokens * kv_bytes

    return Table(["time_s", "window_s", "blocks", "kv_bytes"], rows())
