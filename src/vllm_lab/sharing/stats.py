"""The sharing statistics of a trace and the rows of its tables, by the definitions in `metrics`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing.analysis import Sharing, WorkingSet, shared_prefix_tokens
from vllm_lab.sharing.metrics import DISTRIBUTIONS
from vllm_lab.sharing.tables import REQUESTS
from vllm_lab.traces.prefix_tree import StreamOrder
from vllm_lab.traces.trace import Trace

POINTS = 201  # in time, of the table of the working set
Rows = Iterator[Sequence[Any]]


def trace_stats(
    trace: Trace,
    name: str,
    block_size: int,
    block_sizes: Sequence[int],
    windows: Sequence[float],
    kv_bytes: int | None,
) -> tuple[dict[str, Any], Sharing, np.ndarray | None]:
    """The content of `{name}_stats.json`, the analysis at `block_size` and the shared tokens of each prompt.

    block_size and block_sizes are in tokens; a trace of blocks is analysed at its own size instead. windows
    are in seconds. kv_bytes are the bytes of one token's KV cache; with None, figures in bytes are null.
    """
    if trace.unit == "block":
        block_size, block_sizes = trace.block_tokens, [trace.block_tokens]
    order = StreamOrder.of(trace)
    tokens = shared_prefix_tokens(trace, order)
    by_size = {size: Sharing.of(trace, order, size) for size in sorted({block_size, *block_sizes})}
    metrics = {size: sharing_metrics(found, tokens, windows, kv_bytes) for size, found in by_size.items()}
    stats = {
        "trace": name,
        "mode": trace.mode,
        "unit": trace.unit,
        "block_size": block_size,
        "requests": len(trace),
        "conversations": len(set(trace.conversation_id)),
        "prompt_tokens": int(trace.prompt_tokens.sum(dtype=np.int64)),
        "output_tokens": int(trace.output_tokens.sum(dtype=np.int64)),
        "percentiles": "linear between the two nearest ranks (numpy's default)",
        "metrics": metrics[block_size],
        "by_block_size": {str(size): found for size, found in metrics.items()},
    }
    if trace.unit == "block":
        full = Sharing.of(trace, order, block_size, partial=False)
        stats["metrics_full_blocks"] = sharing_metrics(full, None, windows, kv_bytes)
    return stats, by_size[block_size], tokens


def sharing_metrics(
    sharing: Sharing, shared_tokens: np.ndarray | None, windows: Sequence[float], kv_bytes: int | None
) -> dict[str, Any]:
    """METRICS at one block size. shared_tokens: int [R], of each prompt at token level; None if unknown."""
    prompts = sharing.trace.prompt_tokens
    accesses, blocks = sharing.accesses, sharing.tree.blocks
    distinct = int(blocks[accesses.segment[accesses.first]].sum())
    accessed = int(sharing.prompt_blocks.sum())
    block_kv = None if kv_bytes is None else kv_bytes * sharing.block_tokens
    saved = int(sharing.shared_tokens.sum())
    gaps = reuse_gaps(sharing)
    return {
        "sharing_fraction": _summary("sharing_fraction", Distribution.of(sharing.shared_tokens / prompts)),
        "token_sharing_fraction": None
        if shared_tokens is None
        else _summary("token_sharing_fraction", Distribution.of(shared_tokens / prompts)),
        "requests_with_hit_fraction": int((sharing.shared_blocks > 0).sum()) / len(prompts),
        "block_accesses": accessed,
        "distinct_blocks": distinct,
        "block_reuse_rate": 1 - distinct / accessed if accessed else None,
        "block_hits": _summary("block_hits", block_hits(sharing)),
        "reuse_gap_s": {"count": gaps.size, **_summary("reuse_gap_s", gaps)},
        "saved_prefill_tokens": saved,
        "saved_prefill_fraction": saved / int(prompts.sum(dtype=np.int64)),
        "saved_prefill_fraction_with_generated": _saved_with_generated(sharing),
        "kv_bytes_per_token": kv_bytes,
        "saved_kv_bytes": None if kv_bytes is None else kv_bytes * saved,
        "distinct_kv_bytes": None if block_kv is None else block_kv * distinct,
        "working_set": {
            window_name(window): _working_set(WorkingSet.of(sharing, window), block_kv)
            for window in (*windows, math.inf)
        },
    }


def block_hits(sharing: Sharing) -> Distribution:
    """Accesses of each distinct block."""
    first = np.flatnonzero(sharing.accesses.first)
    accesses = np.diff(np.append(first, len(sharing.accesses.first)))
    return Distribution.of(accesses, sharing.tree.blocks[sharing.accesses.segment[first]])


def reuse_gaps(sharing: Sharing) -> Distribution:
    """Seconds between two successive accesses of one block, of every block and pair of accesses."""
    accesses = sharing.accesses
    time = sharing.trace.arrival_time[accesses.request]
    again = np.flatnonzero(~accesses.first)
    return Distribution.of(time[again] - time[again - 1], sharing.tree.blocks[accesses.segment[again]])


def window_name(window: float) -> str:
    """A window's key in files: its seconds, or inf."""
    return f"{window:g}"


