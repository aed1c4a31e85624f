"""The sharing statistics of a trace and the rows of its tables, by the definitions in `metrics`."""

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json
from vllm_lab.common.statistics import Distribution
from vllm_lab.sharing.analysis import Sharing, WorkingSet
from vllm_lab.sharing.metrics import DISTRIBUTIONS
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
    are in seconds. kv_bytes are the bytes of one token's KV cache; None leaves figures in bytes null.
    """
    if trace.unit == "block":
        block_size, block_sizes = trace.block_tokens, [trace.block_tokens]
    order = StreamOrder.of(trace)
    tokens = Sharing.of(trace, order, 1).shared_blocks if trace.unit == "token" else None
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
    prompts, hits, gaps = sharing.trace.prompt_tokens, block_hits(sharing), reuse_gaps(sharing)
    accesses, distinct = int(sharing.prompt_blocks.sum()), hits.size
    saved, total = int(sharing.shared_tokens.sum()), int(prompts.sum(dtype=np.int64))
    token_level, with_generated = None, None
    if shared_tokens is not None:
        token_level = _summary("token_sharing_fraction", Distribution.of(shared_tokens / prompts))
    if sharing.shared_with_generated is not None:
        with_generated = int(sharing.shared_with_generated.sum()) * sharing.block_tokens / total
    return {
        "sharing_fraction": _summary("sharing_fraction", Distribution.of(sharing.shared_tokens / prompts)),
        "token_sharing_fraction": token_level,
        "requests_with_hit_fraction": int((sharing.shared_blocks > 0).sum()) / len(prompts),
        "block_accesses": accesses,
        "distinct_blocks": distinct,
        "block_reuse_rate": 1 - distinct / accesses if accesses else None,
        "block_hits": _summary("block_hits", hits),
        "reuse_gap_s": {"count": gaps.size, **_summary("reuse_gap_s", gaps)},
        "saved_prefill_tokens": saved,
        "saved_prefill_fraction": saved / total,
        "saved_prefill_fraction_with_generated": with_generated,
        "kv_bytes_per_token": kv_bytes,
        "saved_kv_bytes": _bytes(saved, kv_bytes),
        "distinct_kv_bytes": _bytes(distinct * sharing.block_tokens, kv_bytes),
        "working_set": {
            f"{window:g}": _working_set(sharing, window, kv_bytes) for window in (*windows, math.inf)
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


def request_rows(sharing: Sharing, shared_tokens: np.ndarray | None) -> Rows:
    """Rows of REQUEST_COLUMNS, one for each request in the order of the trace.

    shared_tokens: int [R], at token level; None in a trace of blocks, which leaves two columns empty.
    """
    trace, fraction = sharing.trace, sharing.shared_tokens / sharing.trace.prompt_tokens
    numbers = [trace.turn, trace.arrival_time, trace.prompt_tokens, sharing.shared_blocks, fraction]
    token_level = [[None] * len(trace)] * 2
    if shared_tokens is not None:
        token_level = [(shared_tokens / trace.prompt_tokens).tolist(), shared_tokens.tolist()]
    texts = [trace.request_id, trace.conversation_id]
    return zip(*texts, *(column.tolist() for column in numbers), *token_level, strict=True)


def block_rows(sharing: Sharing) -> Rows:
    """Rows of BLOCK_COLUMNS, one for each distinct block, numbered in order of first access, then by depth.

    hits counts every access, the first one too. Times are in seconds. mean_gap is empty for a single access.
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
    gaps = np.where(hits > 1, gap, None)
    columns = (np.arange(len(row)), depth, hits[row], begin[row], end[row], gaps[row])
    return zip(*(column.tolist() for column in columns), strict=True)


def gap_rows(sharing: Sharing) -> Rows:
    """Rows of GAP_COLUMNS: each distinct gap (s) and how many pairs of block accesses have it."""
    gaps = reuse_gaps(sharing)
    return zip(gaps.values.tolist(), gaps.counts.tolist(), strict=True)


def working_set_rows(sharing: Sharing, windows: Sequence[float], kv_bytes: int | None) -> Rows:
    """Rows of WORKING_SET_COLUMNS: for each window and inf, POINTS even times from 0 to the last arrival."""
    times = np.linspace(0.0, float(sharing.trace.arrival_time[-1]), POINTS)
    for window in (*windows, math.inf):
        blocks = WorkingSet.of(sharing, window).at(times)
        for time, count in zip(times.tolist(), blocks.tolist(), strict=True):
            yield time, f"{window:g}", count, _bytes(count * sharing.block_tokens, kv_bytes)


def kv_bytes_of(summary: str | os.PathLike | None) -> int | None:
    """Bytes of a token's KV cache, from a model's summary; None without one. LabError if they are missing."""
    if summary is None:
        return None
    value = read_json(summary).get("kv_bytes_per_token")
    if not isinstance(value, int) or value < 1:
        wanted = "must be an integer >= 1; run the rule data_model again"
        raise LabError(f"{summary}: kv_bytes_per_token is {value!r}, {wanted}")
    return value


def _summary(metric: str, found: Distribution) -> dict[str, float | None]:
    return found.summary(DISTRIBUTIONS[metric])


def _bytes(tokens: int, kv_bytes: int | None) -> int | None:
    """The KV cache of so many tokens; None where the bytes of one are unknown."""
    return None if kv_bytes is None else tokens * kv_bytes


def _working_set(sharing: Sharing, window: float, kv_bytes: int | None) -> dict[str, Any]:
    found = WorkingSet.of(sharing, window)
    peak = found.peak()
    peak_bytes = _bytes(peak * sharing.block_tokens, kv_bytes)
    return {"mean_blocks": found.mean(), "peak_blocks": peak, "peak_kv_bytes": peak_bytes}