def request_rows(sharing: Sharing, shared_tokens: np.ndarray | None) -> Rows:
    """Rows of REQUESTS, one for each request in the order of the trace.

    shared_tokens: int [R], at token level; None in a trace of blocks, which leaves two columns empty.
    """
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
    return zip(*(columns[name] for name in REQUESTS), strict=True)


def block_rows(sharing: Sharing) -> Rows:
    """Rows of BLOCKS, one for each distinct block, numbered in order of first access, then by depth.

    hits counts every access, the first one too. Times are in seconds. mean_gap is empty for a block with one
    access.
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
    return zip(*columns, strict=True)


def gap_rows(sharing: Sharing) -> Rows:
    """Rows of REUSE_GAPS: each distinct gap (s) and how many pairs of block accesses have it."""
    gaps = reuse_gaps(sharing)
    return zip(gaps.values.tolist(), gaps.counts.tolist(), strict=True)


def working_set_rows(sharing: Sharing, windows: Sequence[float], kv_bytes: int | None) -> Rows:
    """Rows of WORKING_SET at POINTS even times from 0 to the last arrival, for each window and inf."""
    times = np.linspace(0.0, float(sharing.trace.arrival_time[-1]), POINTS)
    for window in (*windows, math.inf):
        name = window_name(window)
        blocks = WorkingSet.of(sharing, window).at(times)
        for time, count in zip(times.tolist(), blocks.tolist(), strict=True):
            yield time, name, count, None if kv_bytes is None else count * sharing.block_tokens * kv_bytes


def kv_bytes_of(summary: str | os.PathLike | None) -> int | None:
    """Bytes of KV cache that one token takes, from the summary of a model; None without one.

    LabError where the summary lacks it.
    """
    if summary is None:
        return None
    value = read_json(summary).get("kv_bytes_per_token")
    if not isinstance(value, int) or value < 1:
        raise LabError(
            f"{summary}: kv_bytes_per_token is {value!r}, must be an integer >= 1; "
            "run the rule data_model again"
        )
    return value


def _summary(metric: str, found: Distribution) -> dict[str, float | None]:
    return found.summary(DISTRIBUTIONS[metric])


def _working_set(working_set: WorkingSet, block_kv: int | None) -> dict[str, Any]:
    peak = working_set.peak()
    return {
        "mean_blocks": working_set.mean(),
        "peak_blocks": peak,
        "peak_kv_bytes": None if block_kv is None else block_kv * peak,
    }


def _saved_with_generated(sharing: Sharing) -> float | None:
    """Fraction of prompt tokens found in an unbounded, instantaneous cache that keeps outputs too."""
    if sharing.shared_with_generated is None:
        return None
    saved = int(sharing.shared_with_generated.sum()) * sharing.block_tokens
    return saved / int(sharing.trace.prompt_tokens.sum(dtype=np.int64))
